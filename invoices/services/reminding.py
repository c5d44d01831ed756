"""Open invoices are told of by their due dates: some days before, where the company wants that, and when they are overdue."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from accounts.models import Company
from core.bulk import update_rows
from invoices.models import Invoice
from webhooks.kinds import Kind
from webhooks.services import record


def first_reminder(due_at: datetime, company: Company, *, now: datetime) -> datetime:
    """When an invoice that becomes final is told of first: it is never too late to say that it is overdue."""
    soon_at = due_at - timedelta(days=company.due_soon_days)
    return soon_at if soon_at > now else due_at


def remind(invoices: Sequence[Invoice], *, now: datetime) -> None:
    """Tell of invoices that they will be due, or are overdue; each once. The caller holds their locks, in one environment.

    :param now: the customers' time
    """
    overdue = [invoice for invoice in invoices if invoice.due_at is None or invoice.due_at <= now]
    soon = [invoice for invoice in invoices if invoice not in overdue]
    for invoice in overdue:
        invoice.reminds_at = None
    for invoice in soon:
        invoice.reminds_at = invoice.due_at
    update_rows(invoices, ["reminds_at"])
    record(Kind.INVOICE_WILL_BE_DUE, rows=soon, now=now)
    record(Kind.INVOICE_OVERDUE, rows=overdue, now=now)
