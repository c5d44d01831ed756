"""What discounts took off an invoice and its lines, and what taxes came to: a part of both objects."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject

from billing_project.api.stripe.discounts import reference_to_discount
from billing_project.api.stripe.kinds import TAX_RATE
from billing_project.api.stripe.objects import References
from billing_project.api.stripe.wire import Wire
from invoices.models import Invoice, InvoiceDiscount, InvoiceLine, LineDiscount, LineTax
from invoices.reducing import Reduced

_IN_ORDER = ("line__position", "position")


def with_reductions(invoices: QuerySet[Invoice]) -> QuerySet[Invoice]:
    """Have each invoice bring its discounts and taxes, however many lines there are, in the same query."""
    here = {"environment": OuterRef("environment")}
    given = InvoiceDiscount.objects.filter(**here, invoice=OuterRef("pk")).order_by("position")
    of_lines = {**here, "line__invoice": OuterRef("pk")}
    taken = JSONObject(line="line_id", key="discount_id", amount="amount")
    taxed = JSONObject(
        line="line_id",
        key="tax_rate_id",
        amount="amount",
        taxable="taxable_amount",
        inclusive="tax_rate__inclusive",
    )
    return invoices.annotate(
        given=ArraySubquery(given.values("discount_id")),
        taken=ArraySubquery(LineDiscount.objects.filter(**of_lines).order_by(*_IN_ORDER).values_list(taken)),
        taxed=ArraySubquery(LineTax.objects.filter(**of_lines).order_by(*_IN_ORDER).values_list(taxed)),
    )


def bring_reductions(invoice: Any, reduced: Reduced) -> None:
    """Have a previewed invoice bring what its discounts and taxes would come to."""
    invoice.given = [row.discount_id for row in reduced.discounts]
    invoice.taken = [
        {"line": str(row.line_id), "key": str(row.discount_id), "amount": row.amount} for row in reduced.line_discounts
    ]
    invoice.taxed = [
        {
            "line": str(row.line_id),
            "key": str(row.tax_rate_id),
            "amount": row.amount,
            "taxable": row.taxable_amount,
            "inclusive": row.tax_rate.inclusive,
        }
        for row in reduced.line_taxes
    ]


def shape_of_discounts(invoice: Any) -> References:
    """The discounts that an invoice was made with."""
    return References([reference_to_discount(invoice.environment, pk) for pk in invoice.given])


def shape_of_discount_amounts(invoice: Any, line: InvoiceLine | None = None) -> list[Wire]:
    """What each discount took off an invoice, or off one of its lines."""
    return [
        {"amount": one["amount"], "discount": reference_to_discount(invoice.environment, UUID(one["key"]))}
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


def _of(rows: Sequence[dict[str, Any]], line: InvoiceLine | None) -> list[dict[str, Any]]:
    return [row for row in rows if line is None or row["line"] == str(line.pk)]


def _summed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each discount or rate, in the order in which they first come."""
    summed: dict[str, dict[str, Any]] = {}
    for row in rows:
        one = summed.setdefault(row["key"], {**row, "amount": 0, "taxable": 0})
        one["amount"] += row["amount"]
        one["taxable"] += row.get("taxable", 0)
    return list(summed.values())
