"""Usage that is late, and the bills that follow, for tests."""

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Customer
from invoices import services
from invoices.models import InvoiceLine
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, utc
from meters.models import Meter
from subscriptions.models import Price
from usage.tests.factories import report

DAY = timedelta(days=1)
ENDS = [FIRST_END, SECOND_END, THIRD_END, utc("2026-10-10T12:30"), utc("2026-11-10T12:30")]
LATE = FIRST_END + DAY
TWICE_LATE = SECOND_END + DAY


def meter_of(price: Price) -> Meter:
    assert price.meter is not None
    return price.meter


def use_late(price: Price, customer: Customer, value: str | int, *, of: datetime, at: datetime) -> None:
    """Report usage of an instant at a later one."""
    report(meter_of(price), customer, value, timestamp=of, now=at)


def bill(end: datetime, *, final: bool = True) -> None:
    """Let a period end, and its invoice become final."""
    services.close_due_periods(now=end)
    if final:
        services.finalize_due_drafts(now=end + GRACE)


def lines_of(end: datetime) -> list[Any]:
    """What the invoice of the period that ends then has: period, quantity, exact amount, amount."""
    lines = InvoiceLine.objects.filter(invoice__period_end=end).order_by("position")
    return [(line.period_end, line.quantity, line.exact_amount, line.amount) for line in lines]
