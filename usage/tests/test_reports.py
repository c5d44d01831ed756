"""Reads against the oracle: whatever was rolled up and whatever was not, every answer is exact."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from accounts.tests.factories import NOW, CustomerFactory
from core.periods import Period
from meters.models import EventTimeWindow, Formula
from meters.tests.factories import MeterFactory
from usage import services
from usage.reports import UsageQuestion, quantities, summaries
from usage.tests.factories import accepted, draft, report
from usage.tests.oracle import Seen, buckets, expected

START = datetime(2026, 5, 31, 20, tzinfo=UTC)
# Around a month's end, so that hours, days and partitions all have edges in it; full seconds and odd ones.
INSTANTS = st.one_of(
    st.integers(0, 10 * 3600).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.integers(0, 10).map(lambda hours: START + timedelta(hours=hours)),
    st.integers(0, 10 * 3600 * 10**6).map(lambda microseconds: START + timedelta(microseconds=microseconds)),
)
VALUES = st.decimals(-(10**6), 10**6, places=3).map(lambda value: value.normalize() + Decimal(0))
EVENTS = st.lists(st.builds(Seen, INSTANTS, VALUES), max_size=25)
MINUTES = st.integers(0, 11 * 60).map(lambda minutes: START + timedelta(minutes=minutes - 30))
PERIODS = st.tuples(MINUTES, MINUTES).map(lambda bounds: Period(min(bounds), max(bounds)))


class TestAgainstOracle(TestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        batches=st.lists(EVENTS, min_size=1, max_size=3),
        rolled=st.lists(st.booleans(), min_size=3, max_size=3),
        formula=st.sampled_from(Formula.values),
        event_time_window=st.sampled_from(["", *EventTimeWindow.values]),
        period=PERIODS,
    )
    def test_any_period_and_window_equals_the_oracle(
        self,
        batches: list[list[Seen]],
        rolled: list[bool],
        formula: str,
        event_time_window: str,
        period: Period,
    ) -> None:
        meter = MeterFactory.create(formula=formula, event_time_window=event_time_window, dimension_keys=["parity"])
        customer = CustomerFactory.create(environment=meter.environment)
        bystander = CustomerFactory.create(environment=meter.environment)
        report(meter, bystander, 99, timestamp=START)
        for batch, roll in zip(batches, rolled, strict=False):
            accepted(
                environment_of=meter,
                drafts=[
                    draft(
                        meter,
                        customer,
                        f"{event.value:f}",
                        timestamp=event.timestamp,
                        more={"parity": str(event.value % 2)},
                    )
                    for event in batch
                ],
            )
            if roll:
                services.roll_up()
        seen = [event for batch in batches for event in batch]

        (usage,) = quantities(meter.environment_id, [UsageQuestion(meter.pk, customer.pk, period)])
        assert usage.value == expected(formula, seen, period, event_time_window)
        (row,) = summaries(meter=meter, customer=customer, period=period)
        assert row.value == usage.value
        day_range = Period(START.replace(hour=0), START.replace(hour=0) + timedelta(days=3))
        for window in ("hour", "day"):
            rows = summaries(meter=meter, customer=customer, period=day_range, window=window)
            if not event_time_window:
                assert [row.period for row in rows] == buckets(seen, day_range, window)
                assert [row.value for row in rows] == [expected(formula, seen, row.period) for row in rows]
            elif window == event_time_window:
                assert [row.value for row in rows] == [
                    expected(formula, seen, row.period, event_time_window) for row in rows
                ]


@pytest.mark.django_db
def test_given_many_questions_when_asked_at_once_then_one_query_answers_them_in_order(
    django_assert_max_num_queries: object,
) -> None:
    meter = MeterFactory.create()
    customers = [CustomerFactory.create(environment=meter.environment) for _ in range(5)]
    for number, customer in enumerate(customers):
        report(meter, customer, number, timestamp=START + timedelta(hours=1, minutes=number))
    services.roll_up()
    for number, customer in enumerate(customers):
        report(meter, customer, 10 * number, timestamp=START + timedelta(hours=2))
    period = Period(START, START + timedelta(hours=9, minutes=1))

    questions = [UsageQuestion(meter.pk, customer.pk, period) for customer in reversed(customers)]
    # The meters, the watermark, and the one that counts.
    with django_assert_max_num_queries(3):  # type: ignore[operator]
        answers = quantities(meter.environment_id, questions)

    assert [answer.value for answer in answers] == [44, 33, 22, 11, 0]
    assert quantities(meter.environment_id, []) == []


@pytest.mark.django_db
def test_given_a_bucket_when_asked_twice_then_its_id_is_the_same_and_differs_from_its_neighbors() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    for hour in range(3):
        report(meter, customer, timestamp=START + timedelta(hours=hour))
    period = Period(START, START + timedelta(hours=3))

    first = summaries(meter=meter, customer=customer, period=period, window="hour")
    services.roll_up()
    second = summaries(meter=meter, customer=customer, period=period, window="hour")

    assert first == second
    assert len({row.id for row in first}) == 3


@pytest.mark.django_db
def test_given_the_largest_values_when_summed_then_no_digit_is_lost() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    report(meter, customer, "999999999999999", timestamp=NOW)
    report(meter, customer, "0.000000000000001", timestamp=NOW)
    services.roll_up()

    (row,) = summaries(meter=meter, customer=customer, period=Period.hour(NOW))

    assert row.value == Decimal("999999999999999.000000000000001")
