"""Invoices are mailed: asked for in a transaction, sent by a job after it, retried where nothing went out, never twice."""

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException, SMTPServerDisconnected

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import render_to_string

from accounts.clocks import hold_clock
from core.money import format_amount
from invoices.documents import print_invoice
from invoices.errors import InvoiceNotOpen, RecipientMissing
from invoices.links import page_address
from invoices.models import Invoice, InvoiceMail
from invoices.services.finalizing import lock_invoice
from webhooks.kinds import Kind
from webhooks.services import record

logger = logging.getLogger(__name__)

State = InvoiceMail.State
# After the first attempt, the second, and so on; after the last one a person has to look.
_DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
_SENDABLE = (Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE)


@transaction.atomic
def send_invoice(*, invoice: Invoice, now: datetime, wall: datetime) -> InvoiceMail:
    """Have a final invoice mailed to its customer. While a mail waits to be sent, asking again makes no second one.

    In test mode everything happens but the mail itself.

    :param now: the customer's time
    :param wall: the time that mails are sent by
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft or void
    :raises RecipientMissing: if the customer has no email address
    """
    hold_clock(invoice.customer, now=now)
    invoice = lock_invoice(invoice)
    if invoice.status not in _SENDABLE:
        raise InvoiceNotOpen(invoice.status)
    recipient = invoice.customer.email
    if not recipient:
        raise RecipientMissing
    waiting = InvoiceMail.objects.filter(
        environment=invoice.environment_id, invoice=invoice, state=State.WAITING
    ).first()
    if waiting is not None:
        return waiting
    mail = InvoiceMail.objects.create(
        environment=invoice.environment,
        invoice=invoice,
        recipient=recipient,
        state=State.WAITING if invoice.environment.is_live else State.WITHHELD,
        next_attempt_at=wall,
        requested_at=now,
    )
    record(Kind.INVOICE_SENT, rows=[invoice], now=now)
    return mail


def send_mails(*, now: datetime) -> int:
    """Send what waits, one mail at a time, beside other processes that do the same.

    :param now: the time by the wall
    :returns: how many were sent
    """
    sent = 0
    while (mail := _take(now)) is not None:
        sent += _send(mail, now)
    return sent


@transaction.atomic
def _take(now: datetime) -> InvoiceMail | None:
    """Take a mail into one's hands: from the commit on nobody else sends it, come what may."""
    due = InvoiceMail.objects.filter(state=State.WAITING, next_attempt_at__lte=now).order_by("next_attempt_at", "pk")
    mail = due.select_for_update(skip_locked=True, no_key=True).first()
    if mail is not None:
        mail.state = State.SENDING
        mail.attempts += 1
        mail.save(update_fields=["state", "attempts"])
    return mail


def _send(mail: InvoiceMail, now: datetime) -> bool:
    # Not within a transaction: nobody shall wait for a mail server.
    try:
        message = message_of(mail)
        message.connection = get_connection()
        message.connection.open()
    except Exception as error:
        # Whatever it is, nothing went out, and the other mails need not wait for this one.
        logger.exception("mail %s was not sent", mail.pk)
        _note_failure(mail, error, now)
        return False
    try:
        message.send()
    except (SMTPServerDisconnected, TimeoutError) as error:
        # The server may have taken it before it fell silent. A person decides whether to send it again.
        logger.exception("whether mail %s was sent is not known", mail.pk)
        mail.error = f"{type(error).__name__}: {error}"
        mail.save(update_fields=["error"])
        return False
    except (OSError, SMTPException) as error:
        _note_failure(mail, error, now)
        return False
    finally:
        message.connection.close()
    mail.state, mail.sent_at, mail.error = State.SENT, now, ""
    mail.save(update_fields=["state", "sent_at", "error"])
    return True


def _note_failure(mail: InvoiceMail, error: Exception, now: datetime) -> None:
    mail.error = f"{type(error).__name__}: {error}"
    mail.state = State.WAITING if mail.attempts <= len(_DELAYS) else State.FAILED
    if mail.state == State.WAITING:
        mail.next_attempt_at = now + _DELAYS[mail.attempts - 1]
        # Another may have been asked for meanwhile; one is enough.
        others = InvoiceMail.objects.filter(
            environment=mail.environment_id, invoice=mail.invoice_id, state=State.WAITING
        )
        mail.state = State.FAILED if others.exists() else State.WAITING
    mail.save(update_fields=["state", "error", "next_attempt_at"])


def message_of(mail: InvoiceMail) -> EmailMultiAlternatives:
    """The mail in words and in print: text, HTML, and the PDF."""
    invoice = Invoice.objects.select_related("environment__company", "customer", "subscription").get(pk=mail.invoice_id)
    company = invoice.environment.company
    words = {
        "invoice": invoice,
        "company": company,
        "amount": format_amount(invoice.amount_remaining, invoice.currency),
        "total": format_amount(invoice.total, invoice.currency),
        "is_paid": invoice.status == Invoice.Status.PAID,
        "page": page_address(invoice),
    }
    message = EmailMultiAlternatives(
        subject=f"Invoice {invoice.number} from {company.name}".replace("\n", " "),
        body=render_to_string("mail/invoice.txt", words),
        from_email=_sender(company.name),
        to=[mail.recipient],
        reply_to=[company.reply_to] if company.reply_to else None,
    )
    message.attach_alternative(render_to_string("mail/invoice.html", words), "text/html")
    message.attach(f"{invoice.number}.pdf", print_invoice(invoice), "application/pdf")
    return message


def _sender(name: str) -> str:
    """The company's name before the instance's address."""
    readable = "".join(character for character in name if character.isprintable() and character not in '"\\<>')
    return f'"{readable}" <{settings.DEFAULT_FROM_EMAIL}>'
