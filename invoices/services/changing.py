"""A subscription is changed in mid-period: what that gives back, what it charges, and when it is billed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction

from core.metadata import MetadataChange
from invoices.services.amending import ProrationBehavior, amend_items
from invoices.services.billing import lock_subscription
from invoices.services.stepping import catch_up
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import Subscription
from subscriptions.services import (
    AddedItem,
    ItemChange,
    change_instant,
    check_collection,
    told,
)

# What may be said of a subscription that is over.
_ALWAYS = frozenset({"metadata", "cancellation_details"})


class SubscriptionWords(TypedDict, total=False):
    """What may be changed about a subscription without anything being owed for it."""

    collection_method: str
    days_until_due: int | None
    description: str
    metadata: MetadataChange | None
    trial_end_behavior: str
    cancellation_details: Mapping[str, str]


@transaction.atomic
def update_subscription(
    *,
    subscription: Subscription,
    now: datetime,
    items: Sequence[ItemChange] = (),
    proration_behavior: str = ProrationBehavior.CREATE,
    prorated_at: datetime | None = None,
    resets_anchor: bool = False,
    added: Sequence[AddedItem] = (),
    **words: Unpack[SubscriptionWords],
) -> Subscription:
    """Change a subscription. Periods that were over by then are billed first, as ever.

    A change of items takes effect with the second that ``now`` lies in. Usage before it is billed at the old price when
    the period ends, usage from then on at the new one. If prices recur at another interval, or if that is asked for,
    boundaries are counted from this moment on: the current period ends, its usage and the next period's licensed items
    are billed at once.

    :param now: the customer's time
    :param added: what the next invoice takes once, be it the one that is made at once
    :param prorated_at: compute as if the change were made then, within the current period
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over, and more than its metadata or cancellation details was to be changed
    :raises AnchorInTrial: if boundaries were to be counted anew in a trial
    :raises ProrationDateOutsidePeriod: what it says
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they would not fit the collection method
    :raises AmountTooLarge: if an invoice would be beyond what an invoice can hold
    :raises BillingError: whatever :func:`subscriptions.services.change_items` refuses
    """
    subscription = lock_subscription(subscription, now=now)
    catch_up(subscription, now)
    if subscription.is_over and (items or added or resets_anchor or words.keys() - _ALWAYS):
        raise SubscriptionEnded(subscription.pk)
    with told([subscription], now=now):
        _write_words(subscription, words)
        if items or added or resets_anchor:
            amend_items(
                subscription,
                items,
                at=change_instant(subscription, now),
                now=now,
                proration_behavior=proration_behavior,
                prorated_at=prorated_at,
                resets_anchor=resets_anchor,
                added=added,
            )
    return lock_subscription(subscription, now=now)


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
    subscription.trial_end_behavior = words.get("trial_end_behavior", subscription.trial_end_behavior)
    said = {**subscription.cancellation_details, **words.get("cancellation_details", {})}
    subscription.cancellation_details = {name: text for name, text in said.items() if text}
    subscription.save(
        update_fields=[
            "collection_method",
            "days_until_due",
            "description",
            "metadata",
            "trial_end_behavior",
            "cancellation_details",
        ]
    )
