"""Credit that is put aside before it is used."""

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import CheckConstraint, F, Q, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment, TestClock
from core.fields import WholeNumberField
from core.ids import new_id
from core.money import format_amount
from meters.models import Currency


class CreditReservationQuerySet(models.QuerySet["CreditReservation"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def open(self) -> Self:
        """Those that hold something, be their time over or not."""
        return self.filter(reserved__gt=0)

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Those whose time is over and that are not booked as such: of customers on a test clock, or of those on none."""
        return self.open().filter(customer__test_clock=clock, expires_at__lte=now)

    def in_state(self, state: str, now: datetime) -> Self:
        """As :meth:`CreditReservation.state` says, each at its customer's time.

        :param now: the time by the wall
        """
        instant = Coalesce("customer__test_clock__frozen_at", Value(now), output_field=models.DateTimeField())
        over = Q(status=CreditReservation.Status.ACTIVE, expires_at__lte=F("at"))
        rows = self.annotate(at=instant)
        if state == CreditReservation.Status.EXPIRED:
            return rows.filter(Q(status=state) | over)
        return rows.filter(status=state).exclude(over)


class CreditReservation(models.Model):
    """Credit that is put aside for what a customer is about to use: committed, given back, or lost to time, in the end.

    It holds parts of certain grants (:class:`CreditHold`), which nothing else can use meanwhile. What it is and how long
    it lasts never changes; what becomes of it only goes on. ``amount`` is always the sum of the other three.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        COMMITTED = "committed"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_index=False, related_name="credit_reservations"
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="credit_reservations")
    currency = models.CharField(max_length=3, blank=True, help_text=gettext_lazy("Of credit that is money."))
    own_currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_reservations", db_index=False
    )
    amount = WholeNumberField()
    reserved = WholeNumberField(help_text=gettext_lazy("What it still holds."))
    committed = WholeNumberField(default=0, help_text=gettext_lazy("What was used of it."))
    released = WholeNumberField(default=0, help_text=gettext_lazy("What was given back."))
    status = models.CharField(max_length=9, choices=Status, default=Status.ACTIVE)
    expires_at = models.DateTimeField(help_text=gettext_lazy("When what it still holds is given back."))
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = CreditReservationQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(
                condition=Q(amount__gt=0, reserved__gte=0, committed__gte=0, released__gte=0)
                & Q(amount=F("reserved") + F("committed") + F("released")),
                name="credit_reservation_adds_up",
            ),
            CheckConstraint(
                condition=Q(status="active", reserved__gt=0, ended_at__isnull=True)
                | Q(status__in=["committed", "released", "expired"], reserved=0, ended_at__isnull=False),
                name="credit_reservation_holds_until_it_ends",
            ),
            CheckConstraint(
                condition=Q(own_currency__isnull=True) & ~Q(currency="") | Q(own_currency__isnull=False, currency=""),
                name="credit_reservation_has_one_currency",
            ),
            CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="credit_reservation_lasts"),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="credit_reservation_newest"),
            models.Index(
                fields=["environment", "customer", "-created_at", "-id"], name="credit_reservation_by_customer"
            ),
            # Whose time is over: of a customer, before anything of theirs is spent, and of all of them.
            models.Index(
                fields=["environment", "customer", "expires_at"],
                condition=Q(reserved__gt=0),
                name="credit_reservation_open",
            ),
            models.Index(fields=["expires_at"], condition=Q(reserved__gt=0), name="credit_reservation_due"),
        ]

    def __str__(self) -> str:
        return self.text(self.amount)

    def state(self, at: datetime) -> Status:
        """Its status at an instant. The date decides, whatever was booked."""
        if self.status == self.Status.ACTIVE and self.expires_at <= at:
            return self.Status.EXPIRED
        return self.Status(self.status)

    def text(self, amount: int) -> str:
        """An amount of its currency, for a reader."""
        return self.own_currency.text(amount) if self.own_currency else format_amount(amount, self.currency)
