"""What credit paid of an invoice and its lines: a part of both objects."""

from collections.abc import Sequence
from typing import TypedDict
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject

from accounts.models import Environment
from billing_project.api.stripe.kinds import CREDIT_TRANSACTION
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.wire import Wire
from credits.applying import Share
from credits.models import LedgerEntry
from invoices.models import Invoice, InvoiceLine


class _Paid(TypedDict):
    """What one entry of the ledger paid of a line, negative; a previewed one has no id."""

    id: str | None
    line: str
    amount: int


def with_credit(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Have each invoice bring what credit paid of it, however many there are, in the same query."""
    entries = LedgerEntry.objects.filter(environment=OuterRef("environment"), invoice_id=OuterRef("pk"), kind="applied")
    brief = JSONObject(id="pk", line="invoice_line_id", amount="amount")
    return invoices.annotate(credit=ArraySubquery(entries.order_by("pk").values_list(brief)))


def bring_credit_of(environment: Environment, invoices: Sequence[Invoice]) -> None:
    """The same for invoices in memory."""
    brought: dict[UUID | None, list[_Paid]] = {invoice.pk: [] for invoice in invoices}
    paid = LedgerEntry.objects.filter(environment=environment, invoice_id__in=list(brought), kind="applied")
    for pk, invoice_id, line_id, amount in paid.order_by("pk").values_list(
        "pk", "invoice_id", "invoice_line_id", "amount"
    ):
        brought[invoice_id].append({"id": str(pk), "line": str(line_id), "amount": int(amount)})
    for invoice in invoices:
        invoice.credit = brought[invoice.pk]  # type: ignore[attr-defined]


def bring_credit(invoice: Invoice, shares: Sequence[Share]) -> None:
    """Have a previewed invoice bring what credit would pay of it."""
    invoice.credit = [  # type: ignore[attr-defined]
        {"id": None, "line": str(share.line_id), "amount": -share.amount} for share in shares
    ]


def shape_of_pretax_credits(invoice: Invoice, line: InvoiceLine | None = None) -> list[Wire]:
    """All of an invoice's, or those of one of its lines."""
    brought: list[_Paid] = invoice.credit  # type: ignore[attr-defined]
    return [
        {
            "amount": -paid["amount"],
            "credit_balance_transaction": _reference(invoice, paid["id"]),
            "type": "credit_balance_transaction",
        }
        for paid in brought
        if line is None or paid["line"] == str(line.pk)
    ]


def _reference(invoice: Invoice, identifier: str | None) -> Reference | None:
    """Null in a preview: nothing was paid."""
    if identifier is None:
        return None
    pk = UUID(identifier)
    return Reference.to(CREDIT_TRANSACTION, pk, invoice.environment)
