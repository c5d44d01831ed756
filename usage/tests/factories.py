"""Events for tests: all of them through the accept service, as they come in real life."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from accounts.models import Customer
from accounts.tests.factories import NOW
from core.ids import spell
from core.periods import floor_day
from meters.models import Meter
from usage import services
from usage.events import AcceptedEvent, EventDraft
from usage.models import DailySummary, MeterEvent, Source, UsageSummary
from usage.totals import watermark


def draft(
    meter: Meter,
    customer: Customer | UUID | str,
    value: Decimal | int | str | None = 1,
    *,
    timestamp: datetime | None = None,
    identifier: str | None = None,
    retry_key: str | None = None,
    fingerprint: bytes | None = None,
    more: Mapping[str, str] | None = None,
) -> EventDraft:
    """An event of a meter as a door would hand it in; ``more`` are further payload keys."""
    pk = customer.pk if isinstance(customer, Customer) else customer
    payload: dict[str, str] = {meter.customer_key: spell("cus", pk) if isinstance(pk, UUID) else pk, **(more or {})}
    if value is not None:
        payload[meter.value_key] = str(value)
    return EventDraft(meter.event_name, payload, identifier, timestamp, retry_key, fingerprint)


def report(
    meter: Meter,
    customer: Customer,
    value: Decimal | int | str | None = 1,
    *,
    timestamp: datetime,
    identifier: str | None = None,
    now: datetime = NOW,
) -> AcceptedEvent:
    """Store one event of any age."""
    event = draft(meter, customer, value, timestamp=timestamp, identifier=identifier)
    return accepted(environment_of=meter, drafts=[event], now=now)[0]


def accepted(*, environment_of: Meter, drafts: list[EventDraft], now: datetime = NOW) -> list[AcceptedEvent]:
    """Store events, all of which must be taken."""
    outcomes = services.accept_events(
        environment=environment_of.environment, drafts=drafts, source=Source.API, now=now, any_age=True
    )
    for outcome in outcomes:
        if not isinstance(outcome, AcceptedEvent):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, AcceptedEvent)]


def roll_up_all(*, patience: float = 60) -> None:
    """Roll up until every event is in the summaries.

    One run may not be enough: transaction ids are the server's, so a transaction that another test has open at this
    moment, in a database of its own, holds the watermark back.
    """
    deadline = time.monotonic() + patience
    while True:
        services.roll_up()
        if not MeterEvent.objects.filter(xid__gte=watermark().xid).exists():
            return
        assert time.monotonic() < deadline, "the watermark does not move: is a transaction left open?"
        time.sleep(0.02)


def assert_days_add_up() -> None:
    """Hold the summaries of all days against those of their hours, in Python."""
    hours: dict[tuple[object, ...], list[UsageSummary]] = defaultdict(list)
    for row in UsageSummary.objects.all():
        hours[row.meter_id, row.customer_id, floor_day(row.hour), str(sorted(row.dimensions.items()))].append(row)
    days = {
        (row.meter_id, row.customer_id, row.day, str(sorted(row.dimensions.items()))): (
            row.event_count,
            row.value_sum,
            row.value_min,
            row.value_max,
        )
        for row in DailySummary.objects.all()
    }
    assert days == {
        day: (
            sum(row.event_count for row in rows),
            _of(sum, [row.value_sum for row in rows]),
            _of(min, [row.value_min for row in rows]),
            _of(max, [row.value_max for row in rows]),
        )
        for day, rows in hours.items()
    }


def _of(function: Callable[[list[Decimal]], Any], values: list[Decimal | None]) -> Any:
    known = [value for value in values if value is not None]
    return function(known) if known else None
