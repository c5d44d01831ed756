"""Anchors by the day of the month: the first boundary comes as soon as it can, and the day is never lost."""

import calendar
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import boundary, next_boundary, next_index
from subscriptions.anchors import AnchorConfig

BERLIN = ZoneInfo("Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("config", "months", "expected"),
    [
        (AnchorConfig(15), 1, ["2026-02-15T12:30", "2026-03-15T12:30"]),
        (AnchorConfig(10), 1, ["2026-03-10T12:30", "2026-04-10T12:30"]),
        (AnchorConfig(31), 1, ["2026-02-28T12:30", "2026-03-31T12:30"]),
        (AnchorConfig(31, hour=9, minute=0, second=0), 1, ["2026-02-28T09:00", "2026-03-31T09:00"]),
        (AnchorConfig(10, hour=13), 1, ["2026-02-10T13:30", "2026-03-10T13:30"]),
        # A quarter that begins with January.
        (AnchorConfig(1, month=1), 3, ["2026-04-01T12:30", "2026-07-01T12:30"]),
        (AnchorConfig(31, month=6), 12, ["2026-06-30T12:30", "2027-06-30T12:30"]),
        (AnchorConfig(29, month=2), 12, ["2026-02-28T12:30", "2027-02-28T12:30", "2028-02-29T12:30"]),
    ],
)
def test_the_boundaries_after_10_february_are(config: AnchorConfig, months: int, expected: list[str]) -> None:
    now = utc("2026-02-10T12:30")

    anchor = config.anchor(now, "month", months)

    first = next_index(anchor, "month", months, now)
    assert [boundary(anchor, "month", months, first + index) for index in range(len(expected))] == [
        utc(text) for text in expected
    ]


def test_in_a_zone_the_day_is_its_calendar_s_and_begins_at_midnight() -> None:
    # The 1st already, there.
    now = utc("2026-02-28T23:30")

    anchor = AnchorConfig(1, hour=9).anchor(now, "month", 1, BERLIN)

    assert next_boundary(anchor, "month", 1, now, BERLIN) == utc("2026-03-31T22:00")


def test_days_and_weeks_have_no_day_of_the_month() -> None:
    with pytest.raises(ValueError, match="no day of the month"):
        AnchorConfig(1).anchor(utc("2026-01-01"), "week", 1)


@given(
    day=st.integers(1, 31),
    months=st.sampled_from([1, 2, 3, 6, 12, 24]),
    now=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_every_boundary_is_on_the_day_or_the_month_s_last(day: int, months: int, now: datetime) -> None:
    now = now.replace(microsecond=0)

    anchor = AnchorConfig(day).anchor(now, "month", months)

    first = next_index(anchor, "month", months, now)
    for index in range(first, first + 5):
        end = boundary(anchor, "month", months, index)
        assert end.day == min(day, calendar.monthrange(end.year, end.month)[1]) or anchor.day < day
        assert end.time() == now.time()
    # As soon as possible: no month goes by without it.
    assert boundary(anchor, "month", months, first) - now <= timedelta(days=31)
