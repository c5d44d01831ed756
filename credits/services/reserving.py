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
from core.bulk import insert_rows
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import format_amount
from credits.applying import take
from credits.errors import (
    CreditInsufficient,
    CreditReservationEnded,
    CreditReservationExceeded,
    CreditReservationTooLong,
)
from credits.models import CreditAccount, CreditGrant, CreditHold, CreditReservation, LedgerEntry
from credits.services.burning import settle
from credits.services.granting import check_amount
from credits.services.holding import give_back, holds_of, let_go, let_lapse, write_down
from credits.services.journal import Journal, as_spendable, lock_accounts
from meters.models import Currency

Status = CreditReservation.Status

DEFAULT_DURATION = timedelta(minutes=15)
LONGEST_DURATION = timedelta(days=7)
_SHORTEST = timedelta(seconds=1)
_CHUNK = 200

# A program waits for each of these calls before it begins its work, and composing such statements takes longer than
# running them.
_GRANTS = f"""
    SELECT * FROM {CreditGrant._meta.db_table}
     WHERE environment_id = %s AND customer_id = %s AND scope = %s AND balance > 0
       AND currency = %s AND own_currency_id IS NOT DISTINCT FROM %s::uuid
"""  # noqa: S608, SLF001 (a name of ours)
_RESERVATION = f"SELECT * FROM {CreditReservation._meta.db_table} WHERE id = %s"  # noqa: S608, SLF001


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
    # Without an account nobody ever gave them credit.
    if lock_accounts(environment.pk, [customer.pk]):
        let_lapse(environment.pk, {customer.pk: now})
    own = currency if isinstance(currency, Currency) else None
    grants = CreditGrant.objects.raw(
        _GRANTS,
        [environment.pk, customer.pk, CreditGrant.Scope.METERED, "" if own else currency, own.pk if own else None],
    )
    usable = [as_spendable(grant) for grant in grants if grant.state(now) == CreditGrant.State.GRANTED]
    parts = take(usable, amount)
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
    insert_rows([reservation])
    insert_rows(
        [
            CreditHold(
                environment=environment,
                customer=customer,
                reservation=reservation,
                grant_id=part.grant_id,
                amount=part.amount,
            )
            for part in parts
        ]
    )
    return reservation


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
    reservation = _locked(reservation, now)
    wanted = reservation.reserved if amount is None else amount
    if not 0 < wanted <= reservation.reserved:
        raise CreditReservationExceeded(reservation.text(reservation.reserved))
    holds = {hold.grant_id: hold for hold in holds_of([reservation])}
    held = [replace(as_spendable(hold.grant), balance=hold.amount) for hold in holds.values()]
    journal = Journal()
    for part in take(held, wanted):
        hold = holds[part.grant_id]
        hold.amount -= part.amount
        journal.enter(hold.grant, LedgerEntry.Kind.COMMITTED, -part.amount, now=now, reservation=reservation)
    reservation.committed += wanted
    reservation.reserved -= wanted
    reservation.updated_at = now
    gives_back = bool(reservation.reserved) and not keeps_rest
    if gives_back:
        give_back([reservation], list(holds.values()), Status.COMMITTED, {reservation.customer_id: now}, journal)
    elif not reservation.reserved:
        reservation.status, reservation.ended_at = Status.COMMITTED, now
    write_down([reservation], list(holds.values()), journal)
    if gives_back:
        _pay_what_waits(reservation, now)
    return reservation


@transaction.atomic
def release_reservation(*, reservation: CreditReservation, now: datetime) -> CreditReservation:
    """Give back what is still reserved.

    :param now: the customer's time
    :returns: the reservation as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditReservationEnded: if it holds nothing any more, its time being over included
    """
    reservation = _locked(reservation, now)
    let_go([reservation], Status.RELEASED, {reservation.customer_id: now})
    _pay_what_waits(reservation, now)
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


def _locked(reservation: CreditReservation, now: datetime) -> CreditReservation:
    """The reservation as it is behind the locks.

    :raises CreditReservationEnded: if it holds nothing any more
    """
    hold_clock(reservation.customer, now=now)
    lock_accounts(reservation.environment_id, [reservation.customer_id])
    [found] = CreditReservation.objects.raw(_RESERVATION, [reservation.pk])
    # What it is of never changes.
    found.customer, found.own_currency = reservation.customer, reservation.own_currency
    state = found.state(now)
    if state != Status.ACTIVE:
        raise CreditReservationEnded(found.pk, state)
    return found


def _pay_what_waits(reservation: CreditReservation, now: datetime) -> None:
    """Let what came back pay for events that wait for credit."""
    if reservation.own_currency_id:
        settle(reservation.customer, now)
