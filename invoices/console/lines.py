"""The console's pages of invoice lines: each a sum that can be checked by eye, and what can be done to it on a draft."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.base import ConsoleInline
from accounts.console.walls import permits
from core.console import cells
from core.periods import ceil_hour, floor_hour
from invoices.console.amounts import basis_facts
from invoices.console.explanations import ExplainedLines
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.true_ups import late_usage
from meters.models import LatePolicy


def _summaries_behind(line: InvoiceLine) -> str:
    """The list of the hourly summaries that a metered line was computed from."""
    query = {
        "environment__id__exact": line.environment_id,
        "meter__id__exact": line.basis["meter"],
        "customer__id__exact": line.basis["customer"],
        "hour__gte": floor_hour(line.period_start).isoformat(),
        "hour__lt": ceil_hour(line.period_end).isoformat(),
    }
    return f"{reverse('admin:usage_usagesummary_changelist')}?{urlencode(query)}"


def _tier_steps(line: InvoiceLine) -> str | SafeString:
    """What each tier of a tiered price came to; nothing for other prices."""
    if not line.basis.get("tiers"):
        return ""
    currency = line.invoice.currency
    return cells.facts(
        {
            f"tier {step['tier']}": format_html(
                "{} at {} and {} flat",
                cells.quantity(Decimal(step["quantity"])),
                cells.exact_amount(Decimal(step["unit_amount"]), currency),
                cells.exact_amount(Decimal(step["flat_amount"]), currency),
            )
            for step in line.basis["tiers"]
        }
    )


class InvoiceLineColumns:
    """A line as a sum that can be checked by eye: quantity x unit price = exact amount, rounded once."""

    @display(description=gettext_lazy("period"))
    def period_column(self, row: InvoiceLine) -> SafeString:
        return cells.period(row.period)

    @display(description=gettext_lazy("quantity"), ordering="quantity")
    def quantity_amount(self, row: InvoiceLine) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description=gettext_lazy("unit price"))
    def unit_price_amount(self, row: InvoiceLine) -> str | SafeString:
        return cells.exact_amount(row.unit_amount, row.invoice.currency)

    @display(description=gettext_lazy("exact amount"))
    def exact_amount_column(self, row: InvoiceLine) -> str | SafeString:
        return cells.exact_amount(row.exact_amount, row.invoice.currency)

    @display(description=gettext_lazy("amount"))
    def line_amount(self, row: InvoiceLine) -> SafeString:
        return cells.amount(row.amount, row.invoice.currency)

    @display(description=gettext_lazy("computed from"))
    def basis_facts(self, row: InvoiceLine) -> str | SafeString:
        steps = _tier_steps(row)
        if "revises" in row.basis:
            explained = reverse("admin:invoices_invoiceline_explain", args=[row.basis["revises"]])
            return format_html('<a class="tb-link" href="{}">{}</a>', explained, _("the line that it corrects"))
        if "meter" not in row.basis:
            return format_html("{}{}", basis_facts(row.basis, row.invoice.currency), steps)
        counted = int(row.basis["event_count"])
        return format_html(
            '<span class="facts"><span>{} of <a href="{}">{}</a></span><span>over <a href="{}">{}</a></span>'
            "<span>read {}</span></span>{}",
            row.basis["formula"],
            reverse("admin:meters_meter_change", args=[row.basis["meter"]]),
            row.basis["event_name"],
            _summaries_behind(row),
            ngettext("{count} event", "{count} events", counted).format(count=f"{counted:,}"),
            cells.moment(datetime.fromisoformat(row.basis["read_at"])),
            steps,
        )


class InvoiceLineInline(InvoiceLineColumns, ConsoleInline):
    model = InvoiceLine
    verbose_name_plural = gettext_lazy("lines")
    fields = [
        "page",
        "period_column",
        "quantity_amount",
        "unit_price_amount",
        "exact_amount_column",
        "line_amount",
        "basis_facts",
    ]
    list_select_related = ["environment__company", "invoice"]

    @display(description="")
    def page(self, row: Model) -> SafeString:
        address = reverse("admin:invoices_invoiceline_explain", args=[row.pk])
        return format_html('<a class="tb-link" href="{}">{}</a>', address, str(row) or _("without a description"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        is_draft = obj is not None and obj.status == Invoice.Status.DRAFT
        if is_draft and permits(request, "invoices.change_invoiceitem", obj):
            return [*self.fields, "changes"]
        return self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.get_fields(request, obj)

    @display(description="")
    def changes(self, row: InvoiceLine) -> str | SafeString:
        """What can be done to the line of a draft. What follows from usage or a subscription changes with that alone."""
        if row.invoice_item_id is None:
            return _("from usage") if "meter" in row.basis else _("by the subscription")
        options = InvoiceItem._meta  # noqa: SLF001 (Django's own name for it)
        address = f"admin:{options.app_label}_{options.model_name}_command"
        names = (("change", _("Change")), ("remove", _("Remove")))
        return format_html_join(
            " · ",
            '<a class="tb-link" href="{}">{}</a>',
            ((reverse(address, args=[row.invoice_item_id, name]), title) for name, title in names),
        )


@admin.register(InvoiceLine)
class InvoiceLineAdmin(InvoiceLineColumns, ExplainedLines):
    names_environment = True
    wire_prefix = "il"
    wire_parents = {"in": "invoice", "price": "price", "si": "subscription_item"}
    searches_text = False
    list_display = [
        "description",
        "invoice",
        "environment",
        "quantity_amount",
        "unit_price_amount",
        "exact_amount_column",
        "line_amount",
        "period_column",
    ]
    list_filter = ["environment", "environment__mode"]
    list_select_related = [
        "environment__company",
        "invoice__subscription",
        "invoice__customer",
        "price__product",
        "price__meter",
        "subscription_item__price__product",
        "trues_up",
    ]
    search_fields = ["description"]
    search_help_text = gettext_lazy(
        "The id of a line (il_…), invoice (in_…), price (price_…) or subscription item (si_…)."
    )
    ordering = ["-pk"]
    fields = [
        "description",
        "invoice",
        "environment",
        "price",
        "subscription_item",
        "period_column",
        "quantity_amount",
        "unit_price_amount",
        "exact_amount_column",
        "line_amount",
        "basis_facts",
        "trues_up",
        "counted_by_now",
    ]

    @display(description=gettext_lazy("counted by now"))
    def counted_by_now(self, row: InvoiceLine) -> str | SafeString:
        """What came after the invoice was final, or was canceled since, and what becomes of it."""
        late = late_usage(row)
        if late is None or row.price is None or row.price.meter is None:
            return cells.EMPTY
        if late.counted_quantity == late.billed_quantity and late.amount == 0:
            return "As billed"
        is_billed = row.price.meter.late_policy == LatePolicy.BILL_NEXT
        return cells.facts(
            {
                "counted": cells.quantity(late.counted_quantity),
                "billed": cells.quantity(late.billed_quantity),
                "difference": cells.amount(late.amount, row.invoice.currency),
                "late usage": "on the next invoice" if is_billed else "reported only",
            }
        )
