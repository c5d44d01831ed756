"""/v1/invoices and their lines."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery, prefetch_related_objects
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Environment, Scope
from billing_project.api.stripe.customers import customer_reference, shape_of_address, test_clock_of
from billing_project.api.stripe.fields import (
    ListParams,
    RetrieveParams,
)
from billing_project.api.stripe.invoice_lines import ITEMS_OF_LINES, id_of_invoice, shape_of_line, with_prices
from billing_project.api.stripe.invoice_params import (
    FinalizeParams,
    InvoiceListParams,
    InvoiceWordsParams,
    NewInvoiceParams,
    PayParams,
    renamed,
    terms_and_words,
)
from billing_project.api.stripe.invoice_payments import shape_of_payment, signature
from billing_project.api.stripe.kinds import (
    CUSTOMER,
    INVOICE,
    INVOICE_PAYMENT,
    LINE,
    SUBSCRIPTION,
)
from billing_project.api.stripe.objects import Hidden, Reference, Sublist, write, write_all
from billing_project.api.stripe.pagination import NEWEST_FIRST, in_range, page_of
from billing_project.api.stripe.pretax_credits import (
    bring_credit,
    bring_credit_of,
    shape_of_pretax_credits,
    with_credit,
)
from billing_project.api.stripe.previews import PreviewParams, preview_of
from billing_project.api.stripe.reductions import (
    bring_reductions,
    bring_reductions_of,
    shape_of_default_tax_rates,
    shape_of_discount_amounts,
    shape_of_discounts,
    shape_of_taxes,
    with_reductions,
)
from billing_project.api.stripe.searching import ABSENT, Id, Instant, Number, SearchViewSet, Token, whole
from billing_project.api.stripe.subscriptions import subscription_reference
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from core.related import rows_of
from invoices import services
from invoices.links import page_address, pdf_below
from invoices.models import CustomerBalance, HostedLink, Invoice, InvoiceLine, Payment
from invoices.parties import parties_of

_FIRST_LINES = 10
_FIRST_PAYMENTS = 10
_LINE_ORDER = ("position",)


@INVOICE.completed
def complete(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    # One more line than is shown, which tells whether there are more.
    first = with_prices(InvoiceLine.objects.order_by(*_LINE_ORDER))[: _FIRST_LINES + 1]
    balance = CustomerBalance.objects.filter(
        environment=OuterRef("environment"), customer=OuterRef("customer"), currency=OuterRef("currency")
    )
    revisions = Invoice.objects.filter(environment=OuterRef("environment"), revises=OuterRef("pk"))
    revisions = revisions.exclude(status=Invoice.Status.DRAFT).order_by("-created_at", "-pk")
    return (
        with_reductions(with_credit(invoices))
        .select_related("customer__test_clock", "subscription", "hosted_link")
        .prefetch_related("environment__company", Prefetch("lines", first, to_attr="first_lines"))
        .annotate(present_balance=Subquery(balance.values("amount")[:1]), revision=Subquery(revisions.values("pk")[:1]))
    )


@INVOICE.brought
@contextmanager
def bring_parts(environment: Environment, invoices: Sequence[Invoice]) -> Iterator[None]:
    """What stands beside invoices that have their lines, customers and subscriptions, as billing makes and reads them."""
    bring_reductions_of(environment, invoices)
    bring_credit_of(environment, invoices)
    ids = [invoice.pk for invoice in invoices]
    links = {link.pk: link for link in HostedLink.objects.filter(environment=environment, pk__in=ids)}
    balances = CustomerBalance.objects.filter(
        environment=environment, customer__in={invoice.customer_id for invoice in invoices}
    )
    amounts = {(row.customer_id, row.currency): row.amount for row in balances}
    revisions = Invoice.objects.filter(environment=environment, revises__in=ids).exclude(status=Invoice.Status.DRAFT)
    revised = dict(revisions.order_by("created_at", "pk").values_list("revises", "pk"))
    hosted_link: Any = Invoice._meta.get_field("hosted_link")  # noqa: SLF001 (Django documents it)
    for invoice in invoices:
        invoice.environment = environment
        hosted_link.set_cached_value(invoice, links.get(invoice.pk))
        own: Any = invoice
        own.first_lines = list(rows_of(invoice, "lines")[: _FIRST_LINES + 1])
        own.present_balance = amounts.get((invoice.customer_id, invoice.currency))
        own.revision = revised.get(invoice.pk)
    prefetch_related_objects(
        [line for invoice in invoices for line in rows_of(invoice, "lines") if line.invoice_item_id is not None],
        *ITEMS_OF_LINES,
    )
    yield
    for invoice in invoices:
        # There may be one later.
        hosted_link.delete_cached_value(invoice)


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
    bring_reductions(preview.invoice, preview.lines, preview.reduced)
    return _shape(preview.invoice, preview.lines, has_more=False)


def _shape(invoice: Invoice, lines: Sequence[InvoiceLine], *, has_more: bool) -> Wire:
    identifier = id_of_invoice(invoice)
    customer, parties = invoice.customer, parties_of(invoice)
    buyer = parties["buyer"]
    final = invoice.status != Invoice.Status.DRAFT
    page = page_address(invoice)
    return {
        "id": identifier,
        "object": "invoice",
        "account_country": None,
        "account_name": parties["seller"]["name"],
        "account_tax_ids": None,
        # As it was, less what credit notes took off it while it was still to be paid.
        "amount_due": invoice.amount_due - invoice.pre_payment_credited,
        "amount_overpaid": 0,
        "amount_paid": invoice.amount_paid,
        "amount_paid_off_stripe": invoice.amount_paid,
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
        "custom_fields": invoice.custom_fields or None,
        "customer": customer_reference(customer),
        "customer_account": None,
        "customer_address": shape_of_address(buyer["address"]),
        "customer_email": buyer["email"] or None,
        "customer_name": buyer["name"] or None,
        "customer_phone": buyer["phone"] or None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": shape_of_default_tax_rates(invoice),
        "description": invoice.description or None,
        "discounts": shape_of_discounts(invoice),
        "due_date": timestamp_or_none(invoice.due_at),
        "effective_at": timestamp_or_none(invoice.finalized_at),
        "ending_balance": invoice.ending_balance,
        "footer": invoice.footer or None,
        "from_invoice": _shape_of_origin(invoice),
        "hosted_invoice_url": page,
        "invoice_pdf": pdf_below(page),
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": Reference.to(INVOICE, getattr(invoice, "revision", None), invoice.environment),
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
        "payments": Hidden(partial(_shape_of_payments, invoice), invoice, _bring_payments),
        "period_end": timestamp(invoice.period_end),
        "period_start": timestamp(invoice.period_start),
        "post_payment_credit_notes_amount": invoice.post_payment_credited,
        "pre_payment_credit_notes_amount": invoice.pre_payment_credited,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": _starting_balance(invoice),
        "statement_descriptor": None,
        "status": invoice.status,
        "status_transitions": {
            "finalized_at": timestamp_or_none(invoice.finalized_at),
            "marked_uncollectible_at": timestamp_or_none(invoice.uncollectible_at),
            "paid_at": timestamp_or_none(invoice.paid_at),
            "voided_at": timestamp_or_none(invoice.voided_at),
        },
        "subtotal": invoice.subtotal,
        "subtotal_excluding_tax": invoice.subtotal - invoice.subtotal_inclusive_tax,
        "test_clock": test_clock_of(customer),
        "total": invoice.total,
        "total_discount_amounts": shape_of_discount_amounts(invoice),
        "total_excluding_tax": invoice.total - invoice.inclusive_tax - invoice.exclusive_tax,
        "total_pretax_credit_amounts": shape_of_pretax_credits(invoice),
        "total_taxes": shape_of_taxes(invoice),
        "webhooks_delivered_at": None,
    }


def _shape_of_origin(invoice: Invoice) -> Wire | None:
    if invoice.revises_id is None:
        return None
    return {"action": "revision", "invoice": Reference.to(INVOICE, invoice.revises_id, invoice.environment)}


def _shape_of_payments(invoice: Invoice) -> Wire:
    first: list[Payment] = invoice.first_payments  # type: ignore[attr-defined]
    return {
        "object": "list",
        "data": write_all(map(shape_of_payment, first[:_FIRST_PAYMENTS]), livemode=invoice.environment.is_live),
        "has_more": len(first) > _FIRST_PAYMENTS,
        "url": f"/v1/invoice_payments?invoice={id_of_invoice(invoice)}",
    }


def _bring_payments(invoices: Sequence[Invoice]) -> None:
    # One more than is shown, which tells whether there are more.
    first = INVOICE_PAYMENT.complete(invoices[0].environment).order_by(*NEWEST_FIRST)[: _FIRST_PAYMENTS + 1]
    prefetch_related_objects(list(invoices), Prefetch("payments", first, to_attr="first_payments"))


def _starting_balance(invoice: Invoice) -> int:
    """A stored draft's is the customer's balance as it is at present; a final one's what it was, a preview's as computed."""
    if invoice.status != Invoice.Status.DRAFT:
        return invoice.starting_balance
    return getattr(invoice, "present_balance", invoice.starting_balance) or 0


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


class InvoiceViewSet(SearchViewSet[Invoice]):
    kind = INVOICE
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE
    searchable = {
        "created": Instant("created_at"),
        "currency": Token("currency"),
        "customer": Id(CUSTOMER, "customer"),
        "last_finalization_error_code": ABSENT,
        "last_finalization_error_type": ABSENT,
        "number": whole("number"),
        "receipt_number": ABSENT,
        "status": Token("status"),
        "subscription": Id(SUBSCRIPTION, "subscription"),
        "total": Number("total"),
    }
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
        lines = with_prices(invoice.lines.all())
        page = page_of(lines, params, kind=LINE, cursors=lines, order=_LINE_ORDER)
        for line in page.rows:
            line.invoice = invoice
        return self.respond_page(page, shape_of_line)

    def create(self, request: Request) -> Response:
        params = self.validated(NewInvoiceParams)
        if "from_invoice" in params:
            return self._revised(params)
        subscription = params.get("subscription")
        customer = params.pop("customer", None) or params["subscription"].customer
        takes_items = params.pop("pending_invoice_items_behavior") == "include"
        currency = params.pop("currency", "").lower()
        invoice = services.create_invoice(
            environment=self.environment,
            customer=customer,
            currency=currency or services.currency_of(customer, subscription=subscription),
            now=customer.now(self.now),
            takes_waiting_items=takes_items,
            **renamed(params),
        )
        return self.respond(self.row(INVOICE.id_of(invoice)))

    def _revised(self, params: dict[str, Any]) -> Response:
        invoice = params.pop("from_invoice")["invoice"]
        # What waits for the customer stays where it is.
        params.pop("pending_invoice_items_behavior")
        terms, words = terms_and_words(params)
        draft = services.revise_invoice(invoice=invoice, now=invoice.customer.now(self.now), terms=terms, **words)
        return self.respond(self.row(INVOICE.id_of(draft)))

    def update(self, request: Request, pk: str) -> Response:
        terms, words = terms_and_words(self.validated(InvoiceWordsParams))
        return self._changed(pk, partial(services.update_invoice, terms=terms, **words))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        invoice = self.row(pk)
        services.delete_draft(invoice=invoice, now=invoice.customer.now(self.now))
        return Response({"id": pk, "object": "invoice", "deleted": True})

    @action(methods=["post"], detail=False)
    def create_preview(self, request: Request) -> Response:
        params = self.validated(PreviewParams)
        preview = preview_of(params, self.environment, self.now)
        return Response(write(shape_of_preview(preview), self.expansion, livemode=self.environment.is_live))

    @action(methods=["post"], detail=True)
    def mark_uncollectible(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self._changed(pk, services.mark_invoice_uncollectible)

    @action(methods=["post"], detail=True)
    def finalize(self, request: Request, pk: str) -> Response:
        self.validated(FinalizeParams)
        return self._changed(pk, services.finalize_invoice)

    @action(methods=["post"], detail=True)
    def pay(self, request: Request, pk: str) -> Response:
        self.validated(PayParams)
        return self._changed(pk, partial(services.pay_invoice_out_of_band, recorded_by=signature(self)))

    @action(methods=["post"], detail=True)
    def reissue(self, request: Request, pk: str) -> Response:
        """Ours: void and draft anew in one step."""
        self.validated(RetrieveParams)
        invoice = self.row(pk)
        draft = services.reissue_invoice(invoice=invoice, now=invoice.customer.now(self.now))
        return self.respond(self.row(INVOICE.id_of(draft)))

    @action(methods=["post"], detail=True)
    def send(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self._changed(pk, services.send_invoice)

    @action(methods=["post"], detail=True)
    def void(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self._changed(pk, services.void_invoice)

    def _changed(self, pk: str, change: Any) -> Response:
        invoice = self.row(pk)
        change(invoice=invoice, now=invoice.customer.now(self.now))
        return self.respond(self.row(pk))
