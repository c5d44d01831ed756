"""The accounts' background work."""

from celery import shared_task
from django.db import OperationalError
from django.utils import timezone

from accounts import licenses, services


@shared_task(acks_late=True, autoretry_for=(OperationalError,), retry_backoff=True)
def prune_idempotency_records() -> int:
    """Forget answers that are older than a re-send may be."""
    return services.prune_idempotency_records(now=timezone.now())


@shared_task(acks_late=True, autoretry_for=(OperationalError,), retry_backoff=True)
def check_licenses() -> int:
    """Record the warnings and transitions of licenses that are due.

    :returns: how many were new
    """
    return len(licenses.check_licenses(now=timezone.now()))


@shared_task(acks_late=True, ignore_result=True)
def prune_requests() -> None:
    """Delete the record of requests of more than thirty days ago."""
    services.prune_requests(now=timezone.now())
