"""/invoices: what customers owe. Amounts are texts of the currency's smallest units."""

from collections import Counter
from typing import Annotated, Any

import msgspec
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Customer, Environment, Scope
from billing_project.api.paymentkit.customers import CustomerShape, find_customer, id_of_customer, shape_of_customer
from billing_project.api.paymentkit.payment_currencies import PaymentCurrency, id_of_money, money_of, shape_of_money
from billing_project.api.paymentkit.prices import PriceShape, id_of_price, shape_of_price, with_prices
from billing_project.api.paymentkit.subscriptions import shape_of_subscription, subscriptions_of
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    Shape,
    Units,
    instant_text,
    json_response,
    missing,
    seconds,
    seconds_or_none,
)
from core.ids import read, spell
from core.money import plain
from invoices import services
from invoices.links import page_address, pdf_address
from invoices.models import Invoice, InvoiceLine
from invoices.parties import parties_of

NOUN = "Invoice"
_MOST_OVERDUE = 100
_INCLUDED = ("include_staking", "include_return_staking", "include_overdraft_protection", "include_recovered_from")


class LineShape(Shape, frozen=True):
    id: str
    object: str
    livemode: bool
    amount: Annotated[Units, Meta(description="Before discounts and taxes.")]
    quantity: Annotated[str, Meta(description="In full; usage may have a fraction.")]
    description: str
    period: dict[str, int]
    currency_id: str
    customer_id: str
    price_id: str | None
    invoice_id: str
    subscription_id: str | None
    subscription_item_id: str | None
    proration: bool
    discountable: bool
    metadata: dict[str, Any]
    price: PriceShape | None


class InvoiceShape(Shape, frozen=True):
    id: str
    object: str
    number: str
    livemode: bool
    status: str
    description: str
    billing_reason: str
    collection_method: str
    currency_id: str
    customer_id: str
    subscription_id: str | None
    period_start: int
    period_end: int
    subtotal: Units
    subtotal_excluding_tax: Units
    tax: Units
    total: Units
    amount_due: Units
    amount_paid: Units
    amount_remaining: Units
    amount_shipping: Units
    starting_balance: Units
    ending_balance: Units
    pre_payment_credit_notes_amount: Units
    post_payment_credit_notes_amount: Units
    auto_advance: bool
    paid: bool
    paid_out_of_band: bool
    attempt_count: int
    attempted: bool
    next_payment_attempt: None
    due_date: int | None
    effective_at: int | None
    customer_name: str | None
    customer_email: str | None
    customer_phone: str | None
    customer_address: dict[str, Any] | None
    account_name: str
    custom_fields: list[dict[str, Any]]
    footer: str | None
    hosted_invoice_url: str | None
    invoice_pdf: str | None
    status_transitions: dict[str, int | None]
    default_payment_method_id: None
    payment_intent_id: None
    metadata: dict[str, str]
    created_at: Instant
    updated_at: Instant
    lines: list[LineShape]
    customer: CustomerShape
    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")


def invoices_of(environment: Environment) -> QuerySet[Invoice]:
    """With all that their shape shows."""
    lines = InvoiceLine.objects.select_related("invoice_item").order_by("position")
    return (
        Invoice.objects.of(environment)
        .select_related("customer__test_clock", "hosted_link", "environment__company")
        .prefetch_related(Prefetch("lines", lines.prefetch_related(with_prices(environment))))
    )


def id_of_invoice(invoice: Invoice) -> str:
    return spell("in", invoice.pk)


