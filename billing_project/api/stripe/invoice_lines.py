"""What invoices' lines are told as."""

from uuid import UUID

from django.db.models import QuerySet

from billing_project.api.stripe.invoice_items import shape_of_pricing
from billing_project.api.stripe.kinds import INVOICE, INVOICE_ITEM, LINE, SUBSCRIPTION, SUBSCRIPTION_ITEM
from billing_project.api.stripe.pretax_credits import shape_of_pretax_credits
from billing_project.api.stripe.reductions import shape_of_discount_amounts, shape_of_discounts_of_line, shape_of_taxes
from billing_project.api.stripe.wire import Wire, timestamp
from core.ids import spell
from core.money import plain
from invoices.models import Invoice, InvoiceItem, InvoiceLine

# What lines show of the invoice items that they bill. Hardly any line does.
ITEMS_OF_LINES = ("invoice_item__credits_line", "invoice_item__credits_item__lines", "invoice_item__discounts")
_PREVIEW_PREFIX = "upcoming_in"


def id_of_invoice(invoice: Invoice) -> str:
    """A preview's id says that it can be asked for nowhere."""
    return spell(_PREVIEW_PREFIX, invoice.pk) if invoice._state.adding else INVOICE.id_of(invoice)  # noqa: SLF001


@LINE.shaped
def shape_of_line(line: InvoiceLine) -> Wire:
    invoice, subscription_id = line.invoice, line.invoice.subscription_id
    return {
        "id": LINE.id_of(line),
        "object": "line_item",
        "amount": line.amount,
        "currency": invoice.currency,
        "description": line.description or None,
        "discount_amounts": shape_of_discount_amounts(invoice, line),
        "discountable": line.is_discountable,
        "discounts": shape_of_discounts_of_line(invoice, line),
        "invoice": id_of_invoice(invoice),
        "metadata": _metadata_of_line(line),
        "parent": _shape_of_line_parent(line, subscription_id),
        "period": {"end": timestamp(line.period_end), "start": timestamp(line.period_start)},
        "pretax_credit_amounts": shape_of_pretax_credits(invoice, line),
        "pricing": shape_of_pricing(line.price, line.unit_amount),
        # Whole units only; the text beside it has all of them.
        "quantity": int(line.quantity),
        "quantity_decimal": plain(line.quantity),
        "subscription": SUBSCRIPTION.spell(subscription_id) if subscription_id else None,
        "subtotal": line.amount,
        "taxes": shape_of_taxes(invoice, line),
    }


def _metadata_of_line(line: InvoiceLine) -> dict[str, str]:
    source = line.invoice_item or line.subscription_item
    return source.metadata if source else {}


def _shape_of_line_parent(line: InvoiceLine, subscription_id: UUID | None) -> Wire | None:
    if line.invoice_item is not None:
        return {
            "invoice_item_details": _shape_of_item_details(line.invoice_item),
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    if line.subscription_item_id is None or subscription_id is None:
        return None
    return {
        "invoice_item_details": None,
        "subscription_item_details": {
            "invoice_item": None,
            "proration": False,
            "proration_details": {"credited_items": None},
            "subscription": SUBSCRIPTION.spell(subscription_id),
            "subscription_item": SUBSCRIPTION_ITEM.spell(line.subscription_item_id),
        },
        "type": "subscription_item_details",
    }


def _shape_of_item_details(item: InvoiceItem) -> Wire:
    return {
        "invoice_item": INVOICE_ITEM.id_of(item),
        "proration": item.is_proration,
        "proration_details": {"credited_items": _credited_items(item)},
        "subscription": SUBSCRIPTION.spell(item.subscription_id) if item.subscription_id else None,
    }


def _credited_items(item: InvoiceItem) -> Wire | None:
    """The line that a proration gives back; of another proration, the line that has put it onto its invoice."""
    line = item.credits_line
    if line is None and item.credits_item is not None:
        line = next(iter(item.credits_item.lines.all()), None)
    if line is None:
        return None
    return {"invoice": INVOICE.spell(line.invoice_id), "invoice_line_items": [LINE.id_of(line)]}


def with_prices(lines: QuerySet[InvoiceLine]) -> QuerySet[InvoiceLine]:
    # A chunk of a billing run has many lines and few prices, and hardly ever an invoice item.
    return lines.select_related("subscription_item").prefetch_related("price__product", *ITEMS_OF_LINES)
