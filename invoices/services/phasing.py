"""Phases of schedules begin: the subscription begins with the first one, and is amended by each that follows.

The engine calls this when their time has come, and so do calls that change what the phase of the moment says. Whoever
calls holds the customer's clock and the subscription's lock, or that of a schedule which has none yet.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from django.db.models import Prefetch

from accounts.models import Company
from core.metadata import MetadataChange
from invoices.services.adding import add_items
from invoices.services.agreeing import redeem_what_can_be_had
from invoices.services.amending import ProrationBehavior, amend_items, anchor_from, begin_trial, end_trial
from invoices.services.bargaining import purchase_of
from invoices.services.beginning import SubscriptionTerms, begin_subscription
from invoices.services.closing import reread_items
from subscriptions.models import (
    PhaseDiscount,
    PhaseItem,
    PhaseTaxRate,
    SchedulePhase,
    Subscription,
    SubscriptionItem,
    SubscriptionSchedule,
    SubscriptionScheduleQuerySet,
    TaxRate,
)
from subscriptions.services import (
    AddedItem,
    ItemChange,
    NewDiscount,
    NewItem,
    change_items,
    collection_of,
    current_period,
    schedule_told,
    set_discounts,
    set_tax_rates,
    store,
)
from subscriptions.statuses import Status
from webhooks.kinds import Kind
from webhooks.services import record


def schedules_with_phases() -> SubscriptionScheduleQuerySet:
    """Schedules with all that beginning a phase reads."""
    items = PhaseItem.objects.select_related("price__product", "price__meter").prefetch_related("price__tiers")
    phases = SchedulePhase.objects.prefetch_related(
        Prefetch("items", items),
        Prefetch("discounts", PhaseDiscount.objects.select_related("coupon", "promotion_code", "discount")),
        Prefetch("tax_rates", PhaseTaxRate.objects.select_related("tax_rate")),
    )
    return SubscriptionSchedule.objects.select_related("customer__test_clock", "environment__company").prefetch_related(
        Prefetch("phases", phases)
    )


def start_schedules(schedules: Sequence[SubscriptionSchedule]) -> None:
    """Begin the subscriptions of schedules whose time has come, as of that time."""
    for schedule in schedules:
        with schedule_told(schedule, now=schedule.start_at):
            start_schedule(schedule, now=schedule.start_at)


def start_schedule(schedule: SubscriptionSchedule, *, now: datetime) -> Subscription:
    """Begin a schedule's subscription with its first phase. It may have begun in the past: that is billed as well.

    :raises BillingError: whatever :func:`begin_subscription` refuses
    """
    phase = schedule.phases.all()[0]
    method, days = collection_of(phase, schedule)
    terms: SubscriptionTerms = {
        "collection_method": method,
        "days_until_due": days,
        "description": phase.description or schedule.description,
        "metadata": MetadataChange(phase.metadata),
        "trial_end_at": phase.trial_end_at,
        "cancel_at": phase.end_at if _cancels_with(phase, schedule) else None,
        "schedule": schedule,
        "phase_ends_at": phase.end_at,
    }
    if schedule.start_at < now.replace(microsecond=0):
        terms |= {"backdated_to": schedule.start_at, "counts_from_start": True}
    subscription = begin_subscription(
        environment=schedule.environment,
        customer=schedule.customer,
        items=[_new_item(item) for item in _recurring(phase)],
        now=now,
        discounts=[_new_discount(one) for one in _own_discounts(phase)],
        tax_rates=[one.tax_rate for one in phase.tax_rates.all() if one.item_id is None],
        added=_added(phase),
        **terms,
    )
    schedule.subscription = subscription
    schedule.status = SubscriptionSchedule.Status.ACTIVE
    schedule.save(update_fields=["subscription", "status"])
    _note_begun(phase, now)
    return subscription


def end_phase(subscription: Subscription, *, now: datetime) -> None:
    """Let the phase that a subscription is in end at its time: the next one begins, or the schedule is over."""
    at, schedule_id = subscription.phase_ends_at, subscription.schedule_id
    if at is None or schedule_id is None:
        raise ValueError("a subscription without a schedule is in no phase")
    schedule = schedules_with_phases().get(pk=schedule_id)
    phase = next((one for one in schedule.phases.all() if one.start_at == at), None)
    if phase is not None:
        with schedule_told(schedule, now=now):
            enter_phase(subscription, schedule, phase, at=at, now=now, proration_behavior=phase.proration_behavior)
    elif schedule.end_behavior == SubscriptionSchedule.EndBehavior.RELEASE:
        let_go(subscription, schedule, at=at, now=now)
        store([subscription])
    else:
        # The subscription ends at this very instant, and its schedule with it.
        subscription.cancel_at = at


def let_go(subscription: Subscription, schedule: SubscriptionSchedule, *, at: datetime, now: datetime) -> None:
    """Let a subscription go on without its schedule. The caller stores it."""
    subscription.schedule, subscription.phase_ends_at = None, None
    schedule.status, schedule.released_at = SubscriptionSchedule.Status.RELEASED, at
    schedule.save(update_fields=["status", "released_at"])
    record(Kind.SCHEDULE_RELEASED, rows=[schedule], now=now)


def enter_phase(
    subscription: Subscription,
    schedule: SubscriptionSchedule,
    phase: SchedulePhase,
    *,
    at: datetime,
    now: datetime,
    proration_behavior: str,
) -> None:
    """Make of a subscription what a phase says, as of an instant, and store it.

    In the middle of a billing period that is what a call that changes the same would do. Where the period ends at that
    very instant it is yet to be billed: as it was, while what is billed in advance is of the new phase.

    :raises BillingError: what the phase asks for and cannot be had any more
    """
    is_first_time = phase.begun_at is None
    _say(subscription, schedule, phase)
    follow(subscription, schedule, phase, now=now)
    _bargain(subscription, phase, at)
    added = _added(phase) if is_first_time else []
    changes = _changes(subscription, phase)
    ends_here = current_period(subscription).end <= at
    resets = _resets_anchor(schedule, phase)
    billed = subscription.status not in {Status.PAUSED, Status.INCOMPLETE}
    prorates = proration_behavior != ProrationBehavior.NONE
    if billed and phase.trial_end_at is not None and phase.trial_end_at > at:
        begin_trial(subscription, at=at, ends_at=phase.trial_end_at, now=now, prorate=prorates)
        amend_items(subscription, changes, at=at, now=now, added=added)
    elif ends_here or not billed:
        interval = _interval(subscription)
        change_items(subscription=subscription, changes=changes, at=at, now=now)
        reread_items(subscription)
        add_items(subscription, added, now=now)
        if resets or _interval(subscription) != interval:
            subscription.anchor_at = anchor_from(subscription, at)
    elif subscription.status == Status.TRIALING:
        amend_items(subscription, changes, at=at, now=now, added=added)
        end_trial(subscription, at=at, now=now)
    else:
        amend_items(
            subscription,
            changes,
            at=at,
            now=now,
            proration_behavior=proration_behavior,
            resets_anchor=resets and is_first_time,
            added=added,
        )
    _bargain_items(subscription, phase, at)
    _note_begun(phase, now)
    store([subscription])


def follow(subscription: Subscription, schedule: SubscriptionSchedule, phase: SchedulePhase, *, now: datetime) -> None:
    """Let a subscription know when the phase that it is in ends, and whether it ends then, too. The caller stores it."""
    subscription.phase_ends_at = phase.end_at
    subscription.cancel_at_period_end = False
    subscription.cancel_at = phase.end_at if _cancels_with(phase, schedule) else None
    subscription.canceled_at = None if subscription.cancel_at is None else subscription.canceled_at or now


def _say(subscription: Subscription, schedule: SubscriptionSchedule, phase: SchedulePhase) -> None:
    subscription.collection_method, subscription.days_until_due = collection_of(phase, schedule)
    subscription.description = phase.description or schedule.description or subscription.description
    subscription.metadata = MetadataChange(phase.metadata).applied_to(subscription.metadata)
    subscription.save(update_fields=["collection_method", "days_until_due", "description", "metadata"])


def _bargain(subscription: Subscription, phase: SchedulePhase, at: datetime) -> None:
    """Redeem what is redeemed with a phase, instead of what there was, and note the taxes."""
    own = _own_discounts(phase)
    if own or subscription.discounts.in_place().exists():
        _redeem(subscription, None, own, at)
    rates = [one.tax_rate for one in phase.tax_rates.all() if one.item_id is None]
    set_tax_rates(subscription=subscription, tax_rates=rates, is_agreed=True)


def _bargain_items(subscription: Subscription, phase: SchedulePhase, at: datetime) -> None:
    by_price = {item.price_id: item for item in subscription.items.all()}
    for row in _recurring(phase):
        item = by_price[row.price_id]
        given = [one for one in phase.discounts.all() if one.item_id == row.pk]
        if given or item.discounts.in_place().exists():
            _redeem(subscription, item, given, at)
        rates = [one.tax_rate for one in phase.tax_rates.all() if one.item_id == row.pk]
        set_tax_rates(item=item, tax_rates=rates, is_agreed=True)


def _redeem(
    subscription: Subscription, item: SubscriptionItem | None, given: Sequence[PhaseDiscount], at: datetime
) -> None:
    """Redeem what can still be had. What has expired since it was planned must not keep a subscription from its bills."""
    redeem = partial(
        set_discounts,
        customer=subscription.customer,
        subscription=subscription if item is None else None,
        item=item,
        now=at,
        purchase=purchase_of(subscription, at),
    )
    owned = subscription.discounts if item is None else item.discounts
    # What is there already stays: a coupon of two phases in a row is redeemed once.
    present = {(one.coupon_id, one.promotion_code_id): one for one in owned.in_place()}
    codes = [
        (one.promotion_code.coupon_id if one.promotion_code else one.coupon_id, one.promotion_code_id) for one in given
    ]
    wanted = [
        NewDiscount(discount=present[code]) if code in present else _new_discount(one)
        for one, code in zip(given, codes, strict=True)
    ]
    redeem_what_can_be_had(wanted, lambda given: redeem(given=given))


def _changes(subscription: Subscription, phase: SchedulePhase) -> list[ItemChange]:
    """What makes of a subscription's items those of a phase: what has its price already stays the same item."""
    present = {item.price_id: item for item in subscription.items.all()}
    changes = []
    for row in _recurring(phase):
        item = present.pop(row.price_id, None)
        changes.append(
            ItemChange(
                item=item,
                price=row.price,
                quantity=row.quantity,
                metadata=MetadataChange(row.metadata),
                is_agreed=True,
            )
        )
    # First what goes, so that a payer reads what is given back before what is charged.
    return [*(ItemChange(item=item, is_removed=True) for item in present.values()), *changes]


