"""Mails that are asked for: by a person, or by what became final where the company has it so. A job sends them."""

from collections.abc import Sequence
from datetime import datetime

from invoices.models import CreditNote, Invoice, InvoiceMail
from subscriptions.models import Subscription
from webhooks.kinds import Kind
from webhooks.services import record

State = InvoiceMail.State


def announce_invoices(issued: Sequence[Invoice], *, now: datetime) -> None:
    """Have invoices that are final now mailed, of those that are sent to be paid.

    :param now: the customers' time
    """
    sent = [
        invoice
        for invoice in issued
        if invoice.collection_method == Subscription.CollectionMethod.SEND_INVOICE
        and invoice.status == Invoice.Status.OPEN
        and invoice.customer.email
    ]
    InvoiceMail.objects.bulk_create(mail_of(invoice, now=now) for invoice in sent)
    record(Kind.INVOICE_SENT, rows=sent, now=now)


def mail_of(invoice: Invoice, *, now: datetime, note: CreditNote | None = None) -> InvoiceMail:
    """A mail that is not stored yet, with an invoice or a credit note on it. In test mode nobody gets it.

    :param now: the customer's time
    """
    return InvoiceMail(
        environment=invoice.environment,
        invoice=invoice,
        credit_note=note,
        recipient=invoice.customer.email,
        state=State.WAITING if invoice.environment.is_live else State.WITHHELD,
        # By the wall, and so do all customers of live mode live, whose mails alone are sent.
        next_attempt_at=now,
        requested_at=now,
    )
