"""Celery's wake-ups for usage. A lost or doubled one does no harm: each run looks for its own work."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import Environment
from usage import services


@shared_task
def roll_up() -> None:
    services.roll_up()
    services.recompute_dirty_hours()


@shared_task
def report_rejections() -> None:
    services.report_rejections(now=timezone.now())


@shared_task
def prune_retry_keys() -> None:
    services.prune_retry_keys(now=timezone.now())


@shared_task
def prune_rejections() -> None:
    """Forget old rejections, where the operator has not set that they are kept for good."""
    if settings.REJECTION_RETENTION_DAYS:
        retention = timedelta(days=settings.REJECTION_RETENTION_DAYS)
        services.prune_rejections(now=timezone.now(), retention=retention)


@shared_task
def maintain_partitions() -> None:
    services.maintain_partitions(now=timezone.now())


@shared_task(ignore_result=True)
def recount_sample() -> None:
    """Count some summaries of every environment again; a difference is an alarm."""
    now = timezone.now()
    for environment in Environment.objects.order_by("pk"):
        services.recount_sample(environment=environment, now=now)
