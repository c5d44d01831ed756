"""Half-open spans, and boundaries that never drift from their anchor."""

import calendar
from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import Interval, Period, boundary, ceil_hour, floor_hour, full_periods, next_boundary, next_index


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_period_holds_its_start_and_not_its_end() -> None:
    period = Period(utc("2026-01-01"), utc("2026-02-01"))

    assert period.start in period
    assert period.end - timedelta(microseconds=1) in period
    assert period.end not in period


def test_a_period_refuses_naive_bounds_and_a_reversed_order() -> None:
    with pytest.raises(ValueError, match="aware"):
        Period(datetime(2026, 1, 1), utc("2026-02-01"))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="before"):
        Period(utc("2026-02-01"), utc("2026-01-01"))


def test_hours_are_floored_and_ceiled_in_utc() -> None:
    half_past = datetime(2026, 1, 1, 5, 15, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert floor_hour(half_past) == utc("2025-12-31T23:00")
    assert ceil_hour(half_past) == utc("2026-01-01T00:00")
    assert ceil_hour(utc("2026-01-01T07:00")) == utc("2026-01-01T07:00")
    assert Period.hour(half_past) == Period(utc("2025-12-31T23:00"), utc("2026-01-01T00:00"))


def test_an_anchor_on_the_31st_clamps_month_by_month_and_comes_back() -> None:
    anchor = utc("2027-01-31T09:30:15")

    days = [boundary(anchor, "month", 1, index).isoformat()[:19] for index in range(14)]

    assert days == [
        "2027-01-31T09:30:15",
        "2027-02-28T09:30:15",
        "2027-03-31T09:30:15",
        "2027-04-30T09:30:15",
        "2027-05-31T09:30:15",
        "2027-06-30T09:30:15",
        "2027-07-31T09:30:15",
        "2027-08-31T09:30:15",
        "2027-09-30T09:30:15",
        "2027-10-31T09:30:15",
        "2027-11-30T09:30:15",
        "2027-12-31T09:30:15",
        "2028-01-31T09:30:15",
        "2028-02-29T09:30:15",
    ]


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "index", "expected"),
    [
        ("2024-02-29", "year", 1, 1, "2025-02-28"),
        ("2024-02-29", "year", 1, 4, "2028-02-29"),
        ("2024-02-29", "year", 1, -1, "2023-02-28"),
        ("2026-01-30", "month", 1, 1, "2026-02-28"),
        ("2026-08-31", "month", 3, 1, "2026-11-30"),
        ("2026-08-31", "month", 3, 2, "2027-02-28"),
        ("2026-03-31", "month", 1, -1, "2026-02-28"),
        ("2026-01-31", "month", 1, -11, "2025-02-28"),
        ("2026-12-15", "month", 1, 1, "2027-01-15"),
        ("2026-02-20", "day", 10, 1, "2026-03-02"),
        ("2026-02-20", "week", 2, -1, "2026-02-06"),
    ],
)
def test_a_boundary_is_counted_from_the_anchor(
    anchor: str, interval: Interval, count: int, index: int, expected: str
) -> None:
    assert boundary(utc(anchor), interval, count, index) == utc(expected)


def test_months_are_utc_s_whatever_zone_the_anchor_is_written_in() -> None:
    late = datetime(2026, 1, 31, 23, 0, tzinfo=timezone(timedelta(hours=-5)))

    assert boundary(late, "month", 1, 1) == utc("2026-03-01T04:00")
    assert next_boundary(late, "month", 1, late) == utc("2026-03-01T04:00")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("2026-01-31T00:00:00", "2026-02-28T00:00:00"),
        ("2026-02-27T23:59:59", "2026-02-28T00:00:00"),
        ("2026-02-28T00:00:00", "2026-03-31T00:00:00"),
        ("2026-03-30T12:00:00", "2026-03-31T00:00:00"),
        ("2025-11-30T00:00:00", "2025-12-31T00:00:00"),
        ("2025-11-29T23:59:59", "2025-11-30T00:00:00"),
    ],
)
def test_the_next_boundary_is_strictly_later(after: str, expected: str) -> None:
    assert next_boundary(utc("2026-01-31"), "month", 1, utc(after)) == utc(expected)


INTERVALS: st.SearchStrategy[Interval] = st.sampled_from(["day", "week", "month", "year"])
INSTANTS = st.datetimes(datetime(1995, 1, 1), datetime(2055, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
COUNTS = st.integers(1, 36)


def walk(anchor: datetime, interval: Interval, count: int, after: datetime) -> datetime:
    """The next boundary, found by going from day to day through the calendar. Slow, and hard to get wrong."""
    step = 1 if interval in ("day", "week") else -1
    length = {"day": count, "week": 7 * count, "month": count, "year": 12 * count}[interval]
    day = after.date()
    while True:
        at = datetime.combine(day, anchor.timetz())
        if at > after:
            if step == 1 and (day - anchor.date()).days % length == 0:
                return at
            months = (day.year - anchor.year) * 12 + day.month - anchor.month
            last = calendar.monthrange(day.year, day.month)[1]
            if step == -1 and months % length == 0 and day.day == min(anchor.day, last):
                return at
        day += timedelta(days=1)


@given(anchor=INSTANTS, interval=INTERVALS, count=st.integers(1, 6), after=INSTANTS)
def test_the_next_boundary_is_the_one_that_a_walk_through_the_calendar_finds(
    anchor: datetime, interval: Interval, count: int, after: datetime
) -> None:
    assert next_boundary(anchor, interval, count, after) == walk(anchor, interval, count, after)


@given(anchor=INSTANTS, interval=INTERVALS, count=COUNTS, after=INSTANTS)
def test_no_boundary_lies_between_an_instant_and_the_next_boundary(
    anchor: datetime, interval: Interval, count: int, after: datetime
) -> None:
    index = next_index(anchor, interval, count, after)

    assert boundary(anchor, interval, count, index - 1) <= after < boundary(anchor, interval, count, index)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-02-01", "2026-03-01", Fraction(1)),
        ("2026-02-01", "2026-02-15", Fraction(14, 28)),
        ("2026-03-01", "2026-03-15", Fraction(14, 31)),
        ("2026-02-15", "2026-03-15", Fraction(1, 2) + Fraction(14, 31)),
        ("2023-01-01", "2026-01-01", Fraction(36)),
        ("2025-12-31T12:00", "2026-01-01", Fraction(1, 62)),
        ("2026-02-01", "2026-02-01", Fraction(0)),
    ],
)
def test_a_span_is_as_many_full_periods_as_it_covers_of_each(start: str, end: str, expected: Fraction) -> None:
    assert full_periods(utc("2026-01-01"), "month", 1, Period(utc(start), utc(end))) == expected


@given(anchor=INSTANTS, interval=INTERVALS, count=COUNTS, instants=st.tuples(INSTANTS, INSTANTS, INSTANTS))
def test_the_parts_of_a_span_add_up_to_the_whole(
    anchor: datetime, interval: Interval, count: int, instants: tuple[datetime, datetime, datetime]
) -> None:
    first, second, third = sorted(instants)

    def length(start: datetime, end: datetime) -> Fraction:
        return full_periods(anchor, interval, count, Period(start, end))

    assert length(first, second) + length(second, third) == length(first, third)


def test_thirty_years_of_days_are_counted_at_once() -> None:
    assert next_boundary(utc("2026-01-01"), "day", 1, utc("1996-01-01T00:00:01")).date() == date(1996, 1, 2)
