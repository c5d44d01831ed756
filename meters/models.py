"""Meters: the rules by which events of one name become one quantity, and the units of their own that they are paid in."""

from decimal import Decimal
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy

from accounts.models import Environment
from core.ids import new_id
from core.money import EXACT, to_minor_units


class Formula(models.TextChoices):
    """How the events of a period become one number."""

    SUM = "sum"
    COUNT = "count"
    LAST = "last"
    MAX = "max"
    MIN = "min"
    UNIQUE_COUNT = "unique_count"


class EventTimeWindow(models.TextChoices):
    """Only the last event of each clock hour or UTC day counts; the formula runs over what is left."""

    HOUR = "hour"
    DAY = "day"


class LatePolicy(models.TextChoices):
    """What becomes of usage that is reported when its period's invoice is final already."""

    BILL_NEXT = "bill_next", gettext_lazy("On the next invoice")
    REPORT_ONLY = "report_only", gettext_lazy("Reported only")


class Status(models.TextChoices):
    ACTIVE = "active"
    INACTIVE = "inactive"


class CurrencyQuerySet(models.QuerySet["Currency"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)


class Currency(models.Model):
    """A unit of a company's own, which usage is paid in by credit: tokens, requests, credits. It is no money.

    An amount of it is a whole number of its smallest units: ``10 ** decimals`` of them are one.
    """

    MOST_DECIMALS = 18

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="currencies")
    name = models.CharField(max_length=64)
    symbol = models.CharField(max_length=32)
    decimals = models.PositiveSmallIntegerField(default=0, help_text=gettext_lazy("How many places its amounts have."))
    description = models.CharField(max_length=255, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = CurrencyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = gettext_lazy("currencies")
        constraints = [
            CheckConstraint(condition=Q(decimals__lte=18), name="currency_decimals_within_bounds"),
            CheckConstraint(condition=~Q(name="") & ~Q(symbol=""), name="currency_has_name_and_symbol"),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="currency_newest_first")]

    def __str__(self) -> str:
        return self.name

    def smallest_units(self, value: Decimal) -> int | None:
        """A value in the currency's smallest units; None where there is no such amount."""
        units = EXACT.scaleb(value, self.decimals)
        return int(units) if units == units.to_integral_value() else None

    def nearest_units(self, value: Decimal) -> int:
        """A value in smallest units, rounded half away from zero."""
        return to_minor_units(EXACT.scaleb(value, self.decimals))

    def text(self, amount: int) -> str:
        """An amount for a reader: ``1500`` with three decimals is ``1.5 credits``."""
        return f"{EXACT.normalize(EXACT.scaleb(Decimal(amount), -self.decimals)):,f} {self.symbol}"


class MeterQuerySet(models.QuerySet["Meter"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def active(self) -> Self:
        return self.filter(status=Status.ACTIVE)

    def named(self, event_name: str) -> Self:
        """The meters of a name: the active one first, then those that were closed, the latest first."""
        return self.filter(event_name=event_name).order_by("status", "-created_at", "-pk")


class Meter(models.Model):
    """The rule by which events of one name become one quantity. Closed, never deleted."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="meters")
    display_name = models.CharField(max_length=250)
    event_name = models.CharField(max_length=100)
    formula = models.CharField(max_length=12, choices=Formula)
    event_time_window = models.CharField(max_length=4, choices=EventTimeWindow, blank=True)
    customer_key = models.CharField(
        max_length=100, default="stripe_customer_id", help_text=gettext_lazy("Payload key that names the customer.")
    )
    value_key = models.CharField(
        max_length=100, default="value", help_text=gettext_lazy("Payload key that holds the value.")
    )
    dimension_keys = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text=gettext_lazy(
            "Payload keys that summaries are kept by. Others can still be asked for; they are read from the events."
        ),
    )
    late_policy = models.CharField(
        gettext_lazy("late usage"),
        max_length=11,
        choices=LatePolicy,
        default=LatePolicy.BILL_NEXT,
        help_text=gettext_lazy(
            "Usage that is reported when its period's invoice is final: "
            "a line of its own on the next one, or shown on the final invoice's line and not billed."
        ),
    )
    currency = models.ForeignKey(
        Currency,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="meters",
        help_text=gettext_lazy(
            "The unit of the company's own that its events are paid in, by credit. Empty: they are only counted."
        ),
    )
    unit = models.CharField(
        max_length=32, blank=True, help_text=gettext_lazy("What is counted: requests, tokens, bytes.")
    )
    description = models.CharField(max_length=255, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    status = models.CharField(max_length=8, choices=Status, default=Status.ACTIVE)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deactivated_at = models.DateTimeField(null=True, blank=True)

    objects = MeterQuerySet.as_manager()

    class Meta:
        constraints = [
            # A closed meter keeps its name for the record, so only open ones must differ.
            UniqueConstraint(
                fields=["environment", "event_name"],
                condition=Q(status="active"),
                name="meter_one_active_per_event_name",
            ),
            CheckConstraint(condition=Q(formula__in=Formula.values), name="meter_formula_is_known"),
            CheckConstraint(condition=Q(late_policy__in=LatePolicy.values), name="meter_late_policy_is_known"),
            CheckConstraint(
                condition=Q(status="active", deactivated_at__isnull=True)
                | Q(status="inactive", deactivated_at__isnull=False),
                name="meter_deactivated_at_iff_inactive",
            ),
            CheckConstraint(condition=~Q(event_name=""), name="meter_event_name_not_empty"),
            CheckConstraint(condition=~Q(customer_key="") & ~Q(value_key=""), name="meter_payload_keys_not_empty"),
        ]
        indexes = [models.Index(fields=["environment", "-created_at", "-id"], name="meter_newest_first")]

    def __str__(self) -> str:
        return self.event_name

    @property
    def takes_number(self) -> bool:
        """Whether an event's value is a number that is computed with."""
        return self.formula not in {Formula.COUNT, Formula.UNIQUE_COUNT}

    @property
    def takes_text(self) -> bool:
        """Whether an event's value is any text, of which only the different ones are counted."""
        return self.formula == Formula.UNIQUE_COUNT
