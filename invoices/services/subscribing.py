"""Subscriptions with what is owed for them: they begin, are cancelled, and go with their customer."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction

from accounts.models import Customer, Environment
from accounts.services import delete_customer as close_customer
from core.metadata import MetadataChange
from core.periods import Period
from invoices.drafting import Charge, first_charges, make_invoice, make_lines, unbilled_charges
from invoices.models import Invoice, InvoiceLine
from invoices.services.closing import close_periods, subscriptions_with_items
from invoices.services.finalizing import issue
from invoices.true_ups import TrueUp, due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.errors import ProrationNotSupported, SubscriptionEnded
from subscriptions.models import Subscription
from subscriptions.services import NewItem, create_subscription, end_subscription


class SubscriptionTerms(TypedDict, total=False):
    """What a subscription may be given when it begins; :func:`subscriptions.services.create_subscription` says more."""

    backdated_to: datetime | None
    anchor_at: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    collection_method: str
    days_until_due: int | None
    description: str
    metadata: MetadataChange | None


@transaction.atomic
def start_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    **terms: Unpack[SubscriptionTerms],
) -> Subscription:
    """Begin a subscription, and bill its licensed items for the first period at once.

    Licensed items are paid in advance. A first period that is longer or shorter than a full one is prorated by time
    against the full periods it lies in. With metered items only there is nothing to bill yet, and no invoice.

    :param now: the customer's time
    :raises BillingError: whatever :func:`subscriptions.services.create_subscription` refuses
    :raises AmountTooLarge: if the first invoice is beyond what an invoice can hold
    """
    created = create_subscription(environment=environment, customer=customer, items=items, now=now, **terms)
    subscription = subscriptions_with_items().get(pk=created.pk)
    # Between the start and the second of creation: what the invoice is of, as its lines are of the whole first period.
    span = Period(subscription.start_at, now.replace(microsecond=0))
    _bill_at_once(
        subscription,
        first_charges(subscription),
        period=span,
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_CREATE,
        now=now,
    )
    return subscription


@transaction.atomic
def cancel_subscription(
    *,
    subscription: Subscription,
    now: datetime,
    invoice_now: bool = False,
    prorate: bool = False,
    comment: str = "",
    feedback: str = "",
) -> Subscription:
    """End a subscription at this moment. Periods that were over by then are billed as ever.

    :param now: the customer's time
    :param invoice_now: bill the metered usage of the current period before ``now``, on an invoice that is final at
        once, and late usage of earlier ones; usage in the very instant of ``now`` is not billed. Without it, none of
        that is ever billed.
    :param prorate: give back what licensed items were paid beyond ``now``
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over already
    :raises ProrationNotSupported: with ``prorate`` and licensed items: not built yet
    :raises AmountTooLarge: if an invoice would be beyond what an invoice can hold
    """
    subscription = _locked(subscription)
    if prorate and any(not item.price.is_metered for item in subscription.items.all()):
        raise ProrationNotSupported
    _close_overdue(subscription, now)
    if subscription.status == Subscription.Status.CANCELED:
        raise SubscriptionEnded(subscription.pk)
    if invoice_now:
        start = subscription.items.all()[0].current_period_start
        _bill_at_once(
            subscription,
            unbilled_charges(subscription, now),
            true_ups=due_true_ups([subscription], until=now).get(subscription.pk, ()),
            period=Period(min(start, now), now),
            billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
            now=now,
        )
    end_subscription(subscription=subscription, now=now, comment=comment, feedback=feedback)
    return subscription


@transaction.atomic
def delete_customer(*, customer: Customer, now: datetime) -> Customer:
    """Close a customer for good and end its subscriptions; usage of their current periods is not billed.

    :param now: the customer's time
    :raises accounts.errors.CustomerDeleted: if that was done before
    """
    # Held from here on, so that no subscription begins meanwhile. Not yet the full lock, which a billing run that
    # holds one of the subscriptions would wait for while we wait for it.
    Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    for subscription in customer.subscriptions.exclude(status=Subscription.Status.CANCELED).order_by("pk"):
        locked = _locked(subscription)
        _close_overdue(locked, now)
        # Its last period may have been over already.
        if locked.status != Subscription.Status.CANCELED:
            end_subscription(subscription=locked, now=now)
    return close_customer(customer=customer, now=now)


def _locked(subscription: Subscription) -> Subscription:
    # no_key: the rows that are written for it refer to it.
    return subscriptions_with_items().select_for_update(of=("self",), no_key=True).get(pk=subscription.pk)


def _close_overdue(subscription: Subscription, now: datetime) -> None:
    """Bill the periods that were over by now, which the sweep may not have come to yet."""
    while subscription.wakes_at is not None and subscription.wakes_at <= now:
        close_periods([subscription], wall=now)


def _bill_at_once(
    subscription: Subscription,
    charges: Sequence[Charge],
    *,
    true_ups: Sequence[TrueUp] = (),
    period: Period,
    billing_reason: str,
    now: datetime,
) -> None:
    key = subscription.pk
    answers, countable = read_all_usage(subscription.environment_id, {key: charges}, {key: true_ups})
    lines = make_lines(charges, answers, read_at=now)
    lines += make_true_up_lines(countable.get(key, ()), answers, others=lines, read_at=now)
    if not lines:
        return
    invoice = make_invoice(
        subscription, lines, period=period, billing_reason=billing_reason, created_at=now, finalizes_at=now
    )
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines)
    issue([invoice], now=now)
