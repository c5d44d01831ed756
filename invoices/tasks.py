"""What beat wakes the invoices for."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from invoices import services
from invoices.exports import writing


@shared_task(acks_late=True, ignore_result=True)
def run_billing() -> None:
    """Let happen what is due: schedules begin, periods that are over become drafts, drafts whose grace is over become
    final invoices, and what stays open too long moves its subscription on.

    Lost or doubled, it does no harm: it looks for its own work, and the next one comes in seconds.
    """
    services.run_billing(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def run_test_clocks() -> None:
    """Bring the test clocks that are on the move to their targets."""
    services.run_test_clocks()


@shared_task(acks_late=True, ignore_result=True)
def delete_expired_test_clocks() -> None:
    """Delete the test clocks whose time is over."""
    services.delete_expired_test_clocks(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def drop_expired_usage() -> None:
    """Drop old events where the operator has set how long they are kept."""
    if settings.USAGE_RETENTION_DAYS:
        retention = timedelta(days=settings.USAGE_RETENTION_DAYS)
        services.drop_expired_usage(now=timezone.now(), retention=retention)


@shared_task(ignore_result=True)
def send_mails() -> None:
    """Send the mails with invoices that wait."""
    services.send_mails(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def write_exports() -> None:
    """Write the exports that wait. Lost or doubled, it does no harm: one worker writes, and the next call finds the rest."""
    writing.write_exports(clock=timezone.now)


@shared_task(acks_late=True, ignore_result=True)
def delete_expired_exports() -> None:
    """Delete the files of exports whose time is over."""
    writing.delete_expired_exports(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def recharge_credit() -> None:
    """Buy credit again where little is left. Lost or doubled, it does no harm: each shortfall is recharged once."""
    services.recharge_credit(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def compute_revenue_figures() -> None:
    """Compute revenue numbers that were asked for. Lost or doubled, it does no harm: each is claimed."""
    services.compute_revenue_figures(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def ask_for_unbilled_usage() -> None:
    """Have computed what was used and not billed yet, for the start page."""
    services.ask_for_unbilled_usage(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def run_what_ifs() -> None:
    """Compute the what-if prices that somebody asked for. Broken off, the next one goes on."""
    services.run_what_ifs(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def verify_invoices() -> None:
    """Compute the invoices of the last days again, from events to totals; a difference is an alarm."""
    services.verify_invoices(now=timezone.now())


@shared_task(acks_late=True, ignore_result=True)
def recount_invoiced_usage() -> None:
    """Hold what was invoiced in the last days against its events; a difference is an alarm."""
    services.recount_invoiced_usage(now=timezone.now())
