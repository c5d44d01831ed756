"""What an invoice would say if something were changed: it is done by the services that do it, looked at, and undone.

So a preview cannot differ from what it is a preview of. Locks are held, and given back, as by the change itself.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.db import transaction

from accounts.models import Customer, Environment
from credits.applying import Share
from credits.models import LedgerEntry
from invoices.models import Invoice, InvoiceLine, InvoiceQuerySet
from invoices.reducing import read_reduced
from invoices.services.previewing import PreviewedInvoice, preview_invoice
from subscriptions.models import Subscription

Result = TypeVar("Result")


def preview_after(
    *,
    environment: Environment,
    now: datetime,
    change: Callable[[], Subscription | None],
    customer: Customer,
    subscription: Subscription | None = None,
) -> PreviewedInvoice:
    """The invoice that follows from a change of a subscription, or from a new one: at once, or when its period ends.

    Nothing of it is kept.

    :param change: does it, and returns the subscription; None for the customer's next invoice, whichever that is
    :param subscription: the one that is changed; None if a new one begins
    :raises NotFound: :raises NoUpcomingInvoice: :raises AmountTooLarge: as :func:`preview_invoice` does
    :raises BillingError: whatever the change refuses
    """

    def look() -> PreviewedInvoice:
        before = _invoices_of(subscription).values_list("pk", flat=True)
        known = list(before) if subscription is not None else []
        changed = change()
        if changed is None:
            return preview_invoice(environment=environment, customer=customer, now=now)
        made = _invoices_of(changed).exclude(pk__in=known).order_by("-pk").first()
        if made is not None:
            return _as_preview(made)
        return preview_invoice(environment=environment, subscription=changed, now=now)

    return _done_and_undone(look)


def _invoices_of(subscription: Subscription | None) -> InvoiceQuerySet:
    """The invoices of a subscription but those of periods that were over: a change may find some still to be billed."""
    return (
        Invoice.objects.filter(subscription=subscription)
        .exclude(billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE)
        .select_related("customer__test_clock", "subscription", "environment__company")
    )


def _as_preview(invoice: Invoice) -> PreviewedInvoice:
    """An invoice that will not have been: a draft without a number."""
    lines = list(
        InvoiceLine.objects.filter(environment=invoice.environment_id, invoice=invoice)
        .select_related("price__product", "subscription_item", "invoice_item")
        .prefetch_related("invoice_item__discounts__discount__coupon")
        .order_by("position")
    )
    paid = LedgerEntry.objects.filter(environment=invoice.environment_id, invoice_id=invoice.pk).order_by("pk")
    shares = [
        Share(entry.grant_id, entry.invoice_line_id, -int(entry.amount)) for entry in paid if entry.invoice_line_id
    ]
    invoice.status, invoice.number = Invoice.Status.DRAFT, ""
    invoice.finalized_at = invoice.paid_at = invoice.due_at = None
    invoice._state.adding = True  # noqa: SLF001 - it is stored nowhere by the time that anybody looks
    return PreviewedInvoice(invoice, lines, shares, read_reduced(invoice))


def _done_and_undone(work: Callable[[], Result]) -> Result:
    with transaction.atomic():
        result = work()
        transaction.set_rollback(True)
    return result
