"""A draft that can be corrected takes the place of an invoice that was wrong; each says which the other is.

The wrong one is void at once (:func:`reissue_invoice`), or as its revision becomes final (:func:`revise_invoice`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Unpack

from django.db import transaction

from invoices.drafting import add_up
from invoices.errors import InvoicePartlySettled, InvoiceRevisedAlready
from invoices.items import make_item_lines
from invoices.models import (
    Invoice,
    InvoiceDiscount,
    InvoiceItem,
    InvoiceLine,
    InvoiceTaxRate,
    ItemDiscount,
    ItemTaxRate,
)
from invoices.reducing import TOTALS, reduce_again
from invoices.services.collecting import COLLECTED, locked_with_subscription, void_invoice
from invoices.services.manual import DraftTerms, InvoiceWords, write_terms, write_words
from webhooks.kinds import Kind
from webhooks.services import record


@transaction.atomic
def reissue_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Void an invoice and draft a new one with the same lines, discounts and taxes, as a beginning.

    Credit and balance that the old one took are back, and pay again.

    :param now: the customer's time
    :returns: the draft, which becomes final when somebody says so
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft, paid or void
    :raises InvoicePartlySettled: if something of it was paid or credited
    :raises InvoiceRevisedAlready: if a draft is to take its place already
    """
    original = void_invoice(invoice=invoice, now=now)
    _check_not_revised(original)
    draft = _draft_from(original, now)
    record(Kind.INVOICE_CREATED, rows=[draft], now=now)
    return draft


@transaction.atomic
def revise_invoice(
    *, invoice: Invoice, now: datetime, terms: DraftTerms | None = None, **words: Unpack[InvoiceWords]
) -> Invoice:
    """Draft a new invoice with the same lines, discounts and taxes, which is to take an open one's place.

    The old one stays open until the draft becomes final, and is void from then on. Deleting the draft leaves it as it is.

    :param now: the customer's time
    :param terms: :param words: what is to be different, as :func:`update_invoice` takes it
    :returns: the draft
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft, paid or void
    :raises InvoicePartlySettled: if something of it was paid or credited
    :raises InvoiceRevisedAlready: if a draft is to take its place already
    :raises BillingError: whatever :func:`update_invoice` refuses
    """
    original, _ = locked_with_subscription(invoice, now, COLLECTED)
    if original.amount_paid or original.pre_payment_credited:
        raise InvoicePartlySettled
    _check_not_revised(original)
    draft = _draft_from(original, now)
    write_terms(draft, terms or {}, now)
    write_words(draft, words)
    draft.save()
    record(Kind.INVOICE_CREATED, rows=[draft], now=now)
    return draft


def _check_not_revised(invoice: Invoice) -> None:
    if invoice.revisions.filter(status=Invoice.Status.DRAFT).exists():
        raise InvoiceRevisedAlready


def _draft_from(original: Invoice, now: datetime) -> Invoice:
    """A draft that says what another invoice says. The caller holds that one's lock.

    It stands for itself: its lines are amounts as they were billed, one invoice item each, which can be changed, removed
    and added to.
    """
    draft = Invoice(
        environment=original.environment,
        customer=original.customer,
        revises=original,
        billing_reason=Invoice.BillingReason.MANUAL,
        collection_method=original.collection_method,
        days_until_due=original.days_until_due,
        currency=original.currency,
        period_start=original.period_start,
        period_end=original.period_end,
        description=original.description,
        footer=original.footer,
        custom_fields=original.custom_fields,
        metadata=original.metadata,
        created_at=now,
    )
    old = list(
        original.lines.select_related("price")
        .prefetch_related("taxes__tax_rate", "discounts__discount")
        .order_by("position")
    )
    items = [_as_item(line, draft, now) for line in old]
    lines = make_item_lines(items, start=0)
    for line in lines:
        line.invoice = draft
    add_up(draft, lines)
    draft.save(force_insert=True)
    InvoiceItem.objects.bulk_create(items)
    InvoiceLine.objects.bulk_create(lines)
    _stand_under(draft, original)
    _keep_terms(draft, list(zip(items, old, strict=True)))
    asked = [[tax.tax_rate for tax in before.taxes.all()] for before in old]
    reduce_again({draft: lines}, asked={line.pk: rates for line, rates in zip(lines, asked, strict=True)})
    draft.save(update_fields=[*TOTALS, "amount_due"])
    return draft


def _stand_under(draft: Invoice, original: Invoice) -> None:
    """Have a draft stand under what another invoice stood under as a whole."""
    here = {"environment": draft.environment, "invoice": draft}
    InvoiceDiscount.objects.bulk_create(
        InvoiceDiscount(**here, discount=row.discount, position=row.position)
        for row in original.discounts.select_related("discount")
        if not row.discount.is_of_item
    )
    InvoiceTaxRate.objects.bulk_create(
        InvoiceTaxRate(**here, tax_rate_id=row.tax_rate_id, position=row.position)
        for row in original.default_tax_rates.all()
    )


def _keep_terms(draft: Invoice, standing_for: Sequence[tuple[InvoiceItem, InvoiceLine]]) -> None:
    """Give items what the lines that they stand for had: as their own, since they belong to no subscription's items."""
    here = {"environment": draft.environment}
    ItemDiscount.objects.bulk_create(
        ItemDiscount(**here, item=item, discount=row.discount, position=row.position)
        for item, line in standing_for
        for row in line.discounts.all()
        if row.discount.is_of_item
    )
    ItemTaxRate.objects.bulk_create(
        ItemTaxRate(**here, item=item, tax_rate=tax.tax_rate, position=tax.position)
        for item, line in standing_for
        for tax in line.taxes.all()
    )


def _as_item(line: InvoiceLine, draft: Invoice, now: datetime) -> InvoiceItem:
    """What a line charged, as a thing of its own: its usage is not counted again, and its subscription knows nothing of it."""
    return InvoiceItem(
        environment_id=line.environment_id,
        customer=draft.customer,
        invoice=draft,
        price=line.price,
        currency=draft.currency,
        description=line.description,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        exact_amount=line.exact_amount,
        amount=line.amount,
        is_discountable=line.is_discountable,
        period_start=line.period_start,
        period_end=line.period_end,
        basis={"revises": str(line.pk)},
        created_at=now,
    )
