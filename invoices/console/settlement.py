"""The console's pages of payments and credit notes, and the actions that make them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.approvals.models import ApprovalKind
from accounts.console.base import ConsoleAdmin, ConsoleInline
from accounts.console.commands import Command
from core.console import cells
from core.money import format_amount
from invoices import services
from invoices.console import guards, mails
from invoices.console.amounts import minor_units
from invoices.console.documents import PrintedPages
from invoices.console.wording import money, these
from invoices.documents import print_credit_note
from invoices.links import note_page_address
from invoices.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteLineDiscount,
    CreditNoteLineTax,
    Invoice,
    Payment,
)

_TO_BE_PAID = {Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE}


class PaymentForm(forms.Form):
    amount = forms.DecimalField(
        required=False,
        min_value=0,
        help_text=gettext_lazy("In the invoice's currency, such as 12.50. Empty: all that remains."),
    )
    method = forms.CharField(max_length=60, required=False, help_text=gettext_lazy("Such as bank transfer or check."))
    reference = forms.CharField(
        max_length=200, required=False, help_text=gettext_lazy("What it is found by at the bank.")
    )


class CreditNoteForm(forms.Form):
    amount = forms.DecimalField(
        required=False,
        min_value=0,
        help_text=gettext_lazy(
            "With taxes, in the invoice's currency, such as 12.50. Empty: all that is left to be credited."
        ),
    )
    gives_back = forms.ChoiceField(
        label=gettext_lazy("What was paid already"),
        choices=[
            ("balance_amount", gettext_lazy("goes onto the customer's balance, for next invoices")),
            ("refund_amount", gettext_lazy("is refunded: noted here, to be paid back by you")),
            ("out_of_band_amount", gettext_lazy("was given back elsewhere")),
        ],
    )
    reason = forms.ChoiceField(choices=[("", gettext_lazy("none")), *CreditNote.Reason.choices], required=False)
    memo = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text=gettext_lazy("Printed on it.")
    )


def _paid(invoices: Sequence[Invoice]) -> str:
    return _(
        "{remaining} will be recorded as received outside of Tollbook, for {these}, or as much of it as you say. No card is "
        "charged and no bank is asked. With nothing left to pay, an invoice is paid. A mistake is put right by reversing "
        "the payment."
    ).format(remaining=money(invoices, "amount_remaining"), these=these(invoices))


def _amount_paid(invoice: Invoice, answers: Mapping[str, Any]) -> int:
    amount = answers.get("amount")
    return invoice.amount_remaining if amount is None else minor_units(amount, invoice.currency)


def _pay(
    invoice: Invoice, now: datetime, *, amount: Decimal | None, method: str, reference: str, recorded_by: str
) -> None:
    if amount is None and not method and not reference:
        services.pay_invoice_out_of_band(invoice=invoice, now=now, recorded_by=recorded_by)
        return
    whole = _amount_paid(invoice, {"amount": amount})
    services.record_payment(
        invoice=invoice, amount=whole, now=now, method=method, reference=reference, recorded_by=recorded_by
    )


def _credited(invoices: Sequence[Invoice]) -> str:
    return _(
        "Of {these} {creditable} will be taken back, or as much of it as you say. First it lowers the {remaining} that are "
        "still to be paid; what was paid already goes back to the customer in the way that you choose. Each line is "
        "credited in proportion, with its discounts and taxes. The credit note gets its number and cannot be changed; it "
        "can be voided only while its invoice is still to be paid."
    ).format(
        these=these(invoices),
        creditable=money(invoices, "amount_creditable"),
        remaining=money(invoices, "amount_remaining"),
    )


def _amount_credited(invoice: Invoice, answers: Mapping[str, Any]) -> int:
    amount = answers.get("amount")
    return invoice.amount_creditable if amount is None else minor_units(amount, invoice.currency)


def _credit(
    invoice: Invoice,
    now: datetime,
    *,
    amount: Decimal | None,
    gives_back: str,
    reason: str,
    memo: str,
    recorded_by: str,
) -> None:
    whole = _amount_credited(invoice, {"amount": amount})
    paid_already = max(whole - invoice.amount_remaining, 0)
    terms: Any = {gives_back: paid_already, "reason": reason, "memo": memo}
    if amount is not None:
        terms["total"] = whole
    services.issue_credit_note(invoice=invoice, now=now, recorded_by=recorded_by, **terms)


COMMANDS = (
    Command[Invoice](
        name="pay",
        title=gettext_lazy("Record payment"),
        icon="payments",
        applies=lambda invoice: invoice.status in _TO_BE_PAID,
        consequence=_paid,
        run=_pay,
        done=gettext_lazy("payment recorded."),
        form=PaymentForm,
        signed=True,
        second_person=guards.of_amount(ApprovalKind.PAYMENT, _amount_paid),
    ),
    Command[Invoice](
        name="credit",
        title=gettext_lazy("Issue credit note"),
        icon="undo",
        applies=lambda invoice: invoice.status in {*_TO_BE_PAID, Invoice.Status.PAID} and invoice.amount_creditable > 0,
        consequence=_credited,
        run=_credit,
        done=gettext_lazy("credit note issued."),
        form=CreditNoteForm,
        signed=True,
        warns=True,
        second_person=guards.of_amount(ApprovalKind.CREDIT_NOTE, _amount_credited),
    ),
)


def _written_off(invoices: Sequence[Invoice]) -> str:
    return _("{remaining} will count as lost, for the books. {these} may still be paid later, or voided.").format(
        remaining=money(invoices, "amount_remaining"), these=capfirst(these(invoices))
    )


WRITE_OFF = Command[Invoice](
    name="write_off",
    title=gettext_lazy("Write off"),
    icon="money_off",
    applies=lambda invoice: invoice.status == Invoice.Status.OPEN,
    consequence=_written_off,
    run=lambda invoice, now: services.mark_invoice_uncollectible(invoice=invoice, now=now),
    done=gettext_lazy("uncollectible."),
    warns=True,
    second_person=guards.WRITE_OFF,
)


def _reissued(invoices: Sequence[Invoice]) -> str:
    return ngettext(
        "This invoice over {total} will be void, for good, with its number; what it took of the customer's credit and "
        "balance is given back. A draft with the same lines takes its place, to be corrected and finalized by you.",
        "These {count} invoices over {total} will be void, for good, with their numbers; what they took of the customers' "
        "credit and balances is given back. Drafts with the same lines take their places, to be corrected and finalized "
        "by you.",
        len(invoices),
    ).format(total=money(invoices, "total"), count=len(invoices))


REISSUE = Command[Invoice](
    name="reissue",
    title=gettext_lazy("Void and reissue"),
    icon="restart_alt",
    applies=lambda invoice: (
        invoice.status in _TO_BE_PAID and not invoice.amount_paid and not invoice.pre_payment_credited
    ),
    consequence=_reissued,
    run=lambda invoice, now: services.reissue_invoice(invoice=invoice, now=now),
    done=gettext_lazy("void; a draft has taken its place."),
    warns=True,
    second_person=guards.VOID,
)


def _reversed(payments: Sequence[Payment]) -> str:
    told = ", ".join(format_amount(payment.amount, payment.currency) for payment in payments)
    return _(
        "{told} will count as not received: the check bounced, or it was recorded by mistake. What was paid is to be paid "
        "again, and a paid invoice is open again. To pay a customer back, issue a credit note instead."
    ).format(told=told)


class ReversalForm(forms.Form):
    note = forms.CharField(max_length=500, required=False, help_text=gettext_lazy("Why."))


class _AmountColumn:
    @display(description=gettext_lazy("amount"), ordering="amount")
    def amount_column(self, row: Any) -> SafeString:
        return cells.amount(row.amount, row.currency)


class PaymentInline(_AmountColumn, ConsoleInline):
    model = Payment
    fields = ["page", "amount_column", "method", "reference", "received_at", "recorded_by"]
    list_select_related = ["environment__company"]
    ordering = ["-created_at"]


@admin.register(Payment)
class PaymentAdmin(_AmountColumn, ConsoleAdmin):
    names_environment = True
    wire_prefix = "inpay"
    wire_parents = {"in": "invoice", "cus": "customer"}
    list_display = ["reference_column", "customer", "environment", "amount_column", "invoice", "method", "received_at"]
    list_filter = ["environment", "environment__mode", "received_at"]
    list_select_related = ["environment__company", "customer__test_clock", "invoice", "reverses"]
    search_fields = ["reference__istartswith", "customer__name__istartswith", "customer__email__iexact"]
    search_help_text = gettext_lazy("A reference, an id (inpay_…, in_…, cus_…), or the beginning of a customer's name.")
    ordering = ["-created_at", "-pk"]
    fields = [
        "customer",
        "environment",
        "invoice",
        "amount_column",
        "method",
        "reference",
        "note",
        "received_at",
        "recorded_by",
        "reverses",
        "created_at",
    ]
    commands = [
        Command[Payment](
            name="reverse",
            title=gettext_lazy("Reverse"),
            icon="undo",
            applies=lambda payment: (
                payment.reverses_id is None and not Payment.objects.filter(reverses=payment.pk).exists()
            ),
            consequence=_reversed,
            run=lambda payment, now, **said: services.reverse_payment(payment=payment, now=now, **said),
            done=gettext_lazy("reversed."),
            form=ReversalForm,
            signed=True,
            warns=True,
            second_person=guards.REVERSAL,
        ),
    ]

    @display(description=gettext_lazy("reference"), ordering="reference")
    def reference_column(self, row: Payment) -> str:
        return str(row)


class CreditNoteLineInline(ConsoleInline):
    model = CreditNoteLine
    verbose_name_plural = gettext_lazy("lines")
    fields = ["page", "quantity_column", "amount_column", "taken_off", "paid_by_credit"]
    list_select_related = ["environment__company", "credit_note"]

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: CreditNoteLine) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description=gettext_lazy("amount"))
    def amount_column(self, row: CreditNoteLine) -> SafeString:
        return cells.amount(row.amount, row.credit_note.currency)

    @display(description=gettext_lazy("discounts"))
    def taken_off(self, row: CreditNoteLine) -> SafeString:
        return cells.amount(row.discount_amount, row.credit_note.currency)

    @display(description=gettext_lazy("paid by credit"))
    def paid_by_credit(self, row: CreditNoteLine) -> SafeString:
        return cells.amount(row.credit_amount, row.credit_note.currency)


def _voided(notes: Sequence[CreditNote]) -> str:
    told = ", ".join(
        _("{amount} of {invoice}").format(amount=format_amount(note.total, note.currency), invoice=note.invoice)
        for note in notes
    )
    return ngettext(
        "{told} will have to be paid again. The credit note stays on record as void, with its number.",
        "{told} will have to be paid again. The credit notes stay on record as void, with their numbers.",
        len(notes),
    ).format(told=told)


@admin.register(CreditNote)
class CreditNoteAdmin(PrintedPages):
    print = staticmethod(print_credit_note)
    page_of = staticmethod(note_page_address)
    wire_prefix = "cn"
    wire_parents = {"in": "invoice", "cus": "customer"}
    list_display = ["number", "customer", "status_tag", "total_column", "reason", "created_at", "environment"]
    list_filter = ["status", "environment", "environment__mode", "reason", "created_at"]
    list_select_related = [
        "environment__company",
        "customer__test_clock",
        "invoice__hosted_link",
        "balance_transaction",
    ]
    search_fields = ["=number", "customer__name__istartswith", "customer__email__iexact"]
    search_help_text = gettext_lazy("A number, an id (cn_…, in_…, cus_…), or the beginning of a customer's name.")
    ordering = ["-created_at", "-pk"]
    fields = [
        "number",
        "status",
        "customer",
        "environment",
        "invoice",
        "total_column",
        "whereabouts",
        "documents_column",
        "taxes_column",
        "reason",
        "memo",
        "balance_transaction",
        "recorded_by",
        "effective_at",
        "created_at",
        "voided_at",
        "metadata_document",
    ]
    inlines = [CreditNoteLineInline]
    commands = [
        mails.SEND_NOTE,
        Command[CreditNote](
            name="void",
            title=gettext_lazy("Void"),
            icon="block",
            applies=lambda note: note.status == CreditNote.Status.ISSUED and note.invoice.status in _TO_BE_PAID,
            consequence=_voided,
            run=lambda note, now: services.void_credit_note(note=note, now=now),
            done=gettext_lazy("void."),
            warns=True,
            second_person=guards.VOID_NOTE,
        ),
    ]

    @display(description=gettext_lazy("status"), ordering="status")
    def status_tag(self, row: CreditNote) -> SafeString:
        return cells.tag(row.get_status_display(), row.status)

    @display(description=gettext_lazy("total"), ordering="total")
    def total_column(self, row: CreditNote) -> SafeString:
        return cells.amount(row.total, row.currency)

    @display(description=gettext_lazy("goes to"))
    def whereabouts(self, row: CreditNote) -> str | SafeString:
        """Where the total goes, as far as there is something."""
        amounts = {
            _("less to pay"): row.pre_payment_amount,
            _("refund"): row.refund_amount,
            _("customer's balance"): row.balance_amount,
            _("given back elsewhere"): row.out_of_band_amount,
        }
        return cells.facts({name: cells.amount(amount, row.currency) for name, amount in amounts.items() if amount})

    @display(description=gettext_lazy("taxes"))
    def taxes_column(self, row: CreditNote) -> str | SafeString:
        return cells.facts(
            {
                "within": cells.amount(row.inclusive_tax, row.currency),
                "on top": cells.amount(row.exclusive_tax, row.currency),
            }
        )

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: CreditNote) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(CreditNoteLine)
class CreditNoteLineAdmin(ConsoleAdmin):
    wire_prefix = "cnli"
    wire_parents = {"cn": "credit_note", "il": "invoice_line"}
    list_display = ["description", "credit_note", "environment", "quantity_column", "amount_column"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "credit_note", "invoice_line"]
    search_fields = ["description__istartswith"]
    ordering = ["-pk"]
    fields = [
        "description",
        "credit_note",
        "invoice_line",
        "environment",
        "quantity_column",
        "amount_column",
        "taken_off",
        "paid_by_credit",
    ]
    quantity_column = CreditNoteLineInline.quantity_column
    amount_column = CreditNoteLineInline.amount_column
    taken_off = CreditNoteLineInline.taken_off
    paid_by_credit = CreditNoteLineInline.paid_by_credit


class _OfLine(ConsoleAdmin):
    """What belongs to a line of a credit note."""

    searches_text = False
    list_filter = ["environment", "environment__mode"]
    ordering = ["-pk"]

    @display(description=gettext_lazy("amount"), ordering="amount")
    def amount_column(self, row: Any) -> SafeString:
        return cells.amount(row.amount, row.line.credit_note.currency)


@admin.register(CreditNoteLineDiscount)
class CreditNoteLineDiscountAdmin(_OfLine):
    wire_parents = {"cnli": "line", "cn": "line__credit_note", "di": "discount"}
    list_display = ["discount", "line", "environment", "amount_column"]
    list_select_related = ["environment__company", "discount__coupon", "line__credit_note"]
    search_fields = ["discount__coupon__name"]
    fields = ["discount", "line", "environment", "amount_column"]


@admin.register(CreditNoteLineTax)
class CreditNoteLineTaxAdmin(_OfLine):
    wire_parents = {"cnli": "line", "cn": "line__credit_note", "txr": "tax_rate"}
    list_display = ["tax_rate", "line", "environment", "amount_column"]
    list_select_related = ["environment__company", "tax_rate", "line__credit_note"]
    search_fields = ["tax_rate__display_name"]
    fields = ["tax_rate", "line", "environment", "amount_column"]
