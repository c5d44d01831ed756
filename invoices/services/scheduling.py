"""Schedules are made, changed, released and canceled.

What has begun is guarded by its subscription's lock, what has not by its own. The customer's clock comes first.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Unpack

from django.db import transaction

from accounts.clocks import hold_clock
from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment, License
from accounts.services import require_license
from core.errors import NotFound
from core.metadata import MetadataChange
from core.periods import Period
from invoices.services.amending import ProrationBehavior
from invoices.services.billing import lock_subscription
from invoices.services.phasing import (
    enter_phase,
    follow,
    let_go,
    schedules_with_phases,
    start_schedule,
    zone_of,
)
from invoices.services.stepping import catch_up
from invoices.services.subscribing import cancel_subscription
from subscriptions.errors import (
    PhaseEndInvalid,
    PhaseStartFixed,
    PhaseStartMissing,
    ScheduleOver,
    SubscriptionEnded,
    SubscriptionScheduled,
)
from subscriptions.models import SchedulePhase, Subscription, SubscriptionItem, SubscriptionSchedule
from subscriptions.phases import Length, Span, lay_out
from subscriptions.services import (
    NewDiscount,
    NewItem,
    NewPhase,
    ScheduleWords,
    change_instant,
    check_phases,
    current_period,
    new_schedule,
    say,
    schedule_told,
    store,
    told,
    write_phases,
)
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record


@transaction.atomic
def create_schedule(
    *,
    environment: Environment,
    customer: Customer,
    phases: Sequence[NewPhase],
    now: datetime,
    start_at: datetime | None = None,
    **words: Unpack[ScheduleWords],
) -> SubscriptionSchedule:
    """Plan a subscription. If it is to begin by now it begins at once, and is billed from where it was to begin.

    :param now: the customer's time
    :param start_at: when the first phase begins; None: now
    :raises accounts.errors.LicenseRequired: if the company may not begin subscriptions
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises NotFound: if the customer is not the environment's
    :raises CustomerDeleted: if the customer was deleted
    :raises PhasesMissing: :raises TooManyPhases: :raises PhaseRefused: with one of its subclasses for what is wrong
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises BillingError: whatever beginning its subscription refuses, if it begins at once
    """
    require_license(environment=environment, product=License.Product.SUBSCRIPTION)
    if customer.environment_id != environment.pk:
        raise NotFound("customer", str(customer.pk))
    hold_clock(customer, now=now)
    if Customer.objects.select_for_update(no_key=True).get(pk=customer.pk).deleted_at is not None:
        raise CustomerDeleted(customer.pk)
    second = now.replace(microsecond=0)
    start_at = second if start_at is None else start_at
    schedule = new_schedule(environment=environment, customer=customer, start_at=start_at, now=now, **words)
    check_phases(phases, schedule)
    spans = _laid_out(schedule, phases, start_at)
    if spans[0].period.end <= second:
        raise PhaseEndInvalid(0)
    schedule.save(force_insert=True)
    write_phases(schedule, phases, spans)
    if start_at <= now:
        start_schedule(_reread(schedule), now=now)
    record(Kind.SCHEDULE_CREATED, rows=[schedule], now=now)
    return _reread(schedule)


@transaction.atomic
def schedule_subscription(*, subscription: Subscription, now: datetime) -> SubscriptionSchedule:
    """Have a schedule manage a subscription that runs: one phase, which is as it is now, until its period ends.

    Where it was to end by itself, the phase and the schedule end it then.

    :param now: the customer's time
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises SubscriptionEnded: if it is over
    :raises SubscriptionScheduled: if a schedule manages it already
    """
    locked = lock_subscription(subscription, now=now)
    catch_up(locked, now)
    if locked.is_over:
        raise SubscriptionEnded(locked.pk)
    if locked.schedule_id is not None:
        raise SubscriptionScheduled(locked.pk)
    period = current_period(locked)
    cancels = locked.cancel_at is not None
    schedule = new_schedule(
        environment=locked.environment,
        customer=locked.customer,
        start_at=period.start,
        now=now,
        end_behavior=(SubscriptionSchedule.EndBehavior.CANCEL if cancels else SubscriptionSchedule.EndBehavior.RELEASE),
        collection_method=locked.collection_method,
        days_until_due=locked.days_until_due,
        description=locked.description,
    )
    schedule.subscription, schedule.status = locked, SubscriptionSchedule.Status.ACTIVE
    schedule.save(force_insert=True)
    end_at = period.end if locked.cancel_at is None else locked.cancel_at
    phase = _as_it_is(locked, period.start, end_at)
    trial_end_at = (
        min(end_at, locked.trial_end_at) if locked.status == Status.TRIALING and locked.trial_end_at else None
    )
    write_phases(schedule, [phase], [Span(Period(period.start, end_at), trial_end_at)])
    SchedulePhase.objects.filter(schedule=schedule).update(begun_at=now)
    with told([locked], now=now):
        locked.schedule, locked.phase_ends_at = schedule, end_at
        store([locked])
    record(Kind.SCHEDULE_CREATED, rows=[schedule], now=now)
    return _reread(schedule)


@transaction.atomic
def update_schedule(
    *,
    schedule: SubscriptionSchedule,
    now: datetime,
    phases: Sequence[NewPhase] | None = None,
    proration_behavior: str = ProrationBehavior.CREATE,
    **words: Unpack[ScheduleWords],
) -> SubscriptionSchedule:
    """Change a schedule. Phases stand instead of the current one and all that would follow; past ones are left.

    What the current phase says otherwise than before is made true at once.

    :param now: the customer's time
    :param phases: the first one begins where the current one did, or where the schedule is to begin
    :param proration_behavior: what a change of the current phase does about time that was paid in advance
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises ScheduleOver: if it was completed, released or canceled
    :raises PhaseStartMissing: if nothing says where the first phase begins
    :raises PhasesMissing: :raises TooManyPhases: :raises PhaseRefused: with one of its subclasses for what is wrong
    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises BillingError: whatever a change of the subscription refuses
    """
    with _locked(schedule, now) as (locked, subscription):
        say(locked, words)
        locked.save()
        if subscription is None:
            if phases is not None:
                _plan_anew(locked, phases, now)
            if locked.start_at <= now:
                start_schedule(_reread(locked), now=now)
        else:
            _change_begun(locked, subscription, phases, proration_behavior, now)
    if subscription is not None:
        # A phase that was said to end now is followed at once.
        catch_up(subscription, now)
    return _reread(schedule)


@transaction.atomic
def release_schedule(
    *, schedule: SubscriptionSchedule, now: datetime, keeps_cancellation: bool = False
) -> SubscriptionSchedule:
    """Let go of a schedule: no further phase begins, and its subscription goes on as it is.

    :param now: the customer's time
    :param keeps_cancellation: the subscription ends when the schedule would have ended it
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises ScheduleOver: if it was completed, released or canceled
    """
    with _locked(schedule, now) as (locked, subscription):
        if subscription is None:
            locked.status, locked.released_at = SubscriptionSchedule.Status.RELEASED, now
            locked.save(update_fields=["status", "released_at"])
            record(Kind.SCHEDULE_RELEASED, rows=[locked], now=now)
        else:
            let_go(subscription, locked, at=now, now=now)
            if not keeps_cancellation:
                subscription.cancel_at = subscription.canceled_at = None
            store([subscription])
    return _reread(schedule)


@transaction.atomic
def cancel_schedule(
    *, schedule: SubscriptionSchedule, now: datetime, invoice_now: bool = True, prorate: bool = True
) -> SubscriptionSchedule:
    """Cancel a schedule, and its subscription with it.

    :param now: the customer's time
    :param invoice_now: :param prorate: as :func:`cancel_subscription` has it
    :raises accounts.errors.ClockAdvancing: if the customer's test clock is on the move
    :raises ScheduleOver: if it was completed, released or canceled
    """
    with _locked(schedule, now, tells=False) as (locked, subscription):
        if subscription is None:
            locked.status, locked.canceled_at = SubscriptionSchedule.Status.CANCELED, now
            locked.save(update_fields=["status", "canceled_at"])
            record(Kind.SCHEDULE_CANCELED, rows=[locked], now=now)
        else:
            cancel_subscription(subscription=subscription, now=now, invoice_now=invoice_now, prorate=prorate)
    return _reread(schedule)


class _BeganMeanwhile(Exception):
    """The engine was faster: there is a subscription to be locked first."""


@contextmanager
def _locked(
    schedule: SubscriptionSchedule, now: datetime, *, tells: bool = True
) -> Iterator[tuple[SubscriptionSchedule, Subscription | None]]:
    """A schedule to be changed, with its subscription if it has begun, both as they are now and told of afterwards."""
    hold_clock(schedule.customer, now=now)
    try:
        # Undone with its lock, if it is the wrong one to begin with: whoever steps holds the subscription's first.
        with transaction.atomic():
            locked, subscription = _take(schedule, now)
    except _BeganMeanwhile:
        locked, subscription = _take(schedule, now)
    if locked.is_over:
        raise ScheduleOver(locked.status)
    if not tells:
        yield locked, subscription
    elif subscription is None:
        with schedule_told(locked, now=now):
            yield locked, subscription
    else:
        with told([subscription], now=now), schedule_told(locked, now=now):
            yield locked, subscription


def _take(schedule: SubscriptionSchedule, now: datetime) -> tuple[SubscriptionSchedule, Subscription | None]:
    seen = SubscriptionSchedule.objects.select_related("subscription__customer__test_clock").get(pk=schedule.pk)
    if seen.subscription is not None:
        subscription = lock_subscription(seen.subscription, now=now)
        catch_up(subscription, now)
        return _reread(schedule), subscription
    SubscriptionSchedule.objects.select_for_update(no_key=True).get(pk=schedule.pk)
    locked = _reread(schedule)
    if locked.subscription_id is not None:
        raise _BeganMeanwhile
    return locked, None


def _plan_anew(schedule: SubscriptionSchedule, phases: Sequence[NewPhase], now: datetime) -> None:
    """Replace all phases of a schedule that has not begun."""
    check_phases(phases, schedule)
    if all(phase.start_at is None for phase in phases):
        raise PhaseStartMissing
    start_at = phases[0].start_at or schedule.start_at
    spans = _laid_out(schedule, phases, start_at)
    if spans[0].period.end <= now.replace(microsecond=0):
        raise PhaseEndInvalid(0)
    schedule.phases.all().delete()
    schedule.start_at = start_at
    schedule.save(update_fields=["start_at"])
    write_phases(schedule, phases, spans)


def _change_begun(
    schedule: SubscriptionSchedule,
    subscription: Subscription,
    phases: Sequence[NewPhase] | None,
    proration_behavior: str,
    now: datetime,
) -> None:
    [*_, current] = [phase for phase in schedule.phases.all() if phase.begun_at is not None]
    if phases is not None:
        before = _content(current)
        current = _replace(schedule, subscription, current, phases, now)
        if _content(current) != before:
            at = change_instant(subscription, now)
            schedule = _reread(schedule)
            enter_phase(subscription, schedule, current, at=at, now=now, proration_behavior=proration_behavior)
    follow(subscription, _reread(schedule), current, now=now)
    store([subscription])


def _replace(
    schedule: SubscriptionSchedule,
    subscription: Subscription,
    current: SchedulePhase,
    phases: Sequence[NewPhase],
    now: datetime,
) -> SchedulePhase:
    """Replace the current phase and all that would follow; returns the current one as it is now."""
    past = sum(1 for phase in phases if phase.start_at is not None and phase.start_at < current.start_at)
    if past and phases[past - 1].start_at not in {phase.start_at for phase in schedule.phases.all()}:
        raise PhaseStartFixed(past - 1)
    present = phases[past:]
    check_phases(present, schedule, currency=subscription.currency)
    follows = past > 0 and phases[past - 1].end_at == current.start_at
    if not follows and all(phase.start_at is None for phase in present):
        raise PhaseStartMissing
    if present[0].start_at not in {None, current.start_at}:
        raise PhaseStartFixed(past)
    spans = _laid_out(schedule, present, current.start_at, subscription)
    if spans[0].period.end < now.replace(microsecond=0):
        raise PhaseEndInvalid(past)
    schedule.phases.filter(start_at__gte=current.start_at).delete()
    write_phases(schedule, present, spans)
    SchedulePhase.objects.filter(schedule=schedule, start_at=current.start_at).update(begun_at=current.begun_at)
    return next(one for one in _reread(schedule).phases.all() if one.start_at == current.start_at)


def _laid_out(
    schedule: SubscriptionSchedule,
    phases: Sequence[NewPhase],
    start_at: datetime,
    subscription: Subscription | None = None,
) -> list[Span]:
    outlines = [phase.outline(schedule) for phase in phases]
    if subscription is None:
        zone = zone_of(schedule.environment.company)
        return lay_out(outlines, start_at=start_at, anchor_at=start_at, zone=zone)
    price = subscription.items.all()[0].price
    recurs = Length(price.interval, price.interval_count)  # type: ignore[arg-type]
    anchor_at = subscription.anchor_at
    return lay_out(outlines, start_at=start_at, anchor_at=anchor_at, recurs=recurs, zone=subscription.zone)


def _content(phase: SchedulePhase) -> object:
    """What a phase makes of a subscription, to be held against what another does."""
    return (
        phase.trial_end_at,
        phase.collection_method,
        phase.days_until_due,
        phase.description,
        phase.metadata,
        [(item.price_id, item.quantity, item.metadata) for item in phase.items.all() if not item.is_once],
        [(one.coupon_id, one.promotion_code_id, one.discount_id, one.position) for one in phase.discounts.all()],
        [(one.tax_rate_id, one.item is None) for one in phase.tax_rates.all()],
    )


def _as_it_is(subscription: Subscription, start_at: datetime, end_at: datetime) -> NewPhase:
    def kept(of: Subscription | SubscriptionItem) -> list[NewDiscount]:
        return [NewDiscount(discount=one) for one in of.discounts.in_place()]

    return NewPhase(
        items=[
            NewItem(
                item.price,
                item.quantity,
                MetadataChange(item.metadata),
                discounts=kept(item),
                tax_rates=[one.tax_rate for one in item.tax_rates.select_related("tax_rate")],
            )
            for item in subscription.items.all()
        ],
        start_at=start_at,
        end_at=end_at,
        metadata=MetadataChange(subscription.metadata),
        discounts=kept(subscription),
        tax_rates=[one.tax_rate for one in subscription.tax_rates.select_related("tax_rate")],
    )


def _reread(schedule: SubscriptionSchedule) -> SubscriptionSchedule:
    return schedules_with_phases().get(pk=schedule.pk)
