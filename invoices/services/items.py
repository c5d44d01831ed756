"""What waits for an invoice: made, changed, removed, and put onto one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict, Unpack

from django.db import transaction
from django.db.models import Max

from accounts.clocks import hold_clock
from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from core.errors import NotFound
from core.metadata import MetadataChange
from core.money import CURRENCIES
from core.periods import Period
from invoices.errors import (
    ItemCurrencyMismatch,
    ItemCustomerMismatch,
    ItemOnFinalInvoice,
    ItemPriceRefused,
    ProrationNotEditable,
)
from invoices.items import Cost, copy_to_line, make_item_lines
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.services.agreeing import asked_of, give_item_terms
from invoices.services.finalizing import add_up_again, lock_invoice, locked_draft
from subscriptions.errors import CurrencyUnknown, SubscriptionEnded
from subscriptions.models import Discount, Price, Subscription, TaxRate
from subscriptions.services import NewDiscount
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


class ItemTerms(TypedDict, total=False):
    """What an invoice item costs: a sum, or units at a price or at so much each; and what else is said of it.

    ``amount`` and ``unit_amount`` are minor units; below zero they are given back. ``quantity`` is 1 if not given.
    ``discounts`` are for it alone, and come before those of its invoice, which take nothing off what is not discountable:
    what gives something back, unless it is said to be. ``tax_rates`` stand instead of its invoice's; with none, these do.
    """

    amount: int
    unit_amount: Decimal
    price: Price
    quantity: Decimal
    description: str
    period: Period
    is_discountable: bool
    discounts: Sequence[NewDiscount]
    tax_rates: Sequence[TaxRate]
    metadata: MetadataChange | None


@transaction.atomic
def create_invoice_item(
    *,
    environment: Environment,
    customer: Customer,
    currency: str,
    now: datetime,
    subscription: Subscription | None = None,
    invoice: Invoice | None = None,
    **terms: Unpack[ItemTerms],
) -> InvoiceItem:
    """Charge a customer once, or give something back: on the next invoice, or on a draft that is there.

    :param currency: of a price it is the price's
    :param now: the customer's time
    :param subscription: wait for this one's next invoice; else for the customer's next one in that currency
    :param invoice: do not wait, and go onto this draft
    :raises NotFound: if something of it is not the environment's
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CustomerDeleted: if the customer was deleted
    :raises CurrencyUnknown: what it says
    :raises ItemCustomerMismatch: :raises ItemCurrencyMismatch: if it does not go with its subscription or invoice
    :raises SubscriptionEnded: if the subscription is over: it has no next invoice
    :raises InvoiceNotDraft: if the invoice is final
    :raises ItemPriceRefused: if the price is recurring or inactive
    :raises AmountTooLarge: if an amount is beyond what an invoice can hold
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    :raises BillingError: whatever :func:`give_item_terms` refuses
    """
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    price = terms.get("price")
    item_currency = price.currency if price else currency
    if item_currency not in CURRENCIES:
        raise CurrencyUnknown(item_currency)
    hold_clock(customer, now=now)
    # The draft first, as whoever finalizes it holds it first.
    draft = None if invoice is None else locked_draft(invoice)
    if Customer.objects.select_for_update(no_key=True).get(pk=customer.pk).deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    item = InvoiceItem(
        environment=environment,
        customer=customer,
        subscription=subscription or (draft.subscription if draft else None),
        invoice=draft,
        currency=item_currency,
        metadata=(terms.get("metadata") or MetadataChange()).applied_to({}),
        period_start=now,
        period_end=now,
        created_at=now,
    )
    _check_company(item, subscription, draft)
    _write_terms(item, terms)
    item.is_discountable = terms.get("is_discountable", item.amount >= 0)
    item.save(force_insert=True)
    give_item_terms(item, discounts=terms.get("discounts"), tax_rates=terms.get("tax_rates"), now=now)
    record(Kind.INVOICE_ITEM_CREATED, rows=[item], now=now)
    if draft is not None:
        with _retold(draft, now):
            _put_onto(draft, [item])
    return item


@transaction.atomic
def update_invoice_item(*, item: InvoiceItem, now: datetime, **terms: Unpack[ItemTerms]) -> InvoiceItem:
    """Change what waits for an invoice, or is on a draft.

    :param now: the customer's time
    :returns: the item as it is now
    :raises NotFound: if it was removed
    :raises ItemOnFinalInvoice: if its invoice is final
    :raises ProrationNotEditable: if what a proration comes to were to be changed
    :raises ItemPriceRefused: :raises AmountTooLarge: :raises TooManyMetadataKeys: as when it is made
    :raises BillingError: whatever :func:`give_item_terms` refuses
    """
    hold_clock(item.customer, now=now)
    item, draft = _locked_item(item)
    if item.is_proration and terms.keys() & {"amount", "unit_amount", "price", "quantity", "period"}:
        raise ProrationNotEditable
    if (metadata := terms.get("metadata")) is not None:
        item.metadata = metadata.applied_to(item.metadata)
    item.is_discountable = terms.get("is_discountable", item.is_discountable)
    if "quantity" in terms and not terms.keys() & {"amount", "unit_amount", "price"}:
        # The same, but more or less of it.
        if item.price is not None:
            terms["price"] = item.price
        elif item.unit_amount is not None:
            terms["unit_amount"] = item.unit_amount
    _write_terms(item, terms)
    item.save()
    give_item_terms(item, discounts=terms.get("discounts"), tax_rates=terms.get("tax_rates"), now=now)
    if draft is not None:
        with _retold(draft, now):
            lines = _rewrite_lines(item)
            add_up_again(draft, asked=asked_of(draft, lines) if "tax_rates" in terms else {})
    return item


@transaction.atomic
def remove_invoice_item(*, item: InvoiceItem, now: datetime) -> InvoiceItem:
    """Take back what waits for an invoice, or is on a draft. A proration that goes is not made again by a later change.

    :raises NotFound: if that was done before
    :raises ItemOnFinalInvoice: if its invoice is final
    """
    hold_clock(item.customer, now=now)
    item, draft = _locked_item(item)
    record(Kind.INVOICE_ITEM_DELETED, rows=[item], now=now)
    item.removed_at, item.invoice = now, None
    item.save(update_fields=["removed_at", "invoice"])
    Discount.objects.filter(invoice_items__item=item).exclude(bound_to="").update(removed_at=now)
    if draft is not None:
        with _retold(draft, now):
            InvoiceLine.objects.filter(environment=item.environment_id, invoice_item=item).delete()
            add_up_again(draft)
    return item


@transaction.atomic
def restore_invoice_item(
    *, item: InvoiceItem, invoice: Invoice, columns: Mapping[str, Any], position: int, now: datetime
) -> InvoiceItem:
    """Have an item be on a draft again as it was: taken off since, or changed. The item's discounts come back with it.

    :param columns: what it was, by the model's columns
    :param position: where its line was; if another has taken that place, it comes last
    :raises InvoiceNotDraft: if the invoice is final
    """
    hold_clock(item.customer, now=now)
    draft = locked_draft(invoice)
    item = InvoiceItem.objects.select_for_update(of=("self",), no_key=True).get(pk=item.pk)
    for name, value in columns.items():
        setattr(item, name, value)
    removed_at, item.removed_at, item.invoice = item.removed_at, None, draft
    item.save()
    with _retold(draft, now):
        if removed_at is None:
            _rewrite_lines(item)
            add_up_again(draft)
        else:
            Discount.objects.filter(invoice_items__item=item, removed_at=removed_at).update(removed_at=None)
            record(Kind.INVOICE_ITEM_CREATED, rows=[item], now=now)
            _put_onto(draft, [item], position)
    return item


def _rewrite_lines(item: InvoiceItem) -> list[InvoiceLine]:
    """Have the line of an item that is on a draft say what the item says."""
    lines = list(InvoiceLine.objects.filter(environment=item.environment_id, invoice_item=item))
    for line in lines:
        line.invoice_item = item
        copy_to_line(item, line).save()
    return lines


@contextmanager
def _retold(draft: Invoice, now: datetime) -> Iterator[None]:
    """Tell of a draft as it is after its lines were changed within."""
    before = take_snapshots([draft])
    yield
    record(Kind.INVOICE_UPDATED, rows=[draft], now=now, before=before)


def _put_onto(draft: Invoice, items: Sequence[InvoiceItem], position: int | None = None) -> None:
    """
    :param position: where the first of them shall be, if nothing is there; else they come last
    """
    if position is None or draft.lines.filter(position=position).exists():
        last = draft.lines.aggregate(last=Max("position"))["last"]
        position = 0 if last is None else last + 1
    lines = make_item_lines(items, start=position)
    for line in lines:
        line.invoice = draft
    InvoiceLine.objects.bulk_create(lines)
    add_up_again(draft, asked=asked_of(draft, lines))


def _check_company(item: InvoiceItem, subscription: Subscription | None, draft: Invoice | None) -> None:
    for other, kind in ((subscription, "subscription"), (draft, "invoice")):
        if other is None:
            continue
        if other.environment_id != item.environment_id:
            raise NotFound(kind, str(other.pk))
        if other.customer_id != item.customer_id:
            raise ItemCustomerMismatch
        if other.currency != item.currency:
            raise ItemCurrencyMismatch(other.currency)
    if subscription is not None:
        if draft is not None and draft.subscription_id not in {None, subscription.pk}:
            raise ItemCustomerMismatch
        if draft is None and subscription.is_over:
            raise SubscriptionEnded(subscription.pk)


def _write_terms(item: InvoiceItem, terms: ItemTerms) -> None:
    price, quantity = terms.get("price"), terms.get("quantity", Decimal(1))
    words = ""
    if price is not None:
        if price.environment_id != item.environment_id:
            raise NotFound("price", str(price.pk))
        if price.pk != item.price_id and (price.interval or not price.active):
            raise ItemPriceRefused
        if price.currency != item.currency:
            raise ItemCurrencyMismatch(item.currency)
        cost = Cost.of_price(price, quantity)
        cost.write_to(item)
        item.price, words = price, cost.words
    elif "unit_amount" in terms:
        Cost.of_units(terms["unit_amount"], quantity).write_to(item)
        item.price = None
    elif "amount" in terms:
        Cost.of_amount(terms["amount"]).write_to(item)
        item.price = None
    if "description" in terms or words:
        item.description = terms.get("description") or words
    if (period := terms.get("period")) is not None:
        item.period_start, item.period_end = period.start, period.end


def _locked_item(item: InvoiceItem) -> tuple[InvoiceItem, Invoice | None]:
    """The item and the draft that it is on, both locked, the draft first."""
    while True:
        seen = InvoiceItem.objects.select_related("invoice").get(pk=item.pk)
        draft = None if seen.invoice is None else lock_invoice(seen.invoice)
        locked = InvoiceItem.objects.select_for_update(of=("self",), no_key=True).get(pk=item.pk)
        # A billing run may have put it onto an invoice meanwhile: look again.
        if locked.invoice_id == seen.invoice_id:
            break
    if locked.removed_at is not None:
        raise NotFound("invoice item", str(item.pk))
    if draft is not None and draft.status != Invoice.Status.DRAFT:
        raise ItemOnFinalInvoice
    return locked, draft
