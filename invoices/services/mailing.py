"""Invoices and credit notes are mailed: asked for in a transaction, sent by a job after it, retried where nothing went out, never twice."""

import logging
from datetime import datetime, timedelta
from smtplib import SMTPException, SMTPServerDisconnected
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import transaction
from django.template.loader import render_to_string

from accounts.clocks import hold_clock
from accounts.models import Company
from core.money import format_amount
from invoices.documents import print_credit_note, print_invoice
from invoices.errors import InvoiceNotOpen, RecipientMissing
from invoices.links import note_page_address, page_address
from invoices.models import CreditNote, Invoice, InvoiceMail, InvoiceMailQuerySet
from invoices.services.announcing import mail_of
from invoices.services.finalizing import lock_invoice
from webhooks.kinds import Kind
from webhooks.services import record

logger = logging.getLogger(__name__)

State = InvoiceMail.State
# After the first attempt, the second, and so on; after the last one a person has to look.
_DELAYS = [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 720)]
_SENDABLE = (Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE)


@transaction.atomic
def send_invoice(*, invoice: Invoice, now: datetime) -> InvoiceMail:
    """Have a final invoice mailed to its customer. While a mail waits to be sent, asking again makes no second one.

    In test mode everything happens but the mail itself.

    :param now: the customer's time
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice is a draft or void
    :raises RecipientMissing: if the customer has no email address
    """
    invoice = _held(invoice, now)
    if invoice.status not in _SENDABLE:
        raise InvoiceNotOpen(invoice.status)
    mail, is_new = _asked_for(mail_of(invoice, now=now))
    if is_new:
        record(Kind.INVOICE_SENT, rows=[invoice], now=now)
    return mail


@transaction.atomic
def send_credit_note(*, note: CreditNote, now: datetime) -> InvoiceMail:
    """Have a credit note mailed, as :func:`send_invoice` does an invoice; a void one, too, says that it is void.

    :raises accounts.errors.ClockAdvancing: :raises RecipientMissing: as there
    """
    return _asked_for(mail_of(_held(note.invoice, now), now=now, note=note))[0]


def _held(invoice: Invoice, now: datetime) -> Invoice:
    hold_clock(invoice.customer, now=now)
    return lock_invoice(invoice)


def _asked_for(mail: InvoiceMail) -> tuple[InvoiceMail, bool]:
    """The mail that waits already, or this one, and whether it is this one. The caller holds the invoice's lock."""
    if not mail.recipient:
        raise RecipientMissing
    waiting = _waiting_beside(mail).first()
    if waiting is not None:
        return waiting, False
    mail.save(force_insert=True)
    return mail, True


def _waiting_beside(mail: InvoiceMail) -> InvoiceMailQuerySet:
    """Mails with the same document that wait."""
    return InvoiceMail.objects.filter(
        environment=mail.environment_id,
        invoice=mail.invoice_id,
        credit_note=mail.credit_note_id,
        state=State.WAITING,
    )


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
        mail.state = State.FAILED if _waiting_beside(mail).exists() else State.WAITING
    mail.save(update_fields=["state", "error", "next_attempt_at"])


def message_of(mail: InvoiceMail) -> EmailMultiAlternatives:
    """The mail in words and in print: text, HTML, and the PDF."""
    return _message_with_invoice(mail) if mail.credit_note_id is None else _message_with_note(mail, mail.credit_note_id)


def _message_with_invoice(mail: InvoiceMail) -> EmailMultiAlternatives:
    invoice = Invoice.objects.select_related("environment__company", "customer", "subscription").get(pk=mail.invoice_id)
    words = {
        "invoice": invoice,
        "amount": format_amount(invoice.amount_remaining, invoice.currency),
        "total": format_amount(invoice.total, invoice.currency),
        "is_paid": invoice.status == Invoice.Status.PAID,
        "page": page_address(invoice),
    }
    message = _message(mail, invoice.environment.company, f"Invoice {invoice.number}", "invoice", words)
    message.attach(f"{invoice.number}.pdf", print_invoice(invoice), "application/pdf")
    return message


def _message_with_note(mail: InvoiceMail, note_id: UUID) -> EmailMultiAlternatives:
    notes = CreditNote.objects.select_related("environment__company", "invoice__customer", "invoice__subscription")
    note = notes.get(pk=note_id)
    words = {
        "note": note,
        "invoice": note.invoice,
        "total": format_amount(note.total, note.currency),
        "is_void": note.status == CreditNote.Status.VOID,
        "page": note_page_address(note),
    }
    message = _message(mail, note.environment.company, f"Credit note {note.number}", "credit_note", words)
    message.attach(f"{note.number}.pdf", print_credit_note(note), "application/pdf")
    return message


def _message(
    mail: InvoiceMail, company: Company, title: str, template: str, words: dict[str, Any]
) -> EmailMultiAlternatives:
    words = {"title": title, "company": company, **words}
    message = EmailMultiAlternatives(
        subject=f"{title} from {company.name}".replace("\n", " "),
        body=render_to_string(f"mail/{template}.txt", words),
        from_email=_sender(company.name),
        to=[mail.recipient],
        reply_to=[company.reply_to] if company.reply_to else None,
    )
    message.attach_alternative(render_to_string(f"mail/{template}.html", words), "text/html")
    return message


def _sender(name: str) -> str:
    """The company's name before the instance's address."""
    readable = "".join(character for character in name if character.isprintable() and character not in '"\\<>')
    return f'"{readable}" <{settings.DEFAULT_FROM_EMAIL}>'
