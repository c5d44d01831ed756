"""/v1/invoice_payments and /v1/credit_notes, through the SDK."""

import time
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused

REQUIRED = [
    "amount", "amount_shipping", "created", "currency", "customer", "discount_amount", "discount_amounts", "id",
    "invoice", "lines", "livemode", "number", "object", "pdf", "post_payment_amount", "pre_payment_amount",
    "pretax_credit_amounts", "refunds", "status", "subtotal", "total", "type",
]  # fmt: skip


@pytest.fixture
def invoice(account: Account) -> Any:
    """An open invoice over 10.00 and 20.00 USD."""
    customer = new_customer(account)
    draft = account.v1.invoices.create({"customer": customer.id})
    for amount in (1000, 2000):
        account.v1.invoice_items.create(
            {"customer": customer.id, "invoice": draft.id, "amount": amount, "currency": "usd", "description": "Work"}
        )
    return account.v1.invoices.finalize_invoice(draft.id)


def pay(account: Account, invoice: Any, amount: int, **said: Any) -> Any:
    answer = account.sdk.raw_request("post", "/v1/invoice_payments", invoice=invoice.id, amount=amount, **said)
    return account.v1.invoice_payments.retrieve(answer.data["id"])


def test_payments_in_parts(account: Account, invoice: Any) -> None:
    received = int(time.time()) - 60
    first = pay(account, invoice, 1200, method="check", reference="C-7", received_at=received)

    assert is_a(first, stripe.InvoicePayment)
    assert (first.status, first.amount_paid, first.amount_requested, first.invoice) == ("paid", 1200, 1200, invoice.id)
    assert (first.method, first.reference) == ("check", "C-7")
    assert first.status_transitions.paid_at == received
    assert first.recorded_by.startswith("sk_test_")
    part = account.v1.invoices.retrieve(invoice.id, {"expand": ["payments"]})
    assert (part.status, part.amount_paid, part.amount_remaining) == ("open", 1200, 1800)
    assert [payment.id for payment in part.payments.data] == [first.id]

    error = refused(lambda: pay(account, invoice, 1801))
    assert (error.http_status, error.code, error.param) == (400, "amount_too_large", "amount")
    last = pay(account, invoice, 1800)
    paid = account.v1.invoices.retrieve(invoice.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 3000, 0)
    listed = account.v1.invoice_payments.list({"invoice": invoice.id})
    assert [payment.id for payment in listed.data] == [last.id, first.id]

    account.sdk.raw_request("post", f"/v1/invoice_payments/{last.id}/reverse", note="bounced")
    canceled = account.v1.invoice_payments.list({"invoice": invoice.id, "status": "canceled"})
    assert [payment.id for payment in canceled.data] == [last.id]
    assert canceled.data[0].status_transitions.canceled_at is not None
    assert account.v1.invoices.retrieve(invoice.id).status == "open"
    types = [event.type for event in account.v1.events.list({"limit": 100}).data][::-1]
    assert types.count("invoice_payment.paid") == 2
    assert types[-2:] == ["invoice.updated", "invoice.updated"]


def test_a_credit_note_before_payment(account: Account, invoice: Any) -> None:
    wanted: Any = {
        "invoice": invoice.id,
        "amount": 300,
        "reason": "order_change",
        "memo": "Sorry",
        "metadata": {"a": "1"},
    }
    preview = account.v1.credit_notes.preview(wanted)
    note = account.v1.credit_notes.create(wanted)

    assert is_a(note, stripe.CreditNote)
    assert [name for name in REQUIRED if name not in note] == []
    assert note.number == preview.number == f"{invoice.number}-CN-01"
    assert (note.amount, note.total, note.subtotal, note.type) == (300, 300, 300, "pre_payment")
    assert (note.pre_payment_amount, note.post_payment_amount, note.out_of_band_amount) == (300, 0, None)
    assert (note.reason, note.memo, note.metadata.to_dict(), note.status) == (
        "order_change",
        "Sorry",
        {"a": "1"},
        "issued",
    )
    assert [line.amount for line in note.lines.data] == [100, 200] == [line.amount for line in preview.lines.data]
    assert {line.object for line in note.lines.data} == {"credit_note_line_item"}
    left = account.v1.invoices.retrieve(invoice.id)
    assert (left.amount_due, left.amount_remaining, left.pre_payment_credit_notes_amount) == (2700, 2700, 300)

    changed = account.v1.credit_notes.update(note.id, {"memo": "Better"})
    assert changed.memo == "Better"
    void = account.v1.credit_notes.void_credit_note(note.id)
    assert (void.status, void.voided_at is None) == ("void", False)
    assert account.v1.invoices.retrieve(invoice.id).amount_due == 3000
    types = [event.type for event in account.v1.events.list({"limit": 100}).data][::-1]
    assert [told for told in types if told.startswith("credit_note")] == [
        "credit_note.created",
        "credit_note.updated",
        "credit_note.voided",
    ]


def test_a_credit_note_after_payment_by_line(account: Account, invoice: Any) -> None:
    account.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    line = invoice.lines.data[1]
    by_line: Any = {"type": "invoice_line_item", "invoice_line_item": line.id, "quantity": 1}

    refused_split = refused(lambda: account.v1.credit_notes.create({"invoice": invoice.id, "lines": [by_line]}))
    assert "20.00 USD" in str(refused_split)
    note = account.v1.credit_notes.create(
        {"invoice": invoice.id, "lines": [by_line], "credit_amount": 1500, "out_of_band_amount": 500}
    )

    assert (note.total, note.type, note.post_payment_amount, note.out_of_band_amount) == (
        2000,
        "post_payment",
        2000,
        500,
    )
    assert note.lines.data[0].invoice_line_item == line.id
    assert note.lines.data[0].quantity == 1
    entry = account.v1.customers.balance_transactions.retrieve(invoice.customer, note.customer_balance_transaction)
    assert (entry.type, entry.amount, entry.credit_note, entry.invoice) == ("credit_note", -1500, note.id, invoice.id)
    after = account.v1.invoices.retrieve(invoice.id)
    assert (after.status, after.post_payment_credit_notes_amount, after.amount_remaining) == ("paid", 2000, 0)
    assert [one.id for one in account.v1.credit_notes.list({"invoice": invoice.id}).data] == [note.id]
    assert account.v1.credit_notes.line_items.list(note.id).data == note.lines.data
    expanded = account.v1.credit_notes.retrieve(note.id, {"expand": ["invoice", "customer"]})
    assert expanded.invoice.number == invoice.number
    too_much = refused(lambda: account.v1.credit_notes.create({"invoice": invoice.id, "amount": 1001}))
    assert too_much.code == "amount_too_large"


def test_what_a_credit_note_is_over_must_be_said_once(account: Account, invoice: Any) -> None:
    neither = refused(lambda: account.v1.credit_notes.create({"invoice": invoice.id}))
    assert neither.code == "parameter_missing"
    line: Any = {"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id}
    both = refused(lambda: account.v1.credit_notes.create({"invoice": invoice.id, "amount": 1, "lines": [line]}))
    assert both.code == "parameters_exclusive"
    assert account.v1.credit_notes.list().data == []


def test_lines_of_a_preview_come_in_pages(account: Account, invoice: Any) -> None:
    lines = account.v1.credit_notes.preview_lines.list({"invoice": invoice.id, "amount": 300, "limit": 1})
    assert ([line.amount for line in lines.data], lines.has_more) == ([100], True)
