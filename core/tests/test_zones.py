"""Boundaries at the midnights of a zone: its calendar's days, whatever the clocks do there."""

import calendar
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import Interval, Period, boundary, floor_midnight, full_periods, next_boundary, next_index

BERLIN = ZoneInfo("Europe/Berlin")
# Half hours, changes at midnight itself, a day that never was, and none of it.
ZONES = st.sampled_from(
    ["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata"]
).map(ZoneInfo)
INSTANTS = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
INTERVALS: st.SearchStrategy[Interval] = st.sampled_from(["day", "week", "month", "year"])


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("interval", "after", "expected"),
    [
        # Midnight is at 23:00 UTC in winter and at 22:00 in summer.
        ("month", "2026-02-28T23:00", "2026-03-30T22:00"),
        ("month", "2026-09-29T22:00", "2026-10-30T23:00"),
        # The day of the change has 23 hours, the other one 25.
        ("day", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("day", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("week", "2026-03-23T23:00", "2026-03-30T22:00"),
        ("year", "2026-01-30T23:00", "2027-01-30T23:00"),
    ],
)
def test_a_boundary_is_the_beginning_of_a_day_in_berlin(interval: Interval, after: str, expected: str) -> None:
    # A 31 January and a Tuesday there, at noon.
    anchor = utc("2026-01-31T11:00") if interval != "week" else utc("2026-03-17T11:00")

    assert next_boundary(anchor, interval, 1, utc(after), BERLIN) == utc(expected)


def test_a_31st_clamps_and_comes_back_by_the_zone_s_calendar() -> None:
    # Still the 30th in UTC.
    anchor = utc("2026-01-30T23:30")

    ends = [boundary(anchor, "month", 1, index, BERLIN).astimezone(BERLIN).date() for index in range(4)]

    assert ends == [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]


def test_parts_of_a_short_day_count_against_its_23_hours() -> None:
    start = utc("2026-03-28T23:00")

    length = full_periods(start, "day", 1, Period(start, start + timedelta(hours=1)), BERLIN)

    assert length == Fraction(1, 23)


def begins(day: date, zone: ZoneInfo) -> datetime:
    """When a day of a zone begins, found by looking at the clocks there: every quarter of an hour of three days."""
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=15)
    return at


def walk(anchor: datetime, interval: Interval, count: int, after: datetime, zone: ZoneInfo) -> datetime:
    """The next boundary, found day by day."""
    first = anchor.astimezone(zone).date()
    day = after.astimezone(zone).date() - timedelta(days=1)
    while True:
        day += timedelta(days=1)
        if interval in ("day", "week"):
            fits = (day - first).days % (count * (7 if interval == "week" else 1)) == 0
        else:
            months = (day.year - first.year) * 12 + day.month - first.month
            last = calendar.monthrange(day.year, day.month)[1]
            fits = months % (count * (12 if interval == "year" else 1)) == 0 and day.day == min(first.day, last)
        if fits and begins(day, zone) > after:
            return begins(day, zone)


@given(anchor=INSTANTS, interval=INTERVALS, count=st.integers(1, 4), after=INSTANTS, zone=ZONES)
def test_the_next_boundary_is_the_one_that_a_walk_through_the_zone_s_days_finds(
    anchor: datetime, interval: Interval, count: int, after: datetime, zone: ZoneInfo
) -> None:
    assert next_boundary(anchor, interval, count, after, zone) == walk(anchor, interval, count, after, zone)


@given(anchor=INSTANTS, interval=INTERVALS, count=st.integers(1, 12), after=INSTANTS, zone=ZONES)
def test_no_boundary_lies_between_and_all_are_midnights(
    anchor: datetime, interval: Interval, count: int, after: datetime, zone: ZoneInfo
) -> None:
    index = next_index(anchor, interval, count, after, zone)
    before, following = (boundary(anchor, interval, count, number, zone) for number in (index - 1, index))

    assert before <= after < following
    assert floor_midnight(following, zone) == following


@given(anchor=INSTANTS, interval=INTERVALS, zone=ZONES, instants=st.tuples(INSTANTS, INSTANTS, INSTANTS).map(sorted))
def test_the_parts_of_a_span_add_up_in_any_zone(
    anchor: datetime, interval: Interval, zone: ZoneInfo, instants: list[datetime]
) -> None:
    first, second, third = instants

    def length(start: datetime, end: datetime) -> Fraction:
        return full_periods(anchor, interval, 1, Period(start, end), zone)

    assert length(first, second) + length(second, third) == length(first, third)
