"""The console's pages of invoices: looked over, edited while they are drafts, finalized, paid and voided here."""

import re
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

import invoices.console.balances
import invoices.console.recharges
import invoices.console.reductions
import invoices.console.what_ifs  # noqa: F401 (pages of their own)
from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.console import cells
from invoices import services
from invoices.console import drafts, guards, mails, settlement, verifications
from invoices.console.documents import LINK_COMMANDS, PrintedPages
from invoices.console.exports import ExportPages
from invoices.console.lines import InvoiceLineInline
from invoices.console.revenue import RevenuePages
from invoices.console.review import ReviewedInvoices, TabFilter
from invoices.console.wording import money, these
from invoices.documents import print_invoice
from invoices.links import page_address
from invoices.models import BillingFailure, Invoice, InvoiceNumbering

Status = Invoice.Status

# As InvoiceNumbering spells them.
_NUMBER = re.compile(r"\S+-\d{6,}")


def _finalized(invoices: Sequence[Invoice]) -> str:
    customers = sorted({str(invoice.customer) for invoice in invoices})
    who = customers[0] if len(customers) == 1 else _("{count} customers").format(count=len(customers))
    return _(
        "{who} will owe {total}, by the usage counted when the draft was last rated; usage of the period that has arrived "
        "since is counted in now, and the customer's credit pays what it can. The next number is given to {these}, and "
        "lines, amounts and period can never be changed again."
    ).format(who=who, total=money(invoices, "total"), these=these(invoices))


def _voided(invoices: Sequence[Invoice]) -> str:
    return ngettext(
        "{remaining} will not be collected any more. This invoice stays on record as void, with its number. This cannot "
        "be undone.",
        "{remaining} will not be collected any more. These {count} invoices stay on record as void, with their numbers. "
        "This cannot be undone.",
        len(invoices),
    ).format(remaining=money(invoices, "amount_remaining"), count=len(invoices))


@admin.register(Invoice)
class InvoiceAdmin(ReviewedInvoices, drafts.DraftPages, ExportPages, RevenuePages, PrintedPages):
    print = staticmethod(print_invoice)
    page_of = staticmethod(page_address)
    names_environment = True
    wire_prefix = "in"
    wire_parents = {"cus": "customer", "sub": "subscription"}
    list_display = [
        "name",
        "customer",
        "status_tag",
        "total_amount",
        "remaining_amount",
        "due_on",
        "period_days",
        "made_on",
        "environment",
    ]
    list_filter = [TabFilter, "status", "environment", "environment__mode", "created_at", "due_at"]
    list_select_related = [
        "environment__company",
        "customer__test_clock",
        "subscription__customer",
        "hosted_link",
        "revises",
    ]
    search_fields = ["customer__name__istartswith", "customer__email__iexact"]
    search_help_text = gettext_lazy("A number, an id (in_…, cus_…, sub_…), or the beginning of a customer's name.")
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
                    "footer",
                    "revises",
                    "metadata_document",
                ),
            },
        ),
    )
    inlines = [InvoiceLineInline, settlement.PaymentInline]
    commands = [
        Command[Invoice](
            name="finalize",
            title=gettext_lazy("Finalize"),
            icon="task_alt",
            applies=lambda invoice: invoice.status == Status.DRAFT,
            consequence=_finalized,
            run=lambda invoice, now: services.finalize_invoice(invoice=invoice, now=now),
            done=gettext_lazy("final."),
        ),
        *drafts.EDITS,
        *settlement.COMMANDS,
        mails.SEND,
        settlement.REISSUE,
        Command[Invoice](
            name="void",
            title=gettext_lazy("Void"),
            icon="block",
            applies=lambda invoice: (
                invoice.status == Status.OPEN and not invoice.amount_paid and not invoice.pre_payment_credited
            ),
            consequence=_voided,
            run=lambda invoice, now: services.void_invoice(invoice=invoice, now=now),
            done=gettext_lazy("void."),
            warns=True,
            second_person=guards.VOID,
        ),
        settlement.WRITE_OFF,
        verifications.VERIFY,
        *LINK_COMMANDS,
    ]

    def named_by(self, term: str) -> dict[str, Any] | None:
        # A number is found by its index, which a search for names as well could not use.
        return {"number": term.upper()} if _NUMBER.fullmatch(term) else super().named_by(term)

    @display(description=gettext_lazy("number"), ordering="number")
    def name(self, row: Invoice) -> str:
        return str(row)

    @display(description=gettext_lazy("period"), ordering="period_start")
    def period_column(self, row: Invoice) -> SafeString:
        return cells.period(row.period)

    @display(description=gettext_lazy("subtotal"))
    def subtotal_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.subtotal, row.currency)

    @display(description=gettext_lazy("total"))
    def total_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.total, row.currency)

    @display(description=gettext_lazy("amount due"))
    def due_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.amount_due, row.currency)

    @display(description=gettext_lazy("customer's balance"))
    def balance_column(self, row: Invoice) -> str | SafeString:
        if row.ending_balance is None:
            return cells.EMPTY
        return cells.facts(
            {
                "before": cells.amount(row.starting_balance, row.currency),
                "after": cells.amount(row.ending_balance, row.currency),
            }
        )

    @display(description=gettext_lazy("paid"))
    def paid_amount(self, row: Invoice) -> SafeString:
        return cells.amount(row.amount_paid, row.currency)

    @display(description=gettext_lazy("remaining"))
    def remaining_amount(self, row: Invoice) -> str | SafeString:
        is_asked = row.status in {Status.OPEN, Status.UNCOLLECTIBLE}
        return cells.amount(row.amount_remaining, row.currency) if is_asked else cells.NO_AMOUNT

    @display(description=gettext_lazy("period (UTC)"), ordering="period_start")
    def period_days(self, row: Invoice) -> SafeString:
        return cells.days(row.period)

    @display(description=gettext_lazy("status"), ordering="status")
    def status_tag(self, row: Invoice) -> SafeString:
        return cells.tag(row.get_status_display(), row.status)

    @display(description=gettext_lazy("made"), ordering="created_at")
    def made_on(self, row: Invoice) -> str | SafeString:
        return cells.day(row.created_at)

    @display(description=gettext_lazy("due"), ordering="due_at")
    def due_on(self, row: Invoice) -> str | SafeString:
        return cells.day(row.due_at)

    @display(description=gettext_lazy("credited"))
    def credited_column(self, row: Invoice) -> str | SafeString:
        amounts = {"before it was paid": row.pre_payment_credited, "after": row.post_payment_credited}
        return cells.facts({name: cells.amount(one, row.currency) for name, one in amounts.items() if one})

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: Invoice) -> str | SafeString:
        return cells.document(row.metadata)


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
    search_help_text = gettext_lazy("The id of a subscription (sub_…), an invoice (in_…) or a schedule (sub_sched_…).")
    fields = ["reason", "environment", "subscription", "invoice", "schedule", "attempts", "failed_at", "retry_at"]
