"""What PostgreSQL makes of the real statements: other months' partitions are not even looked at."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.periods import Period
from meters.models import EventTimeWindow, Formula, Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.reports import UsageQuestion, quantities, summaries
from usage.tests.factories import report
from usage.totals import Dimensions

pytestmark = pytest.mark.django_db

# In the middle of a year that has all its partitions.
MONTHS = [datetime(2025, month, 1, tzinfo=UTC) for month in range(1, 8)]
MAY = Period(MONTHS[4], MONTHS[5])
CUT = Period(MAY.start + timedelta(minutes=7), MAY.end - timedelta(minutes=7))


@contextmanager
def explained() -> Iterator[list[str]]:
    """The plans of all statements that read events within."""
    plans: list[str] = []

    def explain(execute: Callable[..., Any], sql: str, parameters: Any, *rest: Any) -> Any:
        if "usage_meterevent" in sql:
            with connection.cursor() as cursor:
                # The cursor below Django's: what this wrapper asks is not wrapped again.
                cursor.cursor.execute(f"EXPLAIN {sql}", parameters)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, parameters, *rest)

    with connection.execute_wrapper(explain):
        yield plans


def meter_with_history(**fields: Any) -> tuple[Meter, Customer]:
    """A meter with an event in each of seven months."""
    meter = MeterFactory.create(**fields)
    customer = CustomerFactory.create(environment=meter.environment)
    for month in MONTHS:
        report(meter, customer, 1, timestamp=month + timedelta(days=10))
    services.mark_dirty(
        environment=meter.environment,
        hours=[(meter.pk, customer.pk, MAY.start + timedelta(days=10))],
        reason="test",
        now=NOW,
    )
    return meter, customer


def assert_only_may_is_touched(plans: list[str]) -> None:
    assert plans
    for plan in plans:
        assert "usage_meterevent_2025_05" in plan
        for month in (1, 2, 3, 4, 6, 7):
            assert f"usage_meterevent_2025_{month:02}" not in plan


@pytest.mark.parametrize("formula", [Formula.SUM, Formula.LAST, Formula.UNIQUE_COUNT])
@pytest.mark.parametrize("period", [MAY, CUT], ids=["whole hours", "cut hours"])
def test_when_a_month_is_summarized_by_day_then_only_its_partition_is_touched(formula: str, period: Period) -> None:
    meter, customer = meter_with_history(formula=formula)

    with explained() as plans:
        rows = summaries(meter=meter, customer_id=customer.pk, period=period, window="day")

    assert [row.event_count for row in rows] == [1]
    assert_only_may_is_touched(plans)


def test_given_an_event_time_window_when_a_month_is_read_then_only_its_partition_is_touched() -> None:
    meter, customer = meter_with_history(event_time_window=EventTimeWindow.DAY)

    with explained() as plans:
        summaries(meter=meter, customer_id=customer.pk, period=MAY)

    assert_only_may_is_touched(plans)


def test_given_undeclared_dimensions_when_a_month_is_read_then_only_its_partition_is_touched() -> None:
    meter, customer = meter_with_history()

    with explained() as plans:
        summaries(meter=meter, customer_id=customer.pk, period=MAY, dimensions=Dimensions(group_by=["model"]))

    assert_only_may_is_touched(plans)


def test_when_many_customers_are_asked_for_one_month_then_one_statement_touches_one_partition() -> None:
    meter, customer = meter_with_history()
    others = CustomerFactory.create_batch(3, environment=meter.environment)

    with explained() as plans:
        answers = quantities(
            meter.environment_id, [UsageQuestion(meter.pk, one.pk, CUT) for one in (customer, *others)]
        )

    assert [answer.event_count for answer in answers] == [1, 0, 0, 0]
    assert len(plans) == 1
    assert_only_may_is_touched(plans)


def test_when_spans_lie_in_two_months_then_those_between_the_first_and_the_last_are_touched_and_no_others() -> None:
    meter, customer = meter_with_history()
    march = Period(MONTHS[2], MONTHS[3])

    with explained() as plans:
        answers = quantities(
            meter.environment_id, [UsageQuestion(meter.pk, customer.pk, period) for period in (march, MAY)]
        )

    assert [answer.event_count for answer in answers] == [1, 1]
    (plan,) = plans
    assert [f"2025_{month:02}" in plan for month in range(1, 8)] == [False, False, True, True, True, False, False]


def test_when_spans_cut_their_hours_then_each_reads_its_own_events_and_no_month_is_read_whole() -> None:
    """A billing run's periods begin at any second. Joined, they would be held against all events of the month."""
    meter, customer = meter_with_history()
    others = CustomerFactory.create_batch(3, environment=meter.environment)
    with connection.cursor() as cursor:
        for way in ("seqscan", "nestloop"):
            cursor.execute(f"SET LOCAL enable_{way} = off")

    with explained() as plans:
        quantities(meter.environment_id, [UsageQuestion(meter.pk, one.pk, CUT) for one in (customer, *others)])

    (plan,) = plans
    scans = re.findall(r"on usage_meterevent_\d+_\d+ event\w*\s.*\n\s+Index Cond: (.*)", plan)
    # Of edges, and of marked hours; what lies beyond the watermark is looked for in one go.
    assert ["customer_id = " in scan for scan in scans].count(True) == 2, scans
