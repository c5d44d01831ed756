"""Payments are recorded in parts, never beyond what remains, and reversed rather than removed."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.errors import (
    InvoiceCreditedSince,
    InvoiceNotOpen,
    InvoicePartlySettled,
    PaymentAmountInvalid,
    PaymentExceedsRemaining,
    PaymentInFuture,
    PaymentNotReversible,
)
from invoices.models import Invoice, Payment
from invoices.tests.factories import draft_invoice, open_invoice
from subscriptions.models import Subscription
from webhooks.models import Event

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(days=1)


def standing(invoice: Invoice) -> tuple[str, int, int]:
    invoice.refresh_from_db()
    return invoice.status, invoice.amount_paid, invoice.amount_remaining


def kinds_since(count: int) -> list[str]:
    return list(Event.objects.order_by("pk").values_list("kind", flat=True)[count:])


def all_rows() -> list[Any]:
    return [list(model._default_manager.order_by("pk").values()) for model in (Invoice, Payment, Event)]


def fire_deferred_checks() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def test_an_invoice_is_paid_in_parts() -> None:
    invoice = open_invoice()
    before = Event.objects.count()

    first = services.record_payment(
        invoice=invoice, amount=400, now=LATER, received_at=NOW, method="bank transfer", reference="R-1", note="thanks",
        recorded_by="Ada",
    )  # fmt: skip

    assert standing(invoice) == ("open", 400, 600)
    assert (first.amount, first.currency, first.received_at, first.created_at) == (400, "usd", NOW, LATER)
    assert (first.method, first.reference, first.note, first.recorded_by) == ("bank transfer", "R-1", "thanks", "Ada")
    assert kinds_since(before) == ["payment.paid", "invoice.updated"]

    services.record_payment(invoice=invoice, amount=600, now=LATER)

    assert standing(invoice) == ("paid", 1000, 0)
    assert invoice.paid_at == LATER
    assert not invoice.paid_out_of_band
    assert [kind for kind in kinds_since(before + 2) if kind != "subscription.updated"] == [
        "payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice.updated",
    ]
    fire_deferred_checks()


def test_what_remains_is_paid_elsewhere_with_a_row_that_says_so() -> None:
    invoice = open_invoice()
    services.record_payment(invoice=invoice, amount=1, now=LATER)

    services.pay_invoice_out_of_band(invoice=invoice, now=LATER, recorded_by="key")

    assert standing(invoice) == ("paid", 1000, 0)
    assert invoice.paid_out_of_band
    assert sorted(invoice.payments.values_list("amount", "recorded_by")) == [(1, ""), (999, "key")]
    fire_deferred_checks()


@pytest.mark.parametrize(
    ("amount", "received_at", "refusal"),
    [
        (0, None, PaymentAmountInvalid),
        (-1, None, PaymentAmountInvalid),
        (1001, None, PaymentExceedsRemaining),
        (1, LATER + timedelta(microseconds=1), PaymentInFuture),
    ],
)
def test_a_payment_that_cannot_be_is_refused(amount: int, received_at: Any, refusal: type[Exception]) -> None:
    invoice = open_invoice()
    before = all_rows()

    with pytest.raises(refusal):
        services.record_payment(invoice=invoice, amount=amount, now=LATER, received_at=received_at)

    assert all_rows() == before


def test_an_overpayment_says_what_remains() -> None:
    invoice = open_invoice()
    services.record_payment(invoice=invoice, amount=999, now=LATER)

    with pytest.raises(PaymentExceedsRemaining, match=r"0\.02 USD is more than the 0\.01 USD"):
        services.record_payment(invoice=invoice, amount=2, now=LATER)


def test_drafts_and_paid_and_void_invoices_take_no_payments() -> None:
    paid = services.pay_invoice_out_of_band(invoice=open_invoice(), now=LATER)
    void = services.void_invoice(invoice=open_invoice(), now=LATER)

    for invoice in (draft_invoice(), paid, void):
        with pytest.raises(InvoiceNotOpen):
            services.record_payment(invoice=invoice, amount=1, now=LATER)
        assert invoice.payments.count() == (1 if invoice == paid else 0)


def test_an_invoice_that_was_given_up_may_still_be_paid_in_parts() -> None:
    invoice = services.mark_invoice_uncollectible(invoice=open_invoice(), now=LATER)

    services.record_payment(invoice=invoice, amount=300, now=LATER)
    assert standing(invoice) == ("uncollectible", 300, 700)
    services.record_payment(invoice=invoice, amount=700, now=LATER)
    assert standing(invoice) == ("paid", 1000, 0)


def test_a_bounced_payment_opens_its_invoice_again() -> None:
    invoice = open_invoice()
    payment = services.record_payment(invoice=invoice, amount=1000, reference="C-1", now=LATER)

    reversal = services.reverse_payment(payment=payment, now=LATER, note="bounced", recorded_by="Ada")

    assert standing(invoice) == ("open", 0, 1000)
    assert invoice.paid_at is None
    assert (reversal.amount, reversal.reverses, reversal.reference, reversal.note) == (-1000, payment, "C-1", "bounced")
    assert list(invoice.payments.standing()) == []
    fire_deferred_checks()
    services.record_payment(invoice=invoice, amount=1000, now=LATER)
    assert standing(invoice) == ("paid", 1000, 0)


def test_a_payment_is_reversed_once_and_a_reversal_never() -> None:
    payment = services.record_payment(invoice=open_invoice(), amount=10, now=LATER)
    reversal = services.reverse_payment(payment=payment, now=LATER)
    before = all_rows()

    for row in (payment, reversal):
        with pytest.raises(PaymentNotReversible):
            services.reverse_payment(payment=row, now=LATER)

    assert all_rows() == before


def test_a_payment_that_was_given_back_since_is_not_reversed() -> None:
    invoice = open_invoice()
    payment = services.record_payment(invoice=invoice, amount=1000, now=LATER)
    services.issue_credit_note(invoice=invoice, total=1, refund_amount=1, now=LATER)

    with pytest.raises(InvoiceCreditedSince):
        services.reverse_payment(payment=payment, now=LATER)

    assert standing(invoice) == ("paid", 1000, 0)


def test_what_is_paid_in_part_is_not_voided() -> None:
    invoice = open_invoice()
    payment = services.record_payment(invoice=invoice, amount=1, now=LATER)

    with pytest.raises(InvoicePartlySettled):
        services.void_invoice(invoice=invoice, now=LATER)
    assert standing(invoice) == ("open", 1, 999)

    services.reverse_payment(payment=payment, now=LATER)
    assert services.void_invoice(invoice=invoice, now=LATER).status == "void"


def test_a_subscription_that_is_past_due_waits_for_the_last_part() -> None:
    customer = CustomerFactory.create()
    draft = draft_invoice(customer, value=1000, collection_method="send_invoice", days_until_due=10)
    services.finalize_due_drafts(now=draft.created_at + timedelta(hours=1))
    invoice = Invoice.objects.get(pk=draft.pk)
    assert invoice.due_at is not None
    services.escalate_due_invoices(now=invoice.due_at)

    def status() -> str:
        return Subscription.objects.get(invoices=invoice).status

    assert status() == "past_due"
    first = services.record_payment(invoice=invoice, amount=499, now=invoice.due_at)
    assert status() == "past_due"
    last = services.record_payment(invoice=invoice, amount=1, now=invoice.due_at)
    assert status() == "active"

    # Without it, the invoice is overdue again.
    services.reverse_payment(payment=last, now=invoice.due_at)
    services.escalate_due_invoices(now=invoice.due_at)
    assert status() == "past_due"
    assert first.amount == 499


@pytest.mark.parametrize("change", [{"amount": 5}, {"reference": "other"}, {"received_at": NOW}, {"note": "!"}])
def test_the_database_keeps_payments_as_they_were_written(change: dict[str, Any]) -> None:
    payment = services.record_payment(invoice=open_invoice(), amount=10, now=LATER)

    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(**change)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Payment.objects.filter(pk=payment.pk)._raw_delete("default")


def test_the_database_wants_invoices_to_say_what_their_payments_come_to() -> None:
    invoice = open_invoice()
    of_invoice = {"environment": invoice.environment, "customer": invoice.customer, "invoice": invoice}
    of_now = {"currency": "usd", "received_at": NOW, "created_at": NOW}

    def pay_beside() -> None:
        Payment.objects.create(amount=5, **of_invoice, **of_now)
        fire_deferred_checks()

    def count_beside() -> None:
        Invoice.objects.filter(pk=invoice.pk).update(amount_paid=5)
        fire_deferred_checks()

    for beside in (pay_beside, count_beside):
        with pytest.raises(IntegrityError, match="its payments"), transaction.atomic():
            beside()
    with pytest.raises(IntegrityError, match="paid_iff_nothing_remains"), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(amount_paid=1001)
    with pytest.raises(IntegrityError, match="paid_iff_nothing_remains"), transaction.atomic():
        Invoice.objects.filter(pk=invoice.pk).update(status="paid", paid_at=NOW)
    with pytest.raises(IntegrityError, match="has_its_sign"), transaction.atomic():
        Payment.objects.create(amount=-5, **of_invoice, **of_now)
    payment = services.record_payment(invoice=invoice, amount=10, now=LATER)
    with pytest.raises(IntegrityError, match="the whole of one payment"), transaction.atomic():
        Payment.objects.create(amount=-9, reverses=payment, **of_invoice, **of_now)
