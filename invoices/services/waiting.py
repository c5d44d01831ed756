"""What waits for invoices is kept, and taken by the next ones."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from accounts.models import Customer
from core.bulk import update_rows
from invoices.models import InvoiceItem, InvoiceItemQuerySet
from subscriptions.models import Subscription
from webhooks.kinds import Kind
from webhooks.services import record


def keep_prorations(prorations: Sequence[InvoiceItem], *, now: datetime) -> None:
    """Store what a change gives back and charges, until an invoice takes it."""
    InvoiceItem.objects.bulk_create(prorations)
    record(Kind.INVOICE_ITEM_CREATED, rows=prorations, now=now)


def drop_waiting_prorations(subscription: Subscription, *, now: datetime) -> None:
    """Give up what changes of a subscription gave back and charged, as far as no invoice has taken it. The caller holds
    the subscription's lock.
    """
    waiting = _waiting(subscription.environment_id, Q(subscription=subscription, is_proration=True))
    items = list(_locked(waiting))
    record(Kind.INVOICE_ITEM_DELETED, rows=items, now=now)
    for item in items:
        item.removed_at = now
    update_rows(items, ["removed_at"])


def take_waiting_items(environment_id: UUID, subscriptions: Sequence[Subscription]) -> dict[UUID, list[InvoiceItem]]:
    """Lock what waits for the next invoices of subscriptions, by subscription.

    What waits for a customer, or for a subscription that is over, goes with the first of the customer's subscriptions
    in its currency. The caller holds the subscriptions' locks, and puts the items onto invoices.
    """
    return _by_subscription(_locked(_waiting(environment_id, _for(subscriptions))), subscriptions)


def waiting_items(environment_id: UUID, subscriptions: Sequence[Subscription]) -> dict[UUID, list[InvoiceItem]]:
    """The same to be looked at, and left where it is."""
    return _by_subscription(_waiting(environment_id, _for(subscriptions)), subscriptions)


def _by_subscription(
    items: Iterable[InvoiceItem], subscriptions: Sequence[Subscription]
) -> dict[UUID, list[InvoiceItem]]:
    by_id = {subscription.pk: subscription for subscription in subscriptions}
    by_customer: dict[tuple[UUID, str], UUID] = {}
    for subscription in subscriptions:
        by_customer.setdefault((subscription.customer_id, subscription.currency), subscription.pk)
    found: dict[UUID, list[InvoiceItem]] = {}
    for item in items:
        subscription_id = item.subscription_id
        if subscription_id not in by_id:
            if item.subscription is not None and not item.subscription.is_over:
                continue
            subscription_id = by_customer.get((item.customer_id, item.currency))
        if subscription_id is not None:
            found.setdefault(subscription_id, []).append(item)
    return found


def take_waiting_items_of_customer(
    customer: Customer, *, currency: str, subscription: Subscription | None
) -> list[InvoiceItem]:
    """Lock what waits for a customer in a currency; with a subscription, only what waits for that one."""
    if subscription is not None:
        return list(_locked(_waiting(customer.environment_id, Q(subscription=subscription, currency=currency))))
    items = _locked(_waiting(customer.environment_id, Q(customer=customer, currency=currency)))
    return [item for item in items if item.subscription is None or item.subscription.is_over]


def take_waiting_items_of_subscriptions(
    environment_id: UUID, subscriptions: Sequence[Subscription]
) -> dict[UUID, list[InvoiceItem]]:
    """Lock what waits for subscriptions and for nothing else, by subscription. The caller holds their locks."""
    by_subscription: dict[UUID | None, list[InvoiceItem]] = defaultdict(list)
    for item in _locked(_waiting(environment_id, Q(subscription__in=[one.pk for one in subscriptions]))):
        by_subscription[item.subscription_id].append(item)
    return {key: items for key, items in by_subscription.items() if key is not None}


def put_onto_invoices(items: Iterable[InvoiceItem]) -> None:
    """Store which invoice each item is on, whose lines say what the items say."""
    update_rows(list(items), ["invoice"])


def _for(subscriptions: Sequence[Subscription]) -> Q:
    customers = {subscription.customer_id for subscription in subscriptions}
    return Q(subscription__in=[subscription.pk for subscription in subscriptions]) | Q(customer__in=customers)


def _waiting(environment_id: UUID, condition: Q) -> InvoiceItemQuerySet:
    return (
        InvoiceItem.objects.waiting()
        .filter(condition, environment=environment_id)
        .select_related("subscription")
        .order_by("pk")
    )


def _locked(items: InvoiceItemQuerySet) -> InvoiceItemQuerySet:
    # In the order of their ids, so that two runs that want the same ones wait for each other in turn.
    return items.select_for_update(of=("self",), no_key=True)
