"""The console's pages of invoices: read, finalized, paid and voided here, never edited."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

import invoices.console.recharges
import invoices.console.reductions
import invoices.console.verifications  # noqa: F401
from accounts.console.base import ConsoleAdmin, ConsoleInline
from accounts.console.commands import Command
from core.console import cells
from core.periods import ceil_hour, floor_hour
from invoices import services
from invoices.console import guards, mails, settlement
from invoices.console.documents import LINK_COMMANDS, PrintedPages
from invoices.console.explanations import ExplainedLines
from invoices.console.exports import ExportPages
from invoices.console.revenue import RevenuePages
from invoices.console.wording import money, these
from invoices.documents import print_invoice
from invoices.links import page_address
from invoices.models import (
    BillingFailure,
    CustomerBalance,
    CustomerBalanceTransaction,
    Invoice,
    InvoiceItem,
    InvoiceLine,
    InvoiceNumbering,
)
from invoices.true_ups import late_usage
from meters.models import LatePolicy

Status = Invoice.Status


def _finalized(invoices: Sequence[Invoice]) -> str:
    customers = sorted({str(invoice.customer) for invoice in invoices})
    who = customers[0] if len(customers) == 1 else f"{len(customers)} customers"
    return (
        f"{who} will owe {money(invoices, 'total')}, by the usage counted when the draft was last rated; usage of the "
        f"period that has arrived since is counted in now, and the customer's credit pays what it can. The next number is given to {these(invoices)}, and "
        "lines, amounts and period can never be changed again."
    )


def _voided(invoices: Sequence[Invoice]) -> str:
    return (
        f"{money(invoices, 'amount_remaining')} will not be collected any more. {these(invoices).capitalize()} "
        "stays on record as void, with its number. This cannot be undone."
    )


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

    @display(description="period")
    def period_column(self, row: InvoiceLine) -> SafeString:
        return cells.period(row.period)

    @display(description="quantity", ordering="quantity")
    def quantity_amount(self, row: InvoiceLine) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description="unit price")
    def unit_price_amount(self, row: InvoiceLine) -> str | SafeString:
        return cells.exact_amount(row.unit_amount, row.invoice.currency)

    @display(description="exact amount")
    def exact_amount_column(self, row: InvoiceLine) -> str | SafeString:
        return cells.exact_amount(row.exact_amount, row.invoice.currency)

    @display(description="amount")
    def line_amount(self, row: InvoiceLine) -> SafeString:
        return cells.amount(row.amount, row.invoice.currency)

    @display(description="computed from")
    def basis_facts(self, row: InvoiceLine) -> str | SafeString:
        steps = _tier_steps(row)
        if "meter" not in row.basis:
            told = {name: value for name, value in row.basis.items() if name not in {"price", "tiers"}}
            return format_html("{}{}", cells.facts(told), steps)
        counted = int(row.basis["event_count"])
        return format_html(
            '<span class="facts"><span>{} of <a href="{}">{}</a></span><span>over <a href="{}">{} event{}</a></span>'
            "<span>read {}</span></span>{}",
            row.basis["formula"],
            reverse("admin:meters_meter_change", args=[row.basis["meter"]]),
            row.basis["event_name"],
            _summaries_behind(row),
            f"{counted:,}",
            "" if counted == 1 else "s",
            cells.moment(datetime.fromisoformat(row.basis["read_at"])),
            steps,
        )


class InvoiceLineInline(InvoiceLineColumns, ConsoleInline):
    model = InvoiceLine
    verbose_name_plural = "lines"
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
        return format_html('<a class="tb-link" href="{}">{}</a>', address, row)


@admin.register(Invoice)
class InvoiceAdmin(ExportPages, RevenuePages, PrintedPages):
    print = staticmethod(print_invoice)
    page_of = staticmethod(page_address)
    wire_prefix = "in"
    wire_parents = {"cus": "customer", "sub": "subscription"}
    list_display = [
        "name",
        "customer",
        "environment",
        "status",
        "total_amount",
        "remaining_amount",
        "period_column",
        "created_at",
        "due_at",
    ]
    list_filter = ["status", "environment", "environment__mode", "created_at", "due_at"]
    list_select_related = ["environment__company", "customer__test_clock", "subscription__customer", "hosted_link"]
    search_fields = ["=number", "customer__name__istartswith", "customer__email__iexact"]
    search_help_text = "A number, an id (in_…, cus_…, sub_…), or the beginning of a customer's name."
    ordering = ["-created_at", "-pk"]
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("number", "status"),
                    ("customer", "subscription"),
                    ("environment", "period_column"),
                    ("total_amount", "due_amount"),
                    ("paid_amount", "remaining_amount"),
                    "credited_column",
                    "documents_column",
                )
            },
        ),
        (
            "Dates and more",
            {
                "classes": ("collapse",),
                "fields": (
                    ("created_at", "finalizes_at"),
                    ("finalized_at", "due_at"),
                    ("paid_at", "voided_at"),
                    ("billing_reason", "collection_method"),
                    ("days_until_due", "paid_out_of_band"),
                    ("subtotal_amount", "balance_column"),
                    "description",
                    "metadata_document",
                ),
            },
        ),
    )
    inlines = [InvoiceLineInline, settlement.PaymentInline]
    commands = [
        Command[Invoice](
            name="finalize",
            title="Finalize",
            icon="task_alt",
            applies=lambda invoice: invoice.status == Status.DRAFT,
            consequence=_finalized,
            run=lambda invoice, now: services.finalize_invoice(invoice=invoice, now=now),
            done="final.",
        ),
        *settlement.COMMANDS,
        mails.SEND,
        settlement.REISSUE,
        Command[Invoice](
            name="void",
            title="Void",
            icon="block",
            applies=lambda invoice: (
                invoice.status == Status.OPEN and not invoice.amount_paid and not invoice.pre_payment_credited
            ),
            consequence=_voided,
            run=lambda invoice, now: services.void_invoice(invoice=invoice, now=now),
            done="void.",
            warns=True,
            second_person=guards.VOID,
        ),
        settlement.WRITE_OFF,
        *LINK_COMMANDS,
    ]

    @display(description="number", ordering="number")
    def name(self, row: Invoice) -> str:
        return str(row)

    @display(description="period", ordering="period_start")
    def period_column(self, row: Invoice) -> SafeString:
        return cells.period(row.period)

    @display(description="subtotal")
    def subtotal_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.subtotal, row.currency)

    @display(description="total")
    def total_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.total, row.currency)

    @display(description="amount due")
    def due_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.amount_due, row.currency)

    @display(description="customer's balance")
    def balance_column(self, row: Invoice) -> str | SafeString:
        if row.ending_balance is None:
            return cells.EMPTY
        return cells.facts(
            {
                "before": cells.amount(row.starting_balance, row.currency),
                "after": cells.amount(row.ending_balance, row.currency),
            }
        )

    @display(description="paid")
    def paid_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.amount_paid, row.currency)

    @display(description="remaining")
    def remaining_amount(self, row: Invoice) -> str | SafeString:
        is_asked = row.status in {Status.OPEN, Status.UNCOLLECTIBLE}
        return cells.amount(row.amount_remaining, row.currency) if is_asked else cells.EMPTY

    @display(description="credited")
    def credited_column(self, row: Invoice) -> str | SafeString:
        amounts = {"before it was paid": row.pre_payment_credited, "after": row.post_payment_credited}
        return cells.facts({name: cells.amount(one, row.currency) for name, one in amounts.items() if one})

    @display(description="metadata")
    def metadata_document(self, row: Invoice) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(InvoiceLine)
class InvoiceLineAdmin(InvoiceLineColumns, ExplainedLines):
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
    search_help_text = "The id of a line (il_…), invoice (in_…), price (price_…) or subscription item (si_…)."
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

    @display(description="counted by now")
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


@admin.register(InvoiceNumbering)
class InvoiceNumberingAdmin(ConsoleAdmin):
    list_display = ["environment", "prefix", "last_number"]
    list_select_related = ["environment__company"]
    fields = ["environment", "prefix", "last_number"]


@admin.register(BillingFailure)
class BillingFailureAdmin(ConsoleAdmin):
    """What billing could not do. It tries again by itself, and a success removes the row."""

    wire_parents = {"sub": "subscription", "in": "invoice", "sub_sched": "schedule"}
    searches_text = False
    list_display = ["reason", "environment", "subscription", "invoice", "schedule", "attempts", "failed_at", "retry_at"]
    list_filter = ["environment", "environment__mode", "failed_at"]
    list_select_related = ["environment__company", "subscription__customer", "invoice", "schedule__customer"]
    search_fields = ["reason"]
    search_help_text = "The id of a subscription (sub_…), an invoice (in_…) or a schedule (sub_sched_…)."
    fields = ["reason", "environment", "subscription", "invoice", "schedule", "attempts", "failed_at", "retry_at"]


class _AmountColumns:
    """Whole minor units of the row's own currency."""

    @display(description="amount", ordering="amount")
    def amount_column(self, row: Any) -> SafeString:
        return cells.amount(row.amount, row.currency)

    @display(description="metadata")
    def metadata_document(self, row: Any) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(InvoiceItem)
