"""An invoice that was wrong is voided, and a draft that can be corrected takes its place; each says which the other is."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from invoices.drafting import add_up
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
from invoices.services.collecting import void_invoice
from webhooks.kinds import Kind
from webhooks.services import record


@transaction.atomic
def reissue_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Void an invoice and draft a new one with the same lines, discounts and taxes, as a beginning.

    The draft stands for itself: its lines are amounts as they were billed, one invoice item each, which can be changed,
    removed and added to. It becomes final when somebody says so. Credit and balance that the old one took are back, and
    pay again.

    :param now: the customer's time
    :returns: the draft
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft, paid or void
    :raises InvoicePartlySettled: if something of it was paid or credited
    """
    original = void_invoice(invoice=invoice, now=now)
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
    record(Kind.INVOICE_CREATED, rows=[draft], now=now)
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
