"""When what is done to invoices waits for a second person, and what of them that person is asked about."""

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from accounts.approvals.models import ApprovalKind
from accounts.console.commands import SecondPerson
from core.money import format_amount
from invoices.models import CreditNote, Invoice, Payment
from invoices.services.collecting import locked_with_subscription


def _state(invoice: Invoice) -> dict[str, object]:
    """An invoice's money and status, held until the commit by the locks that services take, in their order."""
    now = invoice.customer.now(timezone.now())
    invoice, _subscription = locked_with_subscription(invoice, now, list(Invoice.Status))
    amounts = {
        "total": invoice.total,
        "to be paid": invoice.amount_remaining,
        "paid": invoice.amount_paid,
        "credited": invoice.pre_payment_credited + invoice.post_payment_credited,
    }
    told = {name: format_amount(amount, invoice.currency) for name, amount in amounts.items()}
    return {"invoice": str(invoice), "status": invoice.get_status_display(), **told}


def _total(invoice: Invoice, _answers: Mapping[str, Any]) -> tuple[int, str]:
    return invoice.total, invoice.currency


def _remaining(invoice: Invoice, _answers: Mapping[str, Any]) -> tuple[int, str]:
    return invoice.amount_remaining, invoice.currency


VOID = SecondPerson[Invoice](kind=ApprovalKind.VOID, state=_state, amount=_total)
WRITE_OFF = SecondPerson[Invoice](kind=ApprovalKind.WRITE_OFF, state=_state, amount=_remaining)


def of_amount(kind: ApprovalKind, amount: Any) -> SecondPerson[Invoice]:
    """Of what moves as much of an invoice as the person says.

    :param amount: minor units, by the invoice and what was said
    """
    return SecondPerson[Invoice](
        kind=kind, state=_state, amount=lambda invoice, answers: (amount(invoice, answers), invoice.currency)
    )


REVERSAL = SecondPerson[Payment](
    kind=ApprovalKind.PAYMENT,
    state=lambda payment: {**_state(payment.invoice), "reversed": Payment.objects.filter(reverses=payment).exists()},
    amount=lambda payment, _answers: (payment.amount, payment.currency),
)


def _state_of_note(note: CreditNote) -> dict[str, object]:
    state = _state(note.invoice)
    # Read under its invoice's lock, which whoever voids it takes first.
    note.refresh_from_db(fields=["status"])
    return {**state, "credit note": f"{note}, {note.get_status_display()}"}


VOID_NOTE = SecondPerson[CreditNote](
    kind=ApprovalKind.VOID, state=_state_of_note, amount=lambda note, _answers: (note.total, note.currency)
)
