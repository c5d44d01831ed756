"""A subscription is changed in mid-period: what that gives back, what it charges, and when it is billed."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction
from django.db.models import TextChoices

from core.metadata import MetadataChange
from core.periods import Period
from invoices.drafting import first_charges, usage_charges
from invoices.errors import ProrationDateOutsidePeriod
from invoices.models import Invoice, InvoiceItem
from invoices.prorations import make_prorations
from invoices.services.stepping import catch_up
from invoices.services.subscribing import bill_at_once, lock_subscription
from invoices.services.timing import anchor_from
from invoices.services.waiting import keep_prorations
from invoices.true_ups import due_true_ups
from subscriptions.errors import AnchorInTrial, SubscriptionEnded
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.services import (
    ItemChange,
    begin_period,
    change_instant,
    change_items,
    check_collection,
    current_period,
    store,
    told,
)
from subscriptions.statuses import Status


class ProrationBehavior(TextChoices):
    """What a change in mid-period does about time that was paid in advance."""

    # It waits for the next invoice.
    CREATE = "create_prorations"
    # It is invoiced at once.
    INVOICE = "always_invoice"
    NONE = "none"


class SubscriptionWords(TypedDict, total=False):
    """What may be changed about a subscription without anything being owed for it."""

    collection_method: str
    days_until_due: int | None
    description: str
    metadata: MetadataChange | None


@transaction.atomic
def update_subscription(
    *,
    subscription: Subscription,
    now: datetime,
    items: Sequence[ItemChange] = (),
    proration_behavior: str = ProrationBehavior.CREATE,
    prorated_at: datetime | None = None,
    resets_anchor: bool = False,
    **words: Unpack[SubscriptionWords],
) -> Subscription:
    """Change a subscription. Periods that were over by then are billed first, as ever.

    A change of items takes effect with the second that ``now`` lies in. Usage before it is billed at the old price when
    the period ends, usage from then on at the new one. If prices recur at another interval, or if that is asked for,
    boundaries are counted from this moment on: the current period ends, its usage and the next period's licensed items
    are billed at once.

    :param now: the customer's time
    :param prorated_at: compute as if the change were made then, within the current period
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over, and more than its words was to be changed
    :raises AnchorInTrial: if boundaries were to be counted anew in a trial
    :raises ProrationDateOutsidePeriod: what it says
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they would not fit the collection method
    :raises AmountTooLarge: if an invoice would be beyond what an invoice can hold
    :raises BillingError: whatever :func:`subscriptions.services.change_items` refuses
    """
    subscription = lock_subscription(subscription, now=now)
    catch_up(subscription, now)
    if subscription.is_over and (items or resets_anchor or words.keys() - {"metadata"}):
        raise SubscriptionEnded(subscription.pk)
    with told([subscription], now=now):
        _write_words(subscription, words)
        if items or resets_anchor:
            _change(subscription, items, proration_behavior, prorated_at, resets_anchor=resets_anchor, now=now)
    return lock_subscription(subscription, now=now)


def _change(
    subscription: Subscription,
    items: Sequence[ItemChange],
    proration_behavior: str,
    prorated_at: datetime | None,
    *,
    resets_anchor: bool,
    now: datetime,
) -> None:
    at = change_instant(subscription, now)
    prorated_at = at if prorated_at is None else prorated_at
    period = current_period(subscription)
    if not period.start <= prorated_at <= period.end:
        raise ProrationDateOutsidePeriod
    present = list(subscription.items.all())
    interval = _interval(present[0])
    moved = change_items(subscription=subscription, changes=items, now=now) if items else []
    subscription = lock_subscription(subscription, now=now)
    resets_anchor = _resets_anchor(subscription, interval, asked=resets_anchor)
    prorations: list[InvoiceItem] = []
    if proration_behavior != ProrationBehavior.NONE:
        # All that was paid is given back where a period is broken off, whether it was changed or not.
        concerned = _all_of(present, moved) if resets_anchor else moved
        prorations = make_prorations(subscription, concerned, at=prorated_at, now=now, charging=not resets_anchor)
        keep_prorations(prorations, now=now)
    if resets_anchor:
        _begin_anew(subscription, at, now)
    elif prorations and proration_behavior == ProrationBehavior.INVOICE:
        bill_at_once(
            subscription,
            [],
            period=Period(period.start, max(period.start, at)),
            billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
            now=now,
        )


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
    return asked or _interval(subscription.items.all()[0]) != interval


def _interval(item: SubscriptionItem) -> tuple[str, int]:
    return item.price.interval, item.price.interval_count


def _all_of(present: Sequence[SubscriptionItem], moved: Sequence[SubscriptionItem]) -> list[SubscriptionItem]:
    by_id = {item.pk: item for item in present} | {item.pk: item for item in moved}
    return list(by_id.values())


def _write_words(subscription: Subscription, words: SubscriptionWords) -> None:
    if not words:
        return
    method = words.get("collection_method", subscription.collection_method)
    kept = subscription.days_until_due if method == subscription.collection_method else None
    days = words.get("days_until_due", kept)
    check_collection(method, days)
    subscription.collection_method, subscription.days_until_due = method, days
    subscription.description = words.get("description", subscription.description)
    if (metadata := words.get("metadata")) is not None:
        subscription.metadata = metadata.applied_to(subscription.metadata)
    subscription.save(update_fields=["collection_method", "days_until_due", "description", "metadata"])
