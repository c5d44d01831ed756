"""What discounts an invoice and its lines have, what they took off, and what taxes came to: a part of both objects."""

from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Prefetch, QuerySet
from django.db.models.functions import JSONObject

from accounts.models import Environment
from billing_project.api.stripe.discounts import discount_reference, reference_to_discount
from billing_project.api.stripe.kinds import TAX_RATE
from billing_project.api.stripe.objects import Embedded, Reference, References
from billing_project.api.stripe.tax_rates import shape_of_tax_rate
from billing_project.api.stripe.wire import Wire
from invoices.models import Invoice, InvoiceDiscount, InvoiceLine, InvoiceTaxRate, ItemDiscount, LineDiscount, LineTax
from invoices.reducing import Reduced
from subscriptions.models import Discount

_IN_ORDER = ("line__position", "position")


def with_reductions(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Have each invoice bring its discounts and taxes, however many lines there are, in the same query."""
    here = {"environment": OuterRef("environment")}
    of_invoice = InvoiceDiscount.objects.filter(**here, invoice=OuterRef("pk")).order_by("position")
    given = JSONObject(key="discount_id", item="discount__subscription_item_id")
    of_lines = {**here, "line__invoice": OuterRef("pk")}
    taken = JSONObject(line="line_id", key="discount_id", amount="amount")
    taxed = JSONObject(
        line="line_id",
        key="tax_rate_id",
        amount="amount",
        taxable="taxable_amount",
        inclusive="tax_rate__inclusive",
    )
    rates = InvoiceTaxRate.objects.select_related("tax_rate")
    return invoices.prefetch_related(Prefetch("default_tax_rates", rates, to_attr="asked_by_default")).annotate(
        given=ArraySubquery(of_invoice.values_list(given)),
        taken=ArraySubquery(LineDiscount.objects.filter(**of_lines).order_by(*_IN_ORDER).values_list(taken)),
        taxed=ArraySubquery(LineTax.objects.filter(**of_lines).order_by(*_IN_ORDER).values_list(taxed)),
    )


def bring_reductions(invoice: Any, lines: Sequence[InvoiceLine], reduced: Reduced) -> None:
    """Have a previewed invoice bring what its discounts and taxes would come to."""
    invoice.asked_by_default = reduced.tax_rates
    # They may have been redeemed for the preview alone, and be nowhere by now.
    own = [row for line in lines if line.invoice_item is not None for row in line.invoice_item.discounts.all()]
    rows: list[ItemDiscount | InvoiceDiscount | LineDiscount] = [*own, *reduced.discounts, *reduced.line_discounts]
    invoice.known_discounts = {row.discount_id: row.discount for row in rows}
    invoice.given = [_given(row) for row in reduced.discounts]
    invoice.taken = [_taken(row) for row in reduced.line_discounts]
    invoice.taxed = [_taxed(row) for row in reduced.line_taxes]


def bring_reductions_of(environment: Environment, invoices: Sequence[Invoice]) -> None:
    """Have invoices in memory bring what is stored of theirs. Most have none, so four small questions are the least."""
    by_pk: dict[UUID, Any] = {invoice.pk: invoice for invoice in invoices}
    for own in by_pk.values():
        own.asked_by_default, own.given, own.taken, own.taxed = [], [], [], []
    here = {"environment": environment, "invoice__in": list(by_pk)}
    for rate in InvoiceTaxRate.objects.filter(**here).select_related("tax_rate"):
        by_pk[rate.invoice_id].asked_by_default.append(rate)
    for given in InvoiceDiscount.objects.filter(**here).select_related("discount").order_by("position"):
        by_pk[given.invoice_id].given.append(_given(given))
    of_lines = {"environment": environment, "line__invoice__in": list(by_pk)}
    for taken in LineDiscount.objects.filter(**of_lines).select_related("line").order_by(*_IN_ORDER):
        by_pk[taken.line.invoice_id].taken.append(_taken(taken))
    for taxed in LineTax.objects.filter(**of_lines).select_related("line", "tax_rate").order_by(*_IN_ORDER):
        by_pk[taxed.line.invoice_id].taxed.append(_taxed(taxed))


class _Part(TypedDict, total=False):
    """What a discount or a tax comes to on a line.

    :ivar key: of the discount, or of the tax's rate
    """

    line: str
    key: str
    amount: int
    taxable: int
    inclusive: bool


def _given(row: InvoiceDiscount) -> dict[str, Any]:
    item = row.discount.subscription_item_id
    return {"key": str(row.discount_id), "item": None if item is None else str(item)}


def _taken(row: LineDiscount) -> _Part:
    return {"line": str(row.line_id), "key": str(row.discount_id), "amount": row.amount}


def _taxed(row: LineTax) -> _Part:
    return {
        "line": str(row.line_id),
        "key": str(row.tax_rate_id),
        "amount": row.amount,
        "taxable": row.taxable_amount,
        "inclusive": row.tax_rate.inclusive,
    }


def shape_of_discounts(invoice: Any) -> References:
    """The discounts that an invoice has as a whole."""
    return References([_reference(invoice, UUID(one["key"])) for one in invoice.given if one["item"] is None])


def shape_of_discounts_of_line(invoice: Any, line: InvoiceLine) -> References:
    """Those of a line alone: of its invoice item, or of the subscription's item that it bills."""
    if line.invoice_item is not None:
        return References([_reference(invoice, row.discount_id) for row in line.invoice_item.discounts.all()])
    if not invoice.given:
        return References(())
    item = str(line.subscription_item_id)
    return References([_reference(invoice, UUID(one["key"])) for one in invoice.given if one["item"] == item])


def shape_of_default_tax_rates(invoice: Any) -> list[Embedded]:
    return [Embedded(shape_of_tax_rate, row.tax_rate) for row in invoice.asked_by_default]


def shape_of_discount_amounts(invoice: Any, line: InvoiceLine | None = None) -> list[Wire]:
    """What each discount took off an invoice, or off one of its lines."""
    return [
        {"amount": one["amount"], "discount": _reference(invoice, UUID(one["key"]))}
        for one in _summed(_of(invoice.taken, line))
    ]


def shape_of_taxes(invoice: Any, line: InvoiceLine | None = None) -> list[Wire]:
    """What each tax came to on an invoice, or on one of its lines."""
    return [
        {
            "amount": one["amount"],
            "tax_behavior": "inclusive" if one["inclusive"] else "exclusive",
            "tax_rate_details": {"tax_rate": TAX_RATE.spell(UUID(one["key"]))},
            "taxability_reason": "not_available",
            "taxable_amount": one["taxable"],
            "type": "tax_rate_details",
        }
        for one in _summed(_of(invoice.taxed, line))
    ]


def _reference(invoice: Any, pk: UUID) -> Reference:
    known: dict[UUID, Discount] = getattr(invoice, "known_discounts", {})
    return discount_reference(known[pk]) if pk in known else reference_to_discount(invoice.environment, pk)


def _of(rows: Sequence[_Part], line: InvoiceLine | None) -> Sequence[_Part]:
    # Most have none.
    if line is None or not rows:
        return rows
    key = str(line.pk)
    return [row for row in rows if row["line"] == key]


def _summed(rows: Sequence[_Part]) -> list[_Part]:
    """One row for each discount or rate, in the order in which they first come."""
    summed: dict[str, _Part] = {}
    for row in rows:
        one = summed.setdefault(row["key"], {**row, "amount": 0, "taxable": 0})
        one["amount"] += row["amount"]
        one["taxable"] += row.get("taxable", 0)
    return list(summed.values())
