"""The outbox's background work."""

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from webhooks import services


@shared_task(acks_late=True, autoretry_for=(OperationalError,), retry_backoff=True)
def prune_events() -> int:
    """Forget what happened more than 30 days ago."""
    return services.prune_events(now=timezone.now())


@shared_task(acks_late=True, autoretry_for=(OperationalError,), retry_backoff=True)
def send() -> int:
    """Send what endpoints are due, unless another worker is at it.

    :returns: how many messages were sent
    """
    return services.send_all(clock=timezone.now)
