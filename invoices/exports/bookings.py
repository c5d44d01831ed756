"""The journal's facts, read from the books of one environment, some hundred documents at a time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID

from django.db.models import F, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import Environment
from core.ids import spell
from core.periods import Period
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
from invoices.models import (
    CreditNote,
    CustomerBalanceTransaction,
    Invoice,
    InvoiceLine,
    LineDiscount,
    LineTax,
    Payment,
)

_AT_ONCE = 500


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
        .values(*_OF_INVOICE)
        .iterator(chunk_size=_AT_ONCE)
    )
    of_invoices = (entries_of_invoice(billed) for billed in _billed(environment, invoices))
    return chain(chain.from_iterable(of_invoices), _credit(environment, until), _adjustments(environment, until))


# fmt: off
_OF_INVOICE = (
    "pk", "number", "currency", "created_at", "finalized_at", "voided_at", "uncollectible_at", "inclusive_tax",
    "exclusive_tax", "credit_applied", "total", "amount_due", "ending_balance",
)
_OF_NOTE = (
    "invoice_id", "created_at", "number", "subtotal", "discount_amount", "inclusive_tax", "exclusive_tax", "credit_amount",
    "pre_payment_amount", "refund_amount", "balance_amount", "out_of_band_amount", "voided_at",
)
# fmt: on


def _billed(environment: Environment, invoices: Iterator[Mapping[str, Any]]) -> Iterator[Billed]:
    """Of columns alone, since a book has so many documents that making rows of them takes longer than reading them."""
    while some := list(islice(invoices, _AT_ONCE)):
        theirs = {"environment": environment, "invoice__in": [invoice["pk"] for invoice in some]}
        lines, payments, notes = _lines(theirs), _payments(theirs), _notes(theirs)
        for invoice in some:
            key = invoice["pk"]
            # One that was void from the start has never met its customer's balance.
            took_balance = invoice["ending_balance"] is not None
            yield Billed(
                document=invoice["number"],
                currency=invoice["currency"],
                at=invoice["finalized_at"] or invoice["created_at"],
                lines=lines[key],
                tax=invoice["inclusive_tax"] + invoice["exclusive_tax"],
                credit=invoice["credit_applied"],
                total=invoice["total"],
                due=invoice["amount_due"] if took_balance else invoice["total"],
                payments=payments[key],
                notes=notes[key],
                voided_at=invoice["voided_at"],
                uncollectible_at=invoice["uncollectible_at"],
            )


def _lines(theirs: Mapping[str, Any]) -> Mapping[UUID, list[BilledLine]]:
    discounts = LineDiscount.objects.filter(line=OuterRef("pk")).values("line").annotate(all=Sum("amount"))
    taxes = LineTax.objects.filter(line=OuterRef("pk"), tax_rate__inclusive=True)
    within = taxes.values("line").annotate(all=Sum("amount"))
    net = F("amount") - Coalesce(Subquery(discounts.values("all")), 0) - Coalesce(Subquery(within.values("all")), 0)
    rows = InvoiceLine.objects.filter(**theirs).annotate(net=net).order_by("position")
    found = defaultdict(list)
    for invoice_id, of_line, start, end in rows.values_list("invoice_id", "net", "period_start", "period_end"):
        found[invoice_id].append(BilledLine(int(of_line), Period(start, end)))
    return found


def _payments(theirs: Mapping[str, Any]) -> Mapping[UUID, list[Settlement]]:
    rows = Payment.objects.filter(**theirs).order_by("created_at", "pk")
    found = defaultdict(list)
    for payment in rows.only("invoice_id", "received_at", "reference", "method", "amount"):
        found[payment.invoice_id].append(Settlement(payment.received_at, str(payment), payment.amount))
    return found


def _notes(theirs: Mapping[str, Any]) -> Mapping[UUID, list[Credited]]:
    found = defaultdict(list)
    for note in CreditNote.objects.filter(**theirs).order_by("sequence").values(*_OF_NOTE):
        found[note["invoice_id"]].append(
            Credited(
                at=note["created_at"],
                document=note["number"],
                net=note["subtotal"] - note["discount_amount"] - note["inclusive_tax"],
                tax=note["inclusive_tax"] + note["exclusive_tax"],
                credit=note["credit_amount"],
                pre_payment=note["pre_payment_amount"],
                refund=note["refund_amount"],
                balance=note["balance_amount"],
                out_of_band=note["out_of_band_amount"],
                voided_at=note["voided_at"],
            )
        )
    return found


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
