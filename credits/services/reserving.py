"""Credit is put aside before it is used: reserved, committed, released, expired.

A reservation holds parts of grants in the order in which they are used up, under the lock of the customer's account. What
is held, nothing else can use, and what was promised is kept: a grant that expires meanwhile loses only what is not held.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef

from accounts.clocks import hold_clock
from accounts.models import Customer, Environment, TestClock
from core.bulk import insertion
from core.columns import Columns
from core.db import Statement, run_together
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import format_amount
from credits.applying import Spendable, take
from credits.errors import (
    CreditInsufficient,
    CreditReservationEnded,
    CreditReservationExceeded,
    CreditReservationTooLong,
)
from credits.models import CreditAccount, CreditGrant, CreditHold, CreditReservation, EventCharge, LedgerEntry
from credits.services.burning import settle
from credits.services.granting import check_amount
from credits.services.holding import (
    RESERVATION,
    end_lapsed,
    give_back,
    holds_of,
    lapsed,
    let_go,
    let_lapse,
    read_holds,
    write_down,
)
from credits.services.journal import Journal, as_spendable, lock_accounts, locking
from meters.models import Currency

Status = CreditReservation.Status

DEFAULT_DURATION = timedelta(minutes=15)
LONGEST_DURATION = timedelta(days=7)
_SHORTEST = timedelta(seconds=1)
_CHUNK = 200

# A program waits for each of these calls before it begins its work: what is asked is asked by hand, and together.
_USABLE = f"""
    SELECT id, balance - reserved, priority, expires_at, category = %s, effective_at, created_at
      FROM {CreditGrant._meta.db_table}
     WHERE environment_id = %s AND customer_id = %s AND scope = %s AND balance > reserved
       AND currency = %s AND own_currency_id IS NOT DISTINCT FROM %s::uuid
       AND effective_at <= %s AND (expires_at IS NULL OR expires_at > %s)
"""  # noqa: S608, SLF001 (a name of ours)
_OWNER = Columns(Customer, "id", "environment", "test_clock")
_UNIT = Columns(Currency)
_NAMED = f"""
    SELECT {RESERVATION.of("kept")}, {_OWNER.of("owner")}, {_UNIT.of("unit")}
      FROM {CreditReservation._meta.db_table} AS kept
      JOIN {Customer._meta.db_table} AS owner ON owner.id = kept.customer_id
      LEFT JOIN {Currency._meta.db_table} AS unit ON unit.id = kept.own_currency_id
     WHERE kept.environment_id = %s AND kept.id = %s
"""  # noqa: S608, SLF001 (names of ours)
_KEPT = f"""
    SELECT {RESERVATION.of("kept")} FROM {CreditReservation._meta.db_table} AS kept WHERE id = %s
"""  # noqa: S608, SLF001 (names of ours)
_OWES = f"""
    SELECT EXISTS (SELECT FROM {EventCharge._meta.db_table}
                    WHERE environment_id = %s AND customer_id = %s AND pending > 0)
"""  # noqa: S608, SLF001 (a name of ours)


@transaction.atomic
def reserve_credit(
    *,
    environment: Environment,
    customer: Customer,
    currency: str | Currency,
    amount: int,
    now: datetime,
    duration: timedelta = DEFAULT_DURATION,
    metadata: MetadataChange | None = None,
) -> CreditReservation:
    """Put some of a customer's credit aside: all of the amount, or nothing.

    Credit that pays for certain prices only is left where it is: what a reservation will be used for, nobody knows.

    :param amount: whole minor units of ``currency``
    :param duration: after which what it still holds is given back; from a second to seven days
    :param now: the customer's time
    :raises NotFound: if customer or currency is not the environment's
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditAmountInvalid: if it is not positive
    :raises CreditCurrencyUnknown: if there is no such currency
    :raises CreditReservationTooLong: if it shall last for less than a second, or for more than seven days
    :raises CreditInsufficient: if less than the amount is available
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    check_amount(amount, currency, environment)
    if not _SHORTEST <= duration <= LONGEST_DURATION:
        raise CreditReservationTooLong
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    hold_clock(customer, now=now)
    own = currency if isinstance(currency, Currency) else None
    parts = take(_usable(customer, currency, now), amount)
    found = sum(part.amount for part in parts)
    if found < amount:
        raise CreditInsufficient(own.text(found) if own else format_amount(found, str(currency)))
    reservation = CreditReservation(
        environment=environment,
        customer=customer,
        currency="" if own else str(currency),
        own_currency=own,
        amount=amount,
        reserved=amount,
        expires_at=now + duration,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
        updated_at=now,
    )
    holds = [
        CreditHold(
            environment=environment,
            customer=customer,
            reservation=reservation,
            grant_id=part.grant_id,
            amount=part.amount,
        )
        for part in parts
    ]
    run_together([insertion([reservation]), insertion(holds)])
    return reservation


def find_reservation(*, environment: Environment, pk: UUID) -> CreditReservation | None:
    """A reservation with its customer, of whom little is read, and its currency; None if it is not the environment's."""
    [found] = run_together([Statement(_NAMED, [environment.pk, pk])])
    for values in found:
        reservation = RESERVATION.read(values[: len(RESERVATION)])
        rest = values[len(RESERVATION) :]
        reservation.customer = _OWNER.read(rest[: len(_OWNER)])
        reservation.own_currency = _UNIT.read(rest[len(_OWNER) :]) if reservation.own_currency_id else None
        return reservation
    return None


