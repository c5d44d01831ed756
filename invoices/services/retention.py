"""Dropping old events, as far as no invoice needs them any more."""

from datetime import datetime, timedelta

from django.db.models import Min

from invoices.models import Invoice, InvoiceLine
from invoices.true_ups import REACH
from subscriptions.models import SubscriptionItem
from usage.services import drop_partitions


def drop_expired_usage(*, now: datetime, retention: timedelta) -> list[str]:
    """Drop the months of events that are older than the retention, but none that is still to be billed or trued up.

    Their summaries stay, and so do their identifiers: an old event that is sent again is still known.

    :returns: the names of the partitions dropped
    """
    return drop_partitions(before=min([now - retention, *_needed_since(now)]))


def _needed_since(now: datetime) -> list[datetime]:
    """The starts of the periods whose usage will be read again: not closed, on drafts, or open to late usage."""
    running = SubscriptionItem.objects.filter(subscription__wakes_at__isnull=False)
    starts = [
        running.aggregate(start=Min("current_period_start"))["start"],
        Invoice.objects.filter(status=Invoice.Status.DRAFT).aggregate(start=Min("lines__period_start"))["start"],
        InvoiceLine.objects.billed_usage()
        .filter(period_end__gt=now - REACH)
        .aggregate(start=Min("period_start"))["start"],
    ]
    return [start for start in starts if start is not None]
