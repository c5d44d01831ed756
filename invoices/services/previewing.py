"""The upcoming invoice: what the next one would say if the period ended with the usage that is there by now."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import prefetch_related_objects

from accounts.models import Customer, Environment
from core.errors import NotFound
from credits.applying import Share
from invoices.drafting import cycle_charges, make_invoice, make_lines
from invoices.errors import NoUpcomingInvoice
from invoices.items import make_item_lines
from invoices.models import Invoice, InvoiceLine
from invoices.reducing import Reduced, read_terms, reduce_by
from invoices.services.balances import show_balance
from invoices.services.closing import read_items, subscriptions_with_items
from invoices.services.crediting import preview_payment_by_credit
from invoices.services.phasing import end_phase
from invoices.services.waiting import waiting_items
from invoices.true_ups import due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import Subscription
from subscriptions.services import current_period
from subscriptions.statuses import Status


@dataclass(frozen=True, slots=True)
class PreviewedInvoice:
    """An invoice that is nowhere stored. Its lines are here: ``invoice.lines`` would ask the database.

    :ivar credit: what the customer's credit would pay of it
    :ivar reduced: what discounts and taxes would come to
    """

    invoice: Invoice
    lines: list[InvoiceLine]
    credit: list[Share]
    reduced: Reduced


def preview_invoice(
    *,
    environment: Environment,
    now: datetime,
    subscription: Subscription | None = None,
    customer: Customer | None = None,
    is_read: bool = False,
) -> PreviewedInvoice:
    """Compute a subscription's next invoice: metered usage of its current period, licensed items for the one after it,
    late usage of earlier ones, what waits for it, and the customer's balance. Where another phase of its schedule begins
    with the next period, the items are that one's.

    :param now: the customer's time
    :param customer: without ``subscription``: the one of the customer's subscriptions that bills next
    :param is_read: the subscription was read a moment ago, with its customer and that one's clock, and not changed since:
        what it has is read, and itself not once more
    :raises NotFound: if the subscription is not the environment's, or not the customer's
    :raises NoUpcomingInvoice: if nothing will be billed
    :raises AmountTooLarge: if it would be beyond what an invoice can hold
    :raises BillingError: whatever the next phase asks for and cannot be had any more
    """
    found = _find(environment, subscription, customer, is_read=is_read)
    if found is not None and not found.is_over and found.phase_ends_at == current_period(found).end:
        preview = _preview_in_next_phase(found, environment, now=now)
        if preview is not None:
            return preview
    refusal = NoUpcomingInvoice(
        customer_id=customer.pk if customer else None, subscription_id=subscription.pk if subscription else None
    )
    if found is None:
        raise refusal
    return _preview(found, environment, now=now, refusal=refusal)


def _preview_in_next_phase(found: Subscription, environment: Environment, *, now: datetime) -> PreviewedInvoice | None:
    """The same as it will be when the phase that ends with the period has ended: that is done, looked at, and undone.

    :returns: None where the next phase begins a period of its own
    """
    end = current_period(found).end
    preview = None
    with transaction.atomic():
        locked = subscriptions_with_items().select_for_update(of=("self",), no_key=True).get(pk=found.pk)
        end_phase(locked, now=end)
        if current_period(locked).end == end:
            refusal = NoUpcomingInvoice(customer_id=None, subscription_id=found.pk)
            preview = _preview(locked, environment, now=now, refusal=refusal)
        transaction.set_rollback(True)
    return preview


def _preview(
    found: Subscription, environment: Environment, *, now: datetime, refusal: NoUpcomingInvoice
) -> PreviewedInvoice:
    bills = not found.is_over and found.status not in {Status.INCOMPLETE, Status.PAUSED}
    charges = cycle_charges(found) if bills else []
    items = waiting_items(found.environment_id, [found]).get(found.pk, []) if bills else []
    if not (charges or items):
        raise refusal
    answers, true_ups = read_all_usage(found.environment_id, {found.pk: charges}, due_true_ups([found]))
    lines = make_lines(charges, answers, read_at=now)
    lines += make_true_up_lines(true_ups.get(found.pk, ()), answers, others=lines, read_at=now)
    lines += make_item_lines(items, start=len(lines))
    invoice = make_invoice(
        found,
        lines,
        period=current_period(found),
        billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE,
        created_at=now,
    )
    # In hand, with its company: whoever shows the invoice asks for both.
    invoice.environment = environment
    terms = read_terms(found.environment_id, [found], lock=False, items=items)
    prefetch_related_objects(items, "discounts__discount__coupon")
    reduced_by = partial(reduce_by, terms, invoice, lines, discounts=terms.discounts_of(found, invoice.period_end))
    reduced = reduced_by()
    shares = preview_payment_by_credit(invoice, lines, reduced.taken_off(), now=now)
    if shares:
        paid: Counter[UUID] = Counter()
        for share in shares:
            paid[share.line_id] += int(share.amount)
        reduced = reduced_by(credit=paid)
    show_balance(invoice)
    return PreviewedInvoice(invoice, lines, shares, reduced)


def billed_next(customer: Customer) -> Subscription | None:
    """The one of a customer's subscriptions that bills next."""
    mine = subscriptions_with_items().filter(environment=customer.environment_id, customer=customer)
    return mine.filter(wakes_at__isnull=False).order_by("wakes_at", "pk").first()


def _find(
    environment: Environment, subscription: Subscription | None, customer: Customer | None, *, is_read: bool
) -> Subscription | None:
    if subscription is None:
        return None if customer is None else billed_next(customer)
    if is_read and subscription.environment_id == environment.pk and customer in {None, subscription.customer}:
        read_items(subscription)
        return subscription
    candidates = subscriptions_with_items().of(environment)
    if customer is not None:
        candidates = candidates.filter(customer=customer)
    found = candidates.filter(pk=subscription.pk).first()
    if found is None:
        raise NotFound("subscription", str(subscription.pk))
    return found
