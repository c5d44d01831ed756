"""Taxes: rates, and what they are asked for."""

from typing import Self, cast
from uuid import UUID

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.ids import new_id
from subscriptions.models.subscriptions import Subscription, SubscriptionItem


class TaxRateQuerySet(models.QuerySet["TaxRate"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class TaxRate(models.Model):
    """A percentage that is added to amounts, or is within them. Neither ever changes: another rate is another row."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="tax_rates")
    display_name = models.CharField(max_length=100, help_text=gettext_lazy("What payers read: VAT, GST, sales tax."))
    percentage = models.DecimalField(max_digits=7, decimal_places=4)
    inclusive = models.BooleanField(help_text=gettext_lazy("Whether amounts have the tax in them, or it is added."))
    active = models.BooleanField(
        default=True, help_text=gettext_lazy("An inactive rate stays where it is, and is asked for no more.")
    )
    country = models.CharField(max_length=2, blank=True)
    state = models.CharField(max_length=3, blank=True)
    jurisdiction = models.CharField(max_length=50, blank=True)
    tax_type = models.CharField(max_length=40, blank=True)
    description = models.CharField(
        max_length=500, blank=True, help_text=gettext_lazy("For the company; payers do not see it.")
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    objects = TaxRateQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(percentage__gte=0, percentage__lte=100), name="tax_rate_percentage_from_0_to_100"
            ),
            CheckConstraint(condition=~Q(display_name=""), name="tax_rate_display_name_not_empty"),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="tax_rate_newest_first")]

    def __str__(self) -> str:
        return f"{self.display_name} {self.percentage.normalize():f} %"


class AppliedTaxRate(models.Model):
    """A rate that is asked for an item, for what of a subscription has none of its own, or for what of a customer has."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="+")
    tax_rate = models.ForeignKey(TaxRate, on_delete=models.PROTECT, related_name="applied")
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, null=True, blank=True, related_name="tax_rates")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, null=True, blank=True, related_name="tax_rates"
    )
    subscription_item = models.ForeignKey(
        SubscriptionItem, on_delete=models.CASCADE, null=True, blank=True, related_name="tax_rates"
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]
        constraints = [
            CheckConstraint(
                condition=Q(customer__isnull=False, subscription__isnull=True, subscription_item__isnull=True)
                | Q(customer__isnull=True, subscription__isnull=False, subscription_item__isnull=True)
                | Q(customer__isnull=True, subscription__isnull=True, subscription_item__isnull=False),
                name="applied_tax_rate_of_one_thing",
            ),
            UniqueConstraint(
                fields=["environment", "tax_rate", "customer", "subscription", "subscription_item"],
                nulls_distinct=False,
                name="applied_tax_rate_once",
            ),
        ]

    def __str__(self) -> str:
        return str(self.tax_rate)

    @property
    def owner_id(self) -> UUID:
        """Of what it is asked: an item, a subscription or a customer."""
        return cast("UUID", self.subscription_item_id or self.subscription_id or self.customer_id)
