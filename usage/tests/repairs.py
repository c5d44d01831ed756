"""What repairs of summaries are tested with."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import F

from accounts.models import Customer
from accounts.tests.factories import NOW
from core.periods import Period
from meters.models import Meter
from usage.models import MeterEvent, Watermark
from usage.reports import summaries

JANUARY = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
WHOLE = Period(NOW - timedelta(days=300), NOW + timedelta(days=300))


def read(meter: Meter, customer: Customer) -> Decimal:
    (row,) = summaries(meter=meter, customer_id=customer.pk, period=WHOLE)
    return row.value


def restored_elsewhere(ids_ahead_by: int) -> None:
    """Make this database look like one that was dumped from a server whose transaction ids were that far ahead."""
    MeterEvent.objects.update(xid=F("xid") + ids_ahead_by)
    Watermark.objects.update(xid=F("xid") + ids_ahead_by, system_identifier=1)
