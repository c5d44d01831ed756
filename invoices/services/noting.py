"""Credit notes are issued, previewed and voided: the way to correct an invoice that is final.

All of it happens under the invoice's lock, so that two at once never credit more than was charged; the database says no to
that, too.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import transaction
from django.db.models import Sum

from core.metadata import MetadataChange
from credits.models import LedgerEntry
from credits.services import give_back_credit
from invoices.credit_notes import Piece, TaxPiece, part_of_amount, parts_of_total
from invoices.errors import (
    CreditExceedsInvoice,
    CreditExceedsLine,
    CreditLineForeign,
    CreditNoteEmpty,
    CreditNoteNotVoidable,
    CreditNoteSplitWrong,
    InvoiceNotOpen,
)
from invoices.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteLineDiscount,
    CreditNoteLineTax,
    Invoice,
    InvoiceLine,
    LineDiscount,
    LineTax,
)
from invoices.services.announcing import mail_of
from invoices.services.balances import credit_balance
from invoices.services.collecting import COLLECTED, follow, locked_with_subscription, settle
from invoices.totals import round_half_away
from subscriptions.models import Discount, TaxRate
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

_CREDITABLE = (*COLLECTED, Invoice.Status.PAID)


@dataclass(frozen=True, slots=True)
class LineCredit:
    """What to credit of a line: an amount before discounts and exclusive taxes, a quantity, or all that is left of it."""

    line_id: UUID
    amount: int | None = None
    quantity: Decimal | None = None
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


class CreditNoteTerms(TypedDict, total=False):
    """What a credit note is over, and where it goes.

    Neither ``lines`` nor ``total`` means all that is left. What had been paid already must be handed out to the three
    amounts; what was still to be paid just need not be. Without ``is_mailed`` the company's setting says whether the customer
    is sent it; one without an email address never is.
    """

    lines: Sequence[LineCredit] | None
    total: int | None
    refund_amount: int
    balance_amount: int
    out_of_band_amount: int
    reason: str
    memo: str
    effective_at: datetime
    metadata: MetadataChange
    is_mailed: bool


@dataclass(slots=True)
class DraftedCreditNote:
    """A credit note that is not stored, with its rows.

    :ivar completed: lines of the invoice of which nothing is left with it
    """

    note: CreditNote
    lines: list[CreditNoteLine] = field(default_factory=list)
    discounts: list[CreditNoteLineDiscount] = field(default_factory=list)
    taxes: list[CreditNoteLineTax] = field(default_factory=list)
    completed: list[UUID] = field(default_factory=list)


@transaction.atomic
def issue_credit_note(
    *, invoice: Invoice, now: datetime, recorded_by: str = "", **terms: Unpack[CreditNoteTerms]
) -> CreditNote:
    """Take back a final invoice, as a whole or in part.

    It lowers what remains to be paid, and hands out the rest as the terms say. What credit grants had paid of a line goes
    back to them once the line is credited to the end. With nothing left to pay, the invoice is paid.

    :param now: the customer's time
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft or void
    :raises CreditNoteEmpty: :raises CreditLineForeign: :raises CreditExceedsLine: :raises CreditExceedsInvoice:
    :raises CreditNoteSplitWrong: what they say
    :raises AmountTooLarge: if the customer's balance would be beyond what can be kept
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    invoice, subscription = locked_with_subscription(invoice, now, _CREDITABLE)
    drafted = _draft(invoice, terms, now)
    note = drafted.note
    note.recorded_by = recorded_by
    before = take_snapshots([invoice])
    was_paid = invoice.status == Invoice.Status.PAID
    if note.balance_amount:
        note.balance_transaction = credit_balance(invoice, note.balance_amount, now=now)
    note.save(force_insert=True)
    CreditNoteLine.objects.bulk_create(drafted.lines)
    CreditNoteLineDiscount.objects.bulk_create(drafted.discounts)
    CreditNoteLineTax.objects.bulk_create(drafted.taxes)
    invoice.pre_payment_credited += note.pre_payment_amount
    invoice.post_payment_credited += note.post_payment_amount
    if not was_paid:
        settle(invoice, now)
    invoice.save(update_fields=["pre_payment_credited", "post_payment_credited", "status", "paid_at", "escalates_at"])
    if drafted.completed and invoice.credit_applied:
        give_back_credit(
            environment_id=invoice.environment_id,
            customer_ids=[invoice.customer_id],
            invoice_ids=[invoice.pk],
            line_ids=drafted.completed,
            now=now,
        )
    record(Kind.CREDIT_NOTE_CREATED, rows=[note], now=now)
    if invoice.status == Invoice.Status.PAID and not was_paid:
        record(Kind.INVOICE_PAID, rows=[invoice], now=now)
    record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    follow(subscription, invoice, now)
    if terms.get("is_mailed", note.environment.company.mails_documents) and note.customer.email:
        mail_of(invoice, now=now, note=note).save(force_insert=True)
    return note


