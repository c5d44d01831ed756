"""Celery's wake-ups for usage. A lost or doubled one does no harm: each run looks for its own work."""

from celery import shared_task
from django.utils import timezone

from usage import services


@shared_task
def roll_up() -> None:
    services.roll_up()
    services.recompute_dirty_hours()


@shared_task
def prune_retry_keys() -> None:
    services.prune_retry_keys(now=timezone.now())


@shared_task
def maintain_partitions() -> None:
    services.maintain_partitions(now=timezone.now())
