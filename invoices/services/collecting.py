"""Final invoices are voided or given up, and their subscriptions follow: what stays open makes them past due.

Payments are recorded (:mod:`invoices.services.paying`), and only invoices that are sent have a day to be paid by.
Locks are taken in one order: the subscription's before its invoices'.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.models import Company, OverdueOutcome
from core.bulk import update_rows
from credits.services import give_back_credit
from invoices.errors import InvoiceNotOpen, InvoicePartlySettled, RevisedInvoiceSettled
from invoices.models import Invoice
from invoices.services.agreeing import discounts_of, give_back_discounts
from invoices.services.balances import give_back_to_balance
from invoices.services.closing import subscriptions_with_items
from subscriptions.models import Subscription
from subscriptions.services import become, conclude, store, told
from subscriptions.statuses import OVER, Status
from webhooks.kinds import Kind
from webhooks.services import record

# What is still to be paid, or would be if the customer could.
COLLECTED = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)

_LATER = timedelta(seconds=1)


@transaction.atomic
def void_invoice(*, invoice: Invoice, now: datetime) -> Invoice:
    """Declare an invoice to be none. It keeps its number and its amounts, and is not to be paid any more.

    What it took from the customer's credit and balance, or gave to the balance, is undone.

    :returns: the invoice as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if it is a draft, paid or void
    :raises InvoicePartlySettled: if something of it was paid or credited
    """
    invoice, subscription = locked_with_subscription(invoice, now, COLLECTED)
    if invoice.amount_paid or invoice.pre_payment_credited:
        raise InvoicePartlySettled
    _void([invoice], now)
    follow(subscription, invoice, now)
    return invoice


def void_what_is_revised(drafts: Iterable[Invoice], *, now: datetime) -> None:
    """Void the invoices that drafts are to take the place of, as far as they are not void. The caller holds the drafts' locks.

    Discounts for once that only these took are had by the next invoices.

    :raises RevisedInvoiceSettled: if something of one was paid or credited meanwhile
    """
    for draft in drafts:
        if draft.revises_id is None:
            continue
        original, subscription = _locked(draft.revises_id)
        if original.status != Invoice.Status.VOID:
            if original.status not in COLLECTED or original.amount_paid or original.pre_payment_credited:
                raise RevisedInvoiceSettled
            _void([original], now)
            follow(subscription, original, now)
        give_back_discounts(original, discounts_of([original]))


@transaction.atomic
def mark_invoice_uncollectible(*, invoice: Invoice, now: datetime) -> Invoice:
    """Give an open invoice up, for the books. It may still be paid, or voided.

    :returns: the invoice as it is now
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if it is not open
    """
    invoice, subscription = locked_with_subscription(invoice, now, [Invoice.Status.OPEN])
    invoice.status = Invoice.Status.UNCOLLECTIBLE
    invoice.uncollectible_at = now
    invoice.escalates_at = None
    invoice.save(update_fields=["status", "uncollectible_at", "escalates_at"])
    record(Kind.INVOICE_MARKED_UNCOLLECTIBLE, rows=[invoice], now=now)
    follow(subscription, invoice, now)
    return invoice


def escalate_invoices(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Move subscriptions on whose invoices are still open at their due date, or so many days later as the company waits.

    An active one becomes past due, and later unpaid or canceled if the company wants it so. A trial is not disturbed:
    what was due before it counts at its end. The caller holds the subscriptions' locks, in one environment.
    """
    company = Company.objects.get(environments=subscriptions[0].environment_id)
    overdue: dict[object, list[Invoice]] = defaultdict(list)
    for invoice in (
        Invoice.objects.filter(subscription__in=subscriptions, escalates_at__lte=now)
        .select_for_update(no_key=True)
        .order_by("escalates_at", "pk")
    ):
        overdue[invoice.subscription_id].append(invoice)
    with told(subscriptions, now=now):
        for subscription in subscriptions:
            for invoice in overdue[subscription.pk]:
                _escalate(subscription, invoice, company, now)
        update_rows([invoice for some in overdue.values() for invoice in some], ["escalates_at"])
        store(subscriptions)


