"""Invoices are mailed once: asked for, taken by a job, retried where nothing went out."""

from datetime import timedelta
from smtplib import SMTPDataError, SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail as outbox
from django.core.mail.backends.locmem import EmailBackend

from accounts.models import Company, Mode
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from invoices import services
from invoices.errors import InvoiceNotOpen, RecipientMissing
from invoices.models import Invoice, InvoiceMail
from invoices.tests.factories import draft_invoice, open_invoice
from webhooks.models import Event

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(days=1)


@pytest.fixture
def invoice() -> Invoice:
    environment = EnvironmentFactory.create(mode=Mode.LIVE)
    Company.objects.filter(pk=environment.company_id).update(name='Acme "Ltd"', reply_to="help@acme.test")
    found = open_invoice(CustomerFactory.create(environment=environment, email="ada@example.com"))
    return services.update_invoice(
        invoice=found, now=NOW, description="Thank you.", footer="VAT 123", custom_fields=[{"name": "PO", "value": "7"}]
    )


def ask(invoice: Invoice) -> InvoiceMail:
    return services.send_invoice(invoice=invoice, now=LATER)


def test_a_mail_says_what_is_due_and_brings_the_invoice(invoice: Invoice) -> None:
    mail = ask(invoice)
    assert outbox.outbox == []
    assert services.send_mails(now=LATER) == 1

    mail.refresh_from_db()
    assert (mail.state, mail.attempts, mail.sent_at, mail.recipient) == ("sent", 1, LATER, "ada@example.com")
    [message] = outbox.outbox
    assert message.to == ["ada@example.com"]
    assert message.reply_to == ["help@acme.test"]
    assert message.from_email.startswith('"Acme Ltd" <')
    assert message.subject == f'Invoice {invoice.number} from Acme "Ltd"'
    for words in (message.body, message.alternatives[0].content):  # type: ignore[attr-defined]
        for said in (invoice.number, "10.00 USD", "Thank you.", "VAT 123", "PO"):
            assert said in words
    [(name, content, kind)] = message.attachments
    assert (name, kind) == (f"{invoice.number}.pdf", "application/pdf")
    assert bytes(content).startswith(b"%PDF-")
    assert Event.objects.filter(kind="invoice.sent").count() == 1
    assert services.send_mails(now=LATER) == 0


def test_while_a_mail_waits_there_is_no_second_one(invoice: Invoice) -> None:
    assert ask(invoice) == ask(invoice)
    services.send_mails(now=LATER)
    # Asked for again after that, it is wanted again.
    assert ask(invoice) != InvoiceMail.objects.earliest("pk")
    assert services.send_mails(now=LATER) == 1
    assert len(outbox.outbox) == 2


def test_in_test_mode_nobody_is_bothered() -> None:
    invoice = open_invoice(CustomerFactory.create(email="ada@example.com"))

    assert ask(invoice).state == "withheld"

    assert services.send_mails(now=LATER) == 0
    assert outbox.outbox == []
    assert Event.objects.filter(kind="invoice.sent").exists()


def test_what_cannot_be_sent_is_refused(invoice: Invoice) -> None:
    void = services.void_invoice(invoice=invoice, now=LATER)
    draft = draft_invoice(CustomerFactory.create(email="ada@example.com"))
    for state in (void, draft):
        with pytest.raises(InvoiceNotOpen):
            ask(state)
    with pytest.raises(RecipientMissing):
        ask(open_invoice(CustomerFactory.create(email="")))
    assert not InvoiceMail.objects.exists()


def failing(monkeypatch: pytest.MonkeyPatch, step: str, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(EmailBackend, step, fail)


@pytest.mark.parametrize(
    ("step", "error"), [("open", ConnectionRefusedError("no")), ("send_messages", SMTPDataError(451, b"later"))]
)
def test_where_nothing_went_out_it_is_tried_again(
    invoice: Invoice, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    mail = ask(invoice)
    with monkeypatch.context() as broken:
        failing(broken, step, error)
        assert services.send_mails(now=LATER) == 0

    mail.refresh_from_db()
    assert (mail.state, mail.attempts, mail.next_attempt_at) == ("waiting", 1, LATER + timedelta(minutes=1))
    assert type(error).__name__ in mail.error
    assert services.send_mails(now=LATER) == 0
    assert services.send_mails(now=LATER + timedelta(minutes=1)) == 1
    assert len(outbox.outbox) == 1


def test_after_the_last_attempt_a_person_has_to_look(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = ask(invoice)
    failing(monkeypatch, "open", OSError("down"))
    now = LATER
    for _ in range(8):
        services.send_mails(now=now)
        now += timedelta(days=1)

    mail.refresh_from_db()
    assert (mail.state, mail.attempts) == ("failed", 6)


def test_what_may_have_been_sent_is_not_sent_again(invoice: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    mail = ask(invoice)
    with monkeypatch.context() as broken:
        failing(broken, "send_messages", SMTPServerDisconnected("gone"))
        assert services.send_mails(now=LATER) == 0

    assert services.send_mails(now=LATER + timedelta(days=1)) == 0
    mail.refresh_from_db()
    assert (mail.state, "gone" in mail.error) == ("sending", True)
    assert outbox.outbox == []
