"""Bars are geometry: exact, and never over the top."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing_project.console.chart import HEIGHT, bars, ceiling, pairs
from core.periods import HOUR, Period

START = datetime(2026, 5, 1, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("greatest", "top"),
    [
        (0, 10),
        (1, 10),
        (10, 10),
        (11, 20),
        (20, 20),
        (21, 50),
        (50, 50),
        (51, 100),
        (99, 100),
        (100, 100),
        (101, 200),
        (17638, 20000),
    ],
)
def test_the_top_is_a_round_number_that_is_not_too_low(greatest: int, top: int) -> None:
    assert ceiling(greatest) == top


def test_kinds_are_stacked_and_every_hour_has_a_bar() -> None:
    counts = {(START, "live"): 30, (START, "test"): 20, (START + 2 * HOUR, "test"): 1}

    drawn = bars(counts, Period(START, START + 3 * HOUR), ["live", "test"])

    assert [(bar.x, bar.hour.start, bar.count) for bar in drawn] == [
        (0, START, 50),
        (1, START + HOUR, 0),
        (2, START + 2 * HOUR, 1),
    ]
    live, test = drawn[0].parts
    assert (live.y, live.height) == (400, 600)
    assert (test.y, test.height) == (0, 400)


def test_a_single_event_beside_millions_is_seen() -> None:
    drawn = bars({(START, "live"): 5_000_000, (START + HOUR, "live"): 1}, Period(START, START + 2 * HOUR), ["live"])

    assert drawn[1].parts[0].height == 1
    assert drawn[0].parts[0].height == HEIGHT


def test_two_rows_of_values_stand_side_by_side_on_one_scale() -> None:
    drawn = pairs([Decimal(5), Decimal(-2), Decimal("0.001")], [Decimal(10), None, Decimal(0), Decimal(4)])

    assert [(pair.x, pair.height, pair.height_before) for pair in drawn] == [
        (0, 500, 1000),
        (1, 0, 0),
        # Any value at all is seen.
        (2, 1, 0),
        (3, 0, 400),
    ]
    assert (drawn[0].y, drawn[0].y_before) == (500, 0)
    assert drawn[3].value is None
    assert pairs([], []) == []
