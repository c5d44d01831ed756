"""Test clocks move: from instant to instant at which something is due, by the same services as the beat jobs.

The state of an advance is in the clock's row, and each step is a transaction of its own. A worker that is killed in the
middle of one leaves the clock where it was, and whoever comes next goes on from there.
"""

import logging
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import Min

from accounts.clocks import close_clock, lock_clock, move_clock, start_advance, stop_clock
from accounts.models import TestClock
from core.periods import Interval, boundary
from credits.models import CreditGrant, CreditReservation
from credits.services import expire_grants_on_clock, expire_reservations_on_clock
from invoices.models import Invoice
from invoices.services.collecting import escalate_invoices
from invoices.services.reminding import remind
from invoices.services.stepping import (
    due_drafts,
    due_escalations,
    due_reminders,
    due_schedules,
    due_subscriptions,
    finalize,
    start,
    step,
)
from invoices.services.subscribing import delete_customer
from subscriptions.models import Price, Subscription, SubscriptionSchedule

_INTERVALS_AT_ONCE = 2
# Where nothing recurs, there is no interval to go by.
_WITHOUT_SUBSCRIPTIONS = timedelta(days=730)

logger = logging.getLogger(__name__)


@transaction.atomic
def advance_test_clock(*, clock: TestClock, target_at: datetime) -> TestClock:
    """Set a clock in motion. It arrives by and by, through :func:`run_test_clocks`.

    :returns: the clock as it is now
    :raises NotFound: if it was deleted
    :raises accounts.errors.ClockAdvancing: if it is on the move already
    :raises accounts.errors.ClockNotAhead: if the target is not ahead, or further away than two intervals of the shortest
        subscription
    """
    clock = lock_clock(clock)
    return start_advance(clock, target_at=target_at, furthest=_furthest(clock))


def run_test_clocks() -> int:
    """Bring every clock that is on the move to its target, unless another process is at work on it.

    :returns: how many arrived
    """
    moving = TestClock.objects.filter(status=TestClock.Status.ADVANCING).order_by("pk")
    return sum(run_test_clock(clock_id=pk) for pk in list(moving.values_list("pk", flat=True)))


def run_test_clock(*, clock_id: UUID) -> bool:
    """Bring a clock to its target, step by step. If something cannot be billed, it stops there and says why.

    :returns: whether it arrived by this call
    """
    arrived = False
    try:
        while _take_step(clock_id):
            arrived = True
    except OperationalError:
        # The database's trouble and not the clock's: it stays on the move.
        raise
    except Exception as error:
        # Whatever it is, the clock says it: trying again by itself would fail for ever.
        logger.exception("test clock %s cannot go on", clock_id)
        stop_clock(clock_id, failure=f"{type(error).__name__}: {error}")
        return False
    return arrived


@transaction.atomic
def delete_test_clock(*, clock: TestClock, now: datetime) -> TestClock:
    """Delete a clock with its customers. Their subscriptions end, and nothing more is billed.

    :param now: the wall's time
    :raises NotFound: if it was deleted before
    :raises accounts.errors.ClockAdvancing: if it is on the move
    """
    clock = lock_clock(clock)
    for customer in clock.customers.present().order_by("pk"):
        delete_customer(customer=customer, now=clock.frozen_at, bill=False)
    close_clock(clock, now=now)
    return clock


def delete_expired_test_clocks(*, now: datetime) -> int:
    """Delete the clocks whose time is over, but for those on the move.

    :param now: the wall's time
    :returns: how many
    """
    expired = TestClock.objects.filter(deletes_at__lte=now, deleted_at__isnull=True)
    clocks = list(expired.exclude(status=TestClock.Status.ADVANCING).order_by("pk"))
    for clock in clocks:
        delete_test_clock(clock=clock, now=now)
    return len(clocks)


@transaction.atomic
def _take_step(clock_id: UUID) -> bool:
    """Move a clock to the next instant at which something is due, and let it happen.

    :returns: whether there was a step to take
    """
    moving = TestClock.objects.filter(pk=clock_id, status=TestClock.Status.ADVANCING)
    clock = moving.select_for_update(skip_locked=True, no_key=True).first()
    if clock is None or clock.target_at is None:
        return False
    due_at = _next_due(clock)
    at = clock.target_at if due_at is None else min(max(due_at, clock.frozen_at), clock.target_at)
    _let_happen(clock, at)
    move_clock(clock, at)
    return True


def _let_happen(clock: TestClock, now: datetime) -> None:
    """Do all that is due by an instant, in the order in which the beat's jobs do it."""
    # What a grant may pay for, its dates say: it matters to nothing below when this is written.
    expire_reservations_on_clock(clock=clock, now=now)
    expire_grants_on_clock(clock=clock, now=now)
    while True:
        schedules = list(due_schedules(now, clock).select_for_update(of=("self",), no_key=True))
        if schedules:
            start(schedules)
            continue
        subscriptions = list(due_subscriptions(now, clock).select_for_update(of=("self",), no_key=True))
        if subscriptions:
            step(subscriptions, now=now)
            continue
        drafts = list(due_drafts(now, clock).select_for_update(of=("self",), no_key=True))
        if drafts:
            finalize(drafts, now=now)
            continue
        reminders = list(due_reminders(now, clock).select_for_update(of=("self",), no_key=True))
        if reminders:
            remind(reminders, now=now)
            continue
        overdue = list(due_escalations(now, clock).select_for_update(of=("self",), no_key=True))
        if not overdue:
            return
        escalate_invoices(overdue, now=now)


def _next_due(clock: TestClock) -> datetime | None:
    invoices = Invoice.objects.filter(customer__test_clock=clock)
    unstarted = SubscriptionSchedule.objects.filter(status=SubscriptionSchedule.Status.NOT_STARTED)
    instants = [
        unstarted.filter(customer__test_clock=clock).aggregate(at=Min("start_at"))["at"],
        Subscription.objects.filter(customer__test_clock=clock).aggregate(at=Min("wakes_at"))["at"],
        invoices.filter(status=Invoice.Status.DRAFT).aggregate(at=Min("finalizes_at"))["at"],
        invoices.filter(status=Invoice.Status.OPEN).aggregate(at=Min("reminds_at"))["at"],
        invoices.aggregate(at=Min("escalates_at"))["at"],
        CreditGrant.objects.filter(customer__test_clock=clock).expiring().aggregate(at=Min("expires_at"))["at"],
        CreditReservation.objects.filter(customer__test_clock=clock).open().aggregate(at=Min("expires_at"))["at"],
    ]
    return min((at for at in instants if at is not None), default=None)


def _furthest(clock: TestClock) -> datetime:
    """How far a clock may go at once."""
    prices = Price.objects.filter(
        subscription_items__subscription__customer__test_clock=clock,
        subscription_items__subscription__ended_at__isnull=True,
        subscription_items__removed_at__isnull=True,
    )
    ends = [
        boundary(clock.frozen_at, cast("Interval", interval), count, _INTERVALS_AT_ONCE)
        for interval, count in prices.values_list("interval", "interval_count").distinct()
    ]
    return min(ends, default=clock.frozen_at + _WITHOUT_SUBSCRIPTIONS)
