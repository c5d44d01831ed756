"""/v1/credit_notes and their lines."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.customers import customer_reference
from billing_project.api.stripe.discounts import reference_to_discount
from billing_project.api.stripe.fields import (
    Array,
    Choice,
    CreatedListParams,
    Integer,
    ListParams,
    Metadata,
    Params,
    Ref,
    RetrieveParams,
    Text,
    Timestamp,
    exclusive,
    required,
)
from billing_project.api.stripe.invoice_payments import LARGEST, signature
from billing_project.api.stripe.kinds import (
    BALANCE_TRANSACTION,
    CREDIT_NOTE,
    CREDIT_NOTE_LINE,
    CUSTOMER,
    INVOICE,
    LINE,
    TAX_RATE,
)
from billing_project.api.stripe.objects import Embedded, Reference, Sublist
from billing_project.api.stripe.pagination import in_range, page_of_rows
from billing_project.api.stripe.tax_rates import shape_of_tax_rate
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import Wire, timestamp, timestamp_or_none
from invoices import services
from invoices.links import note_pdf_address
from invoices.models import CreditNote, CreditNoteLine, CreditNoteLineDiscount, CreditNoteLineTax

_FIRST_LINES = 10


@CREDIT_NOTE.completed
def complete(notes: QuerySet[CreditNote]) -> QuerySet[CreditNote]:
    lines = CreditNoteLine.objects.order_by("position").prefetch_related(
        Prefetch("discounts", to_attr="shown_discounts"),
        Prefetch("taxes", CreditNoteLineTax.objects.select_related("tax_rate"), to_attr="shown_taxes"),
    )
    return notes.select_related("environment", "customer__test_clock", "invoice__hosted_link").prefetch_related(
        Prefetch("lines", lines, to_attr="shown_lines")
    )


@CREDIT_NOTE.shaped
def shape_of_credit_note(note: CreditNote) -> Wire:
    lines = lines_of(note)
    identifier = CREDIT_NOTE.id_of(note)
    taxes = [tax for line in lines for tax in _taxes_of(line)]
    discounts = [discount for line in lines for discount in _discounts_of(line)]
    return {
        "id": identifier,
        "object": "credit_note",
        "amount": note.total,
        "amount_shipping": 0,
        "created": timestamp(note.created_at),
        "currency": note.currency,
        "customer": customer_reference(note.customer),
        "customer_account": None,
        "customer_balance_transaction": Reference.to(
            BALANCE_TRANSACTION, note.balance_transaction_id, note.environment
        ),
        "discount_amount": note.discount_amount,
        "discount_amounts": _shape_of_discounts(note, discounts),
        "effective_at": timestamp(note.effective_at),
        "invoice": Reference.to(INVOICE, note.invoice_id, note.environment),
        "lines": Sublist(
            CREDIT_NOTE_LINE,
            lines[:_FIRST_LINES],
            len(lines) > _FIRST_LINES,
            f"/v1/credit_notes/{identifier}/lines",
        ),
        "memo": note.memo or None,
        "metadata": note.metadata,
        "number": note.number,
        "out_of_band_amount": note.out_of_band_amount or None,
        # A preview is on no paper.
        "pdf": None if note._state.adding else note_pdf_address(note),  # noqa: SLF001
        "post_payment_amount": note.post_payment_amount,
        "pre_payment_amount": note.pre_payment_amount,
        "pretax_credit_amounts": _shape_of_pretax(note, discounts, note.credit_amount),
        "reason": note.reason or None,
        # Ours: refunds are recorded as an amount, since no provider makes them.
        "refund_amount": note.refund_amount,
        "refunds": [],
        "shipping_cost": None,
        "status": note.status,
        "subtotal": note.subtotal,
        "subtotal_excluding_tax": note.subtotal - note.inclusive_tax,
        "total": note.total,
        "total_excluding_tax": note.total - note.inclusive_tax - note.exclusive_tax,
        "total_taxes": _shape_of_taxes(taxes),
        "type": _type_of(note),
        "voided_at": timestamp_or_none(note.voided_at),
    }


@CREDIT_NOTE_LINE.shaped
def shape_of_line(line: CreditNoteLine) -> Wire:
    note, discounts, taxes = line.credit_note, _discounts_of(line), _taxes_of(line)
    return {
        "id": CREDIT_NOTE_LINE.id_of(line),
        "object": "credit_note_line_item",
        "amount": line.amount,
        "description": line.description or None,
        "discount_amount": line.discount_amount,
        "discount_amounts": _shape_of_discounts(note, discounts),
        "invoice_line_item": LINE.spell(line.invoice_line_id),
        "metadata": line.metadata,
        "pretax_credit_amounts": _shape_of_pretax(note, discounts, line.credit_amount),
        "quantity": None if line.quantity is None else int(line.quantity),
        "tax_rates": [Embedded(shape_of_tax_rate, tax.tax_rate) for tax in taxes],
        "taxes": _shape_of_taxes(taxes),
        "type": "invoice_line_item",
        "unit_amount": None,
        "unit_amount_decimal": None,
    }


def lines_of(note: CreditNote) -> list[CreditNoteLine]:
    lines: list[CreditNoteLine] = note.shown_lines  # type: ignore[attr-defined]
    for line in lines:
        line.credit_note = note
    return lines


def bring_rows(drafted: services.DraftedCreditNote) -> CreditNote:
    """Have a previewed credit note bring its rows, as stored ones do."""
    for line in drafted.lines:
        line.shown_discounts = [row for row in drafted.discounts if row.line is line]  # type: ignore[attr-defined]
        line.shown_taxes = [row for row in drafted.taxes if row.line is line]  # type: ignore[attr-defined]
    drafted.note.shown_lines = drafted.lines  # type: ignore[attr-defined]
    return drafted.note


def _type_of(note: CreditNote) -> str:
    if not note.pre_payment_amount:
        return "post_payment"
    return "mixed" if note.post_payment_amount else "pre_payment"


def _discounts_of(line: CreditNoteLine) -> list[CreditNoteLineDiscount]:
    rows: list[CreditNoteLineDiscount] = line.shown_discounts  # type: ignore[attr-defined]
    return rows


def _taxes_of(line: CreditNoteLine) -> list[CreditNoteLineTax]:
    rows: list[CreditNoteLineTax] = line.shown_taxes  # type: ignore[attr-defined]
    return rows


def _shape_of_discounts(note: CreditNote, rows: Iterable[CreditNoteLineDiscount]) -> list[Wire]:
    summed: dict[Any, int] = {}
    for row in rows:
        summed[row.discount_id] = summed.get(row.discount_id, 0) + row.amount
    return [
        {"amount": amount, "discount": reference_to_discount(note.environment, pk)} for pk, amount in summed.items()
    ]


def _shape_of_pretax(note: CreditNote, rows: Iterable[CreditNoteLineDiscount], credit: int) -> list[Wire]:
    """What was not to be paid of it: discounts, and what credit grants had paid."""
    shapes = [{**shape, "type": "discount"} for shape in _shape_of_discounts(note, rows)]
    if credit:
        shapes.append({"amount": credit, "credit_balance_transaction": None, "type": "credit_balance_transaction"})
    return shapes


def _shape_of_taxes(rows: Iterable[CreditNoteLineTax]) -> list[Wire]:
    summed: dict[Any, Wire] = {}
    for row in rows:
        shape = summed.setdefault(
            row.tax_rate_id,
            {
                "amount": 0,
                "tax_behavior": "inclusive" if row.tax_rate.inclusive else "exclusive",
                "tax_rate_details": {"tax_rate": TAX_RATE.spell(row.tax_rate_id)},
                "taxability_reason": "not_available",
                "taxable_amount": 0,
                "type": "tax_rate_details",
            },
        )
        shape["amount"] += row.amount
        shape["taxable_amount"] += row.taxable_amount
    return list(summed.values())


class LineParams(Params):
    type = Choice("invoice_line_item", required=True)
    invoice_line_item = Ref(LINE, required=True)
    amount = Integer(least=-LARGEST, most=LARGEST)
    quantity = Integer(least=1, most=LARGEST)
    description = Text(500)
    metadata = Metadata()

    unserved = ("tax_amounts", "tax_rates", "unit_amount", "unit_amount_decimal")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "amount", "quantity")
        return attrs


class CreditNoteParams(RetrieveParams):
    invoice = Ref(INVOICE, required=True)
    amount = Integer(least=1, most=LARGEST)
    lines = Array(LineParams(), most=250)
    credit_amount = Integer(least=0, most=LARGEST)
    refund_amount = Integer(least=0, most=LARGEST)
    out_of_band_amount = Integer(least=0, most=LARGEST)
    effective_at = Timestamp()
    # Without it the company's own setting says whether it is mailed.
    email_type = Choice("credit_note", "none")
    memo = Text(5000)
    metadata = Metadata()
    reason = Choice(*CreditNote.Reason.values)

    unserved = ("refunds", "shipping_cost")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "amount", "lines")
        required(attrs, "amount", "lines")
        return attrs


class PreviewLinesParams(CreditNoteParams, ListParams):
    pass


class CreditNoteUpdateParams(RetrieveParams):
    memo = Text(5000, clearable="")
    metadata = Metadata()


class CreditNoteListParams(CreatedListParams):
    customer = Ref(CUSTOMER)
    invoice = Ref(INVOICE)

    unserved = ("customer_account",)


class CreditNoteViewSet(StripeViewSet[CreditNote]):
    kind = CREDIT_NOTE
    read_scope = Scope.INVOICES_READ
    write_scope = Scope.INVOICES_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(CreditNoteListParams)
        same = {name: params[name] for name in ("customer", "invoice") if name in params}
        return self.listed(self.get_queryset().filter(**in_range(params), **same), params)

    def create(self, request: Request) -> Response:
        params = self.validated(CreditNoteParams)
        invoice = params.pop("invoice")
        note = services.issue_credit_note(
            invoice=invoice, now=invoice.customer.now(self.now), recorded_by=signature(self), **_terms(params)
        )
        return self.respond(self.row(CREDIT_NOTE.id_of(note)))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(CreditNoteUpdateParams)
        note = self.row(pk)
        services.update_credit_note(note=note, now=note.customer.now(self.now), **params)
        return self.respond(self.row(pk))

    @action(methods=["get"], detail=False)
    def preview(self, request: Request) -> Response:
        return self.respond(self._previewed(self.validated(CreditNoteParams)))

    @action(methods=["get"], detail=False, url_path="preview/lines", url_name="preview-lines")
    def preview_lines(self, request: Request) -> Response:
        params = self.validated(PreviewLinesParams)
        paging: dict[str, Any] = {
            name: params.pop(name) for name in ("limit", "starting_after", "ending_before") if name in params
        }
        return self._page_of_lines(self._previewed(params), paging)

    @action(methods=["get"], detail=True)
    def lines(self, request: Request, pk: str) -> Response:
        params = self.validated(ListParams)
        return self._page_of_lines(self.row(pk), params)

    @action(methods=["post"], detail=True)
    def void(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        note = self.row(pk)
        services.void_credit_note(note=note, now=note.customer.now(self.now))
        return self.respond(self.row(pk))

    def _previewed(self, params: dict[str, Any]) -> CreditNote:
        invoice = params.pop("invoice")
        now = invoice.customer.now(self.now)
        return bring_rows(services.preview_credit_note(invoice=invoice, now=now, **_terms(params)))

    def _page_of_lines(self, note: CreditNote, params: dict[str, Any]) -> Response:
        lines = lines_of(note)
        ids = [CREDIT_NOTE_LINE.id_of(line) for line in lines]
        page = page_of_rows(lines, params, ids=ids, noun=CREDIT_NOTE_LINE.noun)
        return self.respond_page(page, shape_of_line)


def _terms(params: dict[str, Any]) -> services.CreditNoteTerms:
    names = {"amount": "total", "credit_amount": "balance_amount"}
    terms: Any = {names.get(name, name): value for name, value in params.items()}
    if "email_type" in terms:
        terms["is_mailed"] = terms.pop("email_type") == "credit_note"
    if "lines" in terms:
        terms["lines"] = [_line_credit(line) for line in terms["lines"]]
    return terms  # type: ignore[no-any-return]


def _line_credit(params: dict[str, Any]) -> services.LineCredit:
    metadata = params.get("metadata")
    return services.LineCredit(
        line_id=params["invoice_line_item"].pk,
        amount=params.get("amount"),
        quantity=params.get("quantity"),
        description=params.get("description", ""),
        metadata={} if metadata is None else metadata.applied_to({}),
    )
