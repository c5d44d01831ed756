"""What is sold and for how much: products and their prices."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from meters.models import Meter
from subscriptions.pricing import ZERO, PriceTerms, Rounding, Scheme, Tier


class ProductQuerySet(models.QuerySet["Product"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class Product(models.Model):
    """Something the company sells. Its prices say for how much."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="products")
    slug = models.CharField(
        max_length=255, blank=True, help_text=gettext_lazy("An id of the caller's own choosing, where one was given.")
    )
    name = models.CharField(max_length=250)
    description = models.TextField(blank=True)
    unit_label = models.CharField(max_length=40, blank=True)
    active = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)
    default_price = models.ForeignKey(
        "Price",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("One of its own prices."),
    )
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


class TiersMode(models.TextChoices):
    """Graduated: each tier prices its own units. Volume: the tier of the total prices all units."""

    GRADUATED = "graduated"
    VOLUME = "volume"


class TaxBehavior(models.TextChoices):
    """Whether the amounts of a price have their taxes in them."""

    UNSPECIFIED = "unspecified"
    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


class PriceQuerySet(models.QuerySet["Price"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def present(self) -> Self:
        """Prices that were not deleted. Deleted ones are only seen from what was made with them."""
        return self.filter(deleted_at__isnull=True)


class Price(models.Model):
    """What a quantity of a product costs. Never changed once made, but for its labels."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="prices")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="prices")
    is_plan = models.BooleanField(
        default=False, help_text=gettext_lazy("Made as a plan, which is a price in older words.")
    )
    slug = models.CharField(
        max_length=255, blank=True, help_text=gettext_lazy("An id of the caller's own choosing, where one was given.")
    )
    currency = models.CharField(max_length=3)
    unit_amount = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "Minor units of the currency per unit or package, with fraction; empty if there are tiers."
        ),
    )
    tiers_mode = models.CharField(
        max_length=9, choices=TiersMode, blank=True, help_text=gettext_lazy("Empty: no tiers.")
    )
    divide_by = models.PositiveBigIntegerField(
        null=True, blank=True, help_text=gettext_lazy("Units in a package, of which whole ones are billed.")
    )
    rounding = models.CharField(
        max_length=4,
        choices=[(rounding.value, rounding.value) for rounding in Rounding],
        blank=True,
        help_text=gettext_lazy("Whether a package that is not full is billed."),
    )
    flat_fee_at_zero = models.BooleanField(
        default=True,
        help_text=gettext_lazy("Whether the first tier's flat amount is due for a period in which nothing was used."),
    )
    tax_behavior = models.CharField(max_length=11, choices=TaxBehavior, default=TaxBehavior.UNSPECIFIED)
    usage_type = models.CharField(max_length=8, choices=UsageType, default=UsageType.LICENSED)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="prices")
    interval = models.CharField(
        max_length=5, choices=Interval, blank=True, help_text=gettext_lazy("Empty: a one-time price.")
    )
    interval_count = models.PositiveSmallIntegerField(default=1)
    nickname = models.CharField(max_length=5000, blank=True)
    lookup_key = models.CharField(max_length=200, blank=True)
    active = models.BooleanField(default=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = PriceQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(
                fields=["environment", "lookup_key"], condition=~Q(lookup_key=""), name="price_one_per_lookup_key"
            ),
            UniqueConstraint(
                fields=["environment", "slug"],
                condition=~Q(slug="") & Q(deleted_at__isnull=True),
                name="price_one_per_slug",
            ),
            CheckConstraint(
                condition=Q(usage_type="metered", meter__isnull=False) | Q(usage_type="licensed", meter__isnull=True),
                name="price_meter_iff_metered",
            ),
            CheckConstraint(condition=Q(usage_type="licensed") | ~Q(interval=""), name="price_metered_is_recurring"),
            CheckConstraint(
                condition=Q(tiers_mode="", unit_amount__isnull=False)
                | Q(~Q(tiers_mode=""), unit_amount__isnull=True, divide_by__isnull=True),
                name="price_unit_amount_unless_tiered",
            ),
            CheckConstraint(
                condition=Q(divide_by__isnull=True, rounding="") | Q(~Q(rounding=""), divide_by__gte=1),
                name="price_package_is_rounded",
            ),
            CheckConstraint(
                condition=Q(is_plan=False) | ~Q(interval=""),
                name="price_plan_is_recurring",
            ),
            CheckConstraint(condition=Q(unit_amount__gte=0), name="price_unit_amount_not_negative"),
            CheckConstraint(condition=Q(interval_count__gte=1), name="price_interval_count_positive"),
            CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(active=False, lookup_key=""), name="price_deleted_is_closed"
            ),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="price_newest_first")]

    def __str__(self) -> str:
        if self.nickname or self.unit_amount is None:
            return self.nickname or f"{self.product}, {self.tiers_mode}, {self.currency}"
        return f"{self.product} at {self.unit_amount.normalize():f} {self.currency}"

    @property
    def is_metered(self) -> bool:
        return self.usage_type == UsageType.METERED

    @property
    def scheme(self) -> Scheme:
        if self.tiers_mode:
            return Scheme(self.tiers_mode)
        return Scheme.PER_UNIT if self.divide_by is None else Scheme.PACKAGE

    @property
    def terms(self) -> PriceTerms:
        """What :func:`subscriptions.pricing.rate` asks for. Reads the tiers, where there are some."""
        return PriceTerms(
            unit_amount=self.unit_amount or ZERO,
            scheme=self.scheme,
            tiers=tuple(tier.terms for tier in self.tiers.all()) if self.tiers_mode else (),
            divide_by=self.divide_by or 1,
            rounding=Rounding(self.rounding or Rounding.UP),
            flat_fee_at_zero=self.flat_fee_at_zero,
        )


class PriceTier(models.Model):
    """A range of quantities of a tiered price, with its own unit price and flat fee."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="price_tiers")
    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    position = models.PositiveSmallIntegerField()
    up_to = models.DecimalField(
        max_digits=30, decimal_places=12, null=True, blank=True, help_text=gettext_lazy("Inclusive; empty: and above.")
    )
    # Each may be left out, and is then said to be absent, not zero.
    unit_amount = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=gettext_lazy("Minor units per unit, with fraction."),
    )
    flat_amount = models.DecimalField(
        max_digits=30,
        decimal_places=12,
        null=True,
        blank=True,
        help_text=gettext_lazy("Minor units once the tier is reached."),
    )

    class Meta:
        ordering = ["position"]
        constraints = [
            UniqueConstraint(fields=["environment", "price", "position"], name="price_tier_one_per_position"),
            UniqueConstraint(
                fields=["environment", "price", "up_to"], nulls_distinct=False, name="price_tier_one_per_end"
            ),
            CheckConstraint(condition=Q(up_to__isnull=True) | Q(up_to__gt=0), name="price_tier_not_empty"),
            CheckConstraint(
                condition=Q(unit_amount__isnull=False) | Q(flat_amount__isnull=False), name="price_tier_costs_something"
            ),
            CheckConstraint(
                condition=(Q(unit_amount__isnull=True) | Q(unit_amount__gte=0))
                & (Q(flat_amount__isnull=True) | Q(flat_amount__gte=0)),
                name="price_tier_amounts_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return "and above" if self.up_to is None else f"up to {self.up_to.normalize():f}"

    @property
    def terms(self) -> Tier:
        return Tier(self.up_to, self.unit_amount or ZERO, self.flat_amount or ZERO)
