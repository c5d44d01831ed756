"""Payments and credit notes at the same moment, on connections of their own: never more than there is."""

from datetime import timedelta

import pytest

from accounts.tests.factories import NOW
from invoices import services
from invoices.models import CreditNote, Invoice, Payment
from invoices.tests.factories import open_invoice
from invoices.tests.test_races import at_once, kinds

pytestmark = pytest.mark.django_db(transaction=True)

LATER = NOW + timedelta(days=1)


def test_payments_at_once_never_come_to_more_than_is_due() -> None:
    invoice = open_invoice()

    outcomes = at_once(*[lambda: services.record_payment(invoice=invoice, amount=300, now=LATER) for _ in range(8)])

    invoice.refresh_from_db()
    assert kinds(outcomes) == ["Payment"] * 3 + ["PaymentExceedsRemaining"] * 5
    assert (invoice.amount_paid, invoice.amount_remaining, invoice.status) == (900, 100, "open")


def test_credit_notes_at_once_never_come_to_more_than_was_charged() -> None:
    invoice = open_invoice()

    outcomes = at_once(*[lambda: services.issue_credit_note(invoice=invoice, total=400, now=LATER) for _ in range(6)])

    invoice.refresh_from_db()
    assert kinds(outcomes) == ["CreditExceedsInvoice"] * 4 + ["CreditNote"] * 2
    assert (invoice.pre_payment_credited, invoice.amount_remaining) == (800, 200)
    numbers = sorted(CreditNote.objects.values_list("number", flat=True))
    assert numbers == [f"{invoice.number}-CN-01", f"{invoice.number}-CN-02"]


def test_a_payment_and_a_credit_note_of_the_whole_exclude_each_other() -> None:
    for _ in range(5):
        invoice = open_invoice()

        outcomes = at_once(
            lambda: services.record_payment(invoice=invoice, amount=1000, now=LATER),  # noqa: B023 - run at once
            lambda: services.issue_credit_note(invoice=invoice, now=LATER),  # noqa: B023
        )

        invoice.refresh_from_db()
        assert invoice.status == "paid"
        assert invoice.amount_paid + invoice.pre_payment_credited == 1000
        assert kinds(outcomes) in (["CreditNote", "InvoiceNotOpen"], ["CreditNoteSplitWrong", "Payment"])


def test_of_two_reversals_one_counts() -> None:
    payment = services.record_payment(invoice=open_invoice(), amount=1000, now=LATER)

    outcomes = at_once(*[lambda: services.reverse_payment(payment=payment, now=LATER)] * 2)

    assert kinds(outcomes) == ["Payment", "PaymentNotReversible"]
    assert Payment.objects.count() == 2
    assert Invoice.objects.get().amount_paid == 0
