"""A credit note as words, amounts and steps, as an invoice is."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from invoices.documents.arithmetic import Step, day, money, number, span, title_of
from invoices.documents.contents import (
    CREDIT,
    Document,
    Line,
    Sum,
    buyer_of,
    country_of,
    paper_of,
    seller_of,
    tax_sum,
    words_of_discount,
)
from invoices.models import CreditNote, CreditNoteLine, CreditNoteLineTax
from invoices.parties import parties_of
from subscriptions.models import Discount, TaxRate


def document_of_note(note: CreditNote) -> Document:
    """All that a credit note says. Its amounts are what is credited, above zero."""
    invoice = note.invoice
    parties = parties_of(invoice)
    zone = invoice.subscription.zone if invoice.subscription else None
    lines = list(
        note.lines.order_by("position")
        .select_related("invoice_line")
        .prefetch_related("discounts__discount__coupon", "taxes__tax_rate")
    )
    is_void = note.status == CreditNote.Status.VOID
    return Document(
        kind="Credit note",
        number=note.number,
        status=note.status,
        mark="Void" if is_void else "",
        headline="Void: nothing is credited" if is_void else f"{money(note.total, note.currency)} credited",
        paper=paper_of(invoice.environment.company),
        seller=seller_of(parties),
        buyer=buyer_of(parties),
        addressed="Credit to",
        facts=list(_facts(note, zone)),
        lines=[_line(line, note.currency, zone) for line in lines],
        sums=list(_sums(note, lines)),
        memo=note.memo,
        footer=invoice.footer,
        is_test=not note.environment.is_live,
        country=country_of(parties),
    )


def _facts(note: CreditNote, zone: ZoneInfo | None) -> Iterator[tuple[str, str]]:
    yield "Number", note.number
    yield "Date of issue", day(note.effective_at, zone)
    if note.voided_at:
        yield "Void since", day(note.voided_at, zone)
    yield "Invoice number", note.invoice.number
    if note.invoice.finalized_at:
        yield "Invoice of", day(note.invoice.finalized_at, zone)
    if note.reason:
        yield "Reason", CreditNote.Reason(note.reason).label.capitalize()


def _line(line: CreditNoteLine, currency: str, zone: ZoneInfo | None) -> Line:
    billed = line.invoice_line
    # Only where the invoice's own words were taken over are they followed by a computation that is told better.
    title = title_of(billed) if line.description == billed.description else line.description
    whole = money(billed.amount, currency)
    if line.quantity is not None:
        part = f"{number(line.quantity)} of {number(billed.quantity)}, which were {whole}"
    else:
        part = "all of it" if line.amount == billed.amount else f"{money(line.amount, currency)} of {whole}"
    changes = [
        Sum(words_of_discount(row.discount), money(-row.amount, currency)) for row in line.discounts.all() if row.amount
    ]
    if line.credit_amount:
        changes.append(Sum(CREDIT, money(-line.credit_amount, currency)))
    changes += [tax_sum(row.tax_rate, row.taxable_amount, row.amount, currency) for row in line.taxes.all()]
    return Line(
        title=title,
        period=span(billed.period, zone),
        quantity="" if line.quantity is None else number(line.quantity),
        unit_price="",
        amount=money(line.amount, currency),
        steps=[Step("Of the invoice's line", part)],
        changes=changes,
    )


def _sums(note: CreditNote, lines: Sequence[CreditNoteLine]) -> Iterator[Sum]:
    """From the lines to what is credited, and then where that goes. Every row that is no part of others is added."""
    currency = note.currency
    yield Sum("Sum of lines", money(note.subtotal, currency))
    taken: dict[Discount, int] = defaultdict(int)
    taxes: dict[TaxRate, list[CreditNoteLineTax]] = defaultdict(list)
    for line in lines:
        for row in line.discounts.all():
            taken[row.discount] += row.amount
        for tax in line.taxes.all():
            taxes[tax.tax_rate].append(tax)
    for discount, amount in taken.items():
        if amount:
            yield Sum(words_of_discount(discount), money(-amount, currency))
    if note.credit_amount:
        yield Sum(CREDIT, money(-note.credit_amount, currency))
    for rate, rows in taxes.items():
        yield tax_sum(rate, sum(row.taxable_amount for row in rows), sum(row.amount for row in rows), currency)
    yield Sum("Total credited", money(note.total, currency), is_strong=True)
    whereabouts = (
        (f"Less to pay of invoice {note.invoice.number}", note.pre_payment_amount),
        ("Refunded", note.refund_amount),
        ("Kept as your balance, for later invoices", note.balance_amount),
        ("Given back otherwise", note.out_of_band_amount),
    )
    for label, amount in whereabouts:
        if amount:
            yield Sum(label, money(amount, currency), is_part=True)