@transaction.atomic
def commit_reservation(
    *, reservation: CreditReservation, now: datetime, amount: int | None = None, keeps_rest: bool = False
) -> CreditReservation:
    """Use what is reserved. It leaves the grants in the order in which they are used up.

    :param now: the customer's time
    :param amount: in the currency's smallest units; None for all that is still reserved
    :param keeps_rest: whether what is not committed stays reserved, to be committed later; else it is given back
    :returns: the reservation as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditReservationEnded: if it holds nothing any more, its time being over included
    :raises CreditReservationExceeded: if the amount is not positive, or more than is still reserved
    """
    reservation, holds, owes = _locked(reservation, now)
    wanted = reservation.reserved if amount is None else amount
    if not 0 < wanted <= reservation.reserved:
        raise CreditReservationExceeded(reservation.text(reservation.reserved))
    by_grant = {hold.grant_id: hold for hold in holds}
    held = [replace(as_spendable(hold.grant), balance=hold.amount) for hold in holds]
    journal = Journal()
    for part in take(held, wanted):
        hold = by_grant[part.grant_id]
        hold.amount -= part.amount
        journal.enter(hold.grant, LedgerEntry.Kind.COMMITTED, -part.amount, now=now, reservation=reservation)
    reservation.committed += wanted
    reservation.reserved -= wanted
    reservation.updated_at = now
    gives_back = bool(reservation.reserved) and not keeps_rest
    if gives_back:
        give_back([reservation], holds, Status.COMMITTED, {reservation.customer_id: now}, journal)
    elif not reservation.reserved:
        reservation.status, reservation.ended_at = Status.COMMITTED, now
    write_down([reservation], holds, journal)
    if gives_back and owes:
        settle(reservation.customer, now)
    return reservation


@transaction.atomic
def release_reservation(*, reservation: CreditReservation, now: datetime) -> CreditReservation:
    """Give back what is still reserved.

    :param now: the customer's time
    :returns: the reservation as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditReservationEnded: if it holds nothing any more, its time being over included
    """
    reservation, holds, owes = _locked(reservation, now)
    let_go([reservation], holds, Status.RELEASED, {reservation.customer_id: now})
    if owes:
        settle(reservation.customer, now)
    return reservation


def expire_due_reservations(*, now: datetime, chunk: int = _CHUNK) -> int:
    """Give back what reservations hold whose time is over, until there are none.

    Safe beside itself, and never in the way of money: whether a reservation holds anything, its date says. What another
    process holds is left for the next time.

    :param now: the time by the wall; customers on a test clock are left to it
    :param chunk: how many customers at once
    :returns: reservations that ended
    """
    done = 0
    due = CreditReservation.objects.due(now)
    for environment_id in list(due.order_by().values_list("environment_id", flat=True).distinct()):
        while expired := _expire_chunk(environment_id, now, chunk):
            done += expired
    return done


@transaction.atomic
def expire_reservations_on_clock(*, clock: TestClock, now: datetime) -> int:
    """The same for the customers on a test clock, who are few. The caller holds the clock.

    :param now: the time that the clock shows
    :returns: reservations that ended
    """
    customers = CreditReservation.objects.due(now, clock).order_by().values_list("customer_id", flat=True)
    return _expire(clock.environment_id, lock_accounts(clock.environment_id, customers), now)


@transaction.atomic
def _expire_chunk(environment_id: UUID, now: datetime, chunk: int) -> int:
    due = CreditReservation.objects.due(now).filter(environment=environment_id, customer=OuterRef("pk"))
    accounts = CreditAccount.objects.filter(Exists(due), environment_id=environment_id).order_by("pk")
    held = accounts.select_for_update(skip_locked=True, no_key=True)[:chunk]
    return _expire(environment_id, [account.pk for account in held], now)


def _expire(environment_id: UUID, customer_ids: list[UUID], now: datetime) -> int:
    done = let_lapse(environment_id, dict.fromkeys(customer_ids, now))
    for customer in Customer.objects.filter(environment=environment_id, pk__in=customer_ids):
        settle(customer, now)
    return done


def _usable(customer: Customer, currency: str | Currency, now: datetime) -> list[Spendable]:
    """What a reservation may hold, under the lock of the customer's account."""
    own = currency.pk if isinstance(currency, Currency) else None
    parameters = [
        CreditGrant.Category.PROMOTIONAL, customer.environment_id, customer.pk, CreditGrant.Scope.METERED,
        "" if own else currency, own, now, now,
    ]  # fmt: skip
    usable = Statement(_USABLE, parameters)
    instants = {customer.pk: now}
    _, over, found = run_together(
        [locking(customer.environment_id, [customer.pk]), lapsed(customer.environment_id, instants), usable]
    )
    if end_lapsed(over, instants):
        # What came back is there as well.
        [found] = run_together([usable])
    return [
        Spendable(pk, int(left), priority, expires_at, promotional, effective_at, created_at)
        for pk, left, priority, expires_at, promotional, effective_at, created_at in found
    ]


def _locked(reservation: CreditReservation, now: datetime) -> tuple[CreditReservation, list[CreditHold], bool]:
    """The reservation as it is behind the locks, what it holds, and whether what comes back may pay for something.

    :raises CreditReservationEnded: if it holds nothing any more
    """
    hold_clock(reservation.customer, now=now)
    environment_id, customer_id = reservation.environment_id, reservation.customer_id
    _, [values], held, [(owes,)] = run_together(
        [
            locking(environment_id, [customer_id]),
            Statement(_KEPT, [reservation.pk]),
            holds_of(environment_id, [reservation.pk]),
            Statement(_OWES, [environment_id, customer_id]),
        ]
    )
    found = RESERVATION.read(values)
    # What it is of never changes.
    found.customer, found.own_currency = reservation.customer, reservation.own_currency
    state = found.state(now)
    if state != Status.ACTIVE:
        raise CreditReservationEnded(found.pk, state)
    # Events wait for the company's own currencies alone.
    return found, read_holds(held), owes and found.own_currency is not None
