"""Events burn credit: the log of events becomes charges, and charges are paid from grants.

Three steps, each safe beside itself and beside all others:

- The log is followed up to the transactions that are still open: whatever lies before them is there for good, so each event
  is seen, once. One process at a time holds the mark.
- A customer's charges are paid under the lock of their account, in the order in which the events were taken in. What credit
  does not suffice for stays pending.
- Whoever gives a customer credit pays with it what is pending, in the same transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction
from django.db.models import DateTimeField, Exists, F, OuterRef, QuerySet, Value
from django.db.models.functions import Coalesce

from accounts.models import Customer
from core.bulk import update_rows
from credits.burning import Due, Fuel, burn
from credits.models import BurnMark, CreditGrant, EventCharge, EventChargeQuerySet, LedgerEntry
from credits.services.holding import let_lapse
from credits.services.journal import Journal, as_spendable, hold_credit, lock_accounts
from usage.services import notice_cancellations
from usage.totals import COUNTS, horizon

# Charges that are paid at once, and customers that are looked up at once.
_CHUNK = 500

# A value that the currency has no unit for is rounded, half away from zero. Of what takes usage back nothing is charged.
_CHARGE = f"""
    INSERT INTO credits_eventcharge
        (id, environment_id, customer_id, currency_id, meter_id, event_timestamp, amount, consumed, pending, status,
         attempts, created_at)
    SELECT id, environment_id, customer_id, currency_id, meter_id, "timestamp", units, 0, units, 'open', 0, received_at
      FROM (SELECT event.id, event.environment_id, event.customer_id, meter.currency_id, event.meter_id,
                   event."timestamp", round(event.value * power(10::numeric, currency.decimals)) AS units,
                   event.received_at
              FROM usage_meterevent AS event
              JOIN meters_meter AS meter ON meter.id = event.meter_id
              JOIN meters_currency AS currency ON currency.id = meter.currency_id
             WHERE event.xid >= %s AND event.xid < %s AND {COUNTS}) AS priced
     WHERE units > 0
    ON CONFLICT DO NOTHING
