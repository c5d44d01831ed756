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


def let_lapse(environment_id: UUID, instants: Mapping[UUID, datetime]) -> int:
    """End the customers' reservations whose time is over. Read grants after this, not before.

    :param instants: the time of each customer, by their ids
    :returns: how many ended
    """
    if not instants:
        return 0
    found = CreditReservation.objects.filter(
        environment=environment_id, customer__in=instants, expires_at__lte=max(instants.values())
    ).open()
    over = [row for row in found.order_by("expires_at", "pk") if row.expires_at <= instants[row.customer_id]]
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
    by_id = {reservation.pk: reservation for reservation in reservations}
    holds = list(
        CreditHold.objects.filter(
            environment=reservations[0].environment_id, reservation__in=by_id, amount__gt=0
        ).select_related("grant__environment")
    )
    journal = Journal()
    grants: dict[UUID, CreditGrant] = {}
    for hold in holds:
        # One object per grant, so that each entry goes on from what the one before it left.
        grant = grants.setdefault(hold.grant_id, hold.grant)
        now = instants[hold.customer_id]
        if grant.has_expired(now):
            journal.enter(grant, LedgerEntry.Kind.EXPIRED, -hold.amount, now=now)
        hold.amount = 0
    for reservation in reservations:
        now = instants[reservation.customer_id]
        reservation.released += reservation.reserved
        reservation.reserved = 0
        reservation.status = status
        reservation.updated_at = now
        reservation.ended_at = min(now, reservation.expires_at)
    # The holds first: with them in place, the database lets nothing be taken that they hold.
    update_rows(holds, ["amount"])
    update_rows(reservations, ["released", "reserved", "status", "updated_at", "ended_at"])
    journal.write()
