"""/v1/customers/{id}/balance_transactions."""

from uuid import UUID

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Customer, Scope
from billing_project.api.stripe.customers import customer_reference
from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.fields import CreatedListParams, Integer, Metadata, Ref, RetrieveParams, Text
from billing_project.api.stripe.kinds import BALANCE_TRANSACTION, CREDIT_NOTE, CUSTOMER, INVOICE
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp
from invoices import services
from invoices.models import CustomerBalanceTransaction

_LARGEST = 10**12


@BALANCE_TRANSACTION.shaped
def shape_of_balance_transaction(entry: CustomerBalanceTransaction) -> Wire:
    return {
        "id": BALANCE_TRANSACTION.id_of(entry),
        "object": "customer_balance_transaction",
        "amount": entry.amount,
        "checkout_session": None,
        "created": timestamp(entry.created_at),
        "credit_note": Reference.to(CREDIT_NOTE, _credit_note_of(entry), entry.environment),
        "currency": entry.currency,
        "customer": customer_reference(entry.customer),
        "customer_account": None,
        "description": entry.description or None,
        "ending_balance": entry.ending_balance,
        "invoice": Reference.to(INVOICE, entry.invoice_id, entry.environment),
        "metadata": entry.metadata,
        "type": entry.kind,
    }


def _credit_note_of(entry: CustomerBalanceTransaction) -> UUID | None:
    note = getattr(entry, "credit_note", None)
    return note.pk if note else None


@BALANCE_TRANSACTION.completed
def complete(entries: QuerySet[CustomerBalanceTransaction]) -> QuerySet[CustomerBalanceTransaction]:
    return entries.select_related("customer__test_clock", "environment", "credit_note")


class NewEntryParams(RetrieveParams):
    amount = Integer(least=-_LARGEST, most=_LARGEST, required=True)
    currency = Text(3, required=True)
    description = Text(350, clearable="")
    metadata = Metadata()


class EntryParams(RetrieveParams):
    description = Text(350, clearable="")
    metadata = Metadata()


class EntryListParams(CreatedListParams):
    invoice = Ref(INVOICE)


class BalanceTransactionViewSet(StripeViewSet[CustomerBalanceTransaction]):
    """A customer's ledger: its address begins with the customer's."""

    kind = BALANCE_TRANSACTION
    read_scope = Scope.CUSTOMERS_READ
    write_scope = Scope.CUSTOMERS_WRITE

    def get_queryset(self) -> QuerySet[CustomerBalanceTransaction]:
        return super().get_queryset().filter(customer=self._customer())

    def list(self, request: Request, customer: str) -> Response:
        params = self.validated(EntryListParams)
        entries = self.get_queryset().filter(**in_range(params))
        if "invoice" in params:
            entries = entries.filter(invoice=params["invoice"])
        return self.listed(entries, params)

    def create(self, request: Request, customer: str) -> Response:
        params = self.validated(NewEntryParams)
        owner = self._customer()
        currency = params.pop("currency").lower()
        entry = services.adjust_balance(customer=owner, currency=currency, now=owner.now(self.now), **params)
        return self.respond(self.row(BALANCE_TRANSACTION.id_of(entry)))

    def retrieve(self, request: Request, customer: str, pk: str) -> Response:  # type: ignore[override]
        self.validated(RetrieveParams)
        return self.respond(self.row(pk))

    def update(self, request: Request, customer: str, pk: str) -> Response:
        params = self.validated(EntryParams)
        services.update_balance_transaction(entry=self.row(pk), **params)
        return self.respond(self.row(pk))

    def _customer(self) -> Customer:
        text = self.kwargs["customer"]
        found = CUSTOMER.find(CUSTOMER.rows(self.environment), text)
        if found is None:
            raise missing(CUSTOMER.noun, text, param="customer")
        return found
