"""What happens by itself, when its time has come: the one engine behind the beat jobs and the test clocks.

Four things wake: schedules that have not started (``start_at``), subscriptions (``wakes_at``), drafts
(``finalizes_at``) and open invoices (``reminds_at``, ``escalates_at``). Whoever lets time pass does so through this module, so that a year by the wall and a jump of a test clock come to the same.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import Exists, OuterRef

from accounts.models import TestClock
from invoices.errors import AmountTooLarge, NoUpcomingInvoice
from invoices.models import BillingFailure, Invoice, InvoiceQuerySet
from invoices.services.amending import give_back
from invoices.services.closing import close_periods, invoice_what_waits, subscriptions_with_items
from invoices.services.collecting import escalate_invoices, give_up_first_invoices
from invoices.services.finalizing import finalize_drafts, invoices_to_finalize
from invoices.services.phasing import end_phase, schedules_with_phases, start_schedules
from invoices.services.previewing import preview_invoice
from invoices.services.reminding import remind
from invoices.services.sweeping import CHUNK, Swept, note_failure, quietly, sweep
from subscriptions.models import (
    Subscription,
    SubscriptionQuerySet,
    SubscriptionSchedule,
    SubscriptionScheduleQuerySet,
)
from subscriptions.services import current_period, store, take_step, told
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record, record_view

Due = TypeVar("Due", bound="models.QuerySet[Any]")


def start_due_schedules(*, now: datetime, until: datetime | None = None, chunk: int = CHUNK) -> Swept:
    """Begin the subscriptions of schedules whose time has come. One that cannot begin is parked and tried again later.

    :param now: the time by the wall; customers on a test clock are left to it
    :param until: leaves what was not due yet at that instant
    :returns: schedules that began, and schedules parked
    """
    due = _without_failures(due_schedules(until or now), now, "schedule")
    return sweep(due=due, chunk=chunk, work=start, park=partial(_park_schedule, now=now))


def close_due_periods(
    *, now: datetime, until: datetime | None = None, chunk: int = CHUNK, on_progress: Callable[[int], object] = quietly
) -> Swept:
    """Let happen whatever is due for subscriptions, until nothing is: above all, bill every period that is over.

    Safe beside itself: a subscription is worked on by one process at a time, and one invoice per subscription and
    period end is a constraint. A subscription that cannot be billed is parked as a ``BillingFailure`` and tried again
    later; the others go on.

    :param now: the time by the wall; customers on a test clock are left to it
    :param until: leaves what was not due yet at that instant
    :returns: steps taken, and subscriptions parked
    """
    due = _without_failures(due_subscriptions(until or now), now, "subscription")
    work, park = partial(step, now=now), partial(_park_subscription, now=now)
    return sweep(due=due, chunk=chunk, work=work, park=park, on_progress=on_progress)


def finalize_due_drafts(
    *, now: datetime, until: datetime | None = None, chunk: int = CHUNK, on_progress: Callable[[int], object] = quietly
) -> Swept:
    """Finalize every draft whose time has come. One that cannot be finalized is parked and tried again later.

    :param now: the time by the wall; customers on a test clock are left to it
    :param until: leaves what was not due yet at that instant
    :returns: drafts finalized, and drafts parked
    """
    due = _without_failures(due_drafts(until or now), now, "invoice")
    work, park = partial(finalize, now=now), partial(_park_invoice, now=now)
    return sweep(due=due, chunk=chunk, work=work, park=park, on_progress=on_progress)


def remind_of_due_invoices(*, now: datetime, chunk: int = CHUNK) -> Swept:
    """Tell of open invoices that will soon be due, and of those that are overdue.

    :param now: the time by the wall; customers on a test clock are left to it
    :returns: invoices that were told of, and those parked
    """
    due = _without_failures(due_reminders(now), now, "invoice")
    return sweep(due=due, chunk=chunk, work=partial(remind, now=now), park=partial(_park_invoice, now=now))


def escalate_due_invoices(*, now: datetime, chunk: int = CHUNK) -> Swept:
    """Move subscriptions on whose invoices are open for too long.

    :param now: the time by the wall; customers on a test clock are left to it
    :returns: subscriptions with such invoices, and those parked
    """
    due = _without_failures(due_escalations(now), now, "subscription")
    return sweep(
        due=due, chunk=chunk, work=partial(escalate_invoices, now=now), park=partial(_park_subscription, now=now)
    )


def due_schedules(now: datetime, clock: TestClock | None = None) -> SubscriptionScheduleQuerySet:
    """Schedules whose subscription is to begin, in their order."""
    return schedules_with_phases().due(now, clock).order_by("start_at", "pk")


def due_subscriptions(now: datetime, clock: TestClock | None = None) -> SubscriptionQuerySet:
    """Subscriptions that something is due for, in its order."""
    return subscriptions_with_items().due(now, clock).order_by("wakes_at", "pk")


def due_drafts(now: datetime, clock: TestClock | None = None) -> InvoiceQuerySet:
    """Drafts that become final by now, in that order."""
    return invoices_to_finalize().due(now, clock).order_by("finalizes_at", "pk")


def due_reminders(now: datetime, clock: TestClock | None = None) -> InvoiceQuerySet:
    """Open invoices whose due date is to be told of, in that order."""
    return invoices_to_finalize().to_remind_of(now, clock).order_by("reminds_at", "pk")


def due_escalations(now: datetime, clock: TestClock | None = None) -> SubscriptionQuerySet:
    """Subscriptions with invoices that are open for too long."""
    overdue = Invoice.objects.filter(subscription=OuterRef("pk"), escalates_at__lte=now)
    return subscriptions_with_items().filter(Exists(overdue), customer__test_clock=clock).order_by("pk")


def start(schedules: Sequence[SubscriptionSchedule]) -> None:
    """Begin the subscriptions of schedules. The caller holds their locks, in one environment."""
    start_schedules(schedules)
    _forget_failures(schedules[0].environment_id, schedule__in=schedules)


def step(subscriptions: Sequence[Subscription], *, now: datetime) -> None:
    """Take each subscription through the instant that it wakes at: :func:`subscriptions.services.take_step`, then its bill.

    The caller holds their locks, in one environment.

    :param now: the customers' time; what is made late is dated by it
    """
    _foretell(subscriptions, now)
    pending = [subscription for subscription in subscriptions if _invoices_what_waits(subscription)]
    with told(subscriptions, now=now, in_hand=True):
        over = [subscription for subscription in subscriptions if _go_through(subscription, now)]
        if over:
            close_periods(over, now=now)
        # A period that ends at this instant has taken what waited.
        left = [subscription for subscription in pending if subscription not in over and not subscription.is_over]
        if left:
            invoice_what_waits(left, now=now)
        for subscription in pending:
            subscription.pending_invoice_at = subscription.next_pending_invoice(now)
        store(subscriptions)
    give_up_first_invoices(subscriptions, now=now)
    _forget_failures(subscriptions[0].environment_id, subscription__in=subscriptions)


def _foretell(subscriptions: Sequence[Subscription], now: datetime) -> None:
    """Tell of the next invoices of those that wake for that, as they would be now."""
    for subscription in subscriptions:
        at, upcoming_at = subscription.wakes_at, subscription.upcoming_at
        if at is None or upcoming_at is None or upcoming_at > at:
            continue
        subscription.upcoming_at = None
        # A run that is late foretells nothing that is there.
        if subscription.status in {Status.INCOMPLETE, Status.PAUSED} or current_period(subscription).end <= now:
            continue
        try:
            preview = preview_invoice(environment=subscription.environment, subscription=subscription, now=now)
        except (NoUpcomingInvoice, AmountTooLarge):
            # Nothing will be billed, or it cannot be: then that is told when it is tried.
            continue
        record_view(Kind.INVOICE_UPCOMING, environment=subscription.environment, view=preview, now=now)


def _invoices_what_waits(subscription: Subscription) -> bool:
    """Whether it wakes, beside whatever else, to have invoiced what waits for it. What was missed while it was paused is
    made up for once.
    """
    at, pending_at = subscription.wakes_at, subscription.pending_invoice_at
    is_billed = subscription.status not in {Status.INCOMPLETE, Status.PAUSED}
    return is_billed and at is not None and pending_at is not None and pending_at <= at


def _go_through(subscription: Subscription, now: datetime) -> bool:
    """Take a subscription through the instant that it wakes at; whether its current period is over by it.

    First of all a phase of its schedule ends: what is billed then is billed as it is by then.
    """
    at = subscription.wakes_at
    if at is not None and subscription.status == Status.TRIALING:
        _warn_of_trial_end(subscription, at, now)
    if at is not None and subscription.phase_ends_at is not None and subscription.phase_ends_at <= at:
        if subscription.status != Status.INCOMPLETE:
            end_phase(subscription, now=now)
        # A phase that began a period of its own leaves nothing to do at this instant.
        if subscription.wakes_at is None or subscription.wakes_at > at:
            return False
    over = take_step(subscription)
    if over and subscription.cancel_prorates and subscription.cancel_at == current_period(subscription).end:
        # Now and not when the date was set: until now it could be taken back, and items could change.
        give_back(subscription, at=subscription.cancel_at, now=now)
    return over


def _warn_of_trial_end(subscription: Subscription, at: datetime, now: datetime) -> None:
    if subscription.trial_warns_at is not None and subscription.trial_warns_at <= at:
        subscription.trial_warns_at = None
        record(Kind.SUBSCRIPTION_TRIAL_WILL_END, rows=[subscription], now=now)


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


def _park_schedule(schedule: SubscriptionSchedule, error: Exception, *, now: datetime) -> None:
    note_failure(environment_id=schedule.environment_id, schedule=schedule, error=error, now=now)


@transaction.atomic
def _park_invoice(invoice: Invoice, error: Exception, *, now: datetime) -> None:
    failure = note_failure(environment_id=invoice.environment_id, invoice=invoice, error=error, now=now)
    # Told once, however often it is tried again.
    if failure.attempts == 1 and invoice.status == Invoice.Status.DRAFT:
        record(Kind.INVOICE_FINALIZATION_FAILED, rows=[invoice], now=now)
