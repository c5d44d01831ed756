"""What beat wakes the credits for."""

from celery import shared_task
from django.utils import timezone

from credits import services


@shared_task(acks_late=True, ignore_result=True)
def expire_due_grants() -> None:
    """Write off grants that have ended. Lost or doubled, it does no harm: it looks for its own work."""
    services.expire_due_grants(now=timezone.now())
