"""What beat wakes the invoices for."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from invoices import services


@shared_task(acks_late=True, ignore_result=True)
def close_due_periods() -> None:
    """Turn periods that are over into drafts, and drafts whose grace is over into final invoices.

    Lost or doubled, it does no harm: it looks for its own work, and the next one comes in seconds.
    """
    wall = timezone.now()
    services.close_due_periods(wall=wall)
    services.finalize_due_drafts(wall=wall)


@shared_task(acks_late=True, ignore_result=True)
def drop_expired_usage() -> None:
    """Drop old events where the operator has set how long they are kept."""
    if settings.USAGE_RETENTION_DAYS:
        retention = timedelta(days=settings.USAGE_RETENTION_DAYS)
        services.drop_expired_usage(now=timezone.now(), retention=retention)


@shared_task(acks_late=True, ignore_result=True)
def recount_invoiced_usage() -> None:
    """Hold what was invoiced in the last days against its events; a difference is an alarm."""
    services.recount_invoiced_usage(now=timezone.now())
