"""The life of a subscription: it starts, moves from period to period, and ends. What is owed for it is not known here."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from django.db import transaction

from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from core.bulk import update_rows
from core.errors import NotFound
from core.metadata import MetadataChange
from core.periods import Interval, Period, next_boundary
from subscriptions.errors import (
    AnchorInPast,
    AnchorTooFar,
    CancelAtInPast,
    CancellationsExclusive,
    DaysUntilDueMissing,
    DaysUntilDueNotAllowed,
    StartNotInPast,
)
from subscriptions.models import Price, Subscription, SubscriptionItem
from subscriptions.services.items import NewItem, check_new_items


@transaction.atomic
def create_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    backdated_to: datetime | None = None,
    anchor_at: datetime | None = None,
    cancel_at: datetime | None = None,
    cancel_at_period_end: bool = False,
    collection_method: str = Subscription.CollectionMethod.CHARGE_AUTOMATICALLY,
    days_until_due: int | None = None,
    description: str = "",
    metadata: MetadataChange | None = None,
) -> Subscription:
    """Begin a subscription. Its items' first period runs from its start to the first boundary after ``now``.

    Boundaries are the anchor plus or minus whole intervals. Start and anchor are whole seconds, which is what callers
    can say and read: the second that ``now`` lies in counts from its beginning. A backdated subscription has one
    first period, however long that is.

    :param backdated_to: bill from here, in the past, instead of from ``now``
    :param anchor_at: where the first period ends, at most one interval from ``now``; absent: boundaries count from ``now``
    :param cancel_at: end then, in the future; a period that would go on beyond it is cut there
    :param cancel_at_period_end: end with the first period
    :param days_until_due: with ``send_invoice``, and only then
    :raises NotFound: if customer or prices are not the environment's
    :raises CustomerDeleted: if the customer was deleted
    :raises ItemsMissing: :raises TooManyItems: :raises ItemRefused: with one of its subclasses for what is wrong
    :raises StartNotInPast: :raises AnchorInPast: :raises AnchorTooFar: :raises CancelAtInPast: what they say
    :raises CancellationsExclusive: if both ways to cancel are asked for
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises TooManyMetadataKeys: if some metadata has more than 50 keys
    """
    second = now.replace(microsecond=0)
    start_at = second if backdated_to is None else backdated_to
    anchor = second if anchor_at is None else anchor_at
    check_new_items(items, environment.pk)
    _check_collection(collection_method, days_until_due)
    if start_at > second:
        raise StartNotInPast(start_at)
    if anchor < second:
        raise AnchorInPast(anchor)
    if cancel_at is not None and cancel_at <= now:
        raise CancelAtInPast(cancel_at)
    if cancel_at is not None and cancel_at_period_end:
        raise CancellationsExclusive
    _lock_present_customer(customer, environment)

    price = items[0].price
    end = _boundary_after(anchor, price, second)
    if end < anchor:
        raise AnchorTooFar(anchor)
    if cancel_at_period_end:
        cancel_at = end
    period = Period(start_at, end if cancel_at is None else min(end, cancel_at))
    subscription = Subscription.objects.create(
        environment=environment,
        customer=customer,
        currency=price.currency,
        collection_method=collection_method,
        days_until_due=days_until_due,
        start_at=start_at,
        anchor_at=anchor,
        wakes_at=period.end,
        cancel_at=cancel_at,
        cancel_at_period_end=cancel_at_period_end,
        canceled_at=None if cancel_at is None else now,
        description=description,
        metadata=(metadata or MetadataChange()).applied_to({}),
        created_at=now,
    )
    SubscriptionItem.objects.bulk_create(_new_item(subscription, item, period) for item in items)
    return subscription


def next_period(item: SubscriptionItem, subscription: Subscription) -> Period | None:
    """The billing period after the item's current one; None if the subscription ends with that."""
    start = item.current_period_end
    if subscription.cancel_at is not None and subscription.cancel_at <= start:
        return None
    end = _boundary_after(subscription.anchor_at, item.price, start)
    return Period(start, end if subscription.cancel_at is None else min(end, subscription.cancel_at))


def advance_subscriptions(*, subscriptions: Iterable[Subscription]) -> None:
    """Move subscriptions on to their next period, or end those whose time is over, as of the end of the current one.

    The caller holds their rows' locks, has them with their items and prices loaded, and has billed the period.
    """
    subscriptions = list(subscriptions)
    advanced = []
    for subscription in subscriptions:
        ends_at = None
        for item in subscription.items.all():
            period = next_period(item, subscription)
            if period is None:
                ends_at = item.current_period_end
                continue
            item.current_period_start, item.current_period_end = period.start, period.end
            advanced.append(item)
            subscription.wakes_at = period.end
        if ends_at is not None:
            _mark_ended(subscription, ends_at)
    update_rows(advanced, ["current_period_start", "current_period_end"])
    update_rows(subscriptions, ["wakes_at", "status", "ended_at"])


def end_subscription(*, subscription: Subscription, now: datetime, comment: str = "", feedback: str = "") -> None:
    """End a subscription in the middle of its period. The caller holds its row's lock.

    :param comment: the customer's own words on why
    :param feedback: the same as one of a caller's list of reasons
    """
    _mark_ended(subscription, now)
    subscription.canceled_at = now
    given = {"comment": comment, "feedback": feedback}
    subscription.cancellation_details = {name: text for name, text in given.items() if text}
    subscription.save(update_fields=["status", "ended_at", "wakes_at", "canceled_at", "cancellation_details"])


def _mark_ended(subscription: Subscription, at: datetime) -> None:
    subscription.status = Subscription.Status.CANCELED
    subscription.ended_at = at
    subscription.wakes_at = None


def _new_item(subscription: Subscription, item: NewItem, period: Period) -> SubscriptionItem:
    return SubscriptionItem(
        environment=subscription.environment,
        subscription=subscription,
        price=item.price,
        quantity=None if item.price.is_metered else (1 if item.quantity is None else item.quantity),
        effective_at=period.start,
        current_period_start=period.start,
        current_period_end=period.end,
        metadata=(item.metadata or MetadataChange()).applied_to({}),
        created_at=subscription.created_at,
    )


def _boundary_after(anchor: datetime, price: Price, after: datetime) -> datetime:
    return next_boundary(anchor, cast("Interval", price.interval), price.interval_count, after)


def _lock_present_customer(customer: Customer, environment: Environment) -> None:
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    # Deleting a customer takes the full lock and ends all subscriptions: this one is either seen there or refused here.
    present = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    if present.deleted_at is not None:
        raise CustomerDeleted(customer.pk)


def _check_collection(collection_method: str, days_until_due: int | None) -> None:
    sends = Subscription.CollectionMethod(collection_method) == Subscription.CollectionMethod.SEND_INVOICE
    if sends and days_until_due is None:
        raise DaysUntilDueMissing
    if not sends and days_until_due is not None:
        raise DaysUntilDueNotAllowed
