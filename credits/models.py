"""Credit that customers were given, and the ledger of all that became of it.

An amount is a whole number of the currency's smallest units, of any size. Credit in money pays for invoices; credit in a
currency of the company's own is burned by the events of its meters. Grants know nothing of invoices: what was paid by
them is referred to by its bare id.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Case, CheckConstraint, F, OuterRef, Q, Subquery, Sum, UniqueConstraint, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from accounts.models import Customer, Environment, TestClock
from core.fields import WholeNumberField
from core.ids import new_id
from core.money import format_amount
from meters.models import Currency, Meter
from subscriptions.models import Price

DEFAULT_PRIORITY = 50


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


@dataclass(frozen=True, slots=True)
class Standing:
    """A customer's credit of one currency at an instant.

    :ivar currency: of money; empty for one of the company's own
    :ivar left: all that was not used up, written off or void
    :ivar held: what of it is reserved
    :ivar available: what can be used for anything: usable at the instant, and not reserved
    """

    currency: str
    own_currency_id: UUID | None
    left: int
    held: int
    available: int


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

    def paying_for(self, prices: Iterable[Price] | None) -> Self:
        """Grants that pay for all metered prices (None), or for at least one of those given."""
        everything = Q(scope=CreditGrant.Scope.METERED)
        if prices is None:
            return self.filter(everything)
        named = GrantedPrice.objects.filter(price__in=list(prices)).values("grant")
        return self.filter(everything | Q(pk__in=named))

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

    def standings(self, at: datetime) -> list["Standing"]:
        """What is left of them at an instant in each currency that they ever were in, money first. One question."""
        rows = (
            self.with_held(at)
            .order_by()
            .values_list("currency", "own_currency")
            .annotate(
                Sum("balance"),
                Sum("held"),
                usable=Coalesce(
                    Sum(F("balance") - F("held"), filter=_usable(at)), Value(0), output_field=WholeNumberField()
                ),
            )
            .order_by("own_currency__created_at", "currency")
        )
        return [Standing(name, own, int(left), int(held), int(usable)) for name, own, left, held, usable in rows]


class CreditGrant(models.Model):
    """Credit given to a customer, for what its scope says, from one instant until another.

    ``balance`` is what is left; it is the sum of the grant's ledger entries, and the database holds it to that.
    """

    class Category(models.TextChoices):
        PAID = "paid"
        PROMOTIONAL = "promotional"

    class Scope(models.TextChoices):
        METERED = "metered", "all metered prices"
        PRICES = "prices", "the prices named"

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
    category = models.CharField(max_length=11, choices=Category, default=Category.PAID)
    currency = models.CharField(max_length=3, blank=True, help_text="Of credit that is money.")
    own_currency = models.ForeignKey(
        Currency,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="credit_grants",
        help_text="Of credit that events burn: the currency of their meters.",
    )
    amount = WholeNumberField()
    balance = WholeNumberField(help_text="What is left: the sum of the ledger's entries.")
    reserved = WholeNumberField(default=0, help_text="What of it is reserved. The database counts it from the holds.")
    entry_count = models.PositiveIntegerField(default=0, help_text="How many entries the ledger has of this grant.")
    priority = models.PositiveIntegerField(default=DEFAULT_PRIORITY, help_text="Smaller ones are used first.")
    scope = models.CharField(max_length=7, choices=Scope, default=Scope.METERED)
    prices = models.ManyToManyField(Price, through="GrantedPrice", related_name="credit_grants")
    effective_at = models.DateTimeField(help_text="From when on it can be used.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When what is left is lost; empty: never.")
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
        OPEN = "open", "not tried yet"
        SHORT = "short", "waits for credit"
        SETTLED = "settled"
        CANCELED = "canceled", "the event was canceled"

    id = models.UUIDField(primary_key=True, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="event_charges")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="event_charges")
    currency = models.ForeignKey(Currency, on_delete=models.PROTECT, related_name="event_charges", db_index=False)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, related_name="event_charges", db_index=False)
    event_timestamp = models.DateTimeField(help_text="The event's own time, which leads to its partition.")
    amount = WholeNumberField(help_text="The event's value in the currency's smallest units.")
    consumed = WholeNumberField(default=0, help_text="What credit has paid of it.")
    pending = WholeNumberField(help_text="What is still to be paid.")
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    attempts = models.PositiveIntegerField(default=0, help_text="How often credit was asked for.")
    created_at = models.DateTimeField(help_text="When the event was received.")
    processed_at = models.DateTimeField(null=True, blank=True, help_text="When credit was last asked for.")

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
    currency = models.CharField(max_length=3, blank=True, help_text="Of credit that is money.")
    own_currency = models.ForeignKey(
        Currency, on_delete=models.PROTECT, null=True, blank=True, related_name="credit_reservations", db_index=False
    )
    amount = WholeNumberField()
    reserved = WholeNumberField(help_text="What it still holds.")
    committed = WholeNumberField(default=0, help_text="What was used of it.")
    released = WholeNumberField(default=0, help_text="What was given back.")
    status = models.CharField(max_length=9, choices=Status, default=Status.ACTIVE)
    expires_at = models.DateTimeField(help_text="When what it still holds is given back.")
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


class CreditHold(models.Model):
    """What a reservation holds of one grant. The database adds the holds of a grant up in its ``reserved``."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, db_index=False, related_name="credit_holds")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="credit_holds")
    reservation = models.ForeignKey(CreditReservation, on_delete=models.PROTECT, db_index=False, related_name="holds")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_index=False, related_name="holds")
    amount = WholeNumberField(help_text="What it still holds.")

    class Meta:
        constraints = [
            UniqueConstraint(fields=["environment", "reservation", "grant"], name="credit_hold_one_per_grant"),
            CheckConstraint(condition=Q(amount__gte=0), name="credit_hold_not_negative"),
        ]
        indexes = [models.Index(fields=["grant"], condition=Q(amount__gt=0), name="credit_hold_of_grant")]

    def __str__(self) -> str:
        return self.grant.text(self.amount)


