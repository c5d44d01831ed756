"""The journal's facts, read from the books of one environment, some hundred documents at a time."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.models import Environment
from core.ids import spell
from core.periods import DAY, Period
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
    for entry in journal_of(environment, since, until):
        currency = entry.currency.upper()
        for account, amount in entry.postings.items():
            side = main_units(abs(amount), entry.currency)
            debit, credit = (side, None) if amount > 0 else (None, side)
            yield entry.at, entry.document, entry.what, account.value, currency, debit, credit


def journal_of(
    environment: Environment, since: datetime | None = None, until: datetime | None = None
) -> Iterator[Entry]:
    """All entries of a span, document by document."""
    invoices = (
        Invoice.objects.filter(_has_entries(environment, since, until))
        .exclude(status=Invoice.Status.DRAFT)
        .order_by("finalized_at", "pk")
        .values(*_OF_INVOICE)
        .iterator(chunk_size=_AT_ONCE)
    )
    of_invoices = (entries_of_invoice(billed) for billed in _billed(environment, invoices))
    written = chain(
        chain.from_iterable(of_invoices), _credit(environment, since, until), _adjustments(environment, since, until)
    )
    return (entry for entry in written if (since is None or entry.at >= since) and (until is None or entry.at < until))


def _has_entries(environment: Environment, since: datetime | None, until: datetime | None) -> Q:
    """True of all invoices that have entries in a span, and of some that have none: so that a month of an old book is not
    looked for in all of it.
    """
    theirs, found = {"environment": environment, "invoice": OuterRef("pk")}, Q(environment=environment)
    if until is not None:
        # Money may have come before the invoice was made for it.
        earlier = Payment.objects.filter(**theirs, received_at__lt=until)
        found &= Q(finalized_at__lt=until) | Q(Exists(earlier))
    if since is None:
        return found
    # What was paid for in advance is earned until the end of the day that its period ends on.
    earned = InvoiceLine.objects.filter(**theirs, period_end__gt=since - DAY)
    paid = Payment.objects.filter(**theirs, received_at__gte=since)
    noted = CreditNote.objects.filter(Q(created_at__gte=since) | Q(voided_at__gte=since), **theirs)
    return found & (
        Q(finalized_at__gte=since)
        | Q(finalized_at=None)
        | Q(voided_at__gte=since)
        | Q(uncollectible_at__gte=since)
        | Q(Exists(earned))
        | Q(Exists(paid))
        | Q(Exists(noted))
    )


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


def _credit(environment: Environment, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    """Credit that is money; a company's own units are no money until somebody pays for them."""
    entries = LedgerEntry.objects.filter(_within(since, until), environment=environment, grant__own_currency=None)
    for entry in entries.select_related("grant").order_by("created_at", "pk").iterator(chunk_size=_AT_ONCE):
        yield entry_of_grant(
            at=entry.created_at,
            kind=entry.kind,
            amount=int(entry.amount),
            is_paid=entry.grant.category == CreditGrant.Category.PAID,
            document=spell("cbtxn", entry.pk),
            currency=entry.grant.currency,
        )


def _adjustments(environment: Environment, since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    rows = CustomerBalanceTransaction.objects.filter(
        _within(since, until), environment=environment, kind=CustomerBalanceTransaction.Kind.ADJUSTMENT
    )
    for row in rows.order_by("created_at", "pk").iterator(chunk_size=_AT_ONCE):
        document = spell("cbtxn", row.pk)
        yield entry_of_adjustment(at=row.created_at, amount=row.amount, document=document, currency=row.currency)


def _within(since: datetime | None, until: datetime | None) -> Q:
    found = Q() if since is None else Q(created_at__gte=since)
    return found if until is None else found & Q(created_at__lt=until)
