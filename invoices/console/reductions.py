"""The console's pages of what was taken off invoices, and of what taxes came to."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from core.console import cells
from invoices.models import InvoiceDiscount, InvoiceTaxRate, ItemDiscount, ItemTaxRate, LineDiscount, LineTax


@admin.register(InvoiceDiscount)
class InvoiceDiscountAdmin(ConsoleAdmin):
    wire_parents = {"in": "invoice", "di": "discount"}
    searches_text = False
    list_display = ["discount", "invoice", "environment", "position"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "discount__coupon", "invoice"]
    search_fields = ["discount__coupon__name"]
    search_help_text = gettext_lazy("The id of an invoice (in_…) or a discount (di_…).")
    ordering = ["-pk"]
    fields = ["discount", "invoice", "environment", "position"]


@admin.register(InvoiceTaxRate)
class InvoiceTaxRateAdmin(ConsoleAdmin):
    wire_parents = {"in": "invoice", "txr": "tax_rate"}
    searches_text = False
    list_display = ["tax_rate", "invoice", "environment", "position"]
    list_filter = ["environment", "environment__mode", "tax_rate__inclusive"]
    list_select_related = ["environment__company", "tax_rate", "invoice"]
    search_fields = ["tax_rate__display_name"]
    search_help_text = gettext_lazy("The id of an invoice (in_…) or a tax rate (txr_…).")
    ordering = ["-pk"]
    fields = ["tax_rate", "invoice", "environment", "position"]


@admin.register(ItemDiscount)
class ItemDiscountAdmin(ConsoleAdmin):
    wire_parents = {"ii": "item", "di": "discount"}
    searches_text = False
    list_display = ["discount", "item", "environment", "position"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "discount__coupon", "item"]
    search_fields = ["discount__coupon__name"]
    search_help_text = gettext_lazy("The id of an invoice item (ii_…) or a discount (di_…).")
    ordering = ["-pk"]
    fields = ["discount", "item", "environment", "position"]


@admin.register(ItemTaxRate)
class ItemTaxRateAdmin(ConsoleAdmin):
    wire_parents = {"ii": "item", "txr": "tax_rate"}
    searches_text = False
    list_display = ["tax_rate", "item", "environment", "position"]
    list_filter = ["environment", "environment__mode", "tax_rate__inclusive"]
    list_select_related = ["environment__company", "tax_rate", "item"]
    search_fields = ["tax_rate__display_name"]
    search_help_text = gettext_lazy("The id of an invoice item (ii_…) or a tax rate (txr_…).")
    ordering = ["-pk"]
    fields = ["tax_rate", "item", "environment", "position"]


@admin.register(LineDiscount)
class LineDiscountAdmin(ConsoleAdmin):
    wire_parents = {"il": "line", "in": "line__invoice", "di": "discount"}
    searches_text = False
    list_display = ["discount", "line", "taken_off", "environment"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "discount__coupon", "line__invoice"]
    search_fields = ["discount__coupon__name"]
    search_help_text = gettext_lazy("The id of a line (il_…), an invoice (in_…) or a discount (di_…).")
    ordering = ["-pk"]
    fields = ["discount", "line", "environment", "taken_off"]

    @display(description=gettext_lazy("taken off"), ordering="amount")
    def taken_off(self, row: LineDiscount) -> SafeString:
        return cells.amount(row.amount, row.line.invoice.currency)


@admin.register(LineTax)
class LineTaxAdmin(ConsoleAdmin):
    wire_parents = {"il": "line", "in": "line__invoice", "txr": "tax_rate"}
    searches_text = False
    list_display = ["tax_rate", "line", "taxable", "tax", "environment"]
    list_filter = ["environment", "environment__mode", "tax_rate__inclusive"]
    list_select_related = ["environment__company", "tax_rate", "line__invoice"]
    search_fields = ["tax_rate__display_name"]
    search_help_text = gettext_lazy("The id of a line (il_…), an invoice (in_…) or a tax rate (txr_…).")
    ordering = ["-pk"]
    fields = ["tax_rate", "line", "environment", "taxable", "tax"]

    @display(description=gettext_lazy("taxable"), ordering="taxable_amount")
    def taxable(self, row: LineTax) -> SafeString:
        return cells.amount(row.taxable_amount, row.line.invoice.currency)

    @display(description=gettext_lazy("tax"), ordering="amount")
    def tax(self, row: LineTax) -> SafeString:
        return cells.amount(row.amount, row.line.invoice.currency)
