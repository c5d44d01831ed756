"""An invoice that was wrong is voided, and a draft that can be corrected takes its place; each says which the other is."""

from datetime import datetime

from django.db import transaction

from invoices.drafting import add_up
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceDiscount, InvoiceItem, InvoiceLine, LineTax
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
    old = list(original.lines.select_related("price").prefetch_related("taxes").order_by("position"))
    items = [_as_item(line, draft, now) for line in old]
    lines = make_item_lines(items, start=0)
    for line in lines:
        line.invoice = draft
    add_up(draft, lines)
    draft.save(force_insert=True)
    InvoiceItem.objects.bulk_create(items)
    InvoiceLine.objects.bulk_create(lines)
    InvoiceDiscount.objects.bulk_create(
        InvoiceDiscount(
            environment=draft.environment, invoice=draft, discount_id=row.discount_id, position=row.position
        )
        for row in original.discounts.all()
    )
    LineTax.objects.bulk_create(
        LineTax(environment=draft.environment, line=line, tax_rate_id=tax.tax_rate_id, position=tax.position)
        for line, before in zip(lines, old, strict=True)
        for tax in before.taxes.all()
    )
    reduce_again({draft: lines})
    draft.save(update_fields=[*TOTALS, "amount_due"])
    record(Kind.INVOICE_CREATED, rows=[draft], now=now)
    return draft


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
