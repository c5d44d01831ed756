"""Credit that customers were given, and the ledger of all that became of it.

An amount is a whole number of the currency's smallest units, of any size. Grants know nothing of invoices: what was paid
by them is referred to by its bare id.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import CheckConstraint, F, Q, Sum, UniqueConstraint

from accounts.models import Customer, Environment, TestClock
from core.fields import WholeNumberField
from core.ids import new_id
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


class CreditGrantQuerySet(models.QuerySet["CreditGrant"]):
    def of(self, environment: Environment) -> Self:
        return self.filter(environment=environment)

    def usable(self, at: datetime) -> Self:
        """Grants that something is left of, and that may be used at an instant. Dates decide, whatever was booked."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at), effective_at__lte=at, balance__gt=0)

    def paying_for(self, prices: Iterable[Price] | None) -> Self:
        """Grants that pay for all metered prices (None), or for at least one of those given."""
        everything = Q(scope=CreditGrant.Scope.METERED)
        if prices is None:
            return self.filter(everything)
        named = GrantedPrice.objects.filter(price__in=list(prices)).values("grant")
        return self.filter(everything | Q(pk__in=named))

    def expiring(self) -> Self:
        """Grants that have an end, and something left that will expire then."""
        return self.filter(expires_at__isnull=False, balance__gt=0)

    def due(self, now: datetime, clock: TestClock | None = None) -> Self:
        """Grants with something left whose end has come: of customers on a test clock, or of those on none."""
        return self.expiring().filter(customer__test_clock=clock, expires_at__lte=now)

    def balances(self) -> dict[str, int]:
        """What is left of them, by currency."""
        rows = self.order_by().values_list("currency").annotate(Sum("balance")).order_by("currency")
        return dict(rows)


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
    currency = models.CharField(max_length=3)
    amount = WholeNumberField()
    balance = WholeNumberField(help_text="What is left: the sum of the ledger's entries.")
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
            CheckConstraint(
                condition=Q(voided_at__isnull=True) | Q(balance=0), name="credit_grant_voided_has_nothing_left"
            ),
            CheckConstraint(condition=Q(category__in=["paid", "promotional"]), name="credit_grant_category_is_known"),
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
        GIVEN_BACK = "given_back", "given back, the invoice being void"
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
                | Q(kind__in=["applied", "expired", "voided"], amount__lt=0),
                name="ledger_entry_amount_has_its_kind_s_sign",
            ),
            CheckConstraint(
                condition=Q(kind__in=["applied", "given_back"], invoice_id__isnull=False, invoice_line_id__isnull=False)
                | Q(kind__in=["granted", "expired", "voided"], invoice_id__isnull=True, invoice_line_id__isnull=True),
                name="ledger_entry_names_its_invoice",
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
        ]

    def __str__(self) -> str:
        return self.get_kind_display()
