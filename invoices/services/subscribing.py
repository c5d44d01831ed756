"""Subscriptions with what is owed for them: they begin, are cancelled, and go with their customer."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.models import Customer, Environment
from accounts.services import delete_customer as close_customer
from core.metadata import MetadataChange
from core.periods import Period
from invoices.drafting import Charge, first_charges, make_invoice, make_lines, usage_charges
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceLine
from invoices.prorations import make_prorations
from invoices.reducing import read_billed, read_terms, reduce, store_reduced
from invoices.services.bargaining import give_terms
from invoices.services.closing import subscriptions_with_items
from invoices.services.collecting import give_up_first_invoices
from invoices.services.finalizing import issue
from invoices.services.stepping import catch_up
from invoices.services.waiting import keep_prorations, put_onto_invoices, take_waiting_items
from invoices.true_ups import TrueUp, due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.anchors import AnchorConfig
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import Subscription, TaxRate
from subscriptions.services import (
    NewDiscount,
    NewItem,
    become,
    change_instant,
    create_subscription,
    current_period,
    end_subscription,
    store,
    told,
)
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record


class SubscriptionTerms(TypedDict, total=False):
    """What a subscription may be given when it begins; :func:`subscriptions.services.create_subscription` says more."""

    backdated_to: datetime | None
    anchor_at: datetime | None
    anchor_config: AnchorConfig | None
    trial_days: int | None
    trial_end_at: datetime | None
    trial_end_behavior: str
    cancel_at: datetime | None
    cancel_at_period_end: bool
    collection_method: str
    days_until_due: int | None
    incomplete: bool
    description: str
    metadata: MetadataChange | None


@transaction.atomic
def start_subscription(
    *,
    environment: Environment,
    customer: Customer,
    items: Sequence[NewItem],
    now: datetime,
    discounts: Sequence[NewDiscount] = (),
    tax_rates: Sequence[TaxRate] = (),
    **terms: Unpack[SubscriptionTerms],
) -> Subscription:
    """Begin a subscription, and bill its licensed items for the first period at once.

    Licensed items are paid in advance. A first period that is longer or shorter than a full one is prorated by time
    against the full periods it lies in. A trial begins with an invoice of zero. With metered items only there is
    nothing to bill yet, and no invoice. What was to wait for its first invoice to be paid is active where there is
    nothing to pay, or where the invoice is sent and has its own day to be paid by.

    :param now: the customer's time
    :param discounts: what is redeemed for the subscription, instead of what its customer has
    :param tax_rates: what is asked for items that have none of their own
    :raises BillingError: whatever :func:`subscriptions.services.create_subscription` and :func:`give_terms` refuse
    :raises AmountTooLarge: if the first invoice is beyond what an invoice can hold
    """
    created = create_subscription(environment=environment, customer=customer, items=items, now=now, **terms)
    subscription = subscriptions_with_items().get(pk=created.pk)
    give_terms(subscription, items=items, discounts=discounts, tax_rates=tax_rates, now=now)
    # Between the start and the second of creation: what the invoice is of, as its lines are of the whole first period.
    span = Period(subscription.start_at, now.replace(microsecond=0))
    bill_at_once(
        subscription,
        first_charges(subscription),
        period=span,
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_CREATE,
        now=now,
    )
    if subscription.status == Status.INCOMPLETE and not subscription.invoices.filter(status="open").exists():
        become(subscription, Status.ACTIVE)
        store([subscription])
    # Told with its first invoice on it, and so after that.
    record(Kind.SUBSCRIPTION_CREATED, rows=[subscription], now=now)
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
            bill_usage_until(subscription, now)
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
    return close_customer(customer=customer, now=now)


def lock_subscription(subscription: Subscription, *, now: datetime) -> Subscription:
    """Take a subscription's lock, and read it as it is now, with all that billing it reads.

    :raises accounts.errors.ClockAdvancing: if its customer's test clock is on the move, or has moved on from ``now``
    """
    hold_clock(subscription.customer, now=now)
    # no_key: the rows that are written for it refer to it.
    return subscriptions_with_items().select_for_update(of=("self",), no_key=True).get(pk=subscription.pk)


def bill_usage_until(subscription: Subscription, now: datetime) -> None:
    """Bill the metered usage of the current period before an instant, and late usage of earlier ones. The caller holds the lock."""
    start = current_period(subscription).start
    bill_at_once(
        subscription,
        usage_charges(subscription, now),
        true_ups=due_true_ups([subscription], until=now).get(subscription.pk, ()),
        period=Period(min(start, now), now),
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
        now=now,
    )


def bill_at_once(
    subscription: Subscription,
    charges: Sequence[Charge],
    *,
    true_ups: Sequence[TrueUp] = (),
    period: Period,
    billing_reason: str,
    now: datetime,
) -> None:
    """Make an invoice that is final at once, if there is anything to bill. The caller holds the lock."""
    key = subscription.pk
    answers, countable = read_all_usage(subscription.environment_id, {key: charges}, {key: true_ups})
    lines = make_lines(charges, answers, read_at=now)
    lines += make_true_up_lines(countable.get(key, ()), answers, others=lines, read_at=now)
    # A subscription that has nothing to bill yet begins without an invoice, whatever waits for its customer.
    begins = billing_reason == Invoice.BillingReason.SUBSCRIPTION_CREATE
    waiting = take_waiting_items(subscription.environment_id, [subscription]) if lines or not begins else {}
    items = waiting.get(key, [])
    lines += make_item_lines(items, start=len(lines))
    if not lines:
        return
    invoice = make_invoice(
        subscription, lines, period=period, billing_reason=billing_reason, created_at=now, finalizes_at=now
    )
    terms = read_terms(subscription.environment_id, [subscription], lock=True)
    reduced = reduce(
        invoice,
        lines,
        discounts=terms.discounts_of(subscription, now),
        tax_rates_of=terms.tax_rates_of,
        billed=read_billed(lines),
    )
    invoice.save(force_insert=True)
    for item in items:
        item.invoice = invoice
    put_onto_invoices(items)
    InvoiceLine.objects.bulk_create(lines)
    store_reduced([reduced], now=now)
    record(Kind.INVOICE_CREATED, rows=[invoice], now=now)
    if invoice.finalizes_at is not None:
        issue([invoice], now=now)
