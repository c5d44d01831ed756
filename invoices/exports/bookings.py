"""The journal's facts, read from the books of one environment, some hundred documents at a time."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain

from accounts.models import Environment
from core.ids import spell
from core.spreadsheets import Cell, main_units
from credits.models import CreditGrant, LedgerEntry
from invoices.journal import (
    Billed,
    BilledLine,
    Credited,
    Entry,
    Settlement,
    entries_of_invoice,
    entry_of_adjustment,
    entry_of_grant,
)
from invoices.models import CreditNote, CustomerBalanceTransaction, Invoice, InvoiceLine

_AT_ONCE = 200


def journal_rows(environment: Environment, since: datetime | None, until: datetime | None) -> Iterator[Sequence[Cell]]:
    """A row for each posting of the span, document by document."""
    for entry in journal_of(environment, until):
        if (since is None or entry.at >= since) and (until is None or entry.at < until):
            for account, amount in entry.postings.items():
                side = main_units(abs(amount), entry.currency)
                debit, credit = (side, None) if amount > 0 else (None, side)
                yield entry.at, entry.document, entry.what, account.value, entry.currency.upper(), debit, credit


def journal_of(environment: Environment, until: datetime | None = None) -> Iterator[Entry]:
    """All entries of what became final, was granted or adjusted before an instant. Later ones may be among them."""
    before = {} if until is None else {"finalized_at__lt": until}
    invoices = (
        Invoice.objects.filter(environment=environment, **before)
        .exclude(status=Invoice.Status.DRAFT)
        .order_by("finalized_at", "pk")
        .prefetch_related("lines__discounts", "lines__taxes__tax_rate", "payments", "credit_notes")
        .iterator(chunk_size=_AT_ONCE)
    )
    of_invoices = (entries_of_invoice(_billed(invoice)) for invoice in invoices)
    return chain(chain.from_iterable(of_invoices), _credit(environment, until), _adjustments(environment, until))


def _billed(invoice: Invoice) -> Billed:
    # One that was void from the start has never met its customer's balance.
    took_balance = invoice.ending_balance is not None
    return Billed(
        document=invoice.number,
        currency=invoice.currency,
        at=_final_at(invoice),
        lines=[_line(line) for line in invoice.lines.all()],
        tax=invoice.inclusive_tax + invoice.exclusive_tax,
        credit=invoice.credit_applied,
        total=invoice.total,
        due=invoice.amount_due if took_balance else invoice.total,
        payments=[
            Settlement(one.received_at, str(one) or invoice.number, one.amount) for one in invoice.payments.all()
        ],
        notes=[_note(note) for note in invoice.credit_notes.all()],
        voided_at=invoice.voided_at,
        uncollectible_at=invoice.uncollectible_at,
    )


def _final_at(invoice: Invoice) -> datetime:
    return invoice.finalized_at or invoice.created_at


def _line(line: InvoiceLine) -> BilledLine:
    discounts = sum(row.amount for row in line.discounts.all())
    within = sum(row.amount for row in line.taxes.all() if row.tax_rate.inclusive)
    return BilledLine(line.amount - discounts - within, line.period)


def _note(note: CreditNote) -> Credited:
    return Credited(
        at=note.created_at,
        document=note.number,
        net=note.subtotal - note.discount_amount - note.inclusive_tax,
        tax=note.inclusive_tax + note.exclusive_tax,
        credit=note.credit_amount,
        pre_payment=note.pre_payment_amount,
        refund=note.refund_amount,
        balance=note.balance_amount,
        out_of_band=note.out_of_band_amount,
        voided_at=note.voided_at,
    )


def _credit(environment: Environment, until: datetime | None) -> Iterator[Entry]:
    """Credit that is money; a company's own units are no money until somebody pays for them."""
    before = {} if until is None else {"created_at__lt": until}
    entries = LedgerEntry.objects.filter(environment=environment, grant__own_currency=None, **before)
    for entry in entries.select_related("grant").order_by("created_at", "pk").iterator(chunk_size=_AT_ONCE):
        yield entry_of_grant(
            at=entry.created_at,
            kind=entry.kind,
            amount=int(entry.amount),
            is_paid=entry.grant.category == CreditGrant.Category.PAID,
            document=spell("cbtxn", entry.pk),
            currency=entry.grant.currency,
        )


def _adjustments(environment: Environment, until: datetime | None) -> Iterator[Entry]:
    before = {} if until is None else {"created_at__lt": until}
    rows = CustomerBalanceTransaction.objects.filter(
        environment=environment, kind=CustomerBalanceTransaction.Kind.ADJUSTMENT, **before
    )
    for row in rows.order_by("created_at", "pk").iterator(chunk_size=_AT_ONCE):
        document = spell("cbtxn", row.pk)
        yield entry_of_adjustment(at=row.created_at, amount=row.amount, document=document, currency=row.currency)