def _cancels_with(phase: SchedulePhase, schedule: SubscriptionSchedule) -> bool:
    """Whether the subscription ends with a phase, which is the last one."""
    if schedule.end_behavior != SubscriptionSchedule.EndBehavior.CANCEL:
        return False
    return all(other.end_at <= phase.end_at for other in schedule.phases.all())


def _resets_anchor(schedule: SubscriptionSchedule, phase: SchedulePhase) -> bool:
    return (phase.anchor or schedule.anchor) == SubscriptionSchedule.Anchor.PHASE_START


def zone_of(company: Company) -> ZoneInfo | None:
    """Where boundaries of new subscriptions are midnights, if they are."""
    return ZoneInfo(company.billing_zone) if company.billing_zone else None


def _interval(subscription: Subscription) -> tuple[str, int]:
    price = subscription.items.all()[0].price
    return price.interval, price.interval_count


def _recurring(phase: SchedulePhase) -> list[PhaseItem]:
    return [item for item in phase.items.all() if not item.is_once]


def _added(phase: SchedulePhase) -> list[AddedItem]:
    return [
        AddedItem(
            item.price,
            item.quantity or 0,
            item.is_discountable,
            MetadataChange(item.metadata),
            discounts=_discounts_of(phase, item),
            tax_rates=_tax_rates_of(phase, item),
            is_agreed=True,
        )
        for item in phase.items.all()
        if item.is_once
    ]


def _discounts_of(phase: SchedulePhase, item: PhaseItem) -> list[NewDiscount]:
    return [_new_discount(one) for one in phase.discounts.all() if one.item_id == item.pk]


def _tax_rates_of(phase: SchedulePhase, item: PhaseItem) -> list[TaxRate]:
    return [one.tax_rate for one in phase.tax_rates.all() if one.item_id == item.pk]


def _new_item(item: PhaseItem) -> NewItem:
    return NewItem(
        item.price,
        item.quantity,
        MetadataChange(item.metadata),
        discounts=_discounts_of(item.phase, item),
        tax_rates=_tax_rates_of(item.phase, item),
        is_agreed=True,
    )


def _own_discounts(phase: SchedulePhase) -> list[PhaseDiscount]:
    return [one for one in phase.discounts.all() if one.item_id is None]


def _new_discount(row: PhaseDiscount) -> NewDiscount:
    return NewDiscount(row.coupon, row.promotion_code, row.discount)


def _note_begun(phase: SchedulePhase, now: datetime) -> None:
    if phase.begun_at is None:
        phase.begun_at = now
        phase.save(update_fields=["begun_at"])
