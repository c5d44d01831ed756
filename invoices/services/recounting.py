"""Counting again what was invoiced: the hours under final invoices, against the events behind them."""

from datetime import datetime, timedelta
from itertools import groupby, islice
from operator import attrgetter

from invoices.models import Invoice, InvoiceLine
from usage.services import recount
from usage.totals import Span

# Each invoice is looked at again this many nights in a row, for what may have happened to its hours since.
RECOUNTED_DAYS = 3
_LINES_AT_ONCE = 500


def recount_invoiced_usage(*, now: datetime) -> int:
    """Count the usage under all invoices that became final in the last days again. A difference is an alarm.

    Invoices do not change: a person decides what follows from it.

    :returns: how many hourly summaries did not agree with their events
    """
    lines = (
        InvoiceLine.objects.filter(
            invoice__finalized_at__gte=now - timedelta(days=RECOUNTED_DAYS), price__meter__isnull=False
        )
        .exclude(invoice__status=Invoice.Status.DRAFT)
        .select_related("invoice", "price__meter", "environment")
        # Lines of one customer side by side, so that an hour under several of them is read once.
        .order_by("environment", "invoice__customer", "pk")
    )
    differences = 0
    for environment, of_environment in groupby(lines.iterator(_LINES_AT_ONCE), key=attrgetter("environment")):
        spans = (
            Span(line.price.meter, line.invoice.customer_id, line.period)
            for line in of_environment
            if line.price and line.price.meter
        )
        while batch := list(islice(spans, _LINES_AT_ONCE)):
            differences += recount(environment=environment, spans=batch, now=now)
    return differences
