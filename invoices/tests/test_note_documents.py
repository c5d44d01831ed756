"""What a credit note says in print and in its mail, and who is sent it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail as outbox

from accounts.models import Company, Customer, Mode
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from invoices import services
from invoices.documents import Step, document_of_note, print_credit_note
from invoices.errors import RecipientMissing
from invoices.models import CreditNote, Invoice, InvoiceMail
from invoices.tests.factories import open_invoice, subscribe
from invoices.tests.test_documents import minor, rich_invoice
from subscriptions.services import NewItem
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(name="株式会社トール", email="pay@example.com")


@pytest.fixture
def payer() -> Customer:
    """A customer of live mode, where mails are really sent."""
    return CustomerFactory.create(environment=EnvironmentFactory.create(mode=Mode.LIVE), email="ada@example.com")


def mailing(customer: Customer) -> Customer:
    Company.objects.filter(pk=customer.environment.company_id).update(mails_documents=True)
    return Customer.objects.get(pk=customer.pk)


def test_the_sums_lead_from_the_lines_to_what_is_credited_and_where_it_goes(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    remaining = invoice.amount_remaining
    services.record_payment(invoice=invoice, amount=1000, reference="bank", now=NOW)
    note = services.issue_credit_note(
        invoice=invoice, now=NOW, refund_amount=600, balance_amount=invoice.total - remaining + 400
    )
    document = document_of_note(note)
    added = [row for row in document.sums if not row.is_part and not row.is_strong]
    by_label = {row.label: minor(row.amount) for row in document.sums}
    goes = [minor(row.amount) for row in document.sums[-3:]]

    assert by_label["Sum of lines"] == sum(minor(line.amount) for line in document.lines) == note.subtotal
    assert sum(minor(row.amount) for row in added) == by_label["Total credited"] == note.total == invoice.total
    assert sum(goes) == note.total
    assert by_label[f"Less to pay of invoice {invoice.number}"] == note.pre_payment_amount
    assert (by_label["Refunded"], by_label["Paid by credit"]) == (600, -400)
    assert document.headline.endswith(" credited")
    assert ("Invoice number", invoice.number) in document.facts


def test_a_part_says_of_what_it_is_one(customer: Customer) -> None:
    seats = PriceFactory.create(environment=customer.environment, product__name="Seats")
    subscription = subscribe(customer, NewItem(seats, 3))
    invoice = Invoice.objects.get(subscription=subscription)
    line = invoice.lines.get()
    for asked in ({"quantity": 2}, {"amount": 250, "description": "Goodwill"}):
        credit = services.LineCredit(line.pk, **asked)
        services.issue_credit_note(invoice=invoice, now=NOW, lines=[credit], reason="order_change", memo="Sorry.")
    two, goodwill = (document_of_note(note) for note in CreditNote.objects.order_by("sequence"))

    assert (two.lines[0].title, two.lines[0].quantity, two.lines[0].amount) == ("Seats", "2", "20.00 USD")
    assert two.lines[0].steps == [Step("Of the invoice's line", "2 of 3, which were 30.00 USD")]
    assert (goodwill.lines[0].title, goodwill.lines[0].quantity) == ("Goodwill", "")
    assert goodwill.lines[0].steps[0].words == "2.50 USD of 30.00 USD"
    assert ("Reason", "Order change") in two.facts
    assert two.memo == "Sorry."


def test_a_void_one_says_so_and_prints_are_the_same_while_it_says_the_same(customer: Customer) -> None:
    note = services.issue_credit_note(invoice=open_invoice(customer), total=250, now=NOW)
    first, again = print_credit_note(note), print_credit_note(CreditNote.objects.get(pk=note.pk))
    void = services.void_credit_note(note=note, now=NOW)

    assert first.startswith(b"%PDF-")
    assert first == again != print_credit_note(void)
    assert (document_of_note(void).mark, document_of_note(void).headline) == ("Void", "Void: nothing is credited")


def test_a_mail_brings_the_credit_note(payer: Customer) -> None:
    invoice = open_invoice(payer)
    note = services.issue_credit_note(invoice=invoice, total=250, memo="Our fault.", now=NOW)
    assert services.send_credit_note(note=note, now=NOW) == services.send_credit_note(note=note, now=NOW)
    # What is sent of the invoice itself is another matter.
    services.send_invoice(invoice=invoice, now=NOW)
    assert services.send_mails(now=NOW) == 2

    message = next(one for one in outbox.outbox if note.number in one.subject)
    assert message.subject == f"Credit note {note.number} from {payer.environment.company.name}"
    for words in (message.body, message.alternatives[0].content):  # type: ignore[attr-defined]
        for said in (note.number, invoice.number, "2.50 USD", "Our fault."):
            assert said in words
    [(name, content, kind)] = message.attachments
    assert (name, kind) == (f"{note.number}.pdf", "application/pdf")
    assert bytes(content).startswith(b"%PDF-")


def test_a_credit_note_for_nobody_is_not_sent() -> None:
    note = services.issue_credit_note(
        invoice=open_invoice(CustomerFactory.create(email="")), total=1, is_mailed=True, now=NOW
    )
    with pytest.raises(RecipientMissing):
        services.send_credit_note(note=note, now=NOW)
    assert not InvoiceMail.objects.exists()


@pytest.mark.parametrize(
    ("has_it_so", "asked", "sent"),
    [(True, None, 1), (True, False, 0), (False, None, 0), (False, True, 1)],
)
def test_a_credit_note_is_mailed_as_the_company_has_it_or_as_it_is_asked(
    payer: Customer, *, has_it_so: bool, asked: bool | None, sent: int
) -> None:
    payer = mailing(payer) if has_it_so else payer
    terms: Any = {} if asked is None else {"is_mailed": asked}
    services.issue_credit_note(invoice=open_invoice(payer), total=250, now=NOW, **terms)

    assert services.send_mails(now=NOW) == sent


def _sent_to_be_paid(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment)
    subscribe(customer, price, collection_method="send_invoice", days_until_due=14)


def _charged(customer: Customer) -> None:
    open_invoice(customer)


def _nothing_to_pay(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment, unit_amount=0)
    subscribe(customer, price, collection_method="send_invoice", days_until_due=14)


@pytest.mark.parametrize(
    ("has_it_so", "begin", "sent"),
    [
        (True, _sent_to_be_paid, 1),
        (True, _charged, 0),
        (True, _nothing_to_pay, 0),
        (False, _sent_to_be_paid, 0),
    ],
)
def test_an_invoice_is_mailed_as_it_becomes_final_where_the_company_has_it_so(
    payer: Customer, *, has_it_so: bool, begin: Callable[[Customer], None], sent: int
) -> None:
    begin(mailing(payer) if has_it_so else payer)

    assert services.send_mails(now=NOW) == sent
    assert [message.to for message in outbox.outbox] == [["ada@example.com"]] * sent


def test_in_test_mode_and_without_an_address_nobody_is_bothered(customer: Customer) -> None:
    customer = mailing(customer)
    _sent_to_be_paid(customer)
    _sent_to_be_paid(mailing(CustomerFactory.create(environment=customer.environment, email="")))

    assert [mail.state for mail in InvoiceMail.objects.all()] == ["withheld"]
    assert services.send_mails(now=NOW) == 0
