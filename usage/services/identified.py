"""Taking in events whose identifier alone says whether they are new: sent again, each is the one that was there first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction

from accounts.models import Environment
from core.ids import spell
from meters.known import active_meters
from meters.models import Meter
from usage.errors import DimensionReserved, EventRefused, MeterClosed, NoActiveMeter
from usage.events import EventDraft, is_storable
from usage.models import EventClaim, EventNote, MeterEvent, Source
from usage.services.batching import accept_event


class IdentifiedUsage(msgspec.Struct, frozen=True, gc=False):
    """Usage of one customer on one meter.

    :param value: as it was written
    :param dimensions: what else becomes part of the event's payload
    :param note: what the caller wants to keep beside the event; nothing is counted by it
    """

    identifier: str
    event_name: str
    customer_id: UUID
    value: str
    timestamp: datetime | None = None
    dimensions: Mapping[str, str] = {}
    note: Mapping[str, Any] = {}


def take_in_identified(*, environment: Environment, usage: IdentifiedUsage, now: datetime) -> tuple[UUID, datetime]:
    """Store an event, unless there is one with its identifier, whatever that says.

    :param now: the wall's time
    :returns: id and timestamp of the event that has the identifier now
    :raises EventRefused: with the first rule that it breaks; nothing was stored
    :raises TooManyEventsWaiting: :raises DatabaseError: as :func:`accept_event` does
    """
    try:
        draft = _draft(environment, usage)
        if not usage.note:
            event = accept_event(environment=environment, draft=draft, source=Source.API, now=now)
        else:
            with transaction.atomic():
                event = accept_event(environment=environment, draft=draft, source=Source.API, now=now)
                EventNote.objects.create(environment=environment, event_id=event.event_id, content=dict(usage.note))
    except EventRefused:
        # What was taken in before stays so, though its meter was closed since.
        first = find_identified(environment, usage.identifier)
        if first is None:
            raise
        return first
    return event.event_id, event.timestamp


def find_identified(environment: Environment, identifier: str) -> tuple[UUID, datetime] | None:
    """Id and timestamp of the event with an identifier, if one was stored."""
    if not is_storable(identifier):
        return None
    claim = EventClaim.objects.filter(
        environment=environment, namespace=EventClaim.Namespace.IDENTIFIER, identifier=identifier
    ).first()
    if claim is None:
        return None
    stored = MeterEvent.objects.of(environment).filter(pk=claim.event_id, timestamp=claim.event_timestamp)
    return (claim.event_id, claim.event_timestamp) if stored.exists() else None


def _draft(environment: Environment, usage: IdentifiedUsage) -> EventDraft:
    meter = active_meters.get((environment.pk, usage.event_name)) if is_storable(usage.event_name) else None
    if meter is None:
        closed = (
            is_storable(usage.event_name) and Meter.objects.of(environment).filter(event_name=usage.event_name).exists()
        )
        raise MeterClosed(usage.event_name) if closed else NoActiveMeter(usage.event_name)
    for key in (meter.customer_key, meter.value_key):
        if key in usage.dimensions:
            raise DimensionReserved(key)
    payload = {
        **usage.dimensions,
        meter.customer_key: spell("cus", usage.customer_id),
        meter.value_key: usage.value,
    }
    return EventDraft(
        event_name=meter.event_name,
        payload=payload,
        identifier=usage.identifier,
        timestamp=usage.timestamp,
        meter_id=meter.pk,
    )
