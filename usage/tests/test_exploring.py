"""A meter over time, against the oracle: everybody's and each one's, whatever was rolled up, marked or canceled."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TransactionTestCase

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from core.periods import Period
from core.tests.examples import costly
from meters.models import EventTimeWindow, Formula, Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.exploring import MOST_PARTS, Part, Question, explore, latest_day
from usage.reports import summaries
from usage.tests.factories import accepted, draft
from usage.tests.oracle import Seen, expected
from usage.totals import Dimensions, MeterSpan, read_meter_totals

START = datetime(2025, 10, 30, 20, tzinfo=UTC)
LATER = START + timedelta(days=800)
INSTANTS = st.one_of(
    st.integers(0, 60).map(lambda hours: START + timedelta(hours=hours)),
    st.integers(0, 60 * 3600).map(lambda seconds: START + timedelta(seconds=seconds)),
)
VALUES = st.one_of(st.integers(-2, 2).map(Decimal), st.decimals(-1000, 1000, places=2).map(lambda v: v + Decimal(0)))
MODELS = st.sampled_from([{}, {"model": "a"}, {"model": "b"}])
# Who, when, what.
EVENTS = st.lists(st.tuples(st.integers(0, 2), st.builds(Seen, INSTANTS, VALUES, MODELS)), max_size=25)
MINUTES = st.integers(0, 62 * 60).map(lambda minutes: START + timedelta(minutes=minutes - 30))
PERIODS = st.tuples(MINUTES, MINUTES).map(lambda bounds: Period(min(bounds), max(bounds)))
Sent = list[tuple[int, Seen]]


class TestAgainstOracle(TransactionTestCase):
    @settings(max_examples=costly(8), deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        batches=st.lists(EVENTS, min_size=3, max_size=3),
        canceled=st.sets(st.integers(0, 74), max_size=10),
        formula=st.sampled_from(Formula.values),
        event_time_window=st.sampled_from(["", "", *EventTimeWindow.values]),
        period=PERIODS,
        repairs=st.booleans(),
    )
    def test_everybodys_usage_is_that_of_all_their_events(
        self,
        batches: list[Sent],
        canceled: set[int],
        formula: str,
        event_time_window: str,
        period: Period,
        repairs: bool,  # noqa: FBT001 (drawn)
    ) -> None:
        meter = MeterFactory.create(formula=formula, event_time_window=event_time_window, dimension_keys=["model"])
        customers = [CustomerFactory.create(environment=meter.environment) for _ in range(3)]
        sent: Sent = []
        identifiers: list[str] = []
        for batch in batches:
            identifiers += _send(meter, customers, batch)
            sent += batch
            # The last batch lies beyond the watermark.
            if batch is not batches[-1]:
                services.roll_up()
        for place in sorted(place for place in canceled if place < len(sent)):
            services.cancel_event(
                environment=meter.environment, identifier=identifiers[place], now=LATER, reason="test"
            )
        if repairs:
            services.roll_up()
            services.recompute_dirty_hours()
        left = [event for place, event in enumerate(sent) if place not in canceled]

        def value(seen: Sent, **kept: object) -> Decimal:
            # An event time window is each customer's own; what is left counts as one list.
            counted = [
                event
                for who in range(3)
                for event in _of_windows(meter, [one for by, one in seen if by == who], period)
            ]
            order = {id(event): place for place, (_, event) in enumerate(seen)}
            counted.sort(key=lambda event: order[id(event)])
            keep = (lambda event: event.dimensions.get("model") in kept["model"]) if kept else None  # type: ignore[operator]
            return expected(formula, counted, period, keep=keep)

        span = [MeterSpan(meter, period)]
        found = read_meter_totals(meter.environment_id, span)
        assert _value(found, (), formula) == value(left)
        each = read_meter_totals(meter.environment_id, span, by_customer=True)
        for who, customer in enumerate(customers):
            theirs = [(by, event) for by, event in left if by == who]
            assert _value(each, (str(customer.pk),), formula) == value(theirs)
        for kept in (["a"], [None], ["b", None]):
            only = read_meter_totals(meter.environment_id, span, Dimensions(filters={"model": kept}))
            assert _value(only, (), formula) == value(left, model=kept)


def _send(meter: Meter, customers: list[Customer], batch: Sent) -> list[str]:
    drafts = [
        draft(meter, customers[who], f"{event.value:f}", timestamp=event.timestamp, more=event.dimensions)
        for who, event in batch
    ]
    return [answer.identifier for answer in accepted(environment_of=meter, drafts=drafts, now=LATER)]


def _of_windows(meter: Meter, seen: list[Seen], period: Period) -> list[Seen]:
    if not meter.event_time_window:
        return seen
    last: dict[datetime, Seen] = {}
    for event in sorted((one for one in seen if one.timestamp in period), key=lambda one: one.timestamp):
        start = event.timestamp.replace(minute=0, second=0, microsecond=0)
        last[start.replace(hour=0) if meter.event_time_window == "day" else start] = event
    return list(last.values())


def _value(found: dict, group: tuple[str, ...], formula: str) -> Decimal:  # type: ignore[type-arg]
    return found[0, group].value(formula) if (0, group) in found else Decimal(0)


NOV = date(2025, 11, 1)


@pytest.fixture
def meter(db: None) -> Meter:
    return MeterFactory.create(dimension_keys=["model"])


def ask(meter: Meter, first: date = NOV, last: date = date(2025, 11, 30), **more: object) -> Question:
    asked = {"window": "day", "zone": ZoneInfo("UTC"), **more}
    return Question(meter, first, last, **asked)  # type: ignore[arg-type]


def use(meter: Meter, customer: Customer, value: object, at: datetime, **more: str) -> None:
    accepted(environment_of=meter, drafts=[draft(meter, customer, str(value), timestamp=at, more=more)], now=LATER)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


@pytest.mark.parametrize("formula", Formula.values)
def test_a_customers_bars_are_the_summaries_that_the_apis_give(meter: Meter, formula: str) -> None:
    meter.formula = formula
    meter.save()
    customer = CustomerFactory.create(environment=meter.environment)
    for day, value in ((1, 5), (1, 3), (2, 4), (30, 9)):
        use(meter, customer, value, noon(NOV.replace(day=day)))
    berlin = ZoneInfo("Europe/Berlin")

    found = explore(ask(meter, customer_id=customer.pk, zone=berlin), now=LATER)

    rows = summaries(meter=meter, customer_id=customer.pk, period=found.question.period, window="day", zone=berlin)
    bars = {step.period: (step.value, step.event_count) for step in found.steps if step.value is not None}
    assert bars == {row.period: (row.value, row.event_count) for row in rows}
    (whole,) = summaries(meter=meter, customer_id=customer.pk, period=found.question.period)
    assert (found.value, found.event_count) == (whole.value, whole.event_count)


def test_the_greatest_parts_are_told_apart_and_the_rest_is_what_is_left(meter: Meter) -> None:
    customers = [CustomerFactory.create(environment=meter.environment) for _ in range(MOST_PARTS + 3)]
    for number, customer in enumerate(customers, start=1):
        use(meter, customer, number, noon(NOV), model=f"m{number % 2}")
        use(meter, customer, number * 10, noon(NOV - timedelta(days=30)))

    found = explore(ask(meter, by_customer=True), now=LATER)

    assert [part.key for part in found.parts] == [str(customer.pk) for customer in reversed(customers[3:])]
    assert found.rest is not None
    assert found.rest == Part(None, Decimal(6), Decimal(60), 3)
    assert found.others == 3
    assert found.value == sum(part.value for part in found.parts) + found.rest.value == 91
    first = found.steps[0]
    assert list(first.parts) == [*range(13, 3, -1), 6]
    assert sum(value or 0 for value in found.steps[1].parts) == 0

    by_model = explore(ask(meter, dimension="model"), now=LATER)
    assert list(by_model.parts) == [
        Part("m1", Decimal(49), Decimal(0), 7),
        Part("m0", Decimal(42), Decimal(0), 6),
        Part(None, Decimal(0), Decimal(910), 0),
    ]
    assert [step.parts for step in by_model.steps if step.value] == [[49, 42, None]]


def test_what_does_not_add_up_has_no_rest_and_is_computed_from_all_events(meter: Meter) -> None:
    meter.formula = Formula.UNIQUE_COUNT
    meter.save()
    for number in range(MOST_PARTS + 1):
        customer = CustomerFactory.create(environment=meter.environment)
        use(meter, customer, "same", noon(NOV))
        use(meter, customer, f"own {number}", noon(NOV + timedelta(days=1)))

    found = explore(ask(meter, by_customer=True), now=LATER)

    assert found.value == MOST_PARTS + 2
    assert (found.rest, found.others) == (None, 1)
    assert [step.value for step in found.steps[:2]] == [1, MOST_PARTS + 1]
    assert {part.value for part in found.parts} == {2}


@pytest.mark.parametrize(
    ("first", "last", "window", "before"),
    [
        ("2025-11-01", "2025-11-30", "day", ("2025-10-02", "2025-11-01")),
        ("2025-11-01", "2025-11-30", "month", ("2025-10-01", "2025-11-01")),
        ("2025-02-01", "2025-03-31", "month", ("2024-12-01", "2025-02-01")),
        # Weeks from Monday stand beside weeks from Monday.
        ("2025-11-03", "2025-11-12", "week", ("2025-10-20", "2025-10-30")),
        ("2025-11-03", "2025-11-03", "hour", ("2025-11-02", "2025-11-03")),
    ],
)
def test_the_time_before_has_as_many_windows(first: str, last: str, window: str, before: tuple[str, str]) -> None:
    question = ask(Meter(), date.fromisoformat(first), date.fromisoformat(last), window=window)
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in before)
    assert question.before == Period(start, end)


def test_a_period_that_runs_is_compared_with_the_same_stretch(meter: Meter) -> None:
    customer = CustomerFactory.create(environment=meter.environment)
    now = datetime(2025, 11, 10, 9, 30, tzinfo=UTC)
    for at, value in (
        (datetime(2025, 11, 10, 9, 10, tzinfo=UTC), 1),
        (datetime(2025, 10, 11, 9, 59, tzinfo=UTC), 10),
        (datetime(2025, 10, 11, 10, 0, tzinfo=UTC), 100),
    ):
        use(meter, customer, value, at)

    found = explore(ask(meter, last=date(2025, 11, 30)), now=now)

    assert not found.is_over
    assert (found.value, found.value_before) == (Decimal(1), Decimal(10))
    # The bars show all of the time before.
    assert [step.value_before for step in found.steps if step.value_before] == [110]


def test_a_clock_change_gives_the_day_its_25_hours(meter: Meter) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    day = date(2025, 10, 26)
    found = explore(ask(meter, day + timedelta(days=1), day + timedelta(days=1), window="hour", zone=berlin), now=LATER)
    assert len(found.steps) == 25
    assert found.steps[-1].period.start == found.steps[-1].period.end
    assert latest_day(meter) is None
