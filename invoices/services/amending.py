"""A subscription is amended as of an instant: its items, its boundaries, its trial.

The caller holds its lock, has let happen what was due by then, and stores it. So a call that changes a subscription and
the phase of a schedule that begins by itself come to the same.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import TextChoices

from core.periods import Period, floor_midnight
from invoices.drafting import first_charges, usage_charges
from invoices.errors import ProrationDateOutsidePeriod
from invoices.models import Invoice, InvoiceItem
from invoices.prorations import make_prorations
from invoices.services.adding import add_items
from invoices.services.billing import bill_at_once, bill_usage_until
from invoices.services.closing import reread_items
from invoices.services.waiting import keep_prorations
from invoices.true_ups import due_true_ups
from subscriptions.errors import AnchorInTrial
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services import AddedItem, ItemChange, become, begin_period, change_items, current_period, store
from subscriptions.statuses import Status
from subscriptions.waking import trial_warning


class ProrationBehavior(TextChoices):
    """What a change in mid-period does about time that was paid in advance."""

    # It waits for the next invoice.
    CREATE = "create_prorations"
    # It is invoiced at once.
    INVOICE = "always_invoice"
    NONE = "none"


def amend_items(
    subscription: Subscription,
    items: Sequence[ItemChange],
    *,
    at: datetime,
    now: datetime,
    proration_behavior: str = ProrationBehavior.CREATE,
    prorated_at: datetime | None = None,
    resets_anchor: bool = False,
    added: Sequence[AddedItem] = (),
) -> None:
    """Change items as of an instant of the current period, with what that gives back and charges.

    If prices recur at another interval, or if that is asked for, boundaries are counted from there on: the current
    period ends, its usage and the next period's licensed items are billed at once.

    :param at: of :func:`subscriptions.services.change_instant`
    :param now: the customers' time; what is made is dated by it
    :param added: what the next invoice takes once
    :param prorated_at: compute as if the change were made then, within the current period
    :raises AnchorInTrial: if boundaries were to be counted anew in a trial
    :raises ProrationDateOutsidePeriod: what it says
    :raises AmountTooLarge: if an invoice would be beyond what an invoice can hold
    :raises BillingError: whatever :func:`subscriptions.services.change_items` and :func:`add_items` refuse
    """
    prorated_at = at if prorated_at is None else prorated_at
    period = current_period(subscription)
    if not period.start <= prorated_at <= period.end:
        raise ProrationDateOutsidePeriod
    present = list(subscription.items.all())
    interval = interval_of(present[0])
    moved = change_items(subscription=subscription, changes=items, at=at, now=now) if items else []
    reread_items(subscription)
    resets_anchor = _resets_anchor(subscription, interval, asked=resets_anchor)
    new_items = add_items(subscription, added, now=now)
    prorations: list[InvoiceItem] = []
    if proration_behavior != ProrationBehavior.NONE:
        # All that was paid is given back where a period is broken off, whether it was changed or not.
        concerned = _all_of(present, moved) if resets_anchor else moved
        prorations = make_prorations(subscription, concerned, at=prorated_at, now=now, charging=not resets_anchor)
        keep_prorations(prorations, now=now)
    if resets_anchor:
        _begin_anew(subscription, at, now)
    elif (prorations or new_items) and proration_behavior == ProrationBehavior.INVOICE:
        bill_at_once(
            subscription,
            [],
            period=Period(period.start, max(period.start, at)),
            billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
            now=now,
        )


def begin_trial(subscription: Subscription, *, at: datetime, ends_at: datetime, now: datetime, prorate: bool) -> None:
    """Let a trial begin, or end at another time than it would.

    What was metered before it is billed at once, and what was paid in advance for its time is given back.

    :param at: of :func:`subscriptions.services.change_instant`
    :param ends_at: after it
    :param prorate: give that back
    :raises StatusMoveRefused: if it is neither active nor in a trial
    """
    if subscription.status == Status.TRIALING:
        start_at = current_period(subscription).start
    else:
        if prorate:
            give_back(subscription, at=at, now=now)
        # First what was, then what is: a trial's usage is not billed.
        bill_used(subscription, until=at, now=now)
        become(subscription, Status.TRIALING)
        start_at = subscription.trial_start_at = at
    subscription.trial_end_at = ends_at
    subscription.trial_warns_at = trial_warning(ends_at, now)
    if subscription.cancel_at_period_end:
        subscription.cancel_at = ends_at
    subscription.anchor_at = anchor_from(subscription, ends_at)
    begin_period(subscription, cut(subscription, Period(start_at, ends_at)))


def _begin_anew(subscription: Subscription, at: datetime, now: datetime) -> None:
    """End the current period at an instant, and count boundaries from there."""
    charges = usage_charges(subscription, at)
    true_ups = due_true_ups([subscription], until=at).get(subscription.pk, ())
    over = Period(current_period(subscription).start, at)
    subscription.anchor_at = anchor_from(subscription, at)
    end = subscription.next_boundary(subscription.items.all()[0].price, at)
    if subscription.cancel_at_period_end:
        subscription.cancel_at = end
    begin_period(subscription, Period(at, end if subscription.cancel_at is None else min(end, subscription.cancel_at)))
    store([subscription])
    bill_at_once(
        subscription,
        [*charges, *first_charges(subscription)],
        true_ups=true_ups,
        period=over,
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
        now=now,
    )


def _resets_anchor(subscription: Subscription, interval: tuple[str, int], *, asked: bool) -> bool:
    if subscription.status == Status.TRIALING:
        if asked:
            raise AnchorInTrial
        # Boundaries will be counted from the trial's end, at whatever interval.
        return False
    return asked or interval_of(subscription.items.all()[0]) != interval


def interval_of(item: SubscriptionItem) -> tuple[str, int]:
    return item.price.interval, item.price.interval_count


def _all_of(present: Sequence[SubscriptionItem], moved: Sequence[SubscriptionItem]) -> list[SubscriptionItem]:
    by_id = {item.pk: item for item in present} | {item.pk: item for item in moved}
    return list(by_id.values())


def end_trial(subscription: Subscription, *, at: datetime, now: datetime) -> None:
    """End a trial before its time: the first full period begins, and is billed at once."""
    become(subscription, Status.ACTIVE)
    # It may have begun in this very second.
    subscription.trial_end_at = max(at, subscription.trial_start_at or at)
    subscription.anchor_at = anchor_from(subscription, at)
    begin_now(subscription, at=at, now=now)


def begin_now(subscription: Subscription, *, at: datetime, now: datetime, bills: bool = True) -> None:
    """Begin a period out of turn, and bill its licensed items."""
    price = subscription.items.all()[0].price
    begin_period(subscription, cut(subscription, Period(at, subscription.next_boundary(price, at))))
    if bills:
        bill_at_once(
            subscription,
            first_charges(subscription),
            period=Period(at, at),
            billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
            now=now,
        )


def give_back(subscription: Subscription, *, at: datetime, now: datetime) -> None:
    """Keep for the next invoice what was paid in advance for the rest of the current period."""
    unused = make_prorations(subscription, list(subscription.items.all()), at=at, now=now, charging=False)
    keep_prorations(unused, now=now)


def bill_used(subscription: Subscription, *, until: datetime, now: datetime) -> None:
    """Bill what was metered in the current period before an instant, unless nothing is billed of it."""
    if subscription.status not in {Status.INCOMPLETE, Status.PAUSED}:
        bill_usage_until(subscription, until, now=now)


def cut(subscription: Subscription, period: Period) -> Period:
    """As much of a period as lies before the subscription's end."""
    end_at = period.end if subscription.cancel_at is None else min(period.end, subscription.cancel_at)
    return Period(period.start, end_at)


def anchor_from(subscription: Subscription, at: datetime) -> datetime:
    """Where boundaries are counted from that shall be counted from an instant, and from no day of the month."""
    subscription.anchor_config = None
    return at if subscription.zone is None else floor_midnight(at, subscription.zone)
