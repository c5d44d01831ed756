"""/v1/invoices and their lines."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.customers import customer_reference, shape_of_address, test_clock_of
from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.fields import (
    UNKNOWN,
    Choice,
    CreatedListParams,
    Flag,
    ListParams,
    Ref,
    RetrieveParams,
    TimeRange,
    required,
)
from billing_project.api.stripe.kinds import CUSTOMER, INVOICE, LINE, PRICE, PRODUCT, SUBSCRIPTION, SUBSCRIPTION_ITEM
from billing_project.api.stripe.objects import Reference, Sublist, write
from billing_project.api.stripe.pagination import in_range, page_of
from billing_project.api.stripe.pretax_credits import bring_credit, shape_of_pretax_credits, with_credit
from billing_project.api.stripe.subscriptions import subscription_reference
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.ids import spell
from core.money import plain
from invoices import services
from invoices.models import Invoice, InvoiceLine
from subscriptions.models import Price

_FIRST_LINES = 10
_LINE_ORDER = ("position",)
_PREVIEW_PREFIX = "upcoming_in"


@INVOICE.completed
def complete(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    # One more line than is shown, which tells whether there are more.
    first = _with_prices(InvoiceLine.objects.order_by(*_LINE_ORDER))[: _FIRST_LINES + 1]
    return (
        with_credit(invoices)
        .select_related("customer__test_clock", "subscription")
        .prefetch_related("environment__company", Prefetch("lines", first, to_attr="first_lines"))
    )


@INVOICE.shaped
def shape_of_invoice(invoice: Invoice) -> Wire:
    lines: list[InvoiceLine] = invoice.first_lines  # type: ignore[attr-defined]
    for line in lines:
        line.invoice = invoice
    return _shape(invoice, lines[:_FIRST_LINES], has_more=len(lines) > _FIRST_LINES)


def shape_of_preview(preview: services.PreviewedInvoice) -> Wire:
    """An invoice that is stored nowhere: no page of its lines can be asked for, so they are all here."""
    for line in preview.lines:
        line.invoice = preview.invoice
    bring_credit(preview.invoice, preview.credit)
    return _shape(preview.invoice, preview.lines, has_more=False)


def _id_of(invoice: Invoice) -> str:
    """A preview's id says that it can be asked for nowhere."""
    return spell(_PREVIEW_PREFIX, invoice.pk) if invoice._state.adding else INVOICE.id_of(invoice)  # noqa: SLF001


def _shape(invoice: Invoice, lines: Sequence[InvoiceLine], *, has_more: bool) -> Wire:
    identifier = _id_of(invoice)
    customer = invoice.customer
    final = invoice.status != Invoice.Status.DRAFT
    return {
        "id": identifier,
        "object": "invoice",
        "account_country": None,
        "account_name": invoice.environment.company.name,
        "account_tax_ids": None,
        "amount_due": invoice.amount_due,
        "amount_overpaid": 0,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": invoice.status == Invoice.Status.DRAFT and invoice.finalizes_at is not None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None if final else timestamp_or_none(invoice.finalizes_at),
        "billing_reason": invoice.billing_reason,
        "collection_method": invoice.collection_method,
        "created": timestamp(invoice.created_at),
        "currency": invoice.currency,
        "custom_fields": None,
        "customer": customer_reference(customer),
        "customer_account": None,
        "customer_address": shape_of_address(customer),
        "customer_email": customer.email or None,
        "customer_name": customer.name or None,
        "customer_phone": customer.phone or None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": invoice.description or None,
        "discounts": [],
        "due_date": timestamp_or_none(invoice.due_at),
        "effective_at": timestamp_or_none(invoice.finalized_at),
        "ending_balance": 0 if final else None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": Sublist(LINE, lines, has_more, f"/v1/invoices/{identifier}/lines"),
        "metadata": invoice.metadata,
        "next_payment_attempt": None,
        "number": invoice.number or None,
        "on_behalf_of": None,
        "parent": _shape_of_parent(invoice),
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": timestamp(invoice.period_end),
        "period_start": timestamp(invoice.period_start),
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": invoice.status,
        "status_transitions": {
            "finalized_at": timestamp_or_none(invoice.finalized_at),
            "marked_uncollectible_at": None,
            "paid_at": timestamp_or_none(invoice.paid_at),
            "voided_at": timestamp_or_none(invoice.voided_at),
        },
        "subtotal": invoice.subtotal,
        "subtotal_excluding_tax": invoice.subtotal,
        "test_clock": test_clock_of(customer),
        "total": invoice.total,
        "total_discount_amounts": [],
        "total_excluding_tax": invoice.total,
        "total_pretax_credit_amounts": shape_of_pretax_credits(invoice),
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


def _shape_of_parent(invoice: Invoice) -> Wire | None:
    if invoice.subscription is None:
        return None
    return {
        "quote_details": None,
        "subscription_details": {
            "metadata": invoice.subscription.metadata,
            "subscription": subscription_reference(invoice, invoice.subscription.pk),
        },
        "type": "subscription_details",
    }


@LINE.shaped
def shape_of_line(line: InvoiceLine) -> Wire:
    return {
        "id": LINE.id_of(line),
        "object": "line_item",
        "amount": line.amount,
        "currency": line.invoice.currency,
        "description": line.description or None,
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": _id_of(line.invoice),
        "metadata": line.subscription_item.metadata if line.subscription_item else {},
        "parent": _shape_of_line_parent(line),
        "period": {"end": timestamp(line.period_end), "start": timestamp(line.period_start)},
        "pretax_credit_amounts": shape_of_pretax_credits(line.invoice, line),
        "pricing": _shape_of_pricing(line),
        # Whole units only; the text beside it has all of them.
        "quantity": int(line.quantity),
        "quantity_decimal": plain(line.quantity),
        "subscription": SUBSCRIPTION.spell(line.invoice.subscription_id) if line.invoice.subscription_id else None,
        "subtotal": line.amount,
        "taxes": [],
    }


def _shape_of_line_parent(line: InvoiceLine) -> Wire | None:
    if line.subscription_item_id is None or line.invoice.subscription_id is None:
        return None
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": SUBSCRIPTION.spell(line.invoice.subscription_id),
            "subscription_item": SUBSCRIPTION_ITEM.spell(line.subscription_item_id),
        },
        "type": "subscription_item_details",
    }