def preview_credit_note(*, invoice: Invoice, now: datetime, **terms: Unpack[CreditNoteTerms]) -> DraftedCreditNote:
    """What :func:`issue_credit_note` would make at this moment. Nothing is held or stored."""
    if invoice.status not in _CREDITABLE:
        raise InvoiceNotOpen(invoice.status)
    return _draft(invoice, terms, now)


@transaction.atomic
def void_credit_note(*, note: CreditNote, now: datetime) -> CreditNote:
    """Declare a credit note to be none: what it took off its invoice is to be paid again. It keeps its number.

    :param now: the customer's time
    :returns: the credit note as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises CreditNoteNotVoidable: if it is void already, its invoice is paid, or credit has come back by it
    """
    try:
        invoice, _ = locked_with_subscription(note.invoice, now, COLLECTED)
    except InvoiceNotOpen as refusal:
        raise CreditNoteNotVoidable from refusal
    note = CreditNote.objects.select_related("environment", "customer__test_clock").get(pk=note.pk)
    if note.status == CreditNote.Status.VOID or _gave_credit_back(note):
        raise CreditNoteNotVoidable
    before = take_snapshots([invoice])
    note.status, note.voided_at = CreditNote.Status.VOID, now
    note.save(update_fields=["status", "voided_at"])
    invoice.pre_payment_credited -= note.pre_payment_amount
    invoice.save(update_fields=["pre_payment_credited"])
    record(Kind.CREDIT_NOTE_VOIDED, rows=[note], now=now)
    record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    return note