class BurnMark(models.Model):
    """How far the log of events was followed: those of transactions before ``xid`` have their charges. One row."""

    SINGLETON = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=SINGLETON)
    xid = models.BigIntegerField(default=0, help_text="The first transaction id whose events have no charges yet.")

    class Meta:
        constraints = [CheckConstraint(condition=Q(id=1), name="burn_mark_is_one_row")]

    def __str__(self) -> str:
        return str(self.xid)


class LedgerEntryQuerySet(models.QuerySet["LedgerEntry"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def applied_to(self, invoice_ids: Collection[UUID]) -> Self:
        """What was taken for invoices, whether or not it was given back since."""
        return self.filter(invoice_id__in=invoice_ids, kind=LedgerEntry.Kind.APPLIED)


class LedgerEntry(models.Model):
    """One change of one grant's balance. The database refuses to change or delete it.

    Each entry carries the balance that it left and continues the one before it, so that the ledger of a grant is a chain
    from its amount to its balance without a gap.
    """

    class Kind(models.TextChoices):
        GRANTED = "granted"
        APPLIED = "applied", "applied to an invoice"
        BURNED = "burned", "burned by an event"
        COMMITTED = "committed", "committed from a reservation"
        GIVEN_BACK = "given_back", "given back, what it paid being void"
        EXPIRED = "expired"
        VOIDED = "voided"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # The table that grows: each of these is the beginning of an index below, and needs none of its own.
    environment = models.ForeignKey(
        Environment, on_delete=models.PROTECT, db_index=False, related_name="ledger_entries"
    )
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, db_index=False, related_name="ledger_entries")
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_index=False, related_name="entries")
    number = models.PositiveIntegerField(help_text="Its place in the grant's ledger, from 1.")
    kind = models.CharField(max_length=10, choices=Kind)
    amount = WholeNumberField(help_text="What came to the balance; negative: what was taken from it.")
    balance = WholeNumberField(help_text="The grant's balance after it.")
    effective_at = models.DateTimeField(help_text="The instant that it counts from; an expiry may be written later.")
    created_at = models.DateTimeField(help_text="When it was written, by the customer's clock.")
    # Bare ids: whatever is paid by credit stands above the ledger.
    invoice_id = models.UUIDField(null=True, blank=True)
    invoice_line_id = models.UUIDField(null=True, blank=True)
    charge = models.ForeignKey(
        EventCharge,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="entries",
        help_text="What an event was charged, of credit that is no money.",
    )
    reservation = models.ForeignKey(
        CreditReservation,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        db_index=False,
        related_name="entries",
        help_text="What was committed of it.",
    )
    gives_back = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="given_back_by"
    )

    objects = LedgerEntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            UniqueConstraint(fields=["environment", "grant", "number"], name="ledger_entry_one_per_number"),
            UniqueConstraint(
                fields=["environment", "gives_back"],
                condition=Q(gives_back__isnull=False),
                name="ledger_entry_given_back_once",
            ),
            CheckConstraint(condition=Q(balance__gte=0), name="ledger_entry_balance_not_negative"),
            CheckConstraint(
                condition=Q(kind="granted", number=1) | (~Q(kind="granted") & Q(number__gt=1)),
                name="ledger_entry_begins_with_the_grant",
            ),
            CheckConstraint(
                condition=Q(kind__in=["granted", "given_back"], amount__gt=0)
                | Q(kind__in=["applied", "burned", "committed", "expired", "voided"], amount__lt=0),
                name="ledger_entry_amount_has_its_kind_s_sign",
            ),
            CheckConstraint(
                condition=Q(
                    kind__in=["applied", "given_back"],
                    invoice_id__isnull=False,
                    invoice_line_id__isnull=False,
                    charge__isnull=True,
                )
                | Q(
                    kind__in=["burned", "given_back"],
                    invoice_id__isnull=True,
                    invoice_line_id__isnull=True,
                    charge__isnull=False,
                )
                | Q(
                    kind__in=["granted", "committed", "expired", "voided"],
                    invoice_id__isnull=True,
                    invoice_line_id__isnull=True,
                    charge__isnull=True,
                ),
                name="ledger_entry_names_what_it_paid",
            ),
            CheckConstraint(
                condition=Q(kind="committed", reservation__isnull=False)
                | (~Q(kind="committed") & Q(reservation__isnull=True)),
                name="ledger_entry_names_its_reservation",
            ),
            CheckConstraint(
                condition=Q(kind="given_back", gives_back__isnull=False)
                | (~Q(kind="given_back") & Q(gives_back__isnull=True)),
                name="ledger_entry_gives_back_another",
            ),
        ]
        indexes = [
            models.Index(fields=["environment", "-created_at", "-id"], name="ledger_entry_newest_first"),
            models.Index(fields=["environment", "customer", "-created_at", "-id"], name="ledger_entry_by_customer"),
            models.Index(
                fields=["environment", "invoice_id"],
                condition=Q(invoice_id__isnull=False),
                name="ledger_entry_by_invoice",
            ),
            models.Index(
                fields=["environment", "charge"], condition=Q(charge__isnull=False), name="ledger_entry_by_charge"
            ),
            models.Index(
                fields=["environment", "reservation"],
                condition=Q(reservation__isnull=False),
                name="ledger_entry_by_reservation",
            ),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
