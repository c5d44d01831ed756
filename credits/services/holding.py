"""What reservations hold, and how it is let go. Whoever calls holds the accounts of the customers.

A reservation whose time is over holds nothing, be that booked or not: whoever is about to use a customer's credit books
it first, so that what is counted as reserved is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from core.bulk import update_rows
from credits.models import CreditGrant, CreditHold, CreditReservation, LedgerEntry
from credits.services.journal import Journal

# As a plain statement, since it stands before whatever happens to credit: composing it takes longer than running it.
_LAPSED = f"""
    SELECT * FROM {CreditReservation._meta.db_table}
     WHERE environment_id = %s AND customer_id = ANY(%s) AND reserved > 0 AND expires_at <= %s
     ORDER BY expires_at, id
"""  # noqa: S608, SLF001 (a name of ours)


def let_lapse(environment_id: UUID, instants: Mapping[UUID, datetime]) -> int:
    """End the customers' reservations whose time is over. Read grants after this, not before.

    :param instants: the time of each customer, by their ids
    :returns: how many ended
    """
    if not instants:
        return 0
    found = CreditReservation.objects.raw(_LAPSED, [environment_id, list(instants), max(instants.values())])
    over = [row for row in found if row.expires_at <= instants[row.customer_id]]
    let_go(over, CreditReservation.Status.EXPIRED, instants)
    return len(over)


def let_go(
    reservations: Sequence[CreditReservation], status: CreditReservation.Status, instants: Mapping[UUID, datetime]
) -> None:
    """End reservations and give back what they hold. Of a grant that has expired meanwhile it expires at once.

    :param reservations: of one environment, each holding something
    :param instants: the time of each one's customer, by their ids
    """
    if not reservations:
        return
    holds, journal = holds_of(reservations), Journal()
    give_back(reservations, holds, status, instants, journal)
    write_down(reservations, holds, journal)


def holds_of(reservations: Sequence[CreditReservation]) -> list[CreditHold]:
    """What reservations of one environment hold, with its grants: one object for each, however many hold some of it."""
    grants: dict[UUID, CreditGrant] = {}
    holds = list(
        CreditHold.objects.filter(
            environment=reservations[0].environment_id, reservation__in=[row.pk for row in reservations], amount__gt=0
        ).select_related("grant__environment")
    )
    for hold in holds:
        # So that each entry of the ledger goes on from what the one before it left.
        hold.grant = grants.setdefault(hold.grant_id, hold.grant)
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
    """Store what became of reservations, and what their holds and the ledger have to say of it."""
    # The holds first: with them in place, the database lets nothing be taken that they hold.
    update_rows(holds, ["amount"])
    update_rows(reservations, ["committed", "released", "reserved", "status", "updated_at", "ended_at"])
    journal.write()
