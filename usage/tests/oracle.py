"""A brute-force reading of the rules, to hold every clever read against: plain Python over a list of events."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal

from core.periods import Period


@dataclass(frozen=True, slots=True)
class Seen:
    """An event as the test sent it."""

    timestamp: datetime
    value: Decimal
    dimensions: Mapping[str, str] = field(default_factory=dict)


def expected(
    formula: str,
    seen: Iterable[Seen],
    period: Period,
    event_time_window: str = "",
    keep: Callable[[Seen], bool] | None = None,
) -> Decimal:
    """What the meter's formula gives for the events in [start, end), in the order in which they were sent.

    :param keep: which of the events that count are asked for; None for all
    """
    inside = [event for event in seen if period.start <= event.timestamp < period.end]
    # Sorting is stable, so of two events of one instant the later sent comes later.
    inside.sort(key=lambda event: event.timestamp)
    if event_time_window:
        inside = list({_utc_bucket(event.timestamp, event_time_window): event for event in inside}.values())
    values = [event.value for event in inside if keep is None or keep(event)]
    if formula == "count":
        return Decimal(len(values))
    if formula == "unique_count":
        return Decimal(len(set(values)))
    if not values:
        return Decimal(0)
    return {"sum": sum(values, Decimal(0)), "last": values[-1], "max": max(values), "min": min(values)}[formula]


def buckets(seen: Iterable[Seen], period: Period, window: str, zone: tzinfo) -> list[list[Seen]]:
    """The events of the period by the hour, day, week or month on the zone's wall clock, newest first."""
    inside = sorted((event for event in seen if event.timestamp in period), key=lambda event: event.timestamp)
    found: dict[object, list[Seen]] = {}
    for event in inside:
        found.setdefault(_label(event.timestamp.astimezone(zone), window), []).append(event)
    return list(found.values())[::-1]


def _label(local: datetime, window: str) -> object:
    """What a wall calendar and clock show: the same in two hours that one clock change repeats, but for the offset."""
    if window == "month":
        return (local.year, local.month)
    if window == "week":
        return local.date().isocalendar()[:2]
    if window == "day":
        return local.date()
    return (local.date(), local.hour, local.utcoffset())


def _utc_bucket(instant: datetime, window: str) -> datetime:
    hour = instant.replace(minute=0, second=0, microsecond=0)
    return hour if window == "hour" else hour - timedelta(hours=hour.hour)
