"""Credit is granted, changed, expired and voided."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from credits.errors import (
    CreditAmountInvalid,
    CreditAmountTooLarge,
    CreditCurrencyUnknown,
    CreditExpiryInvalid,
    CreditGrantExpired,
    CreditGrantInUse,
    CreditGrantReserved,
    CreditGrantVoided,
    CreditPriceNotMetered,
    CreditScopeEmpty,
)
from credits.models import DEFAULT_PRIORITY, MOST_AMOUNT, CreditGrant, GrantedPrice, LedgerEntry
from credits.services.burning import settle
from credits.services.holding import let_lapse
from credits.services.journal import Journal, hold_credit, lock_accounts
from meters.models import Currency
from subscriptions.models import Price
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


@transaction.atomic
def create_grant(
    *,
    environment: Environment,
    customer: Customer,
    currency: str | Currency,
    amount: int,
    now: datetime,
    category: str = CreditGrant.Category.PAID,
    prices: Sequence[Price] | None = None,
    name: str = "",
    granted_by: str = "",
    priority: int = DEFAULT_PRIORITY,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    metadata: MetadataChange | None = None,
) -> CreditGrant:
    """Give a customer credit. In a currency of the company's own it pays at once for events that wait for it.

    :param amount: whole minor units of ``currency``
    :param category: a value of ``CreditGrant.Category``
    :param prices: what it pays for; None for all metered prices
    :param granted_by: who gives it, in the caller's words
    :param priority: smaller ones are used first
    :param effective_at: from when on it can be used; without it, from ``now``. The past is fine.
    :param expires_at: when what is left is lost; None for never
    :param now: the customer's time
    :raises NotFound: if the customer or a price is not the environment's
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises accounts.errors.CustomerDeleted: if the customer was deleted
    :raises CreditAmountInvalid: if it is not positive
    :raises CreditAmountTooLarge: if it has more digits than columns leave room for
    :raises CreditCurrencyUnknown: if there is no such currency
    :raises CreditScopeEmpty: if ``prices`` is empty
    :raises CreditPriceNotMetered: if one of the prices has no meter
    :raises CreditExpiryInvalid: if it would end before it begins, or in the past
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    check_amount(amount, currency, environment)
    _check_prices(prices, environment)
    starts_at = effective_at or now
    if expires_at is not None:
        _check_expiry(expires_at, starts_at, now)
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    hold_clock(customer, now=now)
    hold_credit(environment.pk, customer.pk)
    _check_present(customer)
    grant = CreditGrant(
        environment=environment,
        customer=customer,
        name=name,
        granted_by=granted_by,
        category=CreditGrant.Category(category),
        currency="" if isinstance(currency, Currency) else currency,
        own_currency=currency if isinstance(currency, Currency) else None,
        amount=amount,
        balance=0,
        priority=priority,
        scope=CreditGrant.Scope.METERED if prices is None else CreditGrant.Scope.PRICES,
        effective_at=starts_at,
        expires_at=expires_at,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        updated_at=now,
    )
    grant.save(force_insert=True)
    # A price that is named twice is paid for once.
    named = {price.pk: price for price in prices or ()}
    GrantedPrice.objects.bulk_create(
        GrantedPrice(environment=environment, grant=grant, price=price) for price in named.values()
    )
    record(Kind.CREDIT_GRANT_CREATED, rows=[grant], now=now)
    journal = Journal()
    journal.enter(grant, LedgerEntry.Kind.GRANTED, amount, now=now, effective_at=starts_at)
    journal.write()
    if grant.own_currency:
        settle(customer, now)
        grant.refresh_from_db(fields=["balance", "entry_count"])
    return grant


@transaction.atomic
def update_grant(
    *,
    grant: CreditGrant,
    now: datetime,
    metadata: MetadataChange | None = None,
    changes_expiry: bool = False,
    expires_at: datetime | None = None,
) -> CreditGrant:
    """Change what is given, leave the rest. What a grant gives, to whom and for what never changes.

    :param changes_expiry: whether ``expires_at`` is given; None is "never"
    :param now: the customer's time
    :returns: the grant as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditGrantEnded: if its expiry shall change, and it was voided or has expired
    :raises CreditExpiryInvalid: if it would end before it begins, or in the past
    :raises TooManyMetadataKeys: if more than 50 keys would remain
    """
    grant = _locked(grant, now)
    before = take_snapshots([grant])
    if changes_expiry:
        _check_alive(grant, now)
        if expires_at is not None:
            _check_expiry(expires_at, grant.effective_at, now)
        grant.expires_at = expires_at
    if metadata is not None:
        grant.metadata = metadata.applied_to(grant.metadata)
    grant.updated_at = now
    grant.save(update_fields=["expires_at", "metadata", "updated_at"])
    record(Kind.CREDIT_GRANT_UPDATED, rows=[grant], now=now, before=before)
    return grant


