"""Billing one subscription at once, outside of the billing run: whoever holds its lock."""

from collections.abc import Sequence
from datetime import datetime

from accounts.clocks import hold_clock
from core.periods import Period
from invoices.drafting import Charge, make_invoice, make_lines, usage_charges
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceLine
from invoices.reducing import read_terms, reduce_by, store_reduced
from invoices.services.closing import subscriptions_with_items
from invoices.services.finalizing import issue
from invoices.services.waiting import put_onto_invoices, take_waiting_items
from invoices.true_ups import TrueUp, due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import Subscription
from subscriptions.services import current_period
from webhooks.kinds import Kind
from webhooks.services import record


def lock_subscription(subscription: Subscription, *, now: datetime) -> Subscription:
    """Take a subscription's lock, and read it as it is now, with all that billing it reads.

    :raises accounts.errors.ClockAdvancing: if its customer's test clock is on the move, or has moved on from ``now``
    """
    hold_clock(subscription.customer, now=now)
    # no_key: the rows that are written for it refer to it.
    return subscriptions_with_items().select_for_update(of=("self",), no_key=True).get(pk=subscription.pk)


def bill_usage_until(subscription: Subscription, until: datetime, *, now: datetime) -> None:
    """Bill the metered usage of the current period before an instant, and late usage of earlier ones. The caller holds the lock."""
    start = current_period(subscription).start
    bill_at_once(
        subscription,
        usage_charges(subscription, until),
        true_ups=due_true_ups([subscription], until=until).get(subscription.pk, ()),
        period=Period(min(start, until), until),
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_UPDATE,
        now=now,
    )


def bill_at_once(
    subscription: Subscription,
    charges: Sequence[Charge],
    *,
    true_ups: Sequence[TrueUp] = (),
    period: Period,
    billing_reason: str,
    now: datetime,
    takes_waiting: bool = False,
) -> None:
    """Make an invoice that is final at once, if there is anything to bill. The caller holds the lock.

    :param takes_waiting: bill what waits for it even where it begins with nothing else to bill
    """
    key = subscription.pk
    answers, countable = read_all_usage(subscription.environment_id, {key: charges}, {key: true_ups})
    lines = make_lines(charges, answers, read_at=now)
    lines += make_true_up_lines(countable.get(key, ()), answers, others=lines, read_at=now)
    # A subscription that has nothing to bill yet begins without an invoice, whatever waits for its customer.
    begins = billing_reason == Invoice.BillingReason.SUBSCRIPTION_CREATE
    waiting = (
        take_waiting_items(subscription.environment_id, [subscription]) if lines or takes_waiting or not begins else {}
    )
    items = waiting.get(key, [])
    lines += make_item_lines(items, start=len(lines))
    if not lines:
        return
    invoice = make_invoice(
        subscription, lines, period=period, billing_reason=billing_reason, created_at=now, finalizes_at=now
    )
    terms = read_terms(subscription.environment_id, [subscription], lock=True, items=items)
    reduced = reduce_by(terms, invoice, lines, discounts=terms.discounts_of(subscription, now))
    invoice.save(force_insert=True)
    for item in items:
        item.invoice = invoice
    put_onto_invoices(items)
    InvoiceLine.objects.bulk_create(lines)
    store_reduced([reduced], now=now)
    record(Kind.INVOICE_CREATED, rows=[invoice], now=now)
    if invoice.finalizes_at is not None:
        issue([invoice], now=now)
