"""What beat wakes the credits for."""

from celery import shared_task
from django.utils import timezone

from credits import services


@shared_task(acks_late=True, ignore_result=True)
def expire_due_grants() -> None:
    """Write off grants that have ended. Lost or doubled, it does no harm: it looks for its own work."""
    services.expire_due_grants(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def expire_due_reservations() -> None:
    """Give back what reservations hold whose time is over. Lost or doubled, it does no harm, either."""
    services.expire_due_reservations(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def burn_credit() -> None:
    """Charge for new events and let credit pay for them. Lost or doubled, it does no harm, either."""
    services.burn_credit(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def settle_waiting() -> None:
    """Pay what is pending from grants that have become usable."""
    services.settle_waiting(now=timezone.now())