def shape_of_invoice(invoice: Invoice, *, livemode: bool) -> InvoiceShape:
    """
    :param invoice: one of :func:`invoices_of`
    """
    parties, currency = parties_of(invoice), id_of_money(invoice.currency)
    buyer, made = parties["buyer"], instant_text(invoice.created_at)
    # The last that happened to it.
    moments = [invoice.created_at, invoice.finalized_at, invoice.paid_at, invoice.voided_at, invoice.uncollectible_at]
    return InvoiceShape(
        id=id_of_invoice(invoice),
        object="invoice",
        number=invoice.number,
        livemode=livemode,
        status=invoice.status,
        description=invoice.description,
        billing_reason=invoice.billing_reason,
        collection_method=invoice.collection_method,
        currency_id=currency,
        customer_id=id_of_customer(invoice.customer),
        subscription_id=spell("sub", invoice.subscription_id) if invoice.subscription_id else None,
        period_start=seconds(invoice.period_start),
        period_end=seconds(invoice.period_end),
        subtotal=str(invoice.subtotal),
        subtotal_excluding_tax=str(invoice.subtotal - invoice.subtotal_inclusive_tax),
        tax=str(invoice.inclusive_tax + invoice.exclusive_tax),
        total=str(invoice.total),
        # As in every dialect: less what credit notes took off it while it was still to be paid.
        amount_due=str(invoice.amount_due - invoice.pre_payment_credited),
        amount_paid=str(invoice.amount_paid),
        amount_remaining=str(invoice.amount_remaining),
        amount_shipping="0",
        starting_balance=str(invoice.starting_balance),
        ending_balance=str(invoice.ending_balance or 0),
        pre_payment_credit_notes_amount=str(invoice.pre_payment_credited),
        post_payment_credit_notes_amount=str(invoice.post_payment_credited),
        auto_advance=invoice.status == Invoice.Status.DRAFT and invoice.finalizes_at is not None,
        paid=invoice.status == Invoice.Status.PAID,
        paid_out_of_band=invoice.paid_out_of_band,
        attempt_count=0,
        attempted=False,
        next_payment_attempt=None,
        due_date=seconds_or_none(invoice.due_at),
        effective_at=seconds_or_none(invoice.finalized_at),
        customer_name=buyer["name"] or None,
        customer_email=buyer["email"] or None,
        customer_phone=buyer["phone"] or None,
        customer_address=buyer["address"],
        account_name=parties["seller"]["name"],
        custom_fields=invoice.custom_fields,
        footer=invoice.footer or None,
        hosted_invoice_url=page_address(invoice),
        invoice_pdf=pdf_address(invoice),
        status_transitions={
            "finalized_at": seconds_or_none(invoice.finalized_at),
            "marked_uncollectible_at": seconds_or_none(invoice.uncollectible_at),
            "paid_at": seconds_or_none(invoice.paid_at),
            "voided_at": seconds_or_none(invoice.voided_at),
        },
        default_payment_method_id=None,
        payment_intent_id=None,
        metadata=invoice.metadata,
        created_at=made,
        updated_at=instant_text(max(moment for moment in moments if moment is not None)),
        lines=[_shape_of_line(line, invoice, livemode=livemode) for line in invoice.lines.all()],
        customer=shape_of_customer(invoice.customer, livemode=livemode),
        payment_currency=shape_of_money(invoice.currency, livemode=livemode),
    )


def _shape_of_line(line: InvoiceLine, invoice: Invoice, *, livemode: bool) -> LineShape:
    item = line.invoice_item
    return LineShape(
        id=spell("il", line.pk),
        object="invoice_item",
        livemode=livemode,
        amount=str(line.amount),
        quantity=plain(line.quantity),
        description=line.description,
        period={"start": seconds(line.period_start), "end": seconds(line.period_end)},
        currency_id=id_of_money(invoice.currency),
        customer_id=id_of_customer(invoice.customer),
        price_id=id_of_price(line.price) if line.price else None,
        invoice_id=id_of_invoice(invoice),
        subscription_id=spell("sub", invoice.subscription_id) if invoice.subscription_id else None,
        subscription_item_id=spell("si", line.subscription_item_id) if line.subscription_item_id else None,
        proration=item is not None and item.is_proration,
        discountable=line.is_discountable,
        metadata=item.metadata if item else {},
        price=shape_of_price(line.price, livemode=livemode) if line.price else None,
    )


