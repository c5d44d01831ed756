"""What customers were given, and what of it is reserved."""

from collections.abc import Collection
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Case, CheckConstraint, F, OuterRef, Q, Subquery, Sum, UniqueConstraint, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy

from accounts.models import Customer, Environment, TestClock
from core.fields import WholeNumberField
from core.ids import new_id
from core.money import format_amount
from credits.models.reservations import CreditReservation
from meters.models import Currency, Meter
from subscriptions.models import Price

DEFAULT_PRIORITY = 50
# Smallest units that a grant or a reservation has less of: some thousands of grants still add up within the columns.
MOST_AMOUNT = 10**36


class CreditAccount(models.Model):
    """All credit of one customer, as one thing to hold: whoever changes any of it locks this row first.

    So what happens to a customer's credit happens one after another, be it a new grant, an expiry or an invoice.
    """

    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, primary_key=True, related_name="credit_account")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="credit_accounts")

    def __str__(self) -> str:
        return f"credit of {self.customer}"


def _usable(at: datetime) -> Q:
    return Q(Q(expires_at__isnull=True) | Q(expires_at__gt=at), effective_at__lte=at, balance__gt=0)


class CreditGrantQuerySet(models.QuerySet["CreditGrant"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def usable(self, at: datetime) -> Self:
        """Grants that something is left of, and that may be used at an instant. Dates decide, whatever was booked."""
        return self.filter(_usable(at))

    def with_held(self, at: datetime | Combinable) -> Self:
        """Annotate ``held``: what is reserved of each at an instant. A reservation whose time is over holds nothing.

        :param at: an outer reference to a column of the grants' own where each has its time
        """
        holds = CreditHold.objects.filter(grant=OuterRef("pk"), amount__gt=0, reservation__expires_at__gt=at)
        held = holds.order_by().values("grant").annotate(total=Sum("amount")).values("total")
        # Most grants have nothing reserved, and are not asked further.
        return self.annotate(
            held=Case(
                When(reserved=0, then=Value(0)),
                default=Coalesce(Subquery(held), Value(0)),
                output_field=WholeNumberField(),
            )
        )

    def burned_by(self, meters: Collection[Meter]) -> Self:
        """Grants in a currency of the company's own that events of at least one of the meters burn."""
        named = GrantedPrice.objects.filter(price__meter__in=meters).values("grant")
        return self.filter(own_currency__in=[meter.currency_id for meter in meters]).filter(
            Q(scope=CreditGrant.Scope.METERED) | Q(pk__in=named)
        )

    def expiring(self) -> Self:
        """Grants that have an end, and something left that will expire then. What is reserved will not."""
        # The first two are what an index has.
        return self.filter(expires_at__isnull=False, balance__gt=0).filter(balance__gt=F("reserved"))

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Grants with something left whose end has come: of customers on a test clock, or of those on none."""
        return self.expiring().filter(customer__test_clock=clock, expires_at__lte=now)

    def money(self) -> Self:
        """Grants that pay for invoices."""
        return self.filter(own_currency=None)

    def burnable(self) -> Self:
        """Grants that events burn."""
        return self.exclude(own_currency=None)

    def in_states(self, states: Collection[str], now: datetime) -> Self:
        """As :meth:`CreditGrant.state` says, each at its customer's time.

        :param now: the time by the wall
        """
        state = CreditGrant.State
        ended = Q(expires_at__lte=F("at"))
        alive = Q(voided_at__isnull=True) & ~(Q(expires_at__isnull=False) & ended)
        conditions = {
            state.VOIDED: Q(voided_at__isnull=False),
            state.EXPIRED: Q(voided_at__isnull=True) & Q(expires_at__isnull=False) & ended,
            state.DEPLETED: alive & Q(balance=0),
            state.PENDING: alive & Q(balance__gt=0, effective_at__gt=F("at")),
            state.GRANTED: alive & Q(balance__gt=0, effective_at__lte=F("at")),
        }
        wanted = Q(pk__in=[])
        for name in states:
            wanted |= conditions[state(name)]
        instant = Coalesce("customer__test_clock__frozen_at", Value(now), output_field=models.DateTimeField())
        return self.annotate(at=instant).filter(wanted)

    def balances(self) -> dict[str, int]:
        """What is left of those in money, by currency."""
        rows = self.money().order_by().values_list("currency").annotate(Sum("balance")).order_by("currency")
        return dict(rows)


class CreditGrant(models.Model):
    """Credit given to a customer, for what its scope says, from one instant until another.

    ``balance`` is what is left; it is the sum of the grant's ledger entries, and the database holds it to that.
    """

    class Category(models.TextChoices):
        PAID = "paid"
        PROMOTIONAL = "promotional"

    class Scope(models.TextChoices):
        METERED = "metered", gettext_lazy("all metered prices")
        PRICES = "prices", gettext_lazy("the prices named")

    class State(models.TextChoices):
        """What the dates and the balance say at an instant; computed, never stored."""

        PENDING = "pending"
        GRANTED = "granted"
        DEPLETED = "depleted"
        EXPIRED = "expired"
        VOIDED = "voided"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="credit_grants")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="credit_grants")
    name = models.CharField(max_length=100, blank=True)
    granted_by = models.CharField(
        max_length=100, blank=True, help_text=gettext_lazy("Who gave it, in the caller's words: a DID, an email.")
    )
    category = models.CharField(max_length=11, choices=Category, default=Category.PAID)
    currency = models.CharField(max_length=3, blank=True, help_text=gettext_lazy("Of credit that is money."))
    own_currency = models.ForeignKey(
        Currency,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credit_grants",
        help_text=gettext_lazy("Of credit that events burn: the currency of their meters."),
    )
    amount = WholeNumberField()
    balance = WholeNumberField(help_text=gettext_lazy("What is left: the sum of the ledger's entries."))
    reserved = WholeNumberField(
        default=0, help_text=gettext_lazy("What of it is reserved. The database counts it from the holds.")
    )
    entry_count = models.PositiveIntegerField(
        default=0, help_text=gettext_lazy("How many entries the ledger has of this grant.")
    )
    priority = models.PositiveIntegerField(
        default=DEFAULT_PRIORITY, help_text=gettext_lazy("Smaller ones are used first.")
    )
    scope = models.CharField(max_length=7, choices=Scope, default=Scope.METERED)
    prices = models.ManyToManyField(Price, through="GrantedPrice", related_name="credit_grants")
    effective_at = models.DateTimeField(help_text=gettext_lazy("From when on it can be used."))
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("When what is left is lost; empty: never.")
    )
    voided_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    objects = CreditGrantQuerySet.as_manager()

    class Meta:
        constraints = [
            CheckConstraint(condition=Q(amount__gt=0), name="credit_grant_amount_positive"),
            CheckConstraint(
                condition=Q(balance__gte=0) & Q(balance__lte=F("amount")), name="credit_grant_balance_within_amount"
            ),
            # Whoever spends: what is reserved stays.
            CheckConstraint(
                condition=Q(reserved__gte=0) & Q(reserved__lte=F("balance")), name="credit_grant_reserved_is_left"
            ),
            CheckConstraint(
                condition=Q(voided_at__isnull=True) | Q(balance=0), name="credit_grant_voided_has_nothing_left"
            ),
            CheckConstraint(condition=Q(category__in=["paid", "promotional"]), name="credit_grant_category_is_known"),
            CheckConstraint(
                condition=(Q(own_currency__isnull=True) & ~Q(currency="")) | Q(own_currency__isnull=False, currency=""),
                name="credit_grant_has_one_currency",
            ),
            CheckConstraint(condition=Q(scope__in=["metered", "prices"]), name="credit_grant_scope_is_known"),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="credit_grant_newest_first"),
            models.Index(fields=["environment", "customer", "-created_at", "-id"], name="credit_grant_by_customer"),
            # A customer's balance, and what can be spent: one look at what is left, however many grants are used up.
            models.Index(
                fields=["environment", "customer"], condition=Q(balance__gt=0), name="credit_grant_something_left"
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False, balance__gt=0),
                name="credit_grant_expiry_due",
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"{self.get_category_display()} credit"

    @property
    def available(self) -> int:
        """What is left and not reserved, as it is booked."""
        available: int = self.balance - self.reserved
        return available

    def has_expired(self, at: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= at

    def state(self, at: datetime) -> State:
        if self.voided_at is not None:
            return self.State.VOIDED
        if self.has_expired(at):
            return self.State.EXPIRED
        if self.balance == 0:
            return self.State.DEPLETED
        return self.State.PENDING if at < self.effective_at else self.State.GRANTED

    def text(self, amount: int) -> str:
        """An amount of the grant's currency, for a reader."""
        return self.own_currency.text(amount) if self.own_currency else format_amount(amount, self.currency)

    @property
    def price_ids(self) -> frozenset[UUID] | None:
        """The prices that it pays for; None for all metered ones."""
        if self.scope == self.Scope.METERED:
            return None
        return frozenset(named.price_id for named in self.granted_prices.all())


class GrantedPrice(models.Model):
    """A price that a grant pays for, of those that pay for some only."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="granted_prices")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, related_name="granted_prices")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="granted_prices")

    class Meta:
        # As the caller listed them.
        ordering = ["pk"]
        constraints = [UniqueConstraint(fields=["environment", "grant", "price"], name="granted_price_once")]

    def __str__(self) -> str:
        return str(self.price)


class CreditHold(models.Model):
    """What a reservation holds of one grant. The database adds the holds of a grant up in its ``reserved``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="credit_holds")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="credit_holds")
    reservation = models.ForeignKey(CreditReservation, on_delete=models.PROTECT, db_index=False, related_name="holds")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_index=False, related_name="holds")
    amount = WholeNumberField(help_text=gettext_lazy("What it still holds."))

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "reservation", "grant"], name="credit_hold_one_per_grant"),
            CheckConstraint(condition=Q(amount__gte=0), name="credit_hold_not_negative"),
        ]
        indexes = [models.Index(fields=["grant"], condition=Q(amount__gt=0), name="credit_hold_of_grant")]

    def __str__(self) -> str:
        return self.grant.text(self.amount)
