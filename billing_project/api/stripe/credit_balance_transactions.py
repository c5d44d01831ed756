"""/v1/billing/credit_balance_transactions: the ledger, read only."""

from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.credit_grants import shape_of_amount_of
from billing_project.api.stripe.customers import test_clock_of
from billing_project.api.stripe.fields import ListParams, Ref
from billing_project.api.stripe.kinds import CREDIT_GRANT, CREDIT_TRANSACTION, CUSTOMER, INVOICE, LINE
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from credits.models import LedgerEntry

_TYPES = {
    LedgerEntry.Kind.GRANTED: "credits_granted",
    LedgerEntry.Kind.APPLIED: "credits_applied",
    # Of a meter's event or a reservation, and of no invoice.
    LedgerEntry.Kind.BURNED: "credits_applied",
    LedgerEntry.Kind.COMMITTED: "credits_applied",
    LedgerEntry.Kind.GIVEN_BACK: "credits_application_invoice_voided",
    LedgerEntry.Kind.EXPIRED: "credits_expired",
    LedgerEntry.Kind.VOIDED: "credits_voided",
}


@CREDIT_TRANSACTION.completed
def complete(entries: QuerySet[LedgerEntry]) -> QuerySet[LedgerEntry]:
    return entries.select_related(
        "environment__company", "grant__customer__test_clock", "grant__own_currency"
    ).prefetch_related("grant__prices__product")


@CREDIT_TRANSACTION.shaped
def shape_of_transaction(entry: LedgerEntry) -> Wire:
    grant, is_credit = entry.grant, entry.amount > 0
    side = _shape_of_side(entry)
    return {
        "id": CREDIT_TRANSACTION.id_of(entry),
        "object": "billing.credit_balance_transaction",
        "created": timestamp(entry.created_at),
        "credit": side if is_credit else None,
        "credit_grant": Reference(CREDIT_GRANT, CREDIT_GRANT.id_of(grant), lambda: grant),
        "debit": None if is_credit else side,
        "effective_at": timestamp(entry.effective_at),
        "test_clock": test_clock_of(grant.customer),
        "type": "credit" if is_credit else "debit",
    }


def _shape_of_side(entry: LedgerEntry) -> Wire:
    shape: Wire = {
        # Without a sign: the side says it.
        "amount": shape_of_amount_of(entry.grant, abs(entry.amount)),
        "type": str(_TYPES[LedgerEntry.Kind(entry.kind)]),
    }
    of_invoice = _shape_of_invoice(entry, entry.invoice_id, entry.invoice_line_id)
    if entry.amount > 0:
        shape["credits_application_invoice_voided"] = of_invoice
    else:
        shape["credits_applied"] = of_invoice
    return shape


def _shape_of_invoice(entry: LedgerEntry, invoice_id: UUID | None, line_id: UUID | None) -> Wire | None:
    if invoice_id is None or line_id is None:
        return None
    return {
        "invoice": Reference.to(INVOICE, invoice_id, entry.environment),
        "invoice_line_item": LINE.spell(line_id),
    }


class TransactionListParams(ListParams):
    customer = Ref(CUSTOMER)
    credit_grant = Ref(CREDIT_GRANT)

    unserved = ("customer_account",)


class CreditBalanceTransactionViewSet(StripeViewSet[LedgerEntry]):
    kind = CREDIT_TRANSACTION
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(TransactionListParams)
        entries = self.get_queryset()
        if "customer" in params:
            entries = entries.filter(customer=params["customer"])
        if "credit_grant" in params:
            entries = entries.filter(grant=params["credit_grant"])
        return self.listed(entries, params)