class InvoiceViewSet(PaymentKitViewSet):
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE

    def list(self, request: Request) -> HttpResponse:
        said, invoices = self.query, self._rows()
        for harmless in _INCLUDED:
            # There is none of what they would add.
            said.flag(harmless)
        if states := said.choices("status", Invoice.Status.values):
            invoices = invoices.filter(status__in=states)
        if named := said.text("customer_id") or said.text("customer_did"):
            invoices = invoices.filter(customer=find_customer(self.environment, named))
        if subscription := said.text("subscription_id"):
            invoices = invoices.filter(subscription=read("sub", subscription))
        if currency := said.text("currency_id"):
            invoices = invoices.filter(currency=money_of(currency) or "-")
        if said.flag("ignore_zero"):
            invoices = invoices.exclude(total=0)
        if metadata := said.below("metadata."):
            invoices = invoices.filter(metadata__contains=metadata)
        return self._listed(invoices)

    def search(self, request: Request) -> HttpResponse:
        invoices = self._rows()
        if words := self.query.text("query") or self.query.text("q"):
            of_customer = Q(customer__name__icontains=words) | Q(customer__email__iexact=words) | Q(customer__did=words)
            invoices = invoices.filter(Q(number__iexact=words) | Q(description__icontains=words) | of_customer)
        return self._listed(invoices)

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        return self._answer(self._row(pk))

    def update(self, request: Request, pk: str) -> HttpResponse:
        invoice = self._row(pk)
        metadata = self.body.texts("metadata")
        if metadata is not None:
            services.update_invoice(invoice=invoice, now=invoice.customer.now(self.now), metadata=metadata)
        return self._again(invoice)

    def void(self, request: Request, pk: str) -> HttpResponse:
        invoice = self._row(pk)
        services.void_invoice(invoice=invoice, now=invoice.customer.now(self.now))
        return self._again(invoice)

    def _rows(self) -> QuerySet[Invoice]:
        return self.within(invoices_of(self.environment).order_by("-created_at", "-pk"))

    def _row(self, pk: str) -> Invoice:
        found = row_of(self._rows(), "in", pk)
        if found is None:
            raise missing(NOUN, pk)
        return found

    def _listed(self, invoices: QuerySet[Invoice]) -> HttpResponse:
        livemode = self.environment.is_live
        return self.listed(invoices, lambda rows: [shape_of_invoice(row, livemode=livemode) for row in rows])

    def _again(self, invoice: Invoice) -> HttpResponse:
        return self._answer(self._rows().get(pk=invoice.pk))

    def _answer(self, invoice: Invoice) -> HttpResponse:
        return json_response(shape_of_invoice(invoice, livemode=self.environment.is_live))


class OverdueViewSet(PaymentKitViewSet):
    """What a customer should have paid by now, in all or for one subscription."""

    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE

    def of_customer(self, request: Request, pk: str) -> HttpResponse:
        customer = None if self.is_of_other_mode else find_customer(self.environment, pk)
        if customer is None:
            raise missing("Customer", pk)
        shape = shape_of_customer(customer, livemode=self.environment.is_live)
        return self._answer(customer, {"customer": shape}, invoices_of(self.environment).filter(customer=customer))

    def of_subscription(self, request: Request, pk: str) -> HttpResponse:
        subscription = row_of(self.within(subscriptions_of(self.environment)), "sub", pk)
        if subscription is None:
            raise missing("Subscription", pk)
        shape = shape_of_subscription(subscription, livemode=self.environment.is_live)
        invoices = invoices_of(self.environment).filter(subscription=subscription)
        return self._answer(subscription.customer, {"subscription": shape}, invoices)

    def _answer(self, customer: Customer, whose: dict[str, Any], invoices: QuerySet[Invoice]) -> HttpResponse:
        status, livemode = Invoice.Status, self.environment.is_live
        late = Q(status=status.OPEN, due_at__lte=customer.now(self.now)) | Q(status=status.UNCOLLECTIBLE)
        rows = list(invoices.filter(late).order_by("-created_at", "-pk")[:_MOST_OVERDUE])
        owed: Counter[str] = Counter()
        for invoice in rows:
            owed[invoice.currency] += invoice.amount_remaining
        summary = {
            id_of_money(code): {
                "amount": str(amount),
                "currency": shape_of_money(code, livemode=livemode),
                "method": None,
            }
            for code, amount in owed.items()
        }
        found = [shape_of_invoice(invoice, livemode=livemode) for invoice in rows]
        return json_response({**whose, "invoices": found, "summary": summary})