def _shape_of_pricing(line: InvoiceLine) -> Wire | None:
    price = line.price
    if price is None:
        return None

    def load() -> Price:
        return price

    return {
        "price_details": {
            "price": Reference(PRICE, PRICE.id_of(price), load),
            "product": PRODUCT.id_of(price.product),
        },
        "type": "price_details",
        "unit_amount_decimal": None if line.unit_amount is None else plain(line.unit_amount),
    }


def _with_prices(lines: QuerySet[InvoiceLine]) -> QuerySet[InvoiceLine]:
    # A chunk of a billing run has many lines and few prices.
    return lines.select_related("subscription_item").prefetch_related("price__product")


class InvoiceListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    subscription = Ref(SUBSCRIPTION)
    status = Choice("draft", "open", "paid", "uncollectible", "void")
    collection_method = Choice("charge_automatically", "send_invoice")
    due_date = TimeRange()

    unserved = ("customer_account",)


class PreviewParams(RetrieveParams):
    customer = Ref(CUSTOMER, among=lambda customers: customers.filter(deleted_at=None))
    subscription = Ref(SUBSCRIPTION)

    unserved = (
        "automatic_tax",
        "billing_schedules",
        "currency",
        "customer_account",
        "customer_details",
        "discounts",
        "invoice_items",
        "issuer",
        "on_behalf_of",
        "preview_mode",
        "schedule",
        "schedule_details",
        "subscription_details",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        required(attrs, "customer", "subscription")
        customer, subscription = attrs.get("customer"), attrs.get("subscription")
        if customer and subscription and subscription.customer_id != customer.pk:
            raise missing("subscription", SUBSCRIPTION.id_of(subscription), param="subscription", status=400)
        return attrs


class FinalizeParams(RetrieveParams):
    unserved = ("auto_advance",)


class PayParams(RetrieveParams):
    paid_out_of_band = Flag(required=True)

    unserved = ("forgive", "mandate", "off_session", "payment_method", "source")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs["paid_out_of_band"]:
            message = "Payments are not collected here yet: only paid_out_of_band=true is accepted"
            raise ValidationError({"paid_out_of_band": [ErrorDetail(message, UNKNOWN)]})
        return attrs


class InvoiceViewSet(StripeViewSet[Invoice]):
    kind = INVOICE
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE
    reading_actions = ("create_preview",)

    def list(self, request: Request) -> Response:
        params = self.validated(InvoiceListParams)
        same: Sequence[str] = ("customer", "subscription", "status", "collection_method")
        invoices = self.get_queryset().filter(
            **in_range(params),
            **in_range(params, "due_date", "due_at"),
            **{name: params[name] for name in same if name in params},
        )
        return self.listed(invoices, params)

    @action(methods=["get"], detail=True)
    def lines(self, request: Request, pk: str) -> Response:
        params = self.validated(ListParams)
        invoice = self.row(pk)
        lines = _with_prices(invoice.lines.all())
        page = page_of(lines, params, kind=LINE, cursors=lines, order=_LINE_ORDER)
        for line in page.rows:
            line.invoice = invoice
        return self.respond_page(page, shape_of_line)

    @action(methods=["post"], detail=False)
    def create_preview(self, request: Request) -> Response:
        params = self.validated(PreviewParams)
        customer = params.get("customer") or params["subscription"].customer
        preview = services.preview_invoice(environment=self.environment, now=customer.now(self.now), **params)
        shape = shape_of_preview(preview)
        return Response(write(shape, self.expansion, livemode=self.environment.is_live))

    @action(methods=["post"], detail=True)
    def finalize(self, request: Request, pk: str) -> Response:
        self.validated(FinalizeParams)
        return self._changed(pk, services.finalize_invoice)

    @action(methods=["post"], detail=True)
    def pay(self, request: Request, pk: str) -> Response:
        self.validated(PayParams)
        return self._changed(pk, services.pay_invoice_out_of_band)

    @action(methods=["post"], detail=True)
    def void(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self._changed(pk, services.void_invoice)

    def _changed(self, pk: str, change: Any) -> Response:
        invoice = self.row(pk)
        change(invoice=invoice, now=invoice.customer.now(self.now))
        return self.respond(self.row(pk))
