"""Hours, days, weeks and months of a time zone's calendar."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import HOUR, Period, Window, windows

ZONES = st.sampled_from(
    ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]
).map(ZoneInfo)
INSTANTS = st.integers(0, 12 * 365 * 86_400 * 10**6).map(
    lambda microseconds: datetime(2015, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
LENGTHS = st.timedeltas(timedelta(0), timedelta(days=40))


@given(start=INSTANTS, length=LENGTHS, window=st.sampled_from(get_args(Window)), zone=ZONES)
def test_windows_cover_the_period_without_gap_or_overlap(
    start: datetime, length: timedelta, window: Window, zone: ZoneInfo
) -> None:
    period = Period(start, start + length)

    cuts = windows(period, window, zone)

    assert all(cut.start < cut.end for cut in cuts)
    assert all(before.end == after.start for before, after in pairwise(cuts))
    if length:
        assert (cuts[0].start, cuts[-1].end) == (period.start, period.end)
    else:
        assert cuts == []


@given(start=INSTANTS, length=LENGTHS, window=st.sampled_from(get_args(Window)), zone=ZONES)
def test_a_window_begins_where_the_clock_on_the_wall_says_so(
    start: datetime, length: timedelta, window: Window, zone: ZoneInfo
) -> None:
    for cut in windows(Period(start, start + length), window, zone)[1:]:
        local, before = cut.start.astimezone(zone), (cut.start - timedelta(microseconds=1)).astimezone(zone)
        changed = local.utcoffset() != before.utcoffset()
        if window == "hour":
            assert local.minute == 0 or changed
        else:
            assert local.date() > before.date()
            # Midnight, or the first instant of a day whose midnight was skipped.
            assert (local.hour, local.minute) == (0, 0) or changed
        if window == "week":
            assert local.weekday() == 0
        if window == "month":
            assert local.day == 1


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("America/New_York", date(2026, 3, 8), 23),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        # Here the clocks were put forward at midnight: the day began at one.
        ("America/Sao_Paulo", date(2018, 11, 4), 23),
    ],
)
def test_the_day_of_a_clock_change_is_as_long_as_it_was(zone: str, day: date, hours: float) -> None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    around = Period(midnight - timedelta(days=2), midnight + timedelta(days=3))

    lengths = {
        cut.start.astimezone(ZoneInfo(zone)).date(): cut.end - cut.start
        for cut in windows(around, "day", ZoneInfo(zone))
    }

    assert lengths[day] == hours * HOUR
    assert lengths[day + timedelta(days=1)] == 24 * HOUR


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    period = Period(datetime(2026, 1, 30, 12, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC))

    assert [cut.start.day for cut in windows(period, "week")] == [30, 2, 9]
    assert [cut.start.day for cut in windows(period, "month")] == [30, 1]