@transaction.atomic
def update_credit_note(
    *, note: CreditNote, now: datetime, memo: str | None = None, metadata: MetadataChange | None = None
) -> CreditNote:
    """Change what is said on a credit note, which is all that can be changed.

    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    note = CreditNote.objects.select_for_update(of=("self",), no_key=True).select_related("environment").get(pk=note.pk)
    before = take_snapshots([note])
    if memo is not None:
        note.memo = memo
    if metadata is not None:
        note.metadata = metadata.applied_to(note.metadata)
    note.save(update_fields=["memo", "metadata"])
    record(Kind.CREDIT_NOTE_UPDATED, rows=[note], now=now, before=before)
    return note


def _draft(invoice: Invoice, terms: CreditNoteTerms, now: datetime) -> DraftedCreditNote:
    lines = list(InvoiceLine.objects.filter(invoice=invoice).order_by("position"))
    left = _left(invoice, lines)
    asked = terms.get("lines")
    total = terms.get("total")
    if asked is not None:
        pieces, asked_of = _pieces_of_lines(invoice, lines, left, asked)
    else:
        creditable = sum(left[line.pk].net for line in lines)
        if total is not None and not 0 < total <= creditable:
            raise CreditExceedsInvoice(creditable, invoice.currency)
        wanted = creditable if total is None else total
        parts = parts_of_total([left[line.pk] for line in lines], wanted)
        pieces = {line.pk: part for line, part in zip(lines, parts, strict=True)}
        asked_of = {}
    pieces = {pk: piece for pk, piece in pieces.items() if piece != Piece(0) and (piece.amount or piece.net)}
    drafted = DraftedCreditNote(_note(invoice, terms, list(pieces.values()), now))
    for line in lines:
        if line.pk in pieces:
            _add_line(drafted, line, pieces[line.pk], asked_of.get(line.pk))
            rest = left[line.pk].without(pieces[line.pk])
            if rest.amount == 0 and rest.net == 0:
                drafted.completed.append(line.pk)
    return drafted


def _note(invoice: Invoice, terms: CreditNoteTerms, pieces: Sequence[Piece], now: datetime) -> CreditNote:
    total = sum(piece.net for piece in pieces)
    if not pieces or total < 0:
        raise CreditNoteEmpty
    creditable = invoice.total - invoice.pre_payment_credited - invoice.post_payment_credited
    if total > max(creditable, 0):
        raise CreditExceedsInvoice(creditable, invoice.currency)
    before_payment = min(total, max(invoice.amount_remaining, 0))
    refund, balance, elsewhere = (
        terms.get("refund_amount", 0),
        terms.get("balance_amount", 0),
        terms.get("out_of_band_amount", 0),
    )
    if refund + balance + elsewhere != total - before_payment or min(refund, balance, elsewhere) < 0:
        raise CreditNoteSplitWrong(refund + balance + elsewhere, total - before_payment, invoice.currency)
    # The invoice's lock is held, so this is the next one; a preview just says so.
    sequence = CreditNote.objects.filter(environment=invoice.environment_id, invoice=invoice).count() + 1
    return CreditNote(
        environment=invoice.environment,
        customer=invoice.customer,
        invoice=invoice,
        sequence=sequence,
        number=f"{invoice.number}-CN-{sequence:02d}",
        reason=terms.get("reason", ""),
        memo=terms.get("memo", ""),
        currency=invoice.currency,
        subtotal=sum(piece.amount for piece in pieces),
        discount_amount=sum(piece.discount for piece in pieces),
        credit_amount=sum(piece.credit for piece in pieces),
        inclusive_tax=sum(piece.inclusive_tax for piece in pieces),
        exclusive_tax=sum(piece.exclusive_tax for piece in pieces),
        total=total,
        pre_payment_amount=before_payment,
        refund_amount=refund,
        balance_amount=balance,
        out_of_band_amount=elsewhere,
        metadata=terms.get("metadata", MetadataChange()).applied_to({}),
        effective_at=terms.get("effective_at", now),
        created_at=now,
    )


def _pieces_of_lines(
    invoice: Invoice, lines: Sequence[InvoiceLine], left: Mapping[UUID, Piece], asked: Sequence[LineCredit]
) -> tuple[dict[UUID, Piece], dict[UUID, LineCredit]]:
    by_id = {line.pk: line for line in lines}
    pieces: dict[UUID, Piece] = {}
    asked_of: dict[UUID, LineCredit] = {}
    for position, credit in enumerate(asked):
        line = by_id.get(credit.line_id)
        if line is None or line.pk in pieces:
            raise CreditLineForeign(position)
        rest = left[line.pk]
        amount = _amount_asked(line, rest, credit)
        # Neither beyond what is left, nor against its sign.
        if amount is None or not min(rest.amount, 0) <= amount <= max(rest.amount, 0):
            raise CreditExceedsLine(position, rest.amount, invoice.currency)
        pieces[line.pk] = part_of_amount(rest, amount)
        asked_of[line.pk] = credit
    return pieces, asked_of


def _amount_asked(line: InvoiceLine, left: Piece, credit: LineCredit) -> int | None:
    """Before discounts and exclusive taxes; None for a quantity that the line has not, or not any more."""
    if credit.quantity is None:
        return left.amount if credit.amount is None else credit.amount
    credited = CreditNoteLine.objects.filter(invoice_line=line, credit_note__status=CreditNote.Status.ISSUED)
    before = credited.aggregate(quantity=Sum("quantity"))["quantity"] or Decimal(0)
    if not before < before + credit.quantity <= line.quantity:
        return None
    # From the beginning, so that single units come to the whole in the end.
    per_unit = Fraction(line.amount) / Fraction(line.quantity)
    return round_half_away(per_unit * Fraction(before + credit.quantity)) - round_half_away(per_unit * Fraction(before))


def _add_line(drafted: DraftedCreditNote, line: InvoiceLine, piece: Piece, credit: LineCredit | None) -> None:
    environment_id = line.environment_id
    row = CreditNoteLine(
        environment_id=environment_id,
        credit_note=drafted.note,
        invoice_line=line,
        position=len(drafted.lines),
        description=(credit.description if credit else "") or line.description,
        quantity=credit.quantity if credit else None,
        amount=piece.amount,
        discount_amount=piece.discount,
        credit_amount=piece.credit,
        metadata=dict(credit.metadata) if credit else {},
    )
    drafted.lines.append(row)
    for position, (discount, amount) in enumerate(piece.discounts.items()):
        if amount and isinstance(discount, Discount):
            drafted.discounts.append(
                CreditNoteLineDiscount(
                    environment_id=environment_id, line=row, discount=discount, position=position, amount=amount
                )
            )
    for position, (rate, tax) in enumerate(piece.taxes.items()):
        if isinstance(rate, TaxRate):
            drafted.taxes.append(
                CreditNoteLineTax(
                    environment_id=environment_id,
                    line=row,
                    tax_rate=rate,
                    position=position,
                    taxable_amount=tax.taxable,
                    amount=tax.amount,
                )
            )


def _left(invoice: Invoice, lines: Sequence[InvoiceLine]) -> dict[UUID, Piece]:
    """What is left to be credited of each line of an invoice."""
    of_lines = {"environment": invoice.environment_id, "line__invoice": invoice}
    discounts: dict[UUID, dict[Hashable, int]] = defaultdict(dict)
    for discount in LineDiscount.objects.filter(**of_lines).select_related("discount").order_by("position"):
        discounts[discount.line_id][discount.discount] = discount.amount
    taxes: dict[UUID, dict[Hashable, TaxPiece]] = defaultdict(dict)
    for tax in LineTax.objects.filter(**of_lines).select_related("tax_rate").order_by("position"):
        taxes[tax.line_id][tax.tax_rate] = TaxPiece(tax.amount, tax.taxable_amount, tax.tax_rate.inclusive)
    paid = (
        LedgerEntry.objects.filter(environment=invoice.environment_id)
        .applied_to([invoice.pk])
        .values_list("invoice_line_id")
        .annotate(paid=-Sum("amount"))
    )
    credit: dict[UUID | None, int] = {line_id: int(amount) for line_id, amount in paid.order_by()}
    left = {line.pk: Piece(line.amount, discounts[line.pk], credit.get(line.pk, 0), taxes[line.pk]) for line in lines}
    for row, piece in _credited(invoice):
        left[row.invoice_line_id] = left[row.invoice_line_id].without(piece)
    return left


def _credited(invoice: Invoice) -> list[tuple[CreditNoteLine, Piece]]:
    """The lines of an invoice's credit notes that stand."""
    rows = CreditNoteLine.objects.filter(
        environment=invoice.environment_id,
        credit_note__invoice=invoice,
        credit_note__status=CreditNote.Status.ISSUED,
    ).prefetch_related("discounts__discount", "taxes__tax_rate")
    return [
        (
            row,
            Piece(
                row.amount,
                {discount.discount: discount.amount for discount in row.discounts.all()},
                row.credit_amount,
                {
                    tax.tax_rate: TaxPiece(tax.amount, tax.taxable_amount, tax.tax_rate.inclusive)
                    for tax in row.taxes.all()
                },
            ),
        )
        for row in rows
    ]


def _gave_credit_back(note: CreditNote) -> bool:
    lines = note.lines.values_list("invoice_line_id", flat=True)
    return LedgerEntry.objects.filter(
        environment=note.environment_id,
        invoice_id=note.invoice_id,
        invoice_line_id__in=list(lines),
        kind=LedgerEntry.Kind.GIVEN_BACK,
    ).exists()
