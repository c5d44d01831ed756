"""Credit that is bought again by itself when little is left of it."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, DateTimeField, F, Q, Subquery, Sum, UniqueConstraint, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import WholeNumberField
from core.ids import new_id
from credits.models import DEFAULT_PRIORITY, CreditGrant, EventCharge
from invoices.models.documents import Invoice
from meters.models import Currency
from subscriptions.models import Price


class AutoRechargeQuerySet(models.QuerySet["AutoRecharge"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def short(self, now: datetime) -> Self:
        """Those that are to recharge, each at its customer's time: less is left than their threshold says.

        :param now: the time by the wall
        """
        instant = Coalesce("customer__test_clock__frozen_at", Value(now), output_field=DateTimeField())
        mine = {
            "environment": models.OuterRef("environment"),
            "customer": models.OuterRef("customer"),
        }
        at = models.OuterRef("at")
        usable = CreditGrant.objects.filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=at),
            **mine, own_currency=models.OuterRef("currency"), effective_at__lte=at, balance__gt=0,
        )  # fmt: skip
        owed = EventCharge.objects.filter(**mine, currency=models.OuterRef("currency"), pending__gt=0)
        return (
            self.filter(enabled=True, environment__company__recharges=True, customer__deleted_at__isnull=True)
            .annotate(at=instant)
            .exclude(rests_until__gt=F("at"))
            .annotate(left=_total(usable, F("balance") - F("reserved")) - _total(owed, F("pending")))
            .filter(left__lt=F("threshold"))
        )


def _total(rows: "models.QuerySet[models.Model]", column: Combinable) -> Coalesce:
    # Grouped by something that they have in common, so that there is one row of all of them.
    total = rows.order_by().values("customer").annotate(total=Sum(column)).values("total")
    return Coalesce(Subquery(total), Value(0), output_field=WholeNumberField())


class AutoRecharge(models.Model):
    """A customer's wish: whenever less than the threshold is left of a currency, buy more of it at a one-time price.

    What is left is what can be burned and is not reserved, less what usage still waits to be paid for. One per customer
    and currency.
    """

    class LifetimeUnit(models.TextChoices):
        HOUR = "hour"
        DAY = "day"
        WEEK = "week"
        MONTH = "month"
        YEAR = "year"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="auto_recharges")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="auto_recharges")
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, related_name="auto_recharges")
    enabled = models.BooleanField(default=False)
    threshold = WholeNumberField(
        default=0, help_text=gettext_lazy("Smallest units of the currency: recharged when less is left.")
    )
    price = models.ForeignKey(
        Price,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="auto_recharges",
        help_text=gettext_lazy("What is paid."),
    )
    quantity = models.PositiveIntegerField(default=1, help_text=gettext_lazy("Units of the price at once."))
    amount = WholeNumberField(
        null=True,
        blank=True,
        help_text=gettext_lazy("What a unit of the price gives, in smallest units of the currency."),
    )
    lifetime = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text=gettext_lazy("For how many of the units below what is given can be used; empty: for good."),
    )
    lifetime_unit = models.CharField(max_length=5, choices=LifetimeUnit, blank=True)
    priority = models.PositiveIntegerField(
        default=DEFAULT_PRIORITY, help_text=gettext_lazy("Of the grants that it makes.")
    )
    most_attempts = models.PositiveIntegerField(
        default=0, help_text=gettext_lazy("How often on one UTC day; zero: no limit.")
    )
    most_amount = models.BigIntegerField(
        default=0,
        help_text=gettext_lazy("Minor units of the price's currency on one UTC day, before taxes; zero: no limit."),
    )
    rests_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text=gettext_lazy("By the customer's time: nothing before then. Set by a limit or a failure."),
    )
    failure = models.TextField(blank=True, help_text=gettext_lazy("Why the last attempt came to nothing."))
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = AutoRechargeQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "customer", "currency"], name="auto_recharge_one_per_currency"),
            CheckConstraint(
                condition=Q(enabled=False) | Q(price__isnull=False, amount__isnull=False),
                name="auto_recharge_enabled_knows_what",
            ),
            CheckConstraint(
                condition=Q(price__isnull=True, amount__isnull=True) | Q(price__isnull=False, amount__gt=0),
                name="auto_recharge_price_gives_something",
            ),
            CheckConstraint(
                condition=Q(threshold__gte=0, quantity__gte=1, most_amount__gte=0),
                name="auto_recharge_amounts_not_negative",
            ),
            CheckConstraint(
                condition=Q(lifetime__isnull=True, lifetime_unit="")
                | Q(lifetime__gte=1, lifetime_unit__in=["hour", "day", "week", "month", "year"]),
                name="auto_recharge_lifetime_has_unit",
            ),
        ]
        indexes = [models.Index(fields=["environment"], condition=Q(enabled=True), name="auto_recharge_enabled")]

    def __str__(self) -> str:
        return f"{self.currency} of {self.customer}"


class RechargeOfferQuerySet(models.QuerySet["RechargeOffer"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class RechargeOffer(models.Model):
    """What the company sells a currency's credit by: the price of a recharge where a customer's settings name none, and
    how much credit one recharge may give. One per currency.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="recharge_offers")
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, related_name="recharge_offers")
    price = models.ForeignKey(
        Price, on_delete=models.PROTECT, related_name="recharge_offers", help_text=gettext_lazy("One-time.")
    )
    least = WholeNumberField(
        null=True,
        blank=True,
        help_text=gettext_lazy("What one recharge gives at least, in smallest units of the currency."),
    )
    most = WholeNumberField(null=True, blank=True, help_text=gettext_lazy("What it gives at most."))
    url = models.URLField(
        max_length=500, blank=True, help_text=gettext_lazy("Where customers buy it by themselves, outside of here.")
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = RechargeOfferQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "currency"], name="recharge_offer_one_per_currency"),
            CheckConstraint(
                condition=(Q(least__isnull=True) | Q(least__gt=0))
                & (Q(most__isnull=True) | Q(most__gt=0))
                & (Q(least__isnull=True) | Q(most__isnull=True) | Q(least__lte=F("most"))),
                name="recharge_offer_bounds_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} by {self.price}"

    def allows(self, amount: int) -> bool:
        """Whether one recharge may give this much: smallest units of the currency."""
        return (self.least is None or amount >= self.least) and (self.most is None or amount <= self.most)


class RechargeQuerySet(models.QuerySet["Recharge"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class Recharge(models.Model):
    """What an automatic recharge did: the invoice that counts as paid, and the credit that was given for it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="recharges")
    auto_recharge = models.ForeignKey(AutoRecharge, on_delete=models.PROTECT, related_name="recharges")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="recharges")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="recharges")
    amount = models.BigIntegerField(
        help_text=gettext_lazy("What it cost: minor units of the invoice's currency, before taxes.")
    )
    created_at = models.DateTimeField(help_text=gettext_lazy("By the customer's time."))

    objects = RechargeQuerySet.as_manager()

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "invoice"], name="recharge_one_per_invoice"),
            UniqueConstraint(fields=["environment", "grant"], name="recharge_one_per_grant"),
            CheckConstraint(condition=Q(amount__gte=0), name="recharge_amount_not_negative"),
        ]
        indexes = [
            models.Index(fields=["environment", "auto_recharge", "created_at"], name="recharge_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.grant} for {self.invoice}"
