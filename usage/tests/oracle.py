"""A brute-force reading of the rules, to hold every clever read against: plain Python over a list of events."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from core.periods import Period


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the test sent it, in the order of sending."""

    timestamp: datetime
    value: Decimal


def expected(formula: str, seen: Iterable[Seen], period: Period, event_time_window: str = "") -> Decimal:
    """What the meter's formula gives for the events in [start, end)."""
    inside = [event for event in seen if period.start <= event.timestamp < period.end]
    # Sorting is stable, so of two events of one instant the later sent comes later.
    inside.sort(key=lambda event: event.timestamp)
    if event_time_window:
        inside = list({bucket_of(event.timestamp, event_time_window): event for event in inside}.values())
    values = [event.value for event in inside]
    if formula == "count":
        return Decimal(len(values))
    if not values:
        return Decimal(0)
    return {"sum": sum(values, Decimal(0)), "last": values[-1], "max": max(values), "min": min(values)}[formula]


def buckets(seen: Iterable[Seen], period: Period, window: str) -> list[Period]:
    """The hours or UTC days that hold events, newest first."""
    length = timedelta(hours=1) if window == "hour" else timedelta(days=1)
    starts = {bucket_of(event.timestamp, window) for event in seen if period.start <= event.timestamp < period.end}
    return [Period(start, start + length) for start in sorted(starts, reverse=True)]


def bucket_of(instant: datetime, window: str) -> datetime:
    hour = instant.replace(minute=0, second=0, microsecond=0)
    return hour if window == "hour" else hour.replace(hour=0)
