"""When phases begin and end: tables of instants, and what no schedule may say."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.periods import Interval, boundary
from subscriptions.errors import PhaseEndInvalid, PhaseGap, PhaseTrialInvalid
from subscriptions.phases import Length, Outline, lay_out

MONTH = Length("month", 1)
JANUARY_31 = datetime(2027, 1, 31, 9, 30, tzinfo=UTC)


def day(month: int, date: int) -> datetime:
    return datetime(2027, month, date, 9, 30, tzinfo=UTC)


def ends(*outlines: Outline, start_at: datetime = JANUARY_31) -> list[datetime]:
    return [span.period.end for span in lay_out(outlines, start_at=start_at, anchor_at=start_at)]


def test_months_count_from_the_31st_through_all_phases() -> None:
    one, two = Outline(MONTH, length=Length("month", 1)), Outline(MONTH, length=Length("month", 2))

    assert ends(one, two, one) == [day(2, 28), day(4, 30), day(5, 31)]


def test_without_a_word_a_phase_is_one_interval_of_its_prices() -> None:
    quarter = Outline(Length("month", 3))

    assert ends(Outline(MONTH), quarter) == [day(2, 28), day(5, 28)]


def test_boundaries_that_count_anew_carry_the_phases_with_them() -> None:
    resets = Outline(MONTH, resets_anchor=True)

    # From 28 February on, months count from a 28th.
    assert ends(Outline(MONTH), resets, Outline(MONTH)) == [day(2, 28), day(3, 28), day(4, 28)]


def test_after_a_trial_months_count_from_its_end() -> None:
    trial = Outline(MONTH, length=Length("day", 14), is_trial=True)
    [first, second, third] = lay_out([trial, Outline(MONTH), Outline(MONTH)], start_at=day(1, 17), anchor_at=day(1, 17))

    assert (first.trial_end_at, first.period.end) == (JANUARY_31, JANUARY_31)
    assert [second.period.end, third.period.end] == [day(2, 28), day(3, 31)]


def test_the_next_ones_start_says_where_one_ends() -> None:
    assert ends(Outline(MONTH), Outline(MONTH, start_at=day(3, 7), end_at=day(3, 9))) == [day(3, 7), day(3, 9)]


def test_an_instant_off_the_boundaries_counts_from_itself() -> None:
    off = Outline(MONTH, end_at=day(2, 10))

    assert ends(off, Outline(MONTH)) == [day(2, 10), day(3, 10)]


def test_by_local_midnight_phases_end_where_periods_do() -> None:
    zone = ZoneInfo("Europe/Berlin")
    spans = lay_out([Outline(MONTH), Outline(MONTH)], start_at=day(3, 1), anchor_at=day(3, 1), zone=zone)

    # Summer time began on 28 March.
    assert [span.period.end for span in spans] == [
        datetime(2027, 3, 31, 22, tzinfo=UTC),
        datetime(2027, 4, 30, 22, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("outlines", "refusal", "position"),
    [
        ([Outline(MONTH, end_at=JANUARY_31)], PhaseEndInvalid, 0),
        ([Outline(MONTH), Outline(MONTH, end_at=day(2, 1))], PhaseEndInvalid, 1),
        ([Outline(MONTH, end_at=day(2, 10)), Outline(MONTH, start_at=day(2, 11))], PhaseGap, 1),
        ([Outline(MONTH, trial_end_at=day(3, 1))], PhaseTrialInvalid, 0),
        ([Outline(MONTH, trial_end_at=JANUARY_31)], PhaseTrialInvalid, 0),
        ([Outline(MONTH, is_trial=True, resets_anchor=True)], PhaseTrialInvalid, 0),
    ],
)
def test_what_no_schedule_may_say(outlines: list[Outline], refusal: type[Exception], position: int) -> None:
    with pytest.raises(refusal) as refused:
        ends(*outlines)
    assert refused.value.position == position  # type: ignore[attr-defined]


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["day", "week", "month", "year"]),
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
)
def test_phases_of_whole_intervals_end_on_boundaries(start: datetime, interval: Interval, counts: list[int]) -> None:
    outlines = [Outline(Length(interval, 1), length=Length(interval, count)) for count in counts]

    spans = lay_out(outlines, start_at=start, anchor_at=start)

    total = 0
    for count, span in zip(counts, spans, strict=True):
        assert span.period.start == boundary(start, interval, 1, total)
        total += count
        assert span.period.end == boundary(start, interval, 1, total)
