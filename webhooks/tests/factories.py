"""Endpoints, and events to be sent to them."""

from datetime import datetime

from django.utils import timezone

from accounts.models import Environment
from webhooks.kinds import Kind
from webhooks.models import Event, WebhookEndpoint
from webhooks.services import create_endpoint
from webhooks.services.queueing import queue_deliveries


def new_endpoint(environment: Environment, url: str, *types: str) -> WebhookEndpoint:
    return create_endpoint(environment=environment, url=url, enabled_events=types or ["*"], now=timezone.now())


def new_event(environment: Environment, name: str, kind: Kind = Kind.CUSTOMER_CREATED) -> Event:
    """An event that tells a name, on its way to whoever listens."""
    event = Event.objects.create(
        environment=environment,
        kind=kind,
        type=kind.value,
        snapshot=f'{{"object":"customer","name":"{name}"}}',
        created_at=timezone.now(),
    )
    queue_deliveries([event])
    return event


class Clock:
    """The wall's time, as a test wants it to pass."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now
