"""The console's page of mails with invoices."""

from collections.abc import Sequence
from datetime import datetime

from django.contrib import admin
from django.utils import timezone

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from invoices import services
from invoices.console.wording import money, these
from invoices.models import Invoice, InvoiceMail

_SENDABLE = {Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE}


def _sent(invoices: Sequence[Invoice]) -> str:
    to = ", ".join(sorted({invoice.customer.email or f"{invoice.customer} (no address)" for invoice in invoices}))
    return (
        f"A mail with {these(invoices)} over {money(invoices, 'total')} will go to {to}, with the PDF attached, in some "
        "seconds. In test mode it is not really sent."
    )


def _send(invoice: Invoice, now: datetime) -> None:
    services.send_invoice(invoice=invoice, now=now, wall=timezone.now())


SEND = Command[Invoice](
    name="send",
    title="Send",
    icon="mail",
    applies=lambda invoice: invoice.status in _SENDABLE,
    consequence=_sent,
    run=_send,
    done="will be mailed.",
)


@admin.register(InvoiceMail)
class InvoiceMailAdmin(ConsoleAdmin):
    """What stays "sending" may have been sent: it is not sent again by itself."""

    wire_parents = {"in": "invoice"}
    list_display = ["invoice", "recipient", "environment", "state", "attempts", "requested_at", "sent_at"]
    list_filter = ["state", "environment", "environment__mode", "requested_at"]
    list_select_related = ["environment__company", "invoice"]
    search_fields = ["recipient__iexact"]
    search_help_text = "The id of an invoice (in_…), or the whole address."
    ordering = ["-requested_at", "-pk"]
    fields = [
        "invoice",
        "environment",
        "recipient",
        "state",
        "attempts",
        "error",
        "requested_at",
        "next_attempt_at",
        "sent_at",
    ]
