"""Time passes for a subscription: what happens to it at the instant that it wakes at, and by which state it goes on.

These change rows in memory; :func:`store` writes them. What is owed for it is not known here. The caller holds the
rows' locks, and has them with their items (those present) and prices loaded.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from accounts.models import Company
from core.bulk import update_rows
from core.periods import Period
from core.related import rows_of
from subscriptions.errors import StatusMoveRefused
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services.schedules import end_schedules_of
from subscriptions.statuses import Status, may_become
from subscriptions.waking import next_wake

_FIELDS = [
    "status",
    "anchor_at",
    "wakes_at",
    "schedule",
    "phase_ends_at",
    "expires_at",
    "trial_start_at",
    "trial_end_at",
    "trial_warns_at",
    "upcoming_at",
    "foreseen_end_at",
    "pending_interval",
    "pending_interval_count",
    "pending_invoice_at",
    "pause_behavior",
    "pause_resumes_at",
    "paused_at",
    "cancel_at",
    "cancel_at_period_end",
    "cancel_prorates",
    "canceled_at",
    "ended_at",
    "cancellation_details",
]


def current_period(subscription: Subscription) -> Period:
    """The billing period that the subscription is in. All its items are in the same one."""
    return _items(subscription)[0].current_period


def become(subscription: Subscription, status: Status) -> None:
    """Let a subscription go over to another state.

    :raises StatusMoveRefused: if :mod:`subscriptions.statuses` knows no such move
    """
    if not may_become(subscription.status, status):
        raise StatusMoveRefused(subscription.status, status)
    subscription.status = status
    subscription.expires_at = None


def conclude(subscription: Subscription, at: datetime, *, reason: str = "") -> None:
    """End a subscription. One whose first invoice was never paid expires instead of being canceled.

    :param reason: why, if nobody asked for it
    """
    incomplete = subscription.status == Status.INCOMPLETE
    become(subscription, Status.INCOMPLETE_EXPIRED if incomplete else Status.CANCELED)
    subscription.ended_at = at
    if reason:
        subscription.canceled_at = at
        subscription.cancellation_details = {**subscription.cancellation_details, "reason": reason}


def take_step(subscription: Subscription) -> bool:
    """Let happen what is due at the instant that a subscription wakes at, but for its bill. In this order:

    1. An incomplete one is given up.
    2. Collection resumes, so that what is made at this very instant is collected.
    3. What is paused and to be canceled now ends: no bill is due for it.
    4. A trial that shall end in a pause or in the end of all does so. Any other goes on into its first full period.
    5. A period that goes on beyond the cancellation is cut there.

    :returns: whether the current period is over, so that it is to be billed and the next one begun
    """
    at = subscription.wakes_at
    if at is None:
        return False
    if subscription.status == Status.INCOMPLETE:
        conclude(subscription, at)
        return False
    if subscription.pause_resumes_at is not None and subscription.pause_resumes_at <= at:
        resume_collection(subscription)
    canceled = subscription.cancel_at is not None and subscription.cancel_at <= at
    if subscription.status == Status.PAUSED:
        if canceled:
            conclude(subscription, at)
        return False
    if subscription.status == Status.TRIALING and not canceled and _trial_ends_otherwise(subscription, at):
        return False
    if subscription.cancel_at is not None and canceled:
        for item in _items(subscription):
            item.current_period_end = min(item.current_period_end, subscription.cancel_at)
    return current_period(subscription).end <= at


def resume_collection(subscription: Subscription) -> None:
    """Let invoices be collected again that are made from now on."""
    subscription.pause_behavior = ""
    subscription.pause_resumes_at = None


def next_period(item: SubscriptionItem, subscription: Subscription) -> Period | None:
    """The billing period after the item's current one; None if the subscription ends with that."""
    start = item.current_period_end
    if subscription.cancel_at is not None and subscription.cancel_at <= start:
        return None
    end_at = subscription.next_boundary(item.price, start)
    return Period(start, end_at if subscription.cancel_at is None else min(end_at, subscription.cancel_at))


def advance_subscriptions(*, subscriptions: Iterable[Subscription]) -> None:
    """Move subscriptions on to their next period, or end those whose time is over, as of the end of the current one.

    The caller has billed the period, and stores the subscriptions.
    """
    for subscription in subscriptions:
        period = current_period(subscription)
        following = next_period(_items(subscription)[0], subscription)
        if following is None:
            conclude(subscription, period.end)
            continue
        begin_period(subscription, following)
        if subscription.status == Status.TRIALING:
            become(subscription, Status.ACTIVE)


def begin_period(subscription: Subscription, period: Period) -> None:
    """Let a period be the current one of all items."""
    for item in _items(subscription):
        item.current_period_start, item.current_period_end = period.start, period.end


def store(subscriptions: Sequence[Subscription]) -> None:
    """Write subscriptions and the periods of their items, and when they wake next. Schedules end with what they manage."""
    scheduled = [one for one in subscriptions if one.is_over and one.schedule_id is not None]
    if scheduled:
        end_schedules_of(scheduled)
    _foresee_new_periods(subscriptions)
    for subscription in subscriptions:
        subscription.wakes_at = next_wake(subscription, current_period(subscription).end)
    update_rows(subscriptions, _FIELDS)
    items = [item for subscription in subscriptions for item in _items(subscription)]
    update_rows(items, ["current_period_start", "current_period_end"])


def foresee(subscription: Subscription, period: Period, *, days: int) -> None:
    """Decide when the invoice of a period is foretold, in memory: not if the period is no longer than these days before its end.

    :param days: of the company; 0: never
    """
    at = period.end - timedelta(days=days)
    subscription.foreseen_end_at = period.end
    subscription.upcoming_at = at if days and at > period.start else None


def _foresee_new_periods(subscriptions: Sequence[Subscription]) -> None:
    """Once for each period of subscriptions of one environment."""
    fresh = [one for one in subscriptions if one.foreseen_end_at != current_period(one).end]
    if not fresh:
        return
    days = Company.objects.values_list("upcoming_days", flat=True).get(environments=fresh[0].environment_id)
    for subscription in fresh:
        foresee(subscription, current_period(subscription), days=days)


def _items(subscription: Subscription) -> Sequence[SubscriptionItem]:
    return rows_of(subscription, "items")


def _trial_ends_otherwise(subscription: Subscription, at: datetime) -> bool:
    """Whether the trial has ended, and the subscription does not simply go on."""
    if subscription.trial_end_at is None or subscription.trial_end_at > at:
        return False
    if subscription.trial_end_behavior == Subscription.TrialEnd.CANCEL:
        conclude(subscription, at, reason="payment_failed")
        return True
    if subscription.trial_end_behavior == Subscription.TrialEnd.PAUSE:
        become(subscription, Status.PAUSED)
        return True
    return False
