"""What is to happen to a subscription, and when: its end, its trial, and pauses of its collection or of all of it.

Each holds the customer's clock and the subscription's lock, takes the steps that were due by now, and then changes what
follows. Usage before ``now`` counts for what was, from ``now`` for what is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from django.db import transaction

from core.periods import Period, floor_midnight
from invoices.drafting import first_charges
from invoices.models import Invoice
from invoices.prorations import make_prorations
from invoices.services.stepping import catch_up
from invoices.services.subscribing import bill_at_once, bill_usage_until, lock_subscription
from invoices.services.waiting import keep_prorations
from subscriptions.errors import (
    CancelAtInPast,
    CancellationsExclusive,
    NotPaused,
    ResumesInPast,
    SubscriptionEnded,
    TrialEndInPast,
)
from subscriptions.models import Subscription
from subscriptions.services import become, begin_period, change_instant, current_period, resume_collection, store, told
from subscriptions.statuses import Status

Anchor = Literal["now", "unchanged"]


def cancel_later(
    *, subscription: Subscription, now: datetime, at: datetime | None = None, at_period_end: bool = False
) -> Subscription:
    """Have a subscription end at a date or with its current period; with neither, take back what was said before.

    What is metered is billed up to that instant, and a licensed period that begins before it is cut and paid for only
    so far. Nothing is given back of one that was paid already.

    :param now: the customer's time
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over
    :raises CancelAtInPast: if the date is not in the future
    :raises CancellationsExclusive: if both are asked for
    """
    if at is not None and at_period_end:
        raise CancellationsExclusive
    with _changed(subscription, now) as locked:
        locked.cancel_at = current_period(locked).end if at_period_end else at
        if locked.cancel_at is not None and locked.cancel_at <= now:
            raise CancelAtInPast(locked.cancel_at)
        locked.cancel_at_period_end = at_period_end
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
        if locked.status == Status.TRIALING:
            if ends_at is None:
                _end_trial(locked, second, now)
                return locked
            start_at = current_period(locked).start
        elif ends_at is None:
            # There is no trial that could end.
            return locked
        else:
            if prorate:
                _give_back(locked, now)
            # First what was, then what is: a trial's usage is not billed.
            _bill_usage(locked, now)
            become(locked, Status.TRIALING)
            start_at = locked.trial_start_at = second
        locked.trial_end_at = ends_at
        if locked.cancel_at_period_end:
            locked.cancel_at = ends_at
        locked.anchor_at = anchor_from(locked, ends_at)
        begin_period(locked, _cut(locked, Period(start_at, ends_at)))
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
            _give_back(locked, now)
        if bill_usage:
            _bill_usage(locked, now)
        become(locked, Status.PAUSED)
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
        second = change_instant(locked, now)
        if locked.status != Status.PAUSED:
            raise NotPaused(locked.status)
        if locked.trial_end_at is not None and locked.trial_end_at > now:
            become(locked, Status.TRIALING)
            begin_period(locked, _cut(locked, Period(second, locked.trial_end_at)))
            return locked
        become(locked, Status.ACTIVE)
        if anchor == "now":
            locked.anchor_at = anchor_from(locked, second)
        _begin_now(locked, second, now, bills=bills_part or anchor == "now")
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


def _end_trial(subscription: Subscription, second: datetime, now: datetime) -> None:
    become(subscription, Status.ACTIVE)
    # It may have begun in this very second.
    subscription.trial_end_at = max(second, subscription.trial_start_at or second)
    subscription.anchor_at = anchor_from(subscription, second)
    _begin_now(subscription, second, now)


def _begin_now(subscription: Subscription, second: datetime, now: datetime, *, bills: bool = True) -> None:
    """Begin a period out of turn, and bill its licensed items."""
    price = subscription.items.all()[0].price
    begin_period(subscription, _cut(subscription, Period(second, subscription.next_boundary(price, second))))
    if bills:
        bill_at_once(
            subscription,
            first_charges(subscription),
            period=Period(second, second),
            billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
            now=now,
        )


def _give_back(subscription: Subscription, now: datetime) -> None:
    """Keep for the next invoice what was paid in advance for the rest of the current period."""
    at = change_instant(subscription, now)
    unused = make_prorations(subscription, list(subscription.items.all()), at=at, now=now, charging=False)
    keep_prorations(unused, now=now)


def _bill_usage(subscription: Subscription, now: datetime) -> None:
    if subscription.status not in {Status.INCOMPLETE, Status.PAUSED}:
        bill_usage_until(subscription, now)


def _cut(subscription: Subscription, period: Period) -> Period:
    end_at = period.end if subscription.cancel_at is None else min(period.end, subscription.cancel_at)
    return Period(period.start, end_at)


def anchor_from(subscription: Subscription, at: datetime) -> datetime:
    """Where boundaries are counted from that shall be counted from an instant, and from no day of the month."""
    subscription.anchor_config = None
    return at if subscription.zone is None else floor_midnight(at, subscription.zone)
