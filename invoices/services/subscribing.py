"""Subscriptions with what is owed for them: they begin, are cancelled, and go with their customer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.models import Customer, Environment
from accounts.services import delete_customer as close_customer
from invoices.prorations import make_prorations
from invoices.services.beginning import SubscriptionTerms, begin_subscription
from invoices.services.billing import bill_usage_until, lock_subscription
from invoices.services.collecting import give_up_first_invoices
from invoices.services.stepping import catch_up
from invoices.services.waiting import drop_waiting_prorations, keep_prorations
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import Subscription, TaxRate
from subscriptions.services import (
    AddedItem,
    NewDiscount,
    NewItem,
    cancel_unstarted_schedules,
    change_instant,
    end_subscription,
    told,
)
from subscriptions.statuses import Status


@transaction.atomic
def start_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    discounts: Sequence[NewDiscount] = (),
    tax_rates: Sequence[TaxRate] = (),
    added: Sequence[AddedItem] = (),
    **terms: Unpack[SubscriptionTerms],
) -> Subscription:
    """Begin a subscription, and bill its licensed items for the first period at once: :func:`begin_subscription`.

    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises BillingError: whatever :func:`begin_subscription` refuses
    """
    hold_clock(customer, now=now)
    subscription = begin_subscription(
        environment=environment,
        customer=customer,
        items=items,
        now=now,
        discounts=discounts,
        tax_rates=tax_rates,
        added=added,
        **terms,
    )
    # A trial that ends soon is told of at once.
    catch_up(subscription, now)
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
    :param prorate: give back what licensed items were paid beyond ``now``, on that invoice or the customer's next one
        Prorations of earlier changes that wait go with either of the two, and are given up without both.
    :returns: the subscription as it is now
    :raises SubscriptionEnded: if it is over already
    :raises AmountTooLarge: if an invoice would be beyond what an invoice can hold
    """
    subscription = lock_subscription(subscription, now=now)
    catch_up(subscription, now)
    if subscription.is_over:
        raise SubscriptionEnded(subscription.pk)
    if subscription.status not in {Status.INCOMPLETE, Status.PAUSED}:
        if prorate:
            at = change_instant(subscription, now)
            unused = make_prorations(subscription, list(subscription.items.all()), at=at, now=now, charging=False)
            keep_prorations(unused, now=now)
        if invoice_now:
            bill_usage_until(subscription, now, now=now)
    if not (prorate or invoice_now):
        # As Stripe has it: who wants neither settles nothing of the period any more.
        drop_waiting_prorations(subscription, now=now)
    with told([subscription], now=now):
        end_subscription(subscription=subscription, now=now, comment=comment, feedback=feedback)
    give_up_first_invoices([subscription], now=now)
    return subscription


@transaction.atomic
def delete_customer(*, customer: Customer, now: datetime, bill: bool = True) -> Customer:
    """Close a customer for good and end its subscriptions; usage of their current periods is not billed.

    :param now: the customer's time
    :param bill: bill the periods that were over by then
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises accounts.errors.CustomerDeleted: if that was done before
    """
    hold_clock(customer, now=now)
    # Held from here on, so that no subscription begins meanwhile. Not yet the full lock, which a billing run that
    # holds one of the subscriptions would wait for while we wait for it.
    Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
    for subscription in customer.subscriptions.filter(ended_at__isnull=True).order_by("pk"):
        locked = lock_subscription(subscription, now=now)
        if bill:
            catch_up(locked, now)
        # Its last period may have been over already.
        if not locked.is_over:
            with told([locked], now=now):
                end_subscription(subscription=locked, now=now)
            give_up_first_invoices([locked], now=now)
    cancel_unstarted_schedules(customer, now=now)
    return close_customer(customer=customer, now=now)
