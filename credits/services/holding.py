"""What reservations hold, and how it is let go. Whoever calls holds the accounts of the customers.

A reservation whose time is over holds nothing, be that booked or not: whoever is about to use a customer's credit books
it first, so that what is counted as reserved is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from core.bulk import change
from core.columns import Columns
from core.db import Statement, run_together
from credits.models import CreditGrant, CreditHold, CreditReservation, LedgerEntry
from credits.services.journal import Journal

RESERVATION = Columns(CreditReservation)
_HOLD = Columns(CreditHold)
# As much of a grant as the ledger and the order of use go by.
_GRANT = Columns(
    CreditGrant,
    "id", "environment", "customer", "category", "balance", "reserved", "entry_count", "priority", "scope",
    "effective_at", "expires_at", "created_at",
)  # fmt: skip

# Plain statements, since they stand before whatever happens to credit: composing them takes longer than running them.
_LAPSED = f"""
    SELECT {RESERVATION.of("kept")} FROM {CreditReservation._meta.db_table} AS kept
     WHERE environment_id = %s AND customer_id = ANY(%s) AND reserved > 0 AND expires_at <= %s
     ORDER BY expires_at, id
"""  # noqa: S608, SLF001 (names of ours)
_HELD = f"""
    SELECT {_HOLD.of("hold")}, {_GRANT.of("given")}
      FROM {CreditHold._meta.db_table} AS hold
      JOIN {CreditGrant._meta.db_table} AS given ON given.id = hold.grant_id
     WHERE hold.environment_id = %s AND hold.reservation_id = ANY(%s) AND hold.amount > 0
"""  # noqa: S608, SLF001 (names of ours)


def let_lapse(environment_id: UUID, instants: Mapping[UUID, datetime]) -> int:
    """End the customers' reservations whose time is over. Read grants after this, not before.

    :param instants: the time of each customer, by their ids
    :returns: how many ended
    """
    if not instants:
        return 0
    [found] = run_together([lapsed(environment_id, instants)])
    return end_lapsed(found, instants)


def lapsed(environment_id: UUID, instants: Mapping[UUID, datetime]) -> Statement:
    """What finds the reservations of :func:`let_lapse`, to be sent together with what locks their customers."""
    return Statement(_LAPSED, [environment_id, list(instants), max(instants.values())])


def end_lapsed(found: Iterable[Sequence[Any]], instants: Mapping[UUID, datetime]) -> int:
    """Do the rest of it.

    :param found: the rows of :func:`lapsed`
    """
    over = [row for row in map(RESERVATION.read, found) if row.expires_at <= instants[row.customer_id]]
    if over:
        [held] = run_together([holds_of(over[0].environment_id, [row.pk for row in over])])
        let_go(over, read_holds(held), CreditReservation.Status.EXPIRED, instants)
    return len(over)


def let_go(
    reservations: Sequence[CreditReservation],
    holds: Sequence[CreditHold],
    status: CreditReservation.Status,
    instants: Mapping[UUID, datetime],
) -> None:
    """End reservations and give back what they hold. Of a grant that has expired meanwhile it expires at once.

    :param reservations: of one environment, each holding something
    :param holds: all of theirs
    :param instants: the time of each one's customer, by their ids
    """
    journal = Journal()
    give_back(reservations, holds, status, instants, journal)
    write_down(reservations, holds, journal)


def holds_of(environment_id: UUID, reservation_ids: Sequence[UUID]) -> Statement:
    """What finds all that reservations hold, with its grants."""
    return Statement(_HELD, [environment_id, list(reservation_ids)])


def read_holds(found: Iterable[Sequence[Any]]) -> list[CreditHold]:
    """The rows of :func:`holds_of`: one object for each grant, however many hold some of it."""
    grants: dict[UUID, CreditGrant] = {}
    holds = []
    for values in found:
        hold, grant = _HOLD.read(values[: len(_HOLD)]), _GRANT.read(values[len(_HOLD) :])
        # So that each entry of the ledger goes on from what the one before it left.
        hold.grant = grants.setdefault(grant.pk, grant)
        holds.append(hold)
    return holds


def give_back(
    reservations: Sequence[CreditReservation],
    holds: Sequence[CreditHold],
    status: CreditReservation.Status,
    instants: Mapping[UUID, datetime],
    journal: Journal,
) -> None:
    """End reservations that hold something, as :func:`let_go` does, but in memory alone.

    :param holds: all of theirs
    """
    for hold in holds:
        now = instants[hold.customer_id]
        if hold.amount and hold.grant.has_expired(now):
            journal.enter(hold.grant, LedgerEntry.Kind.EXPIRED, -hold.amount, now=now)
        hold.amount = 0
    for reservation in reservations:
        now = instants[reservation.customer_id]
        reservation.released += reservation.reserved
        reservation.reserved = 0
        reservation.status = status
        reservation.updated_at = now
        reservation.ended_at = min(now, reservation.expires_at)


def write_down(reservations: Sequence[CreditReservation], holds: Sequence[CreditHold], journal: Journal) -> None:
    """Store what became of reservations, which hold something, and what their holds and the ledger have to say of it."""
    became = ["committed", "released", "reserved", "status", "updated_at", "ended_at"]
    # The holds first: with them in place, the database lets nothing be taken that they hold.
    run_together([change(holds, ["amount"]), change(reservations, became), *journal.statements()])
    journal.tell()
