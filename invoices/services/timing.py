"""What is to happen to a subscription, and when: its end, its trial, and pauses of its collection or of all of it.

Each holds the customer's clock and the subscription's lock, takes the steps that were due by now, and then changes what
follows. Usage before ``now`` counts for what was, from ``now`` for what is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from django.db import transaction

from core.periods import Period
from invoices.services.amending import anchor_from, begin_now, begin_trial, bill_used, cut, end_trial, give_back
from invoices.services.billing import lock_subscription
from invoices.services.stepping import catch_up
from subscriptions.errors import (
    CancelAtInPast,
    CancellationScheduled,
    CancellationsExclusive,
    NotPaused,
    ResumesInPast,
    SubscriptionEnded,
    TrialEndInPast,
)
from subscriptions.intervals import Every
from subscriptions.models import Subscription
from subscriptions.services import (
    become,
    begin_period,
    change_instant,
    current_period,
    invoice_pending_every,
    resume_collection,
    store,
    told,
)
from subscriptions.statuses import Status

Anchor = Literal["now", "unchanged"]


def cancel_later(
    *,
    subscription: Subscription,
    now: datetime,
    at: datetime | None = None,
    at_period_end: bool = False,
    prorate: bool = False,
) -> Subscription:
    """Have a subscription end at a date or with its current period; with neither, take back what was said before.

    What is metered is billed up to that instant, and a licensed period that begins before it is cut and paid for only
    so far.

    :param now: the customer's time
    :param prorate: give back, at that instant, what was paid in advance for the time after it
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises CancelAtInPast: if the date is not in the future
    :raises CancellationsExclusive: if both are asked for
    :raises CancellationScheduled: if a schedule says when it ends
    """
    if at is not None and at_period_end:
        raise CancellationsExclusive
    with _changed(subscription, now) as locked:
        if locked.schedule_id is not None:
            raise CancellationScheduled(locked.schedule_id)
        locked.cancel_at = current_period(locked).end if at_period_end else at
        if locked.cancel_at is not None and locked.cancel_at <= now:
            raise CancelAtInPast(locked.cancel_at)
        locked.cancel_at_period_end = at_period_end
        locked.cancel_prorates = prorate and at is not None
        locked.canceled_at = None if locked.cancel_at is None else now
    return locked


def change_trial_end(
    *, subscription: Subscription, now: datetime, ends_at: datetime | None, prorate: bool = True
) -> Subscription:
    """Let a trial end at another time, end at once, or begin.

    Boundaries count from the trial's end. Where it ends at once, the first full period begins and is billed at once.
    Where it begins in the middle of a period, what was metered in that is billed up to now, and what was paid in advance
    for the rest of it is given back.

    :param now: the customer's time
    :param ends_at: in the future; None: now
    :param prorate: give back what was paid for time that becomes a trial
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises TrialEndInPast: if the time is not in the future
    :raises StatusMoveRefused: if it is neither active nor in a trial
    """
    with _changed(subscription, now) as locked:
        second = change_instant(locked, now)
        if ends_at is not None and ends_at <= now:
            raise TrialEndInPast(ends_at)
        if ends_at is not None:
            begin_trial(locked, at=second, ends_at=ends_at, now=now, prorate=prorate)
        elif locked.status == Status.TRIALING:
            end_trial(locked, at=second, now=now)
        # Else there is no trial that could end.
    # One that is to end soon is told of at once.
    catch_up(locked, now)
    return locked


def pause_collection(
    *, subscription: Subscription, now: datetime, behavior: str, resumes_at: datetime | None = None
) -> Subscription:
    """Go on with a subscription as ever, but have what it invoices from now on kept as drafts, voided or given up.

    :param now: the customer's time
    :param behavior: a value of ``Subscription.PausedCollection``
    :param resumes_at: an invoice that is made at this instant is collected again; None: when somebody says so
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises ResumesInPast: if collection would be resumed by now
    """
    with _changed(subscription, now) as locked:
        if resumes_at is not None and resumes_at <= now:
            raise ResumesInPast(resumes_at)
        locked.pause_behavior = Subscription.PausedCollection(behavior)
        locked.pause_resumes_at = resumes_at
    return locked


def change_pending_interval(*, subscription: Subscription, now: datetime, every: Every | None) -> Subscription:
    """Have what waits for a subscription be invoiced at an interval of its own between its periods' ends, or not any more.

    :param now: the customer's time
    :param every: from a day to a year; None: what waits is invoiced with the subscription's periods alone
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises PendingIntervalInvalid: if that is shorter than a day or longer than a year
    """
    with _changed(subscription, now) as locked:
        invoice_pending_every(locked, every, now=now)
    return locked


def collect_again(*, subscription: Subscription, now: datetime) -> Subscription:
    """Collect what a subscription invoices from now on. Drafts that were kept stay drafts, to be finalized by hand.

    :param now: the customer's time
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    """
    with _changed(subscription, now) as locked:
        resume_collection(locked)
    return locked


def pause_subscription(
    *, subscription: Subscription, now: datetime, bill_usage: bool = True, prorate: bool = True
) -> Subscription:
    """Stop a subscription until it is resumed: nothing recurs, and what is used meanwhile is not billed.

    :param now: the customer's time
    :param bill_usage: bill what was metered in the current period before ``now``
    :param prorate: give back what was paid in advance for the rest of the current period
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises StatusMoveRefused: if it is paused already, or waits for a payment
    """
    with _changed(subscription, now) as locked:
        if prorate:
            give_back(locked, at=change_instant(locked, now), now=now)
        if bill_usage:
            bill_used(locked, until=now, now=now)
        become(locked, Status.PAUSED)
        locked.paused_at = now
    return locked


def resume_subscription(
    *, subscription: Subscription, now: datetime, anchor: Anchor = "now", bills_part: bool = True
) -> Subscription:
    """Go on with a paused subscription: a period begins, and its licensed items are billed for it at once.

    A trial that was paused before its end goes on to that end.

    :param now: the customer's time
    :param anchor: count boundaries from ``now``, or from where they were counted before: the first period is then
        shorter, and paid for by its part of a full one
    :param bills_part: bill that part; if not, licensed items are billed from the next boundary on
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises NotPaused: if it is not paused
    """
    with _changed(subscription, now) as locked:
        if locked.status != Status.PAUSED:
            raise NotPaused(locked.status)
        start_at = change_instant(locked, now)
        if locked.paused_at is not None:
            # It may have been paused in this very second, and what was used until then is settled.
            start_at = max(start_at, locked.paused_at)
        if locked.trial_end_at is not None and locked.trial_end_at > now:
            become(locked, Status.TRIALING)
            begin_period(locked, cut(locked, Period(start_at, locked.trial_end_at)))
            return locked
        become(locked, Status.ACTIVE)
        if anchor == "now":
            locked.anchor_at = anchor_from(locked, start_at)
        begin_now(locked, at=start_at, now=now, bills=bills_part or anchor == "now")
    return locked


@contextmanager
def _changed(subscription: Subscription, now: datetime) -> Iterator[Subscription]:
    """A subscription to be changed in memory, which is stored then."""
    with transaction.atomic():
        locked = lock_subscription(subscription, now=now)
        catch_up(locked, now)
        if locked.is_over:
            raise SubscriptionEnded(locked.pk)
        with told([locked], now=now):
            yield locked
            store([locked])
