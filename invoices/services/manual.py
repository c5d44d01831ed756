"""Invoices that somebody makes by hand, and what may be said on an invoice while it is a draft or after."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from invoices.errors import InvoiceNotDeletable, InvoiceNotDraft, ItemCustomerMismatch
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.reducing import Reduced, read_terms, reduce_by, store_reduced
from invoices.services.agreeing import (
    bind_to_invoice,
    change_discounts_of_invoice,
    change_tax_rates_of_invoice,
    discounts_of,
    give_back_discounts,
)
from invoices.services.closing import grace_of
from invoices.services.finalizing import add_up_again, lock_invoice
from invoices.services.waiting import put_onto_invoices, take_waiting_items_of_customer
from subscriptions.errors import CurrencyUnknown
from subscriptions.models import Coupon, Discount, Subscription, TaxRate
from subscriptions.services import NewDiscount, check_collection, checked_tax_rates
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

_DEFAULT_CURRENCY = "usd"


class InvoiceWords(TypedDict, total=False):
    """What is said on an invoice beside its amounts; it may change after the invoice is final."""

    description: str
    footer: str
    custom_fields: Sequence[dict[str, str]]
    metadata: MetadataChange | None


class DraftTerms(TypedDict, total=False):
    """How a draft is to be collected, whether it becomes final by itself, and what it stands under.

    ``discounts`` are for this invoice alone; ``tax_rates`` are asked for what has none of its own.
    """

    collection_method: str
    days_until_due: int | None
    finalizes_itself: bool
    discounts: Sequence[NewDiscount]
    tax_rates: Sequence[TaxRate]


def currency_of(customer: Customer, *, subscription: Subscription | None = None) -> str:
    """The currency that a customer is billed in where nobody says: the subscription's, that of what waits, of what was
    billed last; US dollars for somebody new.
    """
    if subscription is not None:
        return subscription.currency
    mine = {"environment": customer.environment_id, "customer": customer.pk}
    waiting = InvoiceItem.objects.waiting().filter(**mine).order_by("pk")
    billed = Invoice.objects.filter(**mine).order_by("-created_at", "-pk")
    for rows in (waiting, billed):
        currency = rows.values_list("currency", flat=True).first()
        if currency is not None:
            return currency
    return _DEFAULT_CURRENCY


@transaction.atomic
def create_invoice(
    *,
    environment: Environment,
    customer: Customer,
    currency: str,
    now: datetime,
    subscription: Subscription | None = None,
    takes_waiting_items: bool = False,
    collection_method: str = Subscription.CollectionMethod.CHARGE_AUTOMATICALLY,
    days_until_due: int | None = None,
    finalizes_itself: bool = False,
    discounts: Sequence[NewDiscount] | None = None,
    tax_rates: Sequence[TaxRate] | None = None,
    **words: Unpack[InvoiceWords],
) -> Invoice:
    """Draft an invoice by hand. Items can be put onto it as long as it is a draft.

    :param now: the customer's time
    :param subscription: the invoice is this one's, and takes only items that wait for it
    :param takes_waiting_items: put what waits for the customer in this currency onto it
    :param finalizes_itself: after an hour, as those of a billing run
    :param discounts: for this invoice alone, instead of what its customer or its subscription has; None: that
    :param tax_rates: asked for what has none of its own, instead of what its customer or its subscription asks; None: that
    :raises NotFound: if customer or subscription are not the environment's
    :raises CustomerDeleted: if the customer was deleted
    :raises ItemCustomerMismatch: if the subscription is another customer's
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises AmountTooLarge: if the total is beyond what an invoice can hold
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    :raises BillingError: whatever :func:`bind_discounts` and :func:`checked_tax_rates` refuse
    """
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    if subscription is not None and subscription.environment_id != environment.pk:
        raise NotFound("subscription", str(subscription.pk))
    if subscription is not None and subscription.customer_id != customer.pk:
        raise ItemCustomerMismatch
    check_collection(collection_method, days_until_due)
    if currency not in CURRENCIES:
        raise CurrencyUnknown(currency)
    hold_clock(customer, now=now)
    if Customer.objects.select_for_update(no_key=True).get(pk=customer.pk).deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    invoice = Invoice(
        environment=environment,
        customer=customer,
        subscription=subscription,
        billing_reason=Invoice.BillingReason.MANUAL,
        collection_method=collection_method,
        days_until_due=days_until_due,
        currency=currency,
        period_start=now,
        period_end=now,
        created_at=now,
        finalizes_at=now + grace_of(customer, environment.company) if finalizes_itself else None,
    )
    write_words(invoice, words)
    items: list[InvoiceItem] = []
    if takes_waiting_items:
        items = take_waiting_items_of_customer(customer, currency=currency, subscription=subscription)
    lines = make_item_lines(items, start=0)
    for line in lines:
        line.invoice = invoice
    reduced = _reduce(invoice, items, lines, discounts, tax_rates)
    invoice.save(force_insert=True)
    for item in items:
        item.invoice = invoice
    put_onto_invoices(items)
    InvoiceLine.objects.bulk_create(lines)
    store_reduced([reduced], now=now)
    record(Kind.INVOICE_CREATED, rows=[invoice], now=now)
    return invoice


def _reduce(
    invoice: Invoice,
    items: Sequence[InvoiceItem],
    lines: Sequence[InvoiceLine],
    given: Sequence[NewDiscount] | None,
    tax_rates: Sequence[TaxRate] | None,
) -> Reduced:
    """Have an invoice stand under what was given to it, or else the discounts and taxes of its customer or subscription."""
    subscription, now = invoice.subscription, invoice.created_at
    subscriptions = [] if subscription is None else [subscription]
    terms = read_terms(invoice.environment_id, subscriptions, lock=True, customer_id=invoice.customer_id, items=items)
    if tax_rates is not None:
        terms.asked_by_default = checked_tax_rates(tax_rates, invoice.environment_id, before=())
    if subscription is None:
        discounts = terms.discounts_of_customer(invoice.customer_id, now)
    else:
        discounts = terms.discounts_of(subscription, now)
    if given is not None:
        of_items = [one for one in discounts if one.is_of_item]
        mine = [one for one in discounts if not one.is_of_item]
        discounts = [*of_items, *bind_to_invoice(invoice, given, present=mine, lines=lines, now=now)]
    reduced = reduce_by(terms, invoice, lines, discounts=discounts)
    # What is for once waits for an invoice that it takes something off, and cannot wait on several drafts.
    reduced.discounts = [
        row
        for row in reduced.discounts
        if row.discount.bound_to
        or row.discount.coupon.duration != Coupon.Duration.ONCE
        or row.discount in reduced.used_up
    ]
    return reduced


@transaction.atomic
def update_invoice(
    *, invoice: Invoice, now: datetime, terms: DraftTerms | None = None, **words: Unpack[InvoiceWords]
) -> Invoice:
    """Change what is said on an invoice; of a draft, how it is to be collected as well.

    :returns: the invoice as it is now
    :raises InvoiceNotDraft: if the invoice is final, and more than words were to be changed
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they would not fit the collection method
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    :raises BillingError: whatever :func:`bind_discounts` and :func:`checked_tax_rates` refuse
    """
    hold_clock(invoice.customer, now=now)
    invoice = lock_invoice(invoice)
    before = take_snapshots([invoice])
    if terms:
        if invoice.status != Invoice.Status.DRAFT:
            raise InvoiceNotDraft(invoice.status)
        write_terms(invoice, terms, now)
    write_words(invoice, words)
    invoice.save(
        update_fields=[
            "description",
            "footer",
            "custom_fields",
            "metadata",
            "collection_method",
            "days_until_due",
            "finalizes_at",
        ]
    )
    record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    return invoice


@transaction.atomic
def delete_draft(*, invoice: Invoice, now: datetime) -> None:
    """Delete a draft that was made by hand. What it had taken waits again; what a revision copied goes with it.

    :raises InvoiceNotDeletable: if it is final, or a subscription's
    """
    hold_clock(invoice.customer, now=now)
    invoice = lock_invoice(invoice)
    if invoice.status != Invoice.Status.DRAFT or invoice.subscription_id is not None:
        raise InvoiceNotDeletable
    record(Kind.INVOICE_DELETED, rows=[invoice], now=now)
    original = invoice.revises
    # What a revision stood under is its original's as long as that stands.
    give_back_discounts(invoice, discounts_of([invoice] if original is None else [invoice, original]))
    bound = Discount.objects.filter(invoices__invoice=invoice).exclude(bound_to="")
    if original is not None and original.status != Invoice.Status.VOID:
        bound = bound.exclude(invoices__invoice=original)
    bound.update(removed_at=now)
    invoice.lines.all().delete()
    items = InvoiceItem.objects.filter(environment=invoice.environment_id, invoice=invoice)
    # A revision's items were billed by what it revises: waiting, they would be billed again.
    items.update(invoice=None, removed_at=None if original is None else now)
    invoice.delete()


def write_words(invoice: Invoice, words: InvoiceWords) -> None:
    """Have an invoice say so; the caller stores it.

    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    metadata = words.pop("metadata", None)
    if metadata is not None:
        invoice.metadata = metadata.applied_to(invoice.metadata)
    for name, value in words.items():
        setattr(invoice, name, value)


def write_terms(invoice: Invoice, terms: DraftTerms, now: datetime) -> None:
    """Have a draft stand under these terms and add it up. The caller holds its lock, and stores it.

    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they would not fit the collection method
    :raises BillingError: whatever :func:`bind_discounts` and :func:`checked_tax_rates` refuse
    """
    method = terms.get("collection_method", invoice.collection_method)
    # Another method comes with days of its own, or none.
    kept = invoice.days_until_due if method == invoice.collection_method else None
    days = terms.get("days_until_due", kept)
    check_collection(method, days)
    invoice.collection_method, invoice.days_until_due = method, days
    if "finalizes_itself" in terms:
        grace = grace_of(invoice.customer, invoice.environment.company)
        invoice.finalizes_at = (invoice.finalizes_at or now + grace) if terms["finalizes_itself"] else None
    if "discounts" in terms:
        change_discounts_of_invoice(invoice, terms["discounts"], now=now)
    asked = change_tax_rates_of_invoice(invoice, terms["tax_rates"]) if "tax_rates" in terms else {}
    if terms.keys() & {"discounts", "tax_rates"}:
        add_up_again(invoice, asked=asked)
