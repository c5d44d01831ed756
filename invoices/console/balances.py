"""The console's pages of customers' balances."""

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin, ConsoleInline
from core.console import cells
from invoices.console.items import AmountColumns
from invoices.models import CustomerBalance, CustomerBalanceTransaction
from subscriptions.console.currencies import CurrencyFilter


class BalanceTransactionInline(AmountColumns, ConsoleInline):
    model = CustomerBalanceTransaction
    verbose_name_plural = gettext_lazy("history")
    fields = ["page", "amount_column", "ending_column", "invoice", "description", "created_at"]
    list_select_related = ["environment__company", "invoice"]
    ordering = ["-position"]

    @display(description=gettext_lazy("balance after"))
    def ending_column(self, row: CustomerBalanceTransaction) -> SafeString:
        return cells.amount(row.ending_balance, row.currency)


@admin.register(CustomerBalance)
class CustomerBalanceAdmin(AmountColumns, ConsoleAdmin):
    """Below zero is to the customer's credit: the next invoices are paid from it."""

    wire_parents = {"cus": "customer"}
    list_display = ["customer", "environment", "currency", "amount_column"]
    list_filter = ["environment", "environment__mode", CurrencyFilter]
    list_select_related = ["environment__company", "customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-pk"]
    fields = ["customer", "environment", "currency", "amount_column"]
    inlines = [BalanceTransactionInline]


@admin.register(CustomerBalanceTransaction)
class CustomerBalanceTransactionAdmin(AmountColumns, ConsoleAdmin):
    wire_prefix = "cbtxn"
    wire_parents = {"cus": "customer", "in": "invoice"}
    list_display = ["kind", "customer", "environment", "amount_column", "ending_column", "invoice", "created_at"]
    list_filter = ["environment", "environment__mode", "kind", "created_at"]
    list_select_related = ["environment__company", "customer", "invoice", "balance__customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "kind",
        "customer",
        "environment",
        "balance",
        "amount_column",
        "ending_column",
        "invoice",
        "description",
        "metadata_document",
        "created_at",
    ]

    @display(description=gettext_lazy("balance after"))
    def ending_column(self, row: CustomerBalanceTransaction) -> SafeString:
        return cells.amount(row.ending_balance, row.currency)
