"""Schedules and their phases are written, and end. What is owed for a phase is not known here."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, Unpack

from django.db.models import Model

from accounts.models import Customer, Environment
from core.errors import BillingError
from core.metadata import MetadataChange
from subscriptions.errors import CurrencyMismatch, PhaseContentRefused, PhasesMissing, TooManyPhases
from subscriptions.models import (
    PhaseDiscount,
    PhaseItem,
    PhaseTaxRate,
    SchedulePhase,
    Subscription,
    SubscriptionSchedule,
    TaxRate,
)
from subscriptions.phases import Length, Outline, Span
from subscriptions.services.discounts import NewDiscount
from subscriptions.services.items import AddedItem, NewItem, check_added_items, check_collection, check_new_items
from webhooks.kinds import Kind
from webhooks.services import record, take_snapshots

MAX_PHASES = 10


@dataclass(frozen=True, slots=True)
class NewPhase:
    """What a subscription is to be for some time; what is None is as the schedule says for all phases.

    :ivar iterations: so many of its prices' intervals long; instead of ``length`` and ``end_at``
    :ivar added: what is billed once, when it begins
    :ivar proration_behavior: what its beginning does about time that was paid in advance
    """

    items: Sequence[NewItem]
    start_at: datetime | None = None
    end_at: datetime | None = None
    length: Length | None = None
    iterations: int | None = None
    is_trial: bool = False
    trial_end_at: datetime | None = None
    anchor: str = ""
    proration_behavior: str = "create_prorations"
    collection_method: str = ""
    days_until_due: int | None = None
    description: str = ""
    metadata: MetadataChange = field(default_factory=MetadataChange)
    discounts: Sequence[NewDiscount] = ()
    tax_rates: Sequence[TaxRate] = ()
    added: Sequence[AddedItem] = ()

    def outline(self, schedule: SubscriptionSchedule) -> Outline:
        """What is said of its time."""
        recurs = self.recurs
        length = self.length
        if self.iterations is not None:
            length = Length(recurs.interval, recurs.count * self.iterations)
        return Outline(
            recurs=recurs,
            start_at=self.start_at,
            end_at=self.end_at,
            length=length,
            is_trial=self.is_trial,
            trial_end_at=self.trial_end_at,
            resets_anchor=(self.anchor or schedule.anchor) == SubscriptionSchedule.Anchor.PHASE_START,
        )

    @property
    def recurs(self) -> Length:
        price = self.items[0].price
        return Length(price.interval, price.interval_count)  # type: ignore[arg-type]


class ScheduleWords(TypedDict, total=False):
    """What is said of a schedule, but for its phases."""

    end_behavior: str
    anchor: str
    collection_method: str
    days_until_due: int | None
    description: str
    metadata: MetadataChange | None


def new_schedule(
    *,
    environment: Environment,
    customer: Customer,
    start_at: datetime,
    now: datetime,
    **words: Unpack[ScheduleWords],
) -> SubscriptionSchedule:
    """A schedule that is nowhere stored yet.

    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises TooManyMetadataKeys: if the metadata has more than 50 keys
    """
    schedule = SubscriptionSchedule(environment=environment, customer=customer, start_at=start_at, created_at=now)
    say(schedule, words)
    return schedule


def say(schedule: SubscriptionSchedule, words: ScheduleWords) -> None:
    """Change what is said of a schedule, in memory. What is not named stays.

    :raises DaysUntilDueMissing: :raises DaysUntilDueNotAllowed: if they do not fit the collection method
    :raises TooManyMetadataKeys: if the metadata would have more than 50 keys
    """
    changes = dict(words)
    metadata = changes.pop("metadata", None)
    if isinstance(metadata, MetadataChange):
        schedule.metadata = metadata.applied_to(schedule.metadata)
    if changes.get("collection_method", schedule.collection_method) != schedule.collection_method:
        schedule.days_until_due = None
    for name, value in changes.items():
        setattr(schedule, name, value)
    check_collection(schedule.collection_method, schedule.days_until_due)


def check_phases(phases: Sequence[NewPhase], schedule: SubscriptionSchedule, *, currency: str | None = None) -> None:
    """Hold each phase against what a subscription may be, and all of them against each other.

    :param currency: of the subscription, if there is one
    :raises PhasesMissing: :raises TooManyPhases: what they say
    :raises PhaseContentRefused: with what is wrong, and in which phase
    """
    if not phases:
        raise PhasesMissing
    if len(phases) > MAX_PHASES:
        raise TooManyPhases(MAX_PHASES)
    for position, phase in enumerate(phases):
        try:
            check_new_items(phase.items, schedule.environment_id)
            currency = currency or phase.items[0].price.currency
            if phase.items[0].price.currency != currency:
                raise CurrencyMismatch(0, currency)
            check_added_items(phase.added, schedule.environment_id, currency)
            check_collection(*collection_of(phase, schedule))
            phase.metadata.applied_to({})
        except BillingError as refusal:
            raise PhaseContentRefused(position, refusal) from refusal


def collection_of(phase: NewPhase | SchedulePhase, schedule: SubscriptionSchedule) -> tuple[str, int | None]:
    """How invoices are collected in a phase: as it says, or else as its schedule does."""
    method = phase.collection_method or schedule.collection_method
    days = phase.days_until_due
    if days is None and method == schedule.collection_method:
        days = schedule.days_until_due
    return method, days


def write_phases(schedule: SubscriptionSchedule, phases: Sequence[NewPhase], spans: Sequence[Span]) -> None:
    """Store a schedule's phases, which were checked and laid out."""
    made: list[SchedulePhase] = []
    items: list[PhaseItem] = []
    discounts: list[PhaseDiscount] = []
    rates: list[PhaseTaxRate] = []
    for new, span in zip(phases, spans, strict=True):
        phase = SchedulePhase(
            environment_id=schedule.environment_id,
            schedule=schedule,
            start_at=span.period.start,
            end_at=span.period.end,
            trial_end_at=span.trial_end_at,
            anchor=new.anchor,
            proration_behavior=new.proration_behavior,
            collection_method=new.collection_method,
            days_until_due=new.days_until_due,
            description=new.description,
            metadata=dict(new.metadata.entries),
        )
        made.append(phase)
        discounts += _discounts(phase, None, new.discounts)
        rates += _tax_rates(phase, None, new.tax_rates)
        for position, item in enumerate(new.items):
            row = _item(phase, position, item)
            items.append(row)
            discounts += _discounts(phase, row, item.discounts)
            rates += _tax_rates(phase, row, item.tax_rates)
        for position, once in enumerate(new.added):
            row = _added(phase, position, once)
            items.append(row)
            discounts += _discounts(phase, row, once.discounts)
            rates += _tax_rates(phase, row, once.tax_rates)
    SchedulePhase.objects.bulk_create(made)
    PhaseItem.objects.bulk_create(items)
    PhaseDiscount.objects.bulk_create(discounts)
    PhaseTaxRate.objects.bulk_create(rates)


