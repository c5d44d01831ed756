"""Taking in usage from callers who know nothing of payloads: who used how much of what, and what else there is to say."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from accounts.models import Environment
from core.errors import NotFound
from core.ids import read, spell
from meters.known import active_meters, meters_by_id
from meters.models import Meter
from usage import events
from usage.errors import DimensionReserved, MeterNamedTwice, MeterNotNamed
from usage.events import AcceptedEvent, EventDraft
from usage.models import Source
from usage.services.batching import accept_event


class Report(msgspec.Struct, frozen=True, gc=False):
    """Usage of one customer on one meter.

    :param key: under which it counts once, for good
    :param customer: an id, in either spelling
    :param meter_id: in either spelling; it, or the name, or both
    :param dimensions: what else becomes part of the event's payload
    """

    key: str
    customer: str
    value: Decimal
    meter_id: str = ""
    meter_name: str = ""
    timestamp: datetime | None = None
    dimensions: Mapping[str, str] = {}


def report_usage(*, environment: Environment, report: Report, now: datetime) -> AcceptedEvent:
    """Store a report as an event of its meter, in one commit with what others report at this moment.

    :param now: the wall's time
    :raises MeterNotNamed: :raises MeterNamedTwice:
    :raises NotFound: if there is no such meter, open or closed
    :raises ReportKeyUsed: if its key was used before, even if the meter was closed since; nothing was stored
    :raises EventRefused: with the first other rule that it breaks; nothing was stored, and its key stays free
    :raises TooManyEventsWaiting: :raises DatabaseError: as :func:`accept_event` does
    """
    meter = _meter_of(environment, report)
    for key in (meter.customer_key, meter.value_key):
        if key in report.dimensions:
            raise DimensionReserved(key)
    customer = read("cus", report.customer)
    payload = {
        **report.dimensions,
        # In one spelling, whichever way it was reported. What is no id is cut to what may be refused as unknown.
        meter.customer_key: spell("cus", customer) if customer else report.customer[: events.PAYLOAD_TEXT_LENGTH],
        meter.value_key: events.number_text(report.value, meter.value_key),
    }
    draft = EventDraft(
        event_name=meter.event_name,
        payload=payload,
        timestamp=report.timestamp,
        report_key=report.key,
        meter_id=meter.pk,
    )
    return accept_event(environment=environment, draft=draft, source=Source.API, now=now)


def _meter_of(environment: Environment, report: Report) -> Meter:
    if report.meter_id:
        pk = read("mtr", report.meter_id)
        meter = meters_by_id.get((environment.pk, pk)) if pk else None
        if meter and report.meter_name not in {"", meter.event_name}:
            raise MeterNamedTwice(report.meter_id, report.meter_name)
    elif not report.meter_name:
        raise MeterNotNamed
    elif events.is_storable(report.meter_name):
        # A closed one is asked for only where the report is refused, or was taken in before.
        meter = (
            active_meters.get((environment.pk, report.meter_name))
            or Meter.objects.of(environment).named(report.meter_name).first()
        )
    else:
        meter = None
    if meter is None:
        raise NotFound("meter", report.meter_id or report.meter_name)
    return meter
