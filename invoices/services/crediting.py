"""Customers' credit pays for what was metered, after discounts and before tax."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from credits.applying import PayableInvoice, PayableLine, Share
from credits.services import apply_credit, customers_with_credit, preview_credit
from invoices.models import Invoice, InvoiceLine


def pay_by_credit(invoices: Sequence[Invoice]) -> None:
    """Let the customers' credit pay for invoices that become final, in their order; their totals fall by it.

    The caller holds the invoices' locks, has added them up and set ``finalized_at``, and stores the invoices.

    :param invoices: of one environment
    """
    environment_id = invoices[0].environment_id
    # Most customers have no credit. What is granted at this moment pays for the next invoice.
    having = customers_with_credit(environment_id, {invoice.customer_id for invoice in invoices})
    payable = [invoice for invoice in invoices if invoice.customer_id in having]
    if not payable:
        return
    lines: dict[UUID, list[InvoiceLine]] = {invoice.pk: [] for invoice in payable}
    for line in InvoiceLine.objects.filter(invoice__in=payable).select_related("price").order_by("position"):
        lines[line.invoice_id].append(line)
    entries = apply_credit(
        environment_id=environment_id,
        invoices=[
            _payable(invoice, lines[invoice.pk], invoice.finalized_at)
            for invoice in payable
            if invoice.finalized_at is not None
        ],
    )
    by_id = {invoice.pk: invoice for invoice in payable}
    for entry in entries:
        if entry.invoice_id is not None:
            _take_off(by_id[entry.invoice_id], -entry.amount)


def preview_payment_by_credit(invoice: Invoice, lines: Sequence[InvoiceLine], *, now: datetime) -> list[Share]:
    """Take off a previewed invoice what credit would pay of it at this moment. Nothing is stored."""
    shares = preview_credit(environment_id=invoice.environment_id, invoice=_payable(invoice, lines, now))
    for share in shares:
        _take_off(invoice, share.amount)
    return shares


def _payable(invoice: Invoice, lines: Iterable[InvoiceLine], at: datetime) -> PayableInvoice:
    return PayableInvoice(
        invoice_id=invoice.pk,
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        lines=[
            PayableLine(line.pk, line.price.pk, line.amount)
            for line in lines
            if line.price is not None and line.price.is_metered
        ],
        most=invoice.total,
        at=at,
    )


def _take_off(invoice: Invoice, amount: int) -> None:
    invoice.credit_applied += amount
    invoice.total -= amount
    invoice.amount_due = max(invoice.total, 0)
