"""The billing run: periods that are over become draft invoices."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.db.models import F, Prefetch, prefetch_related_objects

from accounts.models import Company, Customer
from core.bulk import insert_rows
from core.periods import Period
from core.related import bringing
from invoices.drafting import PRICES, cycle_charges, make_invoice, make_lines
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.reducing import read_terms, reduce_all, store_reduced
from invoices.services.waiting import put_onto_invoices, take_waiting_items, take_waiting_items_of_subscriptions
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


def read_items(subscription: Subscription) -> None:
    """Have a subscription that was read with its customer and the customer's clock bring what else billing it reads."""
    prefetch_related_objects([subscription], *_items_and_terms())


def reread_items(subscription: Subscription) -> None:
    """Read a subscription's items and terms again, once they were changed. What else was changed in memory stays."""
    subscription.refresh_from_db(fields=["items", "terms"])
    read_items(subscription)


def _items_and_terms() -> "list[Prefetch[Any]]":
    items = SubscriptionItem.objects.present().prefetch_related(*PRICES)
    # What was metered before a change, as far as it is still to be billed or may be trued up.
    terms = (
        ItemTerm.objects.filter(price__meter__isnull=False, ends_at__gt=F("item__current_period_start") - REACH)
        .select_related("item")
        .prefetch_related(*PRICES)
    )
    return [Prefetch("items", items), Prefetch("terms", terms)]


def close_periods(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Bill the current period of each subscription and late usage of earlier ones, and move it on in memory.

    The caller holds their locks, in one environment, and stores them. The drafts become final after the grace.
    """
    charges = {subscription.pk: cycle_charges(subscription) for subscription in subscriptions}
    environment_id = subscriptions[0].environment_id
    answers, true_ups = read_all_usage(environment_id, charges, due_true_ups(subscriptions))
    waiting = take_waiting_items(environment_id, subscriptions)
    drafts: list[_Draft] = []
    for subscription in subscriptions:
        made = make_lines(charges[subscription.pk], answers, read_at=now)
        made += make_true_up_lines(true_ups.get(subscription.pk, ()), answers, others=made, read_at=now)
        items = waiting.get(subscription.pk, [])
        made += make_item_lines(items, start=len(made))
        # With licensed items only, a last period was paid in advance: nothing is left to bill.
        if made:
            drafts.append(_Draft(subscription, made, items, current_period(subscription)))
    _store(drafts, billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE, now=now)
    advance_subscriptions(subscriptions=subscriptions)


def invoice_what_waits(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Draft an invoice of what waits for each subscription, where something does. What waits for its customer goes on waiting.

    The caller holds their locks, in one environment. The drafts become final after the grace.
    """
    waiting = take_waiting_items_of_subscriptions(subscriptions[0].environment_id, subscriptions)
    drafts = []
    for subscription in subscriptions:
        items = waiting.get(subscription.pk, [])
        if items:
            start = current_period(subscription).start
            lines = make_item_lines(items, start=0)
            drafts.append(_Draft(subscription, lines, items, Period(min(start, now), now)))
    if drafts:
        _store(drafts, billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE, now=now)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is to be an invoice.

    :ivar items: what waited for it, and is among the lines
    """

    subscription: Subscription
    lines: list[InvoiceLine]
    items: list[InvoiceItem]
    period: Period


def _store(drafts: Sequence[_Draft], *, billing_reason: str, now: datetime) -> None:
    """Store drafts of one environment, in as many statements however many they are."""
    if not drafts:
        return
    subscriptions = [draft.subscription for draft in drafts]
    environment_id = subscriptions[0].environment_id
    company = Company.objects.get(environments=environment_id)
    invoices = []
    for draft in drafts:
        invoice = make_invoice(
            draft.subscription,
            draft.lines,
            period=draft.period,
            billing_reason=billing_reason,
            created_at=now,
            finalizes_at=now + grace_of(draft.subscription.customer, company),
        )
        invoices.append(invoice)
        for item in draft.items:
            item.invoice = invoice
    taken = list(chain.from_iterable(draft.items for draft in drafts))
    terms = read_terms(environment_id, subscriptions, lock=True, items=taken)
    of_invoice = [(draft.subscription, invoice, draft.lines) for draft, invoice in zip(drafts, invoices, strict=True)]
    reduced = reduce_all(of_invoice, terms)
    insert_rows(invoices)
    put_onto_invoices(taken)
    lines = list(chain.from_iterable(draft.lines for draft in drafts))
    insert_rows(lines)
    store_reduced(reduced, now=now)
    with bringing(invoices, "lines", lines, by="invoice_id"):
        record(Kind.INVOICE_CREATED, rows=invoices, now=now, in_hand=True)
