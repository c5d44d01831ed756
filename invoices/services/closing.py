"""The billing run: periods that are over become draft invoices."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db.models import Exists, OuterRef, Prefetch

from core.periods import Period
from invoices.drafting import cycle_charges, make_invoice, make_lines
from invoices.models import BillingFailure, Invoice, InvoiceLine
from invoices.services.sweeping import Swept, note_failure, sweep
from invoices.true_ups import due_true_ups, make_true_up_lines, read_all_usage
from subscriptions.models import Subscription, SubscriptionItem, SubscriptionQuerySet
from subscriptions.services import advance_subscriptions

# For as long after the end of a period, late usage still gets onto its invoice.
GRACE = timedelta(hours=1)
_CHUNK = 200


def close_due_periods(*, wall: datetime, chunk: int = _CHUNK) -> Swept:
    """Bill every period that is over and move its subscription on, until nothing is due.

    Safe beside itself: a subscription is worked on by one process at a time, and one invoice per subscription and
    period end is a constraint. A subscription that cannot be billed is parked as a ``BillingFailure`` and tried again
    later; the others go on.

    :param wall: the time by the wall; customers on a test clock live at theirs
    :returns: periods closed, and subscriptions parked
    """
    held_back = BillingFailure.objects.held_back(wall).filter(subscription=OuterRef("pk"))
    due = subscriptions_with_items().due(wall).filter(~Exists(held_back)).order_by("wakes_at", "pk")
    return sweep(due=due, chunk=chunk, work=partial(close_periods, wall=wall), park=partial(_park, wall=wall))


def subscriptions_with_items() -> SubscriptionQuerySet:
    """Subscriptions with all that billing them reads."""
    items = (
        SubscriptionItem.objects.present()
        .select_related("price__product", "price__meter")
        .prefetch_related("price__tiers")
    )
    return Subscription.objects.select_related("customer__test_clock").prefetch_related(Prefetch("items", items))


def close_periods(subscriptions: Sequence[Subscription], *, wall: datetime) -> None:
    """Bill the current period of each subscription and late usage of earlier ones, and move it on. The caller holds their locks, in one environment.

    The drafts become final after the grace. A customer's test clock may have jumped over it: such a period closes at
    its very end, as it would have if time had passed.
    """
    charges = {subscription.pk: cycle_charges(subscription) for subscription in subscriptions}
    environment_id = subscriptions[0].environment_id
    answers, true_ups = read_all_usage(environment_id, charges, due_true_ups(subscriptions))
    invoices: list[Invoice] = []
    lines: list[InvoiceLine] = []
    for subscription in subscriptions:
        items = subscription.items.all()
        period = Period(items[0].current_period_start, items[0].current_period_end)
        closed_at = period.end if subscription.customer.test_clock_id else wall
        made = make_lines(charges[subscription.pk], answers, read_at=wall)
        made += make_true_up_lines(true_ups.get(subscription.pk, ()), answers, others=made, read_at=wall)
        # With licensed items only, a last period was paid in advance: nothing is left to bill.
        if made:
            invoice = make_invoice(
                subscription,
                made,
                period=period,
                billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE,
                created_at=closed_at,
                finalizes_at=closed_at + GRACE,
            )
            invoices.append(invoice)
            lines.extend(made)
    Invoice.objects.bulk_create(invoices)
    InvoiceLine.objects.bulk_create(lines)
    advance_subscriptions(subscriptions=subscriptions)
    BillingFailure.objects.filter(environment_id=environment_id, subscription__in=subscriptions).delete()


def _park(subscription: Subscription, error: Exception, *, wall: datetime) -> None:
    note_failure(environment_id=subscription.environment_id, subscription=subscription, error=error, now=wall)
