"""The console's pages of automatic recharges: what customers asked for, and what was done."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from core.console import cells
from invoices.models import AutoRecharge, Recharge, RechargeOffer


@admin.register(AutoRecharge)
class AutoRechargeAdmin(ConsoleAdmin):
    """Set by programs, for their customers."""

    wire_prefix = "arc"
    wire_parents = {"cus": "customer"}
    searches_text = False
    list_display = [
        "__str__",
        "environment",
        "enabled",
        "threshold_column",
        "price",
        "quantity",
        "rests_until",
        "failure",
    ]
    list_filter = ["environment", "environment__mode", "enabled"]
    list_select_related = ["environment__company", "customer", "currency", "price__product"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a recharge's settings (arc_…) or of a customer (cus_…).")
    ordering = ["-pk"]
    fields = [
        "customer", "currency", "environment", "enabled", "threshold_column", "price", "quantity", "gives_column",
        "lifetime", "lifetime_unit", "priority", "most_attempts", "most_amount_column", "rests_until", "failure",
        "created_at", "updated_at",
    ]  # fmt: skip

    @display(description=gettext_lazy("recharged below"))
    def threshold_column(self, row: AutoRecharge) -> SafeString:
        return cells.worded_amount(row.currency.text(row.threshold))

    @display(description=gettext_lazy("a unit gives"))
    def gives_column(self, row: AutoRecharge) -> str | SafeString:
        return cells.EMPTY if row.amount is None else cells.worded_amount(row.currency.text(row.amount))

    @display(description=gettext_lazy("at most per day"))
    def most_amount_column(self, row: AutoRecharge) -> str | SafeString:
        return cells.EMPTY if row.price is None else cells.amount(row.most_amount, row.price.currency)


@admin.register(RechargeOffer)
class RechargeOfferAdmin(ConsoleAdmin):
    """Set by programs, one per currency."""

    wire_parents = {"pcur": "currency"}
    searches_text = False
    list_display = ["currency", "environment", "price", "least_column", "most_column", "updated_at"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "currency", "price__product"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of a currency (pcur_…).")
    ordering = ["-pk"]
    fields = [
        "currency", "environment", "price", "least_column", "most_column", "url", "created_at", "updated_at"
    ]  # fmt: skip

    @display(description=gettext_lazy("a recharge gives at least"))
    def least_column(self, row: RechargeOffer) -> str | SafeString:
        return cells.EMPTY if row.least is None else cells.worded_amount(row.currency.text(row.least))

    @display(description=gettext_lazy("and at most"))
    def most_column(self, row: RechargeOffer) -> str | SafeString:
        return cells.EMPTY if row.most is None else cells.worded_amount(row.currency.text(row.most))


@admin.register(Recharge)
class RechargeAdmin(ConsoleAdmin):
    """Written by the sweep alone."""

    wire_parents = {"arc": "auto_recharge", "in": "invoice", "credgr": "grant"}
    searches_text = False
    list_display = ["invoice", "grant", "environment", "amount_column", "created_at"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "invoice__customer", "grant", "auto_recharge__currency"]
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of settings (arc_…), an invoice (in_…) or a grant (credgr_…).")
    ordering = ["-pk"]
    fields = ["auto_recharge", "invoice", "grant", "environment", "amount_column", "created_at"]

    @display(description=gettext_lazy("cost, before taxes"))
    def amount_column(self, row: Recharge) -> SafeString:
        return cells.amount(row.amount, row.invoice.currency)
