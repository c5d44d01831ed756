"""Events are put on their way to the endpoints that listen, in the transaction that records them."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from webhooks.models import Delivery, Event, WebhookEndpoint

PATIENCE = timedelta(days=3)


def queue_deliveries(events: Sequence[Event]) -> None:
    """Let each event be sent to every endpoint of its environment that listens to its type."""
    if not events:
        return
    listening: dict[UUID, list[WebhookEndpoint]] = {}
    for endpoint in WebhookEndpoint.objects.listening().filter(
        environment__in={event.environment_id for event in events}
    ):
        listening.setdefault(endpoint.environment_id, []).append(endpoint)
    if not listening:
        return
    # The wall's time, whatever clock the event's customer lives by: strangers' servers live by the wall.
    now = timezone.now()
    Delivery.objects.bulk_create(
        Delivery(
            environment_id=event.environment_id,
            endpoint=endpoint,
            event=event,
            due_at=now,
            gives_up_at=now + PATIENCE,
        )
        for event in events
        for endpoint in listening.get(event.environment_id, ())
        if endpoint.listens_to(event.type)
    )
