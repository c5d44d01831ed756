"""The billing run: periods that are over become draft invoices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.db.models import F, Prefetch, prefetch_related_objects

from accounts.models import Company, Customer
from invoices.drafting import cycle_charges, make_invoice, make_lines
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceLine
from invoices.reducing import read_terms, reduce_all, store_reduced
from invoices.services.waiting import put_onto_invoices, take_waiting_items
from invoices.true_ups import REACH, due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import ItemTerm, Subscription, SubscriptionItem, SubscriptionQuerySet
from subscriptions.services import advance_subscriptions, current_period
from webhooks.kinds import Kind
from webhooks.services import record

# For as long after the end of a period late usage still gets onto its invoice, where nobody has set it otherwise.
GRACE = timedelta(hours=1)


def grace_of(customer: Customer, company: Company) -> timedelta:
    """For how long an invoice of a period stays a draft: the customer's own grace, or else the company's."""
    own = customer.grace_minutes
    return timedelta(minutes=company.grace_minutes if own is None else own)


def subscriptions_with_items() -> SubscriptionQuerySet:
    """Subscriptions with all that billing them reads."""
    return Subscription.objects.select_related("customer__test_clock").prefetch_related(*_items_and_terms())


def reread_items(subscription: Subscription) -> None:
    """Read a subscription's items and terms again, once they were changed. What else was changed in memory stays."""
    subscription.refresh_from_db(fields=["items", "terms"])
    prefetch_related_objects([subscription], *_items_and_terms())


def _items_and_terms() -> "list[Prefetch[Any]]":
    items = (
        SubscriptionItem.objects.present()
        .select_related("price__product", "price__meter")
        .prefetch_related("price__tiers")
    )
    # What was metered before a change, as far as it is still to be billed or may be trued up.
    terms = (
        ItemTerm.objects.filter(price__meter__isnull=False, ends_at__gt=F("item__current_period_start") - REACH)
        .select_related("item", "price__product", "price__meter")
        .prefetch_related("price__tiers")
    )
    return [Prefetch("items", items), Prefetch("terms", terms)]


def close_periods(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Bill the current period of each subscription and late usage of earlier ones, and move it on in memory.

    The caller holds their locks, in one environment, and stores them. The drafts become final after the grace.
    """
    charges = {subscription.pk: cycle_charges(subscription) for subscription in subscriptions}
    environment_id = subscriptions[0].environment_id
    company = Company.objects.get(environments=environment_id)
    answers, true_ups = read_all_usage(environment_id, charges, due_true_ups(subscriptions))
    waiting = take_waiting_items(environment_id, subscriptions)
    invoices: list[Invoice] = []
    lines: list[InvoiceLine] = []
    of_invoice: list[tuple[Subscription, Invoice, list[InvoiceLine]]] = []
    for subscription in subscriptions:
        made = make_lines(charges[subscription.pk], answers, read_at=now)
        made += make_true_up_lines(true_ups.get(subscription.pk, ()), answers, others=made, read_at=now)
        items = waiting.get(subscription.pk, [])
        made += make_item_lines(items, start=len(made))
        # With licensed items only, a last period was paid in advance: nothing is left to bill.
        if made:
            invoice = make_invoice(
                subscription,
                made,
                period=current_period(subscription),
                billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE,
                created_at=now,
                finalizes_at=now + grace_of(subscription.customer, company),
            )
            invoices.append(invoice)
            lines.extend(made)
            for item in items:
                item.invoice = invoice
            of_invoice.append((subscription, invoice, made))
    reduced = reduce_all(of_invoice, read_terms(environment_id, subscriptions, lock=True))
    Invoice.objects.bulk_create(invoices)
    put_onto_invoices(chain.from_iterable(waiting.values()))
    InvoiceLine.objects.bulk_create(lines)
    store_reduced(reduced, now=now)
    record(Kind.INVOICE_CREATED, rows=invoices, now=now)
    advance_subscriptions(subscriptions=subscriptions)
