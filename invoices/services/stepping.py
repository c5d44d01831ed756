"""What happens by itself, when its time has come: the one engine behind the beat jobs and the test clocks.

Three things wake: subscriptions (``wakes_at``), drafts (``finalizes_at``) and open invoices (``escalates_at``). Whoever
lets time pass does so through this module, so that a year by the wall and a jump of a test clock come to the same.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef

from accounts.models import TestClock
from invoices.models import BillingFailure, Invoice, InvoiceQuerySet
from invoices.services.closing import close_periods, subscriptions_with_items
from invoices.services.collecting import escalate_invoices, give_up_first_invoices
from invoices.services.finalizing import finalize_drafts, invoices_to_finalize
from invoices.services.sweeping import Swept, note_failure, sweep
from subscriptions.models import Subscription, SubscriptionQuerySet
from subscriptions.services import store, take_step, told

_CHUNK = 200

Due = TypeVar("Due", bound="models.QuerySet[Any]")


def close_due_periods(*, now: datetime, chunk: int = _CHUNK) -> Swept:
    """Let happen whatever is due for subscriptions, until nothing is: above all, bill every period that is over.

    Safe beside itself: a subscription is worked on by one process at a time, and one invoice per subscription and
    period end is a constraint. A subscription that cannot be billed is parked as a ``BillingFailure`` and tried again
    later; the others go on.

    :param now: the time by the wall; customers on a test clock are left to it
    :returns: steps taken, and subscriptions parked
    """
    due = _without_failures(due_subscriptions(now), now, "subscription")
    return sweep(due=due, chunk=chunk, work=partial(step, now=now), park=partial(_park_subscription, now=now))


def finalize_due_drafts(*, now: datetime, chunk: int = _CHUNK) -> Swept:
    """Finalize every draft whose time has come. One that cannot be finalized is parked and tried again later.

    :param now: the time by the wall; customers on a test clock are left to it
    :returns: drafts finalized, and drafts parked
    """
    due = _without_failures(due_drafts(now), now, "invoice")
    return sweep(due=due, chunk=chunk, work=partial(finalize, now=now), park=partial(_park_invoice, now=now))


def escalate_due_invoices(*, now: datetime, chunk: int = _CHUNK) -> Swept:
    """Move subscriptions on whose invoices are open for too long.

    :param now: the time by the wall; customers on a test clock are left to it
    :returns: subscriptions with such invoices, and those parked
    """
    due = _without_failures(due_escalations(now), now, "subscription")
    return sweep(
        due=due, chunk=chunk, work=partial(escalate_invoices, now=now), park=partial(_park_subscription, now=now)
    )


def due_subscriptions(now: datetime, clock: TestClock | None = None) -> SubscriptionQuerySet:
    """Subscriptions that something is due for, in its order."""
    return subscriptions_with_items().due(now, clock).order_by("wakes_at", "pk")


def due_drafts(now: datetime, clock: TestClock | None = None) -> InvoiceQuerySet:
    """Drafts that become final by now, in that order."""
    return invoices_to_finalize().due(now, clock).order_by("finalizes_at", "pk")


def due_escalations(now: datetime, clock: TestClock | None = None) -> SubscriptionQuerySet:
    """Subscriptions with invoices that are open for too long."""
    overdue = Invoice.objects.filter(subscription=OuterRef("pk"), escalates_at__lte=now)
    return subscriptions_with_items().filter(Exists(overdue), customer__test_clock=clock).order_by("pk")


def step(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Take each subscription through the instant that it wakes at: :func:`subscriptions.services.take_step`, then its bill.

    The caller holds their locks, in one environment.

    :param now: the customers' time; what is made late is dated by it
    """
    with told(subscriptions, now=now):
        over = [subscription for subscription in subscriptions if take_step(subscription)]
        if over:
            close_periods(over, now=now)
        store(subscriptions)
    give_up_first_invoices(subscriptions, now=now)
    _forget_failures(subscriptions[0].environment_id, subscription__in=subscriptions)


def finalize(drafts: Sequence[Invoice], *, now: datetime) -> None:
    """Make drafts final. The caller holds their locks, in one environment."""
    finalize_drafts(drafts, now=now)
    _forget_failures(drafts[0].environment_id, invoice__in=drafts)


def catch_up(subscription: Subscription, now: datetime) -> None:
    """Take the steps that were due by now, which the sweep may not have come to yet. The caller holds the row's lock."""
    while subscription.wakes_at is not None and subscription.wakes_at <= now:
        step([subscription], now=now)


def _forget_failures(environment_id: UUID, **of: Any) -> None:
    BillingFailure.objects.filter(environment_id=environment_id, **of).delete()


def _without_failures(due: Due, now: datetime, column: str) -> Due:
    return due.filter(~Exists(BillingFailure.objects.held_back(now).filter(**{column: OuterRef("pk")})))


def _park_subscription(subscription: Subscription, error: Exception, *, now: datetime) -> None:
    note_failure(environment_id=subscription.environment_id, subscription=subscription, error=error, now=now)


def _park_invoice(invoice: Invoice, error: Exception, *, now: datetime) -> None:
    note_failure(environment_id=invoice.environment_id, invoice=invoice, error=error, now=now)
