"""Cancelling events: they stay where they are and count no more."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts.models import Environment
from usage.errors import CancellationTooLate, EventNotFound, EventsDropped
from usage.events import is_storable
from usage.models import EventAdjustment, EventClaim, MeterEvent
from usage.services.partitions import month_of, recountable_months
from usage.services.repair import mark_dirty

# How long after its receipt a program may take an event back. People may later, with a reason.
CANCELLATION_HOURS = 24


@transaction.atomic
def cancel_event(
    *, environment: Environment, identifier: str, now: datetime, event_name: str | None = None, reason: str = ""
) -> EventAdjustment:
    """Let an event count no more, from this moment in every read. Final invoices stay as they are.

    :param event_name: the name that the event must have; None takes it whatever it is called
    :param reason: needed, and enough, to cancel an event more than 24 hours after its receipt
    :returns: the cancellation; that of the first call if the event was canceled before
    :raises EventNotFound: if no event that counts has that identifier
    :raises CancellationTooLate: if it was received more than 24 hours ago and no reason is given
    :raises EventsDropped: if other events of its month are gone, so that its hour cannot be computed again
    """
    event = _find(environment, identifier, event_name)
    if not reason and event.received_at < now - timedelta(hours=CANCELLATION_HOURS):
        raise CancellationTooLate(identifier, CANCELLATION_HOURS)
    if month_of(event.timestamp) not in recountable_months():
        raise EventsDropped(identifier)
    adjustment, is_new = EventAdjustment.objects.get_or_create(
        environment=environment,
        event_id=event.pk,
        defaults={
            "meter_id": event.meter_id,
            "customer_id": event.customer_id,
            "event_timestamp": event.timestamp,
            "identifier": identifier,
            "reason": reason,
            "created_at": now,
        },
    )
    if is_new:
        # In the same transaction, so that no read sees the cancellation without the doubt about its summary.
        hour = (event.meter_id, event.customer_id, event.timestamp)
        mark_dirty(environment=environment, hours=[hour], reason="event canceled", now=now)
    return adjustment


def notice_cancellations(*, now: datetime, most: int = 1000) -> list[UUID]:
    """The events that were canceled since this was asked last, each once. Act on them in the same transaction.

    :param most: how many at once
    """
    new = EventAdjustment.objects.filter(noticed_at__isnull=True).select_for_update(skip_locked=True)
    found = list(new.order_by("pk").values_list("pk", "event_id")[:most])
    if found:
        EventAdjustment.objects.filter(pk__in=[pk for pk, _ in found]).update(noticed_at=now)
    return [event_id for _, event_id in found]


def _find(environment: Environment, identifier: str, event_name: str | None) -> MeterEvent:
    if not is_storable(identifier):
        raise EventNotFound(identifier)
    claim = EventClaim.objects.filter(
        environment=environment, namespace=EventClaim.Namespace.IDENTIFIER, identifier=identifier
    ).first()
    if claim is None:
        raise EventNotFound(identifier)
    event = (
        MeterEvent.objects.of(environment)
        .filter(pk=claim.event_id, timestamp=claim.event_timestamp)
        .select_related("meter")
        .first()
    )
    if event is None or event_name not in (None, event.meter.event_name):
        raise EventNotFound(identifier)
    return event
