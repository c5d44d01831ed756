"""Pages of raw events, newest first, read through indexes only and never counted.

Narrowed by anything they are ordered by their own time; an environment's, by their arrival. The order of a page is that of
a table's index; the events themselves are fetched by key.

No index has the events of all customers in the order of their time: it would cost every insert. The daily summaries say
who used what on which day, and the index by customer has the rest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, Func, Model, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import JSONObject

from accounts.models import Customer, Environment
from core.periods import DAY, Period, floor_day
from meters.models import Meter
from usage.events import EARLIEST
from usage.filters import EventAdjustmentFilter, MeterEventFilter
from usage.models import DailySummary, EventAdjustment, EventClaim, EventRejection, MeterEvent
from usage.services.partitions import existing_months
from usage.totals import watermark

BY_TIME = ("-at", "-event")
BY_ARRIVAL = ("-event",)

# Later than any event can be.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


def events_of(environment: Environment) -> QuerySet[MeterEvent]:
    """All events, each with its place in both orders and whether it was canceled."""
    return (
        MeterEvent.objects.of(environment)
        .annotate(at=F("timestamp"), event=F("id"), is_canceled=Exists(_cancellation()))
        .select_related("meter")
    )


@dataclass(frozen=True, slots=True)
class Dimension:
    """Events, and summaries, that have one value of a declared dimension.

    :ivar value: None for those without the key
    """

    key: str
    value: str | None

    def within(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        # Django's own way into a document takes a key of digits for a place in a list.
        told = Func(F("dimensions"), Value(self.key), function="jsonb_extract_path_text", output_field=TextField())
        found: QuerySet[Any] = rows.alias(dimension=told).filter(dimension=self.value)
        return found


def places(environment: Environment, filters: Mapping[str, str], *, canceled: bool | None = None) -> QuerySet[Any]:
    """Where events stand in their order: rows with ``at`` and ``event`` of what the filters leave.

    :param filters: of :class:`usage.filters.MeterEventFilter`
    :param canceled: only those that were, or only those that count; None for both
    """
    rows: QuerySet[Any]
    if canceled:
        rows = EventAdjustment.objects.filter(environment=environment)
        rows = EventAdjustmentFilter(filters, queryset=rows).qs
        rows = rows.annotate(at=F("event_timestamp"), event=F("event_id"))
        return rows
    rows = MeterEventFilter(filters, queryset=MeterEvent.objects.of(environment)).qs
    if canceled is False:
        rows = rows.filter(~Exists(_cancellation()))
    rows = rows.annotate(at=F("timestamp"), event=F("id"))
    return rows


def read_by_arrival(environment: Environment, rows: QuerySet[Any], order: Sequence[str], count: int) -> list[Model]:
    """The first events of an environment in the order."""
    return _fetch(environment, list(rows.order_by(*order).values_list("event", "at")[:count]))


def read_by_time(environment: Environment, rows: QuerySet[Any], order: Sequence[str], count: int) -> list[Model]:
    """The first events of a customer, or canceled ones, in the order: the first of each meter, by which indexes begin."""
    first = rows.filter(meter=OuterRef("pk")).order_by(*order)[:count]
    each = Meter.objects.of(environment).values_list(
        ArraySubquery(first.values(place=JSONObject(event="event", at="at"))), flat=True
    )
    found = [(UUID(place["event"]), datetime.fromisoformat(place["at"])) for meter in each for place in meter]
    found.sort(key=lambda place: (place[1], place[0]), reverse=order[0].startswith("-"))
    return _fetch(environment, found[:count])


def read_of_all_customers(
    environment: Environment,
    filters: Mapping[str, str],
    rows: QuerySet[Any],
    order: Sequence[str],
    count: int,
    beyond: datetime | None = None,
    dimension: Dimension | None = None,
) -> list[Model]:
    """The first events in the order, on one meter or on all, day by day as the summaries lead to them.

    :param rows: of :func:`places`, not only canceled ones
    :param beyond: where in time to begin, if not at the end
    :param dimension: only events that have it; only who used such, and when, is looked at
    """
    if dimension is not None:
        rows = dimension.within(rows)
    walk = _Walk.of(environment, filters, dimension, descending=order[0].startswith("-"))
    ordered = rows.order_by(*order).values_list("at", "event")
    # What is in no summary yet: of a second or two, if the roll-up runs.
    found = set(ordered.filter(xid__gte=watermark().xid)[:count])
    summarized: set[tuple[datetime, UUID]] = set()
    days = 1
    while len(summarized) < count and (span := walk.next_days(beyond, days)):
        summarized |= walk.first_places(rows, order, count, span)
        beyond = span.start - _INSTANT if walk.descending else span.end
        days *= 4
    first = sorted(found | summarized, reverse=walk.descending)[:count]
    return _fetch(environment, [(pk, at) for at, pk in first])


@dataclass(frozen=True, slots=True)
class _Walk:
    """Over the days that have events on some meters, from the newest to the oldest or the other way."""

    environment: Environment
    meters: QuerySet[Meter]
    within: Period
    dimension: Dimension | None
    descending: bool

    @classmethod
    def of(
        cls, environment: Environment, filters: Mapping[str, str], dimension: Dimension | None, *, descending: bool
    ) -> Self:
        meters = Meter.objects.of(environment)
        if "meter" in filters:
            meters = meters.filter(pk=filters["meter"])
        # Of months that retention has dropped, only summaries are left.
        start = min((month.start for month in existing_months()), default=EARLIEST)
        if "timestamp_gte" in filters:
            start = max(start, floor_day(datetime.fromisoformat(filters["timestamp_gte"])))
        end = datetime.fromisoformat(filters["timestamp_lt"]) if "timestamp_lt" in filters else LATEST
        return cls(environment, meters, Period(start, max(start, end)), dimension, descending)

    def next_days(self, beyond: datetime | None, count: int) -> Period | None:
        """From the first to the last of the next days with events; None where there are no more."""
        start, end = self.within.start, self.within.end
        if beyond is not None and self.descending:
            end = min(end, beyond + _INSTANT)
        elif beyond is not None:
            start = max(start, floor_day(beyond))
        direction = "-" if self.descending else ""
        used = self._used(start, end, meter=OuterRef("pk")).order_by(f"{direction}day").values("day").distinct()
        canceled = self._canceled(start, end, meter=OuterRef("pk")).order_by(f"{direction}event_timestamp")
        days = {
            floor_day(instant)
            for of_meter in self.meters.values_list(
                ArraySubquery(used[:count]), ArraySubquery(canceled.values("event_timestamp")[:count])
            )
            for instants in of_meter
            for instant in instants
        }
        nearest = sorted(days, reverse=self.descending)[:count]
        return Period(min(nearest), max(nearest) + DAY) if nearest else None

    def first_places(
        self, rows: QuerySet[Any], order: Sequence[str], count: int, span: Period
    ) -> set[tuple[datetime, UUID]]:
        """The first events in the order of everyone who used a meter in the span, or whose use was canceled."""
        customers: dict[UUID, set[UUID]] = defaultdict(set)
        for source in (self._used, self._canceled):
            who = source(span.start, span.end, meter__in=self.meters).order_by()
            for meter, customer in who.values_list("meter", "customer").distinct():
                customers[meter].add(customer)
        rows = rows.filter(timestamp__gte=span.start, timestamp__lt=span.end).order_by(*order)
        firsts = [
            (at, meter, customer)
            for meter, theirs in customers.items()
            for customer, at in _of_each(theirs, Subquery(_of_customer(rows, meter).values("at")[:1]))
            if at is not None
        ]
        if len(firsts) >= count:
            # So many customers' first events are there already: nothing beyond the last of these is looked at.
            furthest = sorted((at for at, _, _ in firsts), reverse=self.descending)[count - 1]
            rows = rows.filter(at__gte=furthest) if self.descending else rows.filter(at__lte=furthest)
            firsts = [first for first in firsts if (first[0] >= furthest if self.descending else first[0] <= furthest)]
        customers.clear()
        for _, meter, customer in firsts:
            customers[meter].add(customer)
        place = JSONObject(event="event", at="at")
        return {
            (datetime.fromisoformat(found["at"]), UUID(found["event"]))
            for meter, theirs in customers.items()
            for _, places in _of_each(theirs, ArraySubquery(_of_customer(rows, meter)[:count].values(place=place)))
            for found in places
        }

    def _used(self, start: datetime, end: datetime, **which: Any) -> QuerySet[DailySummary]:
        used = DailySummary.objects.filter(environment=self.environment, day__gte=start, day__lt=end, **which)
        return self.dimension.within(used) if self.dimension else used

    def _canceled(self, start: datetime, end: datetime, **which: Any) -> QuerySet[EventAdjustment]:
        """What was canceled is in no summary."""
        return EventAdjustment.objects.filter(
            environment=self.environment, event_timestamp__gte=start, event_timestamp__lt=end, **which
        )


def _of_customer(rows: QuerySet[Any], meter: UUID) -> QuerySet[Any]:
    return rows.filter(meter=meter, customer=OuterRef("pk"))


def _of_each(customers: Iterable[UUID], asked: Subquery) -> Iterable[tuple[UUID, Any]]:
    """What a subquery by :func:`_of_customer` says of each customer."""
    return Customer.objects.filter(pk__in=customers).values_list("pk", asked)


def named(environment: Environment, identifier: str) -> MeterEvent | EventRejection | None:
    """The event, or the rejection, that holds an identifier; else the last that was refused and left it free."""
    claim = EventClaim.objects.filter(
        environment=environment, namespace=EventClaim.Namespace.IDENTIFIER, identifier=identifier
    ).first()
    if claim is not None:
        event = events_of(environment).filter(pk=claim.event_id, timestamp=claim.event_timestamp).first()
        if event is not None:
            return event
    refused = EventRejection.objects.filter(environment=environment, identifier=identifier)
    return refused.order_by("-received_at").first()


def _cancellation() -> QuerySet[EventAdjustment]:
    return EventAdjustment.objects.filter(environment=OuterRef("environment"), event_id=OuterRef("pk"))


def _fetch(environment: Environment, keys: Sequence[tuple[UUID, datetime]]) -> list[Model]:
    # The timestamps lead to the partitions.
    rows = events_of(environment).filter(pk__in=[pk for pk, _ in keys], timestamp__in=[at for _, at in keys])
    by_id: dict[UUID, Model] = {row.pk: row for row in rows}
    # Of a month that retention has dropped, cancellations outlive the events.
    return [by_id[pk] for pk, _ in keys if pk in by_id]