def give_up_first_invoices(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Void what is open of subscriptions that expired before their first invoice was paid."""
    expired = [one for one in subscriptions if one.status == Status.INCOMPLETE_EXPIRED]
    if expired:
        # What was paid in part stays: somebody has to give that back first.
        waiting = Invoice.objects.filter(
            subscription__in=expired, status=Invoice.Status.OPEN, amount_paid=0, pre_payment_credited=0
        )
        _void(list(waiting.select_for_update(no_key=True).order_by("pk")), now)


def _escalate(subscription: Subscription, invoice: Invoice, company: Company, now: datetime) -> None:
    """Let follow what does from an invoice that is still open, and note when something follows next."""
    if subscription.status == Status.TRIALING and subscription.trial_end_at is not None:
        # Should the trial's end be late, this is asked again a little later.
        invoice.escalates_at = max(subscription.trial_end_at, now + _LATER)
        return
    if subscription.status == Status.ACTIVE:
        become(subscription, Status.PAST_DUE)
    invoice.escalates_at = None
    if subscription.status != Status.PAST_DUE or company.overdue_days is None or invoice.due_at is None:
        return
    patience_ends = invoice.due_at + timedelta(days=company.overdue_days)
    if now < patience_ends:
        invoice.escalates_at = patience_ends
    elif company.overdue_outcome == OverdueOutcome.UNPAID:
        become(subscription, Status.UNPAID)
    elif company.overdue_outcome == OverdueOutcome.CANCELED:
        conclude(subscription, patience_ends, reason="payment_failed")


def locked_with_subscription(
    invoice: Invoice, now: datetime, allowed: Collection[Invoice.Status]
) -> tuple[Invoice, Subscription | None]:
    """Take the locks of an invoice and of its subscription, and read both as they are now.

    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises InvoiceNotOpen: if the invoice's status is not among those allowed
    """
    hold_clock(invoice.customer, now=now)
    invoice, subscription = _locked(invoice.pk)
    if invoice.status not in allowed:
        raise InvoiceNotOpen(invoice.status)
    return invoice, subscription


def _locked(pk: UUID) -> tuple[Invoice, Subscription | None]:
    invoices = Invoice.objects.select_related("customer__test_clock", "subscription")
    # no_key: rows that refer to these need not wait.
    subscription_id = invoices.values_list("subscription", flat=True).get(pk=pk)
    subscription = None
    if subscription_id is not None:
        locked = subscriptions_with_items().select_for_update(of=("self",), no_key=True)
        subscription = locked.get(pk=subscription_id)
    return invoices.select_for_update(of=("self",), no_key=True).get(pk=pk), subscription


def settle(invoice: Invoice, now: datetime) -> None:
    """Have an invoice be paid, in memory, if nothing remains of it."""
    if invoice.amount_remaining == 0:
        invoice.status = Invoice.Status.PAID
        invoice.paid_at = now
        invoice.escalates_at = None


def follow(subscription: Subscription | None, invoice: Invoice, now: datetime) -> None:
    """Let a subscription follow what became of one of its invoices."""
    if subscription is None or subscription.status in OVER:
        return
    with told([subscription], now=now):
        _move_on(subscription, invoice, now)
        store([subscription])


def _move_on(subscription: Subscription, invoice: Invoice, now: datetime) -> None:
    if subscription.status == Status.INCOMPLETE:
        if invoice.status == Invoice.Status.PAID:
            become(subscription, Status.ACTIVE)
        elif invoice.status == Invoice.Status.VOID:
            conclude(subscription, now)
    elif subscription.status in {Status.PAST_DUE, Status.UNPAID}:
        overdue = Invoice.objects.filter(subscription=subscription, status=Invoice.Status.OPEN, due_at__lte=now)
        if not overdue.exists():
            become(subscription, Status.ACTIVE)


def _void(invoices: Sequence[Invoice], now: datetime) -> None:
    for invoice in invoices:
        invoice.status = Invoice.Status.VOID
        invoice.voided_at = now
        invoice.escalates_at = None
    update_rows(invoices, ["status", "voided_at", "escalates_at"])
    paid_by_credit = [invoice for invoice in invoices if invoice.credit_applied]
    if paid_by_credit:
        give_back_credit(
            environment_id=invoices[0].environment_id,
            customer_ids={invoice.customer_id for invoice in paid_by_credit},
            invoice_ids=[invoice.pk for invoice in paid_by_credit],
            now=now,
        )
    for invoice in invoices:
        give_back_to_balance(invoice, now=now)
    record(Kind.INVOICE_VOIDED, rows=invoices, now=now)
