"""Reads against the oracle: whatever was rolled up, canceled, or came late, every answer is exact."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import get_args
from unittest import mock
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TransactionTestCase

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.periods import Period, Window
from core.tests.examples import costly
from meters.models import EventTimeWindow, Formula, Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.reports import MeterQuestion, UsageQuestion, meter_usage, quantities, summaries
from usage.services import repair
from usage.tests.factories import accepted, assert_days_add_up, draft, report
from usage.tests.oracle import Seen, buckets, expected
from usage.totals import Dimensions, Span

# The clocks of New York and of Lord Howe (by half an hour) change in this span; Kathmandu is 5:45 off, Kolkata 5:30.
START = datetime(2025, 10, 31, 20, tzinfo=UTC)
LATER = START + timedelta(days=800)
ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]
# Around a month's end, so that hours, days and partitions all have edges in it; full seconds and odd ones.
INSTANTS = st.one_of(
    st.integers(0, 10 * 3600).map(lambda seconds: START + timedelta(seconds=seconds)),
    st.integers(0, 60).map(lambda hours: START + timedelta(hours=hours)),
    st.integers(0, 60 * 3600 * 10**6).map(lambda microseconds: START + timedelta(microseconds=microseconds)),
)
VALUES = st.decimals(-(10**6), 10**6, places=3).map(lambda value: value.normalize() + Decimal(0))
FEW_VALUES = st.integers(-2, 2).map(Decimal)
DIMENSIONS = st.dictionaries(st.sampled_from(["model", "region"]), st.sampled_from(["a", "b"]), max_size=2)
EVENTS = st.lists(st.builds(Seen, INSTANTS, st.one_of(VALUES, FEW_VALUES), DIMENSIONS), max_size=25)
MINUTES = st.integers(0, 62 * 60).map(lambda minutes: START + timedelta(minutes=minutes - 30))
PERIODS = st.tuples(MINUTES, MINUTES).map(lambda bounds: Period(min(bounds), max(bounds)))
# What happens between two batches: nothing, a roll-up, a roll-up with repairs, summaries made anew or counted again.
STEPS = st.lists(st.sampled_from(["", "roll up", "repair", "rebuild", "recount"]), min_size=4, max_size=4)


class TestAgainstOracle(TransactionTestCase):
    @settings(max_examples=costly(50), deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        batches=st.lists(EVENTS, min_size=1, max_size=3),
        steps=STEPS,
        canceled=st.sets(st.integers(0, 74), max_size=15),
        formula=st.sampled_from(Formula.values),
        event_time_window=st.sampled_from(["", "", *EventTimeWindow.values]),
        period=PERIODS,
        window=st.sampled_from(get_args(Window)),
        zone=st.sampled_from(ZONES),
    )
    def test_any_read_of_any_history_equals_the_oracle(
        self,
        batches: list[list[Seen]],
        steps: list[str],
        canceled: set[int],
        formula: str,
        event_time_window: str,
        period: Period,
        window: Window,
        zone: str,
    ) -> None:
        meter = MeterFactory.create(formula=formula, event_time_window=event_time_window, dimension_keys=["model"])
        customer = CustomerFactory.create(environment=meter.environment)
        report(meter, CustomerFactory.create(environment=meter.environment), 99, timestamp=START, now=LATER)
        history = History(meter, customer)
        for batch, step in zip(batches, steps, strict=False):
            history.add(batch)
            history.then(step)
        history.add_beside(Seen(START, Decimal("0.25")))
        history.cancel(canceled)
        history.then(steps[-1])

        assert_days_add_up()
        history.check_range(period)
        history.check_windows(period, window, ZoneInfo(zone))
        history.check_dimensions(period)
        history.check_meter_usage(period, window, ZoneInfo(zone))


class History:
    """A customer's events as they came, and what must be read of them."""

    def __init__(self, meter: Meter, customer: Customer) -> None:
        self.meter = meter
        self.customer = customer
        self.sent: list[Seen] = []
        self.identifiers: list[str] = []
        self.seen: list[Seen] = []
        self.seen_beside: list[Seen] = []

    def add_beside(self, event: Seen) -> None:
        """An event on another meter of the environment."""
        beside = MeterFactory.create(environment=self.meter.environment)
        report(beside, self.customer, event.value, timestamp=event.timestamp, now=LATER)
        self.seen_beside.append(event)

    def add(self, batch: list[Seen]) -> None:
        events = [
            draft(self.meter, self.customer, f"{event.value:f}", timestamp=event.timestamp, more=event.dimensions)
            for event in batch
        ]
        self.identifiers += [
            answer.identifier for answer in accepted(environment_of=self.meter, drafts=events, now=LATER)
        ]
        self.sent += batch
        self.seen = list(self.sent)

    def then(self, step: str) -> None:
        if step:
            services.roll_up()
        if step == "repair":
            services.recompute_dirty_hours()
        if step == "rebuild":
            with mock.patch.object(repair, "EVENTS_AT_ONCE", 3):
                services.rebuild_summaries(meter=self.meter)
        if step == "recount":
            everything = Span(self.meter, self.customer.pk, Period(START - timedelta(days=1), LATER))
            assert not services.recount(environment=self.meter.environment, spans=[everything], now=LATER)

    def cancel(self, places: set[int]) -> None:
        here = {place for place in places if place < len(self.sent)}
        for place in here:
            services.cancel_event(
                environment=self.meter.environment, identifier=self.identifiers[place], now=LATER, reason="test"
            )
        self.seen = [event for place, event in enumerate(self.sent) if place not in here]

    def check_range(self, period: Period) -> None:
        (usage,) = quantities(self.meter.environment_id, [UsageQuestion(self.meter.pk, self.customer.pk, period)])
        assert usage.value == self.expected(period)
        (row,) = summaries(meter=self.meter, customer_id=self.customer.pk, period=period)
        assert row.value == usage.value

    def check_windows(self, period: Period, window: Window, zone: ZoneInfo) -> None:
        rows = summaries(meter=self.meter, customer_id=self.customer.pk, period=period, window=window, zone=zone)
        assert [row.value for row in rows] == [
            expected(self.meter.formula, bucket, period, self.meter.event_time_window)
            for bucket in buckets(self.seen, period, window, zone)
        ]
        assert all(later.period.start >= row.period.end for later, row in pairwise(rows))

    def check_dimensions(self, period: Period) -> None:
        # "model" is declared, and read from summaries; "region" is not, and read from the events.
        for key in ("model", "region"):
            rows = summaries(
                meter=self.meter, customer_id=self.customer.pk, period=period, dimensions=Dimensions(group_by=[key])
            )
            for row in rows:
                group = row.dimensions[key]
                assert row.value == self.expected(period, **{key: {group}})
            (filtered,) = summaries(
                meter=self.meter,
                customer_id=self.customer.pk,
                period=period,
                dimensions=Dimensions(filters={key: ["a", "c"]}),
            )
            asked: set[str | None] = {"a", "c"}
            assert filtered.value == self.expected(period, **{key: asked})

    def check_meter_usage(self, period: Period, window: Window, zone: ZoneInfo) -> None:
        asked: list[tuple[Dimensions, Callable[[Seen], bool]]] = [
            (Dimensions(), lambda _: True),
            (Dimensions(filters={"model": ["a"]}), lambda event: event.dimensions.get("model") == "a"),
            (Dimensions(filters={"region": ["a", "b"]}), lambda event: "region" in event.dimensions),
        ]
        rows = meter_usage(
            customer=self.customer,
            period=period,
            questions=[MeterQuestion(self.meter, dimensions) for dimensions, _ in asked],
            window=window,
            zone=zone,
        )
        values = []
        for _, keep in asked:
            for bucket in reversed(buckets(self.seen, period, window, zone)):
                counted = self._counted(bucket)
                if any(keep(event) for event in counted):
                    values.append(expected(self.meter.formula, counted, period, keep=keep))
        assert [row.value for row in rows] == values
        # Over all meters, those without events among them: each by its own formula, then added.
        (whole,) = meter_usage(customer=self.customer, period=period)
        assert whole.meter is None
        assert whole.value == self.expected(period) + expected("sum", self.seen_beside, period)

    def _counted(self, bucket: list[Seen]) -> list[Seen]:
        """The bucket's events that count at all: of an event time window only the last."""
        if not self.meter.event_time_window:
            return bucket
        last: dict[datetime, Seen] = {}
        for event in bucket:
            hour = event.timestamp.replace(minute=0, second=0, microsecond=0)
            last[hour if self.meter.event_time_window == "hour" else hour - timedelta(hours=hour.hour)] = event
        return list(last.values())

    def expected(self, period: Period, **kept: set[str | None]) -> Decimal:
        return expected(
            self.meter.formula,
            self.seen,
            period,
            self.meter.event_time_window,
            lambda event: all(event.dimensions.get(key) in values for key, values in kept.items()),
        )


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

    first = summaries(meter=meter, customer_id=customer.pk, period=period, window="hour")
    services.roll_up()
    second = summaries(meter=meter, customer_id=customer.pk, period=period, window="hour")

    assert first == second
    assert len({row.id for row in first}) == 3


@pytest.mark.django_db
def test_given_the_largest_values_when_summed_then_no_digit_is_lost() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    report(meter, customer, "999999999999999", timestamp=NOW)
    report(meter, customer, "0.000000000000001", timestamp=NOW)
    services.roll_up()

    (row,) = summaries(meter=meter, customer_id=customer.pk, period=Period.hour(NOW))

    assert row.value == Decimal("999999999999999.000000000000001")