@transaction.atomic
def expire_grant(*, grant: CreditGrant, now: datetime) -> CreditGrant:
    """Let a grant end at this moment; what is left of it is lost. What it has paid stays paid.

    What is reserved of it stays reserved, and is lost as soon as the reservation gives it back.

    :param now: the customer's time
    :returns: the grant as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditGrantEnded: if it was voided or has expired
    """
    grant = _locked(grant, now)
    _check_alive(grant, now)
    before = take_snapshots([grant])
    grant.expires_at = grant.updated_at = now
    grant.save(update_fields=["expires_at", "updated_at"])
    record(Kind.CREDIT_GRANT_UPDATED, rows=[grant], now=now, before=before)
    if grant.available:
        journal = Journal()
        journal.enter(grant, LedgerEntry.Kind.EXPIRED, -grant.available, now=now)
        journal.write()
    return grant


@transaction.atomic
def void_grant(*, grant: CreditGrant, now: datetime) -> CreditGrant:
    """Declare that a grant was never meant to be.

    :param now: the customer's time
    :returns: the grant as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditGrantEnded: if it was voided or has expired
    :raises CreditGrantInUse: if some of it has paid for something that stands
    :raises CreditGrantReserved: if some of it is reserved
    """
    grant = _locked(grant, now)
    _check_alive(grant, now)
    if grant.balance < grant.amount:
        raise CreditGrantInUse(grant.pk)
    if grant.reserved:
        raise CreditGrantReserved(grant.pk)
    before = take_snapshots([grant])
    # The balance goes first: with something left, the database takes no grant for void.
    journal = Journal()
    journal.enter(grant, LedgerEntry.Kind.VOIDED, -grant.balance, now=now)
    journal.write()
    grant.voided_at = grant.updated_at = now
    grant.save(update_fields=["voided_at", "updated_at"])
    record(Kind.CREDIT_GRANT_UPDATED, rows=[grant], now=now, before=before)
    return grant


def _check_present(customer: Customer) -> None:
    # Deleting a customer ends with the full lock, which this keeps out: the deletion is either seen here, or comes later.
    # The lock that other changes of the customer take would be too much: a deletion holds it for longer, and bills.
    present = Customer.objects.raw(
        "SELECT id, deleted_at FROM accounts_customer WHERE id = %s FOR KEY SHARE", [customer.pk]
    )[0]
    if present.deleted_at is not None:
        raise CustomerDeleted(customer.pk)


def _locked(grant: CreditGrant, now: datetime) -> CreditGrant:
    hold_clock(grant.customer, now=now)
    lock_accounts(grant.environment_id, [grant.customer_id])
    let_lapse(grant.environment_id, {grant.customer_id: now})
    return CreditGrant.objects.select_related("environment", "customer__test_clock").get(pk=grant.pk)


def check_amount(amount: int, currency: str | Currency, environment: Environment) -> None:
    """:raises BillingError: if it is not positive or too large, or there is no such currency in the environment"""
    if amount <= 0:
        raise CreditAmountInvalid(amount)
    if amount >= MOST_AMOUNT:
        raise CreditAmountTooLarge(MOST_AMOUNT)
    if isinstance(currency, Currency):
        if currency.environment_id != environment.pk:
            raise NotFound("currency", str(currency.pk))
    elif currency not in CURRENCIES:
        raise CreditCurrencyUnknown(currency)


def _check_prices(prices: Sequence[Price] | None, environment: Environment) -> None:
    if prices is None:
        return
    if not prices:
        raise CreditScopeEmpty
    for position, price in enumerate(prices):
        if price.environment_id != environment.pk:
            raise NotFound("price", str(price.pk))
        if not price.is_metered:
            raise CreditPriceNotMetered(position, price.pk)


def _check_expiry(expires_at: datetime, effective_at: datetime, now: datetime) -> None:
    after = max(effective_at, now)
    if expires_at <= after:
        raise CreditExpiryInvalid(expires_at, after)


def _check_alive(grant: CreditGrant, now: datetime) -> None:
    if grant.voided_at is not None:
        raise CreditGrantVoided(grant.pk)
    if grant.has_expired(now):
        raise CreditGrantExpired(grant.pk)
