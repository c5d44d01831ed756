"""The console's page of invoice items: what waits for an invoice, or is on one, and can be changed until that is final."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.console import cells
from core.money import format_amount
from invoices import services
from invoices.console.amounts import basis_facts, in_main_units, unit_minor_units
from invoices.models import Invoice, InvoiceItem
from invoices.services import ItemTerms


class AmountColumns:
    """Whole minor units of the row's own currency."""

    @display(description=gettext_lazy("amount"), ordering="amount")
    def amount_column(self, row: Any) -> SafeString:
        return cells.amount(row.amount, row.currency)

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Any) -> str | SafeString:
        return cells.document(row.metadata)


class ChangedItemForm(forms.Form):
    description = forms.CharField(label=gettext_lazy("Description"), max_length=500)
    quantity = forms.DecimalField(label=gettext_lazy("Quantity"), min_value=0)
    unit_price = forms.DecimalField(
        label=gettext_lazy("Amount for each"),
        required=False,
        help_text=gettext_lazy("Below zero it is given back. Left as it is, a price goes on to count."),
    )


def _said_of(item: InvoiceItem) -> dict[str, Any]:
    unit_price = None if item.unit_amount is None else in_main_units(item.unit_amount, item.currency)
    return {"description": item.description, "quantity": in_main_units(item.quantity, "jpy"), "unit_price": unit_price}


def _prepare(form: forms.Form, items: Sequence[InvoiceItem]) -> None:
    [item] = items
    form.initial = _said_of(item)


def _is_open_to_change(item: InvoiceItem) -> bool:
    return item.removed_at is None and (item.invoice is None or item.invoice.status == Invoice.Status.DRAFT)


def _draft_of(item: InvoiceItem) -> str | None:
    return None if item.invoice_id is None else reverse("admin:invoices_invoice_change", args=[item.invoice_id])


def _told(items: Sequence[InvoiceItem]) -> str:
    return ", ".join(f"“{item}”, {format_amount(item.amount, item.currency)}" for item in items)


def _change(item: InvoiceItem, now: datetime, *, recorded_by: str, **said: Any) -> InvoiceItem:
    # What is left as it is goes on to follow from where it came from.
    changed = {name: value for name, value in said.items() if value != _said_of(item)[name]}
    terms: ItemTerms = {}
    if "description" in changed:
        terms["description"] = changed["description"]
    if "quantity" in changed or "unit_price" in changed:
        terms["quantity"] = said["quantity"]
    if changed.get("unit_price") is not None:
        terms["unit_amount"] = unit_minor_units(changed["unit_price"], item.currency)
    if item.invoice_id is None:
        return services.update_invoice_item(item=item, now=now, **terms)
    return services.change_item_of_draft(item=item, now=now, recorded_by=recorded_by, **terms)


def _remove(item: InvoiceItem, now: datetime, *, recorded_by: str) -> None:
    if item.invoice_id is None:
        services.remove_invoice_item(item=item, now=now)
    else:
        services.remove_item_from_draft(item=item, now=now, recorded_by=recorded_by)


COMMANDS = (
    Command[InvoiceItem](
        name="change",
        title=gettext_lazy("Change"),
        icon="edit",
        applies=_is_open_to_change,
        consequence=lambda items: (
            f"{_told(items)}. {_('The total of its draft follows, if it is on one, and there it can be undone.')}"
        ),
        run=_change,
        done=lambda item: _("%(amount)s now.") % {"amount": format_amount(item.amount, item.currency)},
        form=ChangedItemForm,
        prepare=_prepare,
        is_single=True,
        back=_draft_of,
        signed=True,
    ),
    Command[InvoiceItem](
        name="remove",
        title=gettext_lazy("Remove"),
        icon="remove",
        applies=_is_open_to_change,
        consequence=lambda items: (
            _(
                "%(items)s, before discounts and taxes, will not be charged, or given back, at all. From a draft it is taken "
                "off, which can be undone there."
            )
            % {"items": _told(items)}
        ),
        run=_remove,
        done=gettext_lazy("removed."),
        is_single=True,
        back=_draft_of,
        signed=True,
        warns=True,
    ),
)


@admin.register(InvoiceItem)
class InvoiceItemAdmin(AmountColumns, ConsoleAdmin):
    """What waits for an invoice, or is on one. It is made by changes of subscriptions, on drafts, and through the API."""

    names_environment = True
    wire_prefix = "ii"
    wire_parents = {"cus": "customer", "sub": "subscription", "in": "invoice", "price": "price"}
    list_display = ["description", "customer", "environment", "amount_column", "invoice", "created_at", "removed_at"]
    list_filter = ["environment", "environment__mode", "is_proration", "created_at", "removed_at"]
    list_select_related = [
        "environment__company",
        "customer__test_clock",
        "subscription__customer",
        "subscription_item__price__product",
        "invoice",
        "price__product",
    ]
    search_fields = ["description__istartswith", "customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "description",
        "customer",
        "environment",
        "subscription",
        "subscription_item",
        "invoice",
        "price",
        "quantity_column",
        "exact_amount_column",
        "amount_column",
        "period_column",
        "is_proration",
        "is_discountable",
        "basis_facts",
        "metadata_document",
        "created_at",
        "removed_at",
    ]
    commands = COMMANDS

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: InvoiceItem) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description=gettext_lazy("exact amount"))
    def exact_amount_column(self, row: InvoiceItem) -> str | SafeString:
        return cells.exact_amount(row.exact_amount, row.currency)

    @display(description=gettext_lazy("period"))
    def period_column(self, row: InvoiceItem) -> SafeString:
        return cells.period(row.period)

    @display(description=gettext_lazy("computed from"))
    def basis_facts(self, row: InvoiceItem) -> str | SafeString:
        return basis_facts(row.basis, row.currency)