def end_schedules_of(subscriptions: Collection[Subscription]) -> None:
    """End the schedules of subscriptions that are over: completed if it was they who said so, canceled if not.

    The caller holds the subscriptions' locks, and stores them.
    """
    ended = {one.schedule_id: one.ended_at for one in subscriptions if one.schedule_id and one.ended_at}
    for subscription in subscriptions:
        subscription.schedule, subscription.phase_ends_at = None, None
    for schedule in SubscriptionSchedule.objects.filter(pk__in=list(ended)).order_by("pk"):
        ended_at = ended[schedule.pk]
        last = max(schedule.phases.values_list("end_at", flat=True))
        cancels = schedule.end_behavior == SubscriptionSchedule.EndBehavior.CANCEL
        if cancels and ended_at >= last:
            schedule.status, schedule.completed_at = SubscriptionSchedule.Status.COMPLETED, ended_at
        else:
            schedule.status, schedule.canceled_at = SubscriptionSchedule.Status.CANCELED, ended_at
        schedule.save(update_fields=["status", "completed_at", "canceled_at"])
        done = schedule.status == SubscriptionSchedule.Status.COMPLETED
        record(Kind.SCHEDULE_COMPLETED if done else Kind.SCHEDULE_CANCELED, rows=[schedule], now=ended_at)


def cancel_unstarted_schedules(customer: Customer, *, now: datetime) -> None:
    """Cancel what a customer's subscriptions were to begin by. The caller holds the customer's lock."""
    waiting = SubscriptionSchedule.objects.filter(customer=customer, status=SubscriptionSchedule.Status.NOT_STARTED)
    for schedule in waiting.select_for_update(no_key=True).order_by("pk"):
        schedule.status, schedule.canceled_at = SubscriptionSchedule.Status.CANCELED, now
        schedule.save(update_fields=["status", "canceled_at"])
        record(Kind.SCHEDULE_CANCELED, rows=[schedule], now=now)


@contextmanager
def schedule_told(schedule: SubscriptionSchedule, *, now: datetime) -> Iterator[None]:
    """Record what becomes of a schedule within, as far as callers see it. The caller stores it before it leaves."""
    rows: list[Model] = [schedule]
    before = take_snapshots(rows)
    yield
    record(Kind.SCHEDULE_UPDATED, rows=rows, now=now, before=before)


def _item(phase: SchedulePhase, position: int, item: NewItem) -> PhaseItem:
    metered = item.price.is_metered
    return PhaseItem(
        environment_id=phase.environment_id,
        phase=phase,
        position=position,
        price=item.price,
        quantity=None if metered else (1 if item.quantity is None else item.quantity),
        metadata=dict((item.metadata or MetadataChange()).entries),
    )


def _added(phase: SchedulePhase, position: int, item: AddedItem) -> PhaseItem:
    return PhaseItem(
        environment_id=phase.environment_id,
        phase=phase,
        position=position,
        price=item.price,
        quantity=item.quantity,
        is_once=True,
        is_discountable=item.is_discountable,
        metadata=dict((item.metadata or MetadataChange()).entries),
    )


def _discounts(phase: SchedulePhase, item: PhaseItem | None, given: Sequence[NewDiscount]) -> list[PhaseDiscount]:
    return [
        PhaseDiscount(
            environment_id=phase.environment_id,
            phase=phase,
            item=item,
            position=position,
            coupon=new.coupon,
            promotion_code=new.promotion_code,
            discount=new.discount,
        )
        for position, new in enumerate(given)
    ]


def _tax_rates(phase: SchedulePhase, item: PhaseItem | None, given: Sequence[TaxRate]) -> list[PhaseTaxRate]:
    return [
        PhaseTaxRate(environment_id=phase.environment_id, phase=phase, item=item, position=position, tax_rate=tax_rate)
        for position, tax_rate in enumerate({rate.pk: rate for rate in given}.values())
    ]
