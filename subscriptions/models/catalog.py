"""What is sold and for how much: products and their prices."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint

from accounts.models import Environment
from core.ids import new_id
from meters.models import Meter


class ProductQuerySet(models.QuerySet["Product"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class Product(models.Model):
    """Something the company sells. Its prices say for how much."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="products")
    slug = models.CharField(
        max_length=255, blank=True, help_text="An id of the caller's own choosing, where one was given."
    )
    name = models.CharField(max_length=250)
    description = models.TextField(blank=True)
    unit_label = models.CharField(max_length=40, blank=True)
    active = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = ProductQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "slug"], condition=~Q(slug=""), name="product_one_per_slug"),
            CheckConstraint(condition=~Q(name=""), name="product_name_not_empty"),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="product_newest_first")]

    def __str__(self) -> str:
        return self.name


class UsageType(models.TextChoices):
    """Licensed: paid in advance by quantity. Metered: paid in arrears by what a meter counted."""

    LICENSED = "licensed"
    METERED = "metered"


class Interval(models.TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class PriceQuerySet(models.QuerySet["Price"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class Price(models.Model):
    """What one unit of a product costs. Never changed once made, but for its labels."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="prices")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="prices")
    currency = models.CharField(max_length=3)
    unit_amount = models.DecimalField(
        max_digits=30, decimal_places=12, help_text="Minor units of the currency per unit, with fraction."
    )
    usage_type = models.CharField(max_length=8, choices=UsageType, default=UsageType.LICENSED)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="prices")
    interval = models.CharField(max_length=5, choices=Interval, blank=True, help_text="Empty: a one-time price.")
    interval_count = models.PositiveSmallIntegerField(default=1)
    nickname = models.CharField(max_length=5000, blank=True)
    lookup_key = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    objects = PriceQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "lookup_key"], condition=~Q(lookup_key=""), name="price_one_per_lookup_key"
            ),
            CheckConstraint(
                condition=Q(usage_type="metered", meter__isnull=False) | Q(usage_type="licensed", meter__isnull=True),
                name="price_meter_iff_metered",
            ),
            CheckConstraint(condition=Q(usage_type="licensed") | ~Q(interval=""), name="price_metered_is_recurring"),
            CheckConstraint(condition=Q(unit_amount__gte=0), name="price_unit_amount_not_negative"),
            CheckConstraint(condition=Q(interval_count__gte=1), name="price_interval_count_positive"),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="price_newest_first")]

    def __str__(self) -> str:
        return self.nickname or f"{self.product} at {self.unit_amount.normalize():f} {self.currency}"

    @property
    def is_metered(self) -> bool:
        return self.usage_type == UsageType.METERED
