"""What customers have paid is recorded, in one or in several parts. There is no payment provider: somebody says so.

The invoice's lock lets one payment pass at a time, so that two at once never come to more than remains.
"""

from datetime import datetime

from django.db import transaction

from invoices.errors import (
    InvoiceCreditedSince,
    PaymentAmountInvalid,
    PaymentExceedsRemaining,
    PaymentInFuture,
    PaymentNotReversible,
)
from invoices.models import Invoice, Payment
from invoices.services.collecting import COLLECTED, follow, locked_with_subscription, settle
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots


@transaction.atomic
def record_payment(
    *,
    invoice: Invoice,
    amount: int,
    now: datetime,
    received_at: datetime | None = None,
    method: str = "",
    reference: str = "",
    note: str = "",
    recorded_by: str = "",
) -> Payment:
    """Note that a part of an invoice was paid, or all that remains of it: with that it is paid.

    A subscription that waited for it is active again.

    :param amount: minor units of the invoice's currency
    :param now: the customer's time
    :param received_at: when the money arrived, if that was not just now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if it is a draft, paid or void
    :raises PaymentAmountInvalid: if the amount is not above zero
    :raises PaymentExceedsRemaining: if it is more than remains to be paid
    :raises PaymentInFuture: if it shall arrive only later
    """
    invoice, subscription = locked_with_subscription(invoice, now, COLLECTED)
    if amount <= 0:
        raise PaymentAmountInvalid
    if amount > invoice.amount_remaining:
        raise PaymentExceedsRemaining(amount, invoice.amount_remaining, invoice.currency)
    if received_at is not None and received_at > now:
        raise PaymentInFuture
    before = take_snapshots([invoice])
    payment = _receive(invoice, amount, now, received_at or now, method, reference, note, recorded_by)
    invoice.save(update_fields=["amount_paid", "status", "paid_at", "escalates_at"])
    record(Kind.PAYMENT_PAID, rows=[payment], now=now)
    if invoice.status == Invoice.Status.PAID:
        record(Kind.INVOICE_PAID, Kind.INVOICE_PAYMENT_SUCCEEDED, rows=[invoice], now=now)
    record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    follow(subscription, invoice, now)
    return payment


@transaction.atomic
def pay_invoice_out_of_band(*, invoice: Invoice, now: datetime, recorded_by: str = "") -> Invoice:
    """Note that all that remained of an invoice was paid in a way that is not seen here: by transfer, check, cash.

    A subscription that waited for it is active again.

    :returns: the invoice as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if it is a draft, paid or void
    """
    invoice, subscription = locked_with_subscription(invoice, now, COLLECTED)
    invoice.paid_out_of_band = True
    payment = _receive(invoice, invoice.amount_remaining, now, now, recorded_by=recorded_by)
    invoice.save(update_fields=["amount_paid", "status", "paid_at", "escalates_at", "paid_out_of_band"])
    record(Kind.PAYMENT_PAID, rows=[payment], now=now)
    # Nobody saw a payment succeed.
    record(Kind.INVOICE_PAID, rows=[invoice], now=now)
    follow(subscription, invoice, now)
    return invoice


@transaction.atomic
def reverse_payment(*, payment: Payment, now: datetime, note: str = "", recorded_by: str = "") -> Payment:
    """Take a payment back as a whole: the check bounced, or it was never made. A paid invoice is open again.

    Money that is given back to a customer who owes nothing is a refund, and belongs on a credit note.

    :param now: the customer's time
    :returns: the row that reverses it
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises PaymentNotReversible: if it is reversed already, or reverses another
    :raises InvoiceCreditedSince: if a credit note gave back what had been paid
    """
    invoice, subscription = locked_with_subscription(payment.invoice, now, [*COLLECTED, Invoice.Status.PAID])
    if payment.reverses_id is not None or Payment.objects.filter(reverses=payment).exists():
        raise PaymentNotReversible
    if invoice.post_payment_credited:
        raise InvoiceCreditedSince
    before = take_snapshots([invoice])
    reversal = Payment.objects.create(
        environment_id=invoice.environment_id,
        customer_id=invoice.customer_id,
        invoice=invoice,
        amount=-payment.amount,
        currency=invoice.currency,
        method=payment.method,
        reference=payment.reference,
        note=note,
        received_at=now,
        recorded_by=recorded_by,
        reverses=payment,
        created_at=now,
    )
    invoice.amount_paid -= payment.amount
    if invoice.status == Invoice.Status.PAID:
        invoice.status = Invoice.Status.OPEN
        invoice.paid_at = None
        invoice.paid_out_of_band = False
        # Overdue as it may be, its subscription follows with the next sweep.
        invoice.escalates_at = invoice.due_at if subscription else None
    invoice.save(update_fields=["amount_paid", "status", "paid_at", "paid_out_of_band", "escalates_at"])
    record(Kind.INVOICE_UPDATED, rows=[invoice], now=now, before=before)
    return reversal


def _receive(
    invoice: Invoice,
    amount: int,
    now: datetime,
    received_at: datetime,
    method: str = "",
    reference: str = "",
    note: str = "",
    recorded_by: str = "",
) -> Payment:
    """Store a payment, and count it on its invoice in memory. The caller holds the invoice's lock, and stores it."""
    invoice.amount_paid += amount
    settle(invoice, now)
    return Payment.objects.create(
        environment_id=invoice.environment_id,
        customer_id=invoice.customer_id,
        invoice=invoice,
        amount=amount,
        currency=invoice.currency,
        method=method,
        reference=reference,
        note=note,
        received_at=received_at,
        recorded_by=recorded_by,
        created_at=now,
    )
