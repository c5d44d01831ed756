"""The states of a subscription and the moves between them: the one place that says what may follow what."""

from collections.abc import Mapping

from django.db.models import TextChoices


class Status(TextChoices):
    """As Stripe's clients know them.

    Incomplete: the first invoice is still to be paid. Past due: an invoice is open beyond its due date. Unpaid: it was
    so for longer than the company waits; its invoices stay drafts. Paused: nothing is billed until it is resumed.
    """

    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


# Nothing follows these.
OVER = frozenset({Status.CANCELED, Status.INCOMPLETE_EXPIRED})

_RUNNING = frozenset({Status.TRIALING, Status.ACTIVE, Status.PAST_DUE, Status.PAUSED, Status.CANCELED})

MOVES: Mapping[Status, frozenset[Status]] = {
    Status.INCOMPLETE: frozenset({Status.ACTIVE, Status.TRIALING, Status.INCOMPLETE_EXPIRED}),
    Status.INCOMPLETE_EXPIRED: frozenset(),
    Status.TRIALING: _RUNNING - {Status.TRIALING},
    Status.ACTIVE: _RUNNING - {Status.ACTIVE},
    Status.PAST_DUE: (_RUNNING | {Status.UNPAID}) - {Status.PAST_DUE},
    Status.UNPAID: frozenset({Status.ACTIVE, Status.CANCELED}),
    Status.PAUSED: frozenset({Status.TRIALING, Status.ACTIVE, Status.PAST_DUE, Status.CANCELED}),
    Status.CANCELED: frozenset(),
}


def may_become(status: str, following: str) -> bool:
    """Whether a subscription may go from one status to another."""
    return Status(following) in MOVES[Status(status)]
