"""Pages of raw events, newest first, read through indexes only and never counted.

Of a customer they are ordered by their own time; an environment's, by their arrival. The order of a page is that of a
table's index; the events themselves are fetched by key.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, F, Model, OuterRef, QuerySet
from django.db.models.functions import JSONObject

from accounts.models import Environment
from meters.models import Meter
from usage.filters import EventAdjustmentFilter, MeterEventFilter
from usage.models import EventAdjustment, EventClaim, EventRejection, MeterEvent

BY_TIME = ("-at", "-event")
BY_ARRIVAL = ("-event",)


def events_of(environment: Environment) -> QuerySet[MeterEvent]:
    """All events, each with its place in both orders and whether it was canceled."""
    return (
        MeterEvent.objects.of(environment)
        .annotate(at=F("timestamp"), event=F("id"), is_canceled=Exists(_cancellation()))
        .select_related("meter")
    )


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
    """The first events of a customer in the order: the first of each meter, since an index goes by meter first."""
    first = rows.filter(meter=OuterRef("pk")).order_by(*order)[:count]
    each = Meter.objects.of(environment).values_list(
        ArraySubquery(first.values(place=JSONObject(event="event", at="at"))), flat=True
    )
    found = [(UUID(place["event"]), datetime.fromisoformat(place["at"])) for meter in each for place in meter]
    found.sort(key=lambda place: (place[1], place[0]), reverse=order[0].startswith("-"))
    return _fetch(environment, found[:count])


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
