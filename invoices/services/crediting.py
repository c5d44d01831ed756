"""Customers' credit pays for what was metered, after discounts and before tax."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Sum

from credits.applying import PayableInvoice, PayableLine, Share
from credits.services import apply_credit, customers_with_credit, preview_credit
from invoices.models import Invoice, InvoiceLine, LineDiscount
from invoices.reducing import reduce_again


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
    taken_off = dict(
        LineDiscount.objects.filter(line__invoice__in=payable)
        .values_list("line")
        .annotate(taken=Sum("amount"))
        .order_by()
    )
    entries = apply_credit(
        environment_id=environment_id,
        invoices=[
            _payable(invoice, lines[invoice.pk], taken_off, invoice.finalized_at)
            for invoice in payable
            if invoice.finalized_at is not None
        ],
    )
    by_id = {invoice.pk: invoice for invoice in payable}
    paid: dict[UUID, int] = defaultdict(int)
    for entry in entries:
        if entry.invoice_id is not None and entry.invoice_line_id is not None:
            by_id[entry.invoice_id].credit_applied -= int(entry.amount)
            paid[entry.invoice_line_id] -= int(entry.amount)
    # Taxes are asked of what credit has left.
    changed = {invoice: lines[invoice.pk] for invoice in payable if invoice.credit_applied}
    if changed:
        reduce_again(changed, credit=paid)


def preview_payment_by_credit(
    invoice: Invoice, lines: Sequence[InvoiceLine], taken_off: Mapping[UUID, int], *, now: datetime
) -> list[Share]:
    """What credit would pay of a previewed invoice at this moment. Nothing is stored.

    :param taken_off: by discounts, off lines, by their ids
    """
    shares = preview_credit(environment_id=invoice.environment_id, invoice=_payable(invoice, lines, taken_off, now))
    invoice.credit_applied = sum(int(share.amount) for share in shares)
    return shares


def _payable(
    invoice: Invoice, lines: Iterable[InvoiceLine], taken_off: Mapping[UUID, int], at: datetime
) -> PayableInvoice:
    return PayableInvoice(
        invoice_id=invoice.pk,
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        lines=[
            PayableLine(line.pk, line.price.pk, line.amount - taken_off.get(line.pk, 0))
            for line in lines
            if line.price is not None and line.price.is_metered
        ],
        most=invoice.total - invoice.exclusive_tax,
        at=at,
    )
