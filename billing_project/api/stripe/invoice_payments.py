"""/v1/invoice_payments: what was paid on invoices.

Reading is Stripe's. Creating and reversing are ours: there, payments come from a provider; here, somebody records them.
"""

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import (
    Choice,
    CreatedListParams,
    Integer,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
)
from billing_project.api.stripe.kinds import INVOICE, INVOICE_PAYMENT
from billing_project.api.stripe.objects import Reference
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from invoices import services
from invoices.models import Payment

LARGEST = 10**15


@INVOICE_PAYMENT.completed
def complete(payments: QuerySet[Payment]) -> QuerySet[Payment]:
    return payments.select_related("environment", "customer__test_clock", "reversal")


@INVOICE_PAYMENT.shaped
def shape_of_payment(payment: Payment) -> Wire:
    reversal = getattr(payment, "reversal", None)
    return {
        "id": INVOICE_PAYMENT.id_of(payment),
        "object": "invoice_payment",
        "amount_paid": payment.amount,
        "amount_requested": payment.amount,
        "created": timestamp(payment.created_at),
        "currency": payment.currency,
        "invoice": Reference.to(INVOICE, payment.invoice_id, payment.environment),
        "is_default": False,
        "method": payment.method or None,
        "note": payment.note or None,
        "payment": {"charge": None, "payment_intent": None, "payment_record": None, "type": "payment_record"},
        "recorded_by": payment.recorded_by or None,
        "reference": payment.reference or None,
        "status": "canceled" if reversal else "paid",
        "status_transitions": {
            "canceled_at": timestamp_or_none(reversal.created_at if reversal else None),
            "paid_at": timestamp(payment.received_at),
        },
    }


class PaymentListParams(CreatedListParams):
    invoice = Ref(INVOICE)
    status = Choice("canceled", "open", "paid")

    unserved = ("payment",)


class NewPaymentParams(RetrieveParams):
    invoice = Ref(INVOICE, required=True)
    amount = Integer(least=1, most=LARGEST, required=True)
    received_at = Timestamp()
    method = Text(60)
    reference = Text(200)
    note = Text(500)


class ReversalParams(RetrieveParams):
    note = Text(500)


class InvoicePaymentViewSet(StripeViewSet[Payment]):
    kind = INVOICE_PAYMENT
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(PaymentListParams)
        payments = self.get_queryset().filter(**in_range(params))
        if "invoice" in params:
            payments = payments.filter(invoice=params["invoice"])
        if "status" in params:
            # None is ever open: what is recorded was received.
            payments = payments.filter(reversal__isnull=params["status"] != "canceled")
            payments = payments.none() if params["status"] == "open" else payments
        return self.listed(payments, params)

    def create(self, request: Request) -> Response:
        params = self.validated(NewPaymentParams)
        invoice = params.pop("invoice")
        payment = services.record_payment(
            invoice=invoice, now=invoice.customer.now(self.now), recorded_by=signature(self), **params
        )
        return self.respond(self.row(INVOICE_PAYMENT.id_of(payment)))

    @action(methods=["post"], detail=True)
    def reverse(self, request: Request, pk: str) -> Response:
        params = self.validated(ReversalParams)
        payment = self.row(pk)
        now = payment.customer.now(self.now)
        services.reverse_payment(payment=payment, now=now, recorded_by=signature(self), **params)
        return self.respond(self.row(pk))


def signature(view: StripeViewSet[Any]) -> str:
    """The key that a call is made with, as rows say who recorded them."""
    return " ".join(filter(None, [f"{view.key.prefix}…", view.key.name]))
