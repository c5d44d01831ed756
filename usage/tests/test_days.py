"""Daily summaries: always what their hours add up to, and what reads of whole UTC days look at."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from core.periods import DAY, HOUR, Period
from meters.models import Formula, Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.models import DailySummary, RecountDifference, UsageSummary
from usage.reports import UsageQuestion, quantities, summaries
from usage.services import repair
from usage.tests.factories import accepted, assert_days_add_up, draft, report, roll_up_all
from usage.totals import Dimensions, Span

pytestmark = pytest.mark.django_db(transaction=True)

DAY_ONE = datetime(2026, 5, 10, tzinfo=UTC)
LATER = DAY_ONE + 10 * DAY
THREE_DAYS = Period(DAY_ONE, DAY_ONE + 3 * DAY)


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create(dimension_keys=["model"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def use_each_hour(meter: Meter, customer: Customer, *, days: int = 3, value: int = 1) -> None:
    """An event in the middle of each hour."""
    drafts = [
        draft(meter, customer, value, timestamp=DAY_ONE + hour * HOUR + timedelta(minutes=30), identifier=f"h{hour}")
        for hour in range(24 * days)
    ]
    accepted(environment_of=meter, drafts=drafts, now=LATER)


def read(meter: Meter, customer: Customer, period: Period = THREE_DAYS) -> Decimal:
    (answer,) = quantities(meter.environment_id, [UsageQuestion(meter.pk, customer.pk, period)])
    return answer.value


def recount(meter: Meter, customer: Customer) -> int:
    span = Span(meter, customer.pk, Period(DAY_ONE + HOUR, DAY_ONE + 2 * HOUR))
    return services.recount(environment=meter.environment, spans=[span], now=LATER)


def test_given_each_hour_used_when_whole_days_are_read_then_their_summaries_answer_and_hours_the_rest(
    meter: Meter, customer: Customer
) -> None:
    use_each_hour(meter, customer)
    roll_up_all()
    # Marks, to see what was read: a day is worth 1,000, its hours are worth 1.
    DailySummary.objects.update(value_sum=1000)

    assert read(meter, customer) == 3000
    assert read(meter, customer, Period(DAY_ONE + HOUR, DAY_ONE + 2 * DAY)) == 23 + 1000
    assert read(meter, customer, Period(DAY_ONE, DAY_ONE + 2 * DAY + 2 * HOUR)) == 2000 + 2
    assert read(meter, customer, Period(DAY_ONE - timedelta(minutes=20), DAY_ONE + timedelta(minutes=1505))) == 1000 + 1
    assert read(meter, customer, Period(DAY_ONE + HOUR, DAY_ONE + DAY + 23 * HOUR)) == 46
    by_day = summaries(meter=meter, customer_id=customer.pk, period=THREE_DAYS, window="day")
    assert [row.value for row in by_day] == [1000, 1000, 1000]


def test_given_a_marked_hour_when_read_then_its_day_is_read_by_the_hour_and_the_others_as_days(
    meter: Meter, customer: Customer
) -> None:
    use_each_hour(meter, customer)
    roll_up_all()
    DailySummary.objects.update(value_sum=1000)
    UsageSummary.objects.filter(hour=DAY_ONE + 30 * HOUR).update(value_sum=77)
    services.cancel_event(environment=meter.environment, identifier="h30", now=LATER, reason="test")
    report(meter, customer, 100, timestamp=DAY_ONE + 30 * HOUR, now=LATER)

    assert read(meter, customer) == 1000 + (23 + 100) + 1000

    roll_up_all()
    services.recompute_dirty_hours()
    assert read(meter, customer) == 1000 + (23 + 100) + 1000
    assert DailySummary.objects.get(day=DAY_ONE + DAY).value_sum == 123


@pytest.mark.parametrize("formula", Formula.values)
def test_given_any_formula_when_events_are_canceled_then_days_and_reads_follow(formula: str) -> None:
    meter = MeterFactory.create(formula=formula, dimension_keys=["model"])
    customer = CustomerFactory.create(environment=meter.environment)
    values = [5, 3, 9, 9, 1]
    events = [
        draft(meter, customer, value, timestamp=DAY_ONE + place * 10 * HOUR, identifier=f"e{place}")
        for place, value in enumerate(values)
    ]
    accepted(environment_of=meter, drafts=events, now=LATER)
    roll_up_all()

    def expected(left: list[int]) -> int:
        of = {"sum": sum(left), "count": len(left), "last": (left or [0])[-1], "unique_count": len(set(left))}
        return (of | {"max": max(left, default=0), "min": min(left, default=0)})[formula]

    assert read(meter, customer) == expected(values)
    for place in (4, 2, 0, 3, 1):
        services.cancel_event(environment=meter.environment, identifier=f"e{place}", now=LATER, reason="test")
        values[place] = 0
        left = [value for value in values if value]
        assert read(meter, customer) == expected(left)
        services.recompute_dirty_hours()
        assert read(meter, customer) == expected(left)
        assert_days_add_up()
    assert not DailySummary.objects.exists()


def test_given_a_day_without_use_at_the_end_when_the_last_value_is_asked_for_then_it_comes_from_the_latest_hour() -> (
    None
):
    meter = MeterFactory.create(formula=Formula.LAST, dimension_keys=["model"])
    customer = CustomerFactory.create(environment=meter.environment)
    events = [
        draft(meter, customer, value, timestamp=DAY_ONE + hours * HOUR, more={"model": model})
        for value, hours, model in ((1, 1, "a"), (2, 2, "b"), (3, 2, "b"), (4, 0.5, "c"))
    ]
    accepted(environment_of=meter, drafts=events, now=LATER)
    roll_up_all()

    assert read(meter, customer) == 3
    grouped = summaries(
        meter=meter, customer_id=customer.pk, period=THREE_DAYS, dimensions=Dimensions(group_by=["model"])
    )
    found = {row.dimensions["model"]: (int(row.value), row.event_count) for row in grouped}
    assert found == {"a": (1, 1), "b": (3, 2), "c": (4, 1)}
    (only_a,) = summaries(
        meter=meter, customer_id=customer.pk, period=THREE_DAYS, dimensions=Dimensions(filters={"model": ["a", "c"]})
    )
    assert (int(only_a.value), only_a.event_count) == (1, 2)


@pytest.mark.parametrize("at_once", [1, 5, 1000])
def test_given_days_that_are_wrong_missing_and_invented_when_rebuilt_then_they_add_up(
    meter: Meter, customer: Customer, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(repair, "EVENTS_AT_ONCE", at_once)
    other = CustomerFactory.create(environment=meter.environment)
    for one in (customer, other):
        report(meter, one, 7, timestamp=DAY_ONE + 23 * HOUR, now=LATER)
    use_each_hour(meter, customer, days=2)
    roll_up_all()
    DailySummary.objects.filter(customer=customer, day=DAY_ONE).update(value_sum=999)
    DailySummary.objects.filter(customer=customer, day=DAY_ONE + DAY).delete()
    DailySummary.objects.create(
        environment=meter.environment, meter=meter, customer=other, day=DAY_ONE + 4 * DAY, event_count=1
    )

    services.rebuild_summaries(meter=meter)

    assert_days_add_up()
    assert read(meter, customer) == 55


def test_given_a_part_of_a_day_when_rebuilt_then_the_day_keeps_its_other_hours(
    meter: Meter, customer: Customer
) -> None:
    use_each_hour(meter, customer)
    roll_up_all()
    DailySummary.objects.update(value_sum=999)

    services.rebuild_summaries(meter=meter, period=Period(DAY_ONE + 29 * HOUR, DAY_ONE + 31 * HOUR))

    found = DailySummary.objects.order_by("day").values_list("value_sum", flat=True)
    assert list(found) == [999, 24, 999]


@pytest.mark.parametrize("change", [{"value_sum": 999}, {"event_count": 7}, {"dimensions": {"model": "x"}}, None])
def test_given_a_spoiled_day_when_recounted_then_it_is_found_recorded_and_healed(
    meter: Meter, customer: Customer, change: dict[str, object] | None
) -> None:
    use_each_hour(meter, customer)
    roll_up_all()
    assert recount(meter, customer) == 0
    spoiled = DailySummary.objects.filter(day=DAY_ONE)
    if change:
        spoiled.update(**change)
    else:
        spoiled.delete()

    found = recount(meter, customer)

    differences = list(RecountDifference.objects.all())
    assert len(differences) == found >= 1
    assert {(row.is_of_day, row.hour) for row in differences} == {(True, DAY_ONE)}
    assert recount(meter, customer) == 0
    # Reads are right before the repair, too.
    assert read(meter, customer) == 72
    services.recompute_dirty_hours()
    assert_days_add_up()
    assert recount(meter, customer) == 0


def test_given_a_dropped_month_when_rebuilt_then_its_days_stay_as_its_hours_do(
    meter: Meter, customer: Customer
) -> None:
    use_each_hour(meter, customer)
    roll_up_all()
    services.drop_partitions(before=datetime(2026, 6, 1, tzinfo=UTC))

    services.rebuild_summaries(meter=meter)

    assert_days_add_up()
    assert read(meter, customer) == 72
    report(meter, customer, 5, timestamp=DAY_ONE, now=LATER)
    roll_up_all()
    assert_days_add_up()
    assert read(meter, customer) == 77
