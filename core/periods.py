"""Half-open spans of time in UTC, and billing periods counted from an anchor."""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from fractions import Fraction
from typing import Literal, Self

Interval = Literal["day", "week", "month", "year"]
Window = Literal["hour", "day", "week", "month"]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Period:
    """The span ``[start, end)``: an event at ``end`` belongs to the next one."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period's bounds are aware")
        if self.end < self.start:
            raise ValueError("a period ends before it starts")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    @classmethod
    def hour(cls, instant: datetime) -> Self:
        """The clock hour, in UTC, that holds an instant."""
        start = floor_hour(instant)
        return cls(start, start + HOUR)


def floor_hour(instant: datetime) -> datetime:
    """The start of the UTC clock hour that holds the instant."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def ceil_hour(instant: datetime) -> datetime:
    """The first UTC clock hour's start that is not before the instant."""
    floor = floor_hour(instant)
    return floor if floor == instant else floor + HOUR


def floor_day(instant: datetime) -> datetime:
    """The start of the UTC day that holds the instant."""
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def ceil_day(instant: datetime) -> datetime:
    """The first UTC day's start that is not before the instant."""
    floor = floor_day(instant)
    return floor if floor == instant else floor + DAY


def floor_midnight(instant: datetime, zone: tzinfo) -> datetime:
    """The start of the day of a time zone's calendar that holds the instant."""
    return _midnight(instant.astimezone(zone).date(), zone)


def boundary(
    anchor: datetime, interval: Interval, interval_count: int, index: int, zone: tzinfo | None = None
) -> datetime:
    """The ``index``-th period boundary, counted from the anchor (which is number 0).

    Months clamp to their last day, each counted from the anchor and never from the boundary before it:
    31 January is followed by 28 February and then 31 March. Days and months are UTC's.

    :param zone: have boundaries fall on the midnights of this zone instead, counted from the anchor's day there; number 0
        is the beginning of that day. Days are the zone's calendar days, of 23, 24 or 25 hours.
    """
    steps = interval_count * index
    if zone is not None:
        return _midnight(_day_after(anchor.astimezone(zone).date(), interval, steps), zone)
    anchor = anchor.astimezone(UTC)
    return datetime.combine(_day_after(anchor.date(), interval, steps), anchor.timetz())


def next_index(
    anchor: datetime, interval: Interval, interval_count: int, after: datetime, zone: tzinfo | None = None
) -> int:
    """The number of the first period boundary strictly later than ``after``."""
    first, last = (instant.astimezone(zone or UTC).date() for instant in (anchor, after))
    # Start from an estimate that is never late, then walk: at most a couple of steps.
    if interval in ("day", "week"):
        index = (last - first).days // (interval_count * (1 if interval == "day" else 7))
    else:
        months = interval_count * (12 if interval == "year" else 1)
        index = ((last.year - first.year) * 12 + last.month - first.month) // months
    while boundary(anchor, interval, interval_count, index, zone) <= after:
        index += 1
    return index


def next_boundary(
    anchor: datetime, interval: Interval, interval_count: int, after: datetime, zone: tzinfo | None = None
) -> datetime:
    """The first period boundary strictly later than ``after``."""
    index = next_index(anchor, interval, interval_count, after, zone)
    return boundary(anchor, interval, interval_count, index, zone)


def full_periods(
    anchor: datetime, interval: Interval, interval_count: int, span: Period, zone: tzinfo | None = None
) -> Fraction:
    """How many full periods a span is long: 1 between two neighboring boundaries, exact parts of it in between.

    Parts count against the period that they lie in: 14 days are a half of a 28-day February and 14/31 of March.
    """

    def position(instant: datetime) -> Fraction:
        index = next_index(anchor, interval, interval_count, instant, zone)
        start = boundary(anchor, interval, interval_count, index - 1, zone)
        end = boundary(anchor, interval, interval_count, index, zone)
        return index - 1 + Fraction((instant - start) // _MICROSECOND, (end - start) // _MICROSECOND)

    return position(span.end) - position(span.start)


def windows(period: Period, window: Window, zone: tzinfo = UTC) -> list[Period]:
    """Cut a period into the hours, days, weeks (from Monday) or months of a time zone's calendar, in order.

    The first and the last are what lies in the period. A day has 23 or 25 hours where the clocks are changed, and in a
    zone half an hour off, hours begin at the half.
    """
    cuts: list[Period] = []
    if period.start == period.end:
        return cuts
    start = _window_start(period.start, window, zone)
    while start < period.end:
        end = _next_window(start, window, zone)
        # Where clocks are moved within an hour, going back to its start may have gone back too far.
        if end > period.start:
            cuts.append(Period(max(start, period.start), min(end, period.end)))
        start = end
    return cuts


def _window_start(instant: datetime, window: Window, zone: tzinfo) -> datetime:
    local = instant.astimezone(zone)
    if window == "hour":
        return instant.astimezone(UTC) - timedelta(
            minutes=local.minute, seconds=local.second, microseconds=local.microsecond
        )
    day = local.date()
    if window == "week":
        day -= timedelta(days=day.weekday())
    elif window == "month":
        day = day.replace(day=1)
    return _midnight(day, zone)


def _next_window(start: datetime, window: Window, zone: tzinfo) -> datetime:
    local = start.astimezone(zone)
    if window == "hour":
        # Where clocks are moved by half an hour, the hour begins within one.
        return start + HOUR - timedelta(minutes=local.minute, seconds=local.second)
    day = local.date()
    if window == "month":
        day = boundary(datetime(day.year, day.month, 1, tzinfo=UTC), "month", 1, 1).date()
    else:
        day += timedelta(days=7 if window == "week" else 1)
    return _midnight(day, zone)


def _day_after(day: date, interval: Interval, steps: int) -> date:
    """So many days, weeks, months or years on; the month's last day where it has no such day."""
    if interval in ("day", "week"):
        return day + timedelta(days=steps * (1 if interval == "day" else 7))
    months = steps * (12 if interval == "year" else 1)
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    return day.replace(year=year, month=month0 + 1, day=min(day.day, calendar.monthrange(year, month0 + 1)[1]))


def _midnight(day: date, zone: tzinfo) -> datetime:
    """When a day begins: where midnight is skipped, at the instant of the change; where it comes twice, the first time."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
