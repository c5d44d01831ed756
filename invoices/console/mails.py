"""The console's page of mails with invoices and credit notes, and the actions that ask for them."""

from collections.abc import Sequence

from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.money import format_amount
from invoices import services
from invoices.console.wording import money, these
from invoices.models import CreditNote, Invoice, InvoiceMail

_SENDABLE = {Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE}


def _sent(invoices: Sequence[Invoice]) -> str:
    without = _("{customer} (no address)")
    to = {invoice.customer.email or without.format(customer=invoice.customer) for invoice in invoices}
    return _(
        "A mail with {these} over {total} will go to {to}, with the PDF attached, in some seconds. In test mode it is not "
        "really sent."
    ).format(these=these(invoices), total=money(invoices, "total"), to=", ".join(sorted(to)))


SEND = Command[Invoice](
    name="send",
    title=gettext_lazy("Send"),
    icon="mail",
    applies=lambda invoice: invoice.status in _SENDABLE,
    consequence=_sent,
    run=lambda invoice, now: services.send_invoice(invoice=invoice, now=now),
    done=gettext_lazy("will be mailed."),
)


def _note_sent(notes: Sequence[CreditNote]) -> str:
    told = ", ".join(
        _("{note} over {amount} to {to}").format(
            note=note,
            amount=format_amount(note.total, note.currency),
            to=note.customer.email or _("nobody: no address"),
        )
        for note in notes
    )
    return _(
        "{told} will be mailed, with the PDF attached, in some seconds. In test mode it is not really sent."
    ).format(told=told)


SEND_NOTE = Command[CreditNote](
    name="send",
    title=gettext_lazy("Send"),
    icon="mail",
    applies=lambda _note: True,
    consequence=_note_sent,
    run=lambda note, now: services.send_credit_note(note=note, now=now),
    done=gettext_lazy("will be mailed."),
)


@admin.register(InvoiceMail)
class InvoiceMailAdmin(ConsoleAdmin):
    """What stays "sending" may have been sent: it is not sent again by itself."""

    names_environment = True
    wire_parents = {"in": "invoice", "cn": "credit_note"}
    list_display = [
        "invoice",
        "credit_note",
        "recipient",
        "environment",
        "state",
        "attempts",
        "requested_at",
        "sent_at",
    ]
    list_filter = ["state", "environment", "environment__mode", "requested_at"]
    list_select_related = ["environment__company", "invoice", "credit_note"]
    search_fields = ["recipient__iexact"]
    search_help_text = gettext_lazy("The id of an invoice or a credit note (in_…, cn_…), or the whole address.")
    ordering = ["-requested_at", "-pk"]
    fields = [
        "invoice",
        "credit_note",
        "environment",
        "recipient",
        "state",
        "attempts",
        "error",
        "requested_at",
        "next_attempt_at",
        "sent_at",
    ]