"""  # noqa: S608 (a condition of ours)


def burn_credit(*, now: datetime) -> int:
    """Charge for all events whose transactions have ended, and let credit pay for them.

    :param now: the time by the wall
    :returns: how many charges were made
    """
    charged = follow_events(now=now)
    while customers := list(_with_open_charges()[:_CHUNK]):
        for environment_id, customer_id in customers:
            settle_customer(environment_id=environment_id, customer_id=customer_id, now=now)
    return charged


@transaction.atomic
def follow_events(*, now: datetime) -> int:
    """Make the charges of events that were taken in since, and give back what canceled ones had burned.

    :returns: how many charges were made; none if another process is at it
    """
    BurnMark.objects.bulk_create([BurnMark()], ignore_conflicts=True)
    mark = BurnMark.objects.select_for_update(skip_locked=True).filter(pk=BurnMark.SINGLETON).first()
    if mark is None:
        return 0
    end = horizon()
    charged = 0
    if mark.xid < end:
        with connection.cursor() as cursor:
            cursor.execute(_CHARGE, [mark.xid, end])
            charged = cursor.rowcount
        mark.xid = end
        mark.save(update_fields=["xid"])
    # Under the mark, too: whether a canceled event has a charge is settled before its cancellation is looked at.
    _give_back(notice_cancellations(now=now), now)
    return charged


def settle_waiting(*, now: datetime) -> None:
    """Pay what is pending from grants that have become usable by themselves, as time passed."""
    instant = Coalesce("customer__test_clock__frozen_at", Value(now), output_field=DateTimeField())
    short = EventCharge.objects.filter(
        environment=OuterRef("environment"), customer=OuterRef("customer"), currency=OuterRef("own_currency")
    ).due()
    usable = (
        CreditGrant.objects.burnable()
        .annotate(at=instant)
        .filter(Exists(short), balance__gt=0, effective_at__lte=F("at"))
        .exclude(expires_at__lte=F("at"))
    )
    for environment_id, customer_id in list(usable.values_list("environment_id", "customer_id").distinct()):
        settle_customer(environment_id=environment_id, customer_id=customer_id, now=now)


@transaction.atomic
def settle_customer(*, environment_id: UUID, customer_id: UUID, now: datetime) -> None:
    """Pay a customer's charges as far as credit goes.

    :param now: the time by the wall
    """
    hold_credit(environment_id, customer_id)
    customer = Customer.objects.select_related("test_clock").get(pk=customer_id, environment=environment_id)
    settle(customer, customer.now(now))


def settle(customer: Customer, at: datetime) -> None:
    """The same for who holds the customer's account.

    :param at: the customer's time
    """
    let_lapse(customer.environment_id, {customer.pk: at})
    grants = {grant.pk: grant for grant in _burnable(customer, at)}
    charges = EventCharge.objects.filter(environment=customer.environment_id, customer=customer)
    # Restricted grants leave charges pending that later ones stand behind, so the place is kept by id.
    last: UUID | None = None
    while payable := _payable(grants.values(), charges, last):
        _pay(payable, grants, at)
        last = payable[-1].pk
        grants = {pk: grant for pk, grant in grants.items() if grant.available}
    charges.filter(status=EventCharge.Status.OPEN).update(
        status=EventCharge.Status.SHORT, attempts=F("attempts") + 1, processed_at=at
    )


def _with_open_charges() -> "QuerySet[EventCharge, tuple[UUID, UUID]]":
    opened = EventCharge.objects.filter(status=EventCharge.Status.OPEN)
    return opened.order_by().values_list("environment_id", "customer_id").distinct()


def _burnable(customer: Customer, at: datetime) -> Iterable[CreditGrant]:
    grants = CreditGrant.objects.filter(environment=customer.environment_id, customer=customer).burnable().usable(at)
    return grants.select_related("environment").prefetch_related("granted_prices__price")


def _payable(grants: Iterable[CreditGrant], charges: EventChargeQuerySet, last: UUID | None) -> list[EventCharge]:
    currencies = {grant.own_currency_id for grant in grants}
    if not currencies:
        return []
    due = charges.filter(currency__in=currencies).due()
    if last is not None:
        due = due.filter(pk__gt=last)
    return list(due[:_CHUNK])


def _pay(charges: Sequence[EventCharge], grants: dict[UUID, CreditGrant], at: datetime) -> None:
    """Pay charges from grants, and note on both what became of them."""
    by_id = {charge.pk: charge for charge in charges}
    dues = [Due(charge.pk, charge.currency_id, charge.meter_id, charge.pending) for charge in charges]
    journal = Journal()
    for draw in burn([_fuel(grant) for grant in grants.values()], dues, at):
        charge = by_id[draw.charge_id]
        charge.consumed += draw.amount
        charge.pending -= draw.amount
        journal.enter(grants[draw.grant_id], LedgerEntry.Kind.BURNED, -draw.amount, now=at, charge=charge)
    for charge in charges:
        charge.status = EventCharge.Status.SHORT if charge.pending else EventCharge.Status.SETTLED
        charge.attempts += 1
        charge.processed_at = at
    update_rows(charges, ["consumed", "pending", "status", "attempts", "processed_at"])
    journal.write()


def _fuel(grant: CreditGrant) -> Fuel:
    meters = None
    if grant.scope == CreditGrant.Scope.PRICES:
        meters = frozenset(named.price.meter_id for named in grant.granted_prices.all() if named.price.meter_id)
    return Fuel(as_spendable(grant), grant.own_currency_id, meters)


def _give_back(event_ids: Sequence[UUID], now: datetime) -> None:
    """Return to their grants what events burned that count no more, and charge nothing for them."""
    by_environment: dict[UUID, set[UUID]] = defaultdict(set)
    for charge in EventCharge.objects.filter(pk__in=event_ids):
        by_environment[charge.environment_id].add(charge.customer_id)
    for environment_id, customer_ids in sorted(by_environment.items()):
        lock_accounts(environment_id, customer_ids)
        customers = Customer.objects.select_related("test_clock").in_bulk(customer_ids)
        for customer_id in sorted(customer_ids):
            _give_back_to(customers[customer_id], event_ids, now)


def _give_back_to(customer: Customer, event_ids: Sequence[UUID], now: datetime) -> None:
    at = customer.now(now)
    charges = EventCharge.objects.filter(environment=customer.environment_id, customer=customer, pk__in=event_ids)
    burned = (
        LedgerEntry.objects.filter(
            environment=customer.environment_id, charge__in=charges, kind=LedgerEntry.Kind.BURNED
        )
        .select_related("grant__environment", "charge")
        .order_by("pk")
    )
    journal = Journal()
    grants: dict[UUID, CreditGrant] = {}
    for entry in burned:
        # One object per grant, so that each entry goes on from what the one before it left.
        grant = grants.setdefault(entry.grant_id, entry.grant)
        journal.enter(grant, LedgerEntry.Kind.GIVEN_BACK, -entry.amount, now=at, charge=entry.charge, gives_back=entry)
    for grant in grants.values():
        if grant.has_expired(at):
            journal.enter(grant, LedgerEntry.Kind.EXPIRED, -grant.available, now=at)
    journal.write()
    charges.update(status=EventCharge.Status.CANCELED, consumed=0, pending=0, processed_at=at)
    # What came back may pay for what waits.
    settle(customer, at)