class InvoiceItemAdmin(_AmountColumns, ConsoleAdmin):
    """What waits for an invoice. It is made by changes of subscriptions, and through the API."""

    wire_prefix = "ii"
    wire_parents = {"cus": "customer", "sub": "subscription", "in": "invoice", "price": "price"}
    list_display = ["description", "customer", "environment", "amount_column", "invoice", "created_at", "removed_at"]
    list_filter = ["environment", "environment__mode", "is_proration", "created_at", "removed_at"]
    list_select_related = [
        "environment__company",
        "customer",
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

    @display(description="quantity")
    def quantity_column(self, row: InvoiceItem) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description="exact amount")
    def exact_amount_column(self, row: InvoiceItem) -> str | SafeString:
        return cells.exact_amount(row.exact_amount, row.currency)

    @display(description="period")
    def period_column(self, row: InvoiceItem) -> SafeString:
        return cells.period(row.period)

    @display(description="computed from")
    def basis_facts(self, row: InvoiceItem) -> str | SafeString:
        return cells.facts({name: value for name, value in row.basis.items() if isinstance(value, str)})


class BalanceTransactionInline(_AmountColumns, ConsoleInline):
    model = CustomerBalanceTransaction
    verbose_name_plural = "history"
    fields = ["page", "amount_column", "ending_column", "invoice", "description", "created_at"]
    list_select_related = ["environment__company", "invoice"]
    ordering = ["-position"]

    @display(description="balance after")
    def ending_column(self, row: CustomerBalanceTransaction) -> SafeString:
        return cells.amount(row.ending_balance, row.currency)


@admin.register(CustomerBalance)
class CustomerBalanceAdmin(_AmountColumns, ConsoleAdmin):
    """Below zero is to the customer's credit: the next invoices are paid from it."""

    wire_parents = {"cus": "customer"}
    list_display = ["customer", "environment", "currency", "amount_column"]
    list_filter = ["environment", "environment__mode", "currency"]
    list_select_related = ["environment__company", "customer"]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    ordering = ["-pk"]
    fields = ["customer", "environment", "currency", "amount_column"]
    inlines = [BalanceTransactionInline]


@admin.register(CustomerBalanceTransaction)
class CustomerBalanceTransactionAdmin(_AmountColumns, ConsoleAdmin):
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

    @display(description="balance after")
    def ending_column(self, row: CustomerBalanceTransaction) -> SafeString:
        return cells.amount(row.ending_balance, row.currency)
