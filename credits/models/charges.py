"""What events cost, of credit that is no money."""

from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment
from core.fields import AnyWholeNumberField
from meters.models import Currency, Meter


class EventChargeQuerySet(models.QuerySet["EventCharge"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def due(self) -> Self:
        """Charges that something is still to be paid of, in the order in which they are paid."""
        return self.filter(pending__gt=0).order_by("pk")


class EventCharge(models.Model):
    """What one event costs in its meter's currency, and how much of it credit has paid. Its id is the event's.

    It is made once for each event, as the log of events is followed.
    """

    class Status(models.TextChoices):
        OPEN = "open", gettext_lazy("not tried yet")
        SHORT = "short", gettext_lazy("waits for credit")
        SETTLED = "settled"
        CANCELED = "canceled", gettext_lazy("the event was canceled")

    id = models.UUIDField(primary_key=True, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="event_charges")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="event_charges")
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, related_name="event_charges", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="event_charges", db_index=False)
    event_timestamp = models.DateTimeField(
        help_text=gettext_lazy("The event's own time, which leads to its partition.")
    )
    amount = AnyWholeNumberField(help_text=gettext_lazy("The event's value in the currency's smallest units."))
    consumed = AnyWholeNumberField(default=0, help_text=gettext_lazy("What credit has paid of it."))
    pending = AnyWholeNumberField(help_text=gettext_lazy("What is still to be paid."))
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    attempts = models.PositiveIntegerField(default=0, help_text=gettext_lazy("How often credit was asked for."))
    created_at = models.DateTimeField(help_text=gettext_lazy("When the event was received."))
    processed_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When credit was last asked for.")
    )

    objects = EventChargeQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(amount__gt=0, consumed__gte=0, pending__gte=0), name="event_charge_amounts_not_negative"
            ),
            CheckConstraint(
                condition=Q(status="canceled", consumed=0, pending=0)
                | Q(status="settled", consumed=F("amount"), pending=0)
                | Q(status__in=["open", "short"], pending=F("amount") - F("consumed"), pending__gt=0),
                name="event_charge_is_paid_or_pending",
            ),
        ]
        indexes = [
            # What a customer owes, and in which order it is paid.
            models.Index(fields=["environment", "customer", "id"], condition=Q(pending__gt=0), name="event_charge_due"),
            models.Index(fields=["environment", "customer"], condition=Q(status="open"), name="event_charge_open"),
        ]

    def __str__(self) -> str:
        return self.currency.text(self.amount)


class BurnMark(models.Model):
    """How far the log of events was followed: those of transactions before ``xid`` have their charges. One row."""

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON)
    xid = models.BigIntegerField(
        default=0, help_text=gettext_lazy("The first transaction id whose events have no charges yet.")
    )

    class Meta:
        constraints = [CheckConstraint(condition=Q(id=1), name="burn_mark_is_one_row")]

    def __str__(self) -> str:
        return str(self.xid)
