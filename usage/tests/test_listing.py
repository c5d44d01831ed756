"""Lists of raw events across customers, against a list in Python: whatever is rolled up, canceled or dropped."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Q

from accounts.tests.factories import CustomerFactory
from core.periods import DAY
from core.tests.examples import costly
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import listing, services
from usage.models import MeterEvent
from usage.tests.factories import accepted, draft, report, roll_up_all

pytestmark = pytest.mark.django_db(transaction=True)

START = datetime(2026, 3, 30, 21, tzinfo=UTC)
NOW = START + 90 * DAY
COUNT = 60


@dataclass
class Told:
    """An event as the list should tell it."""

    meter: UUID
    at: datetime
    event: UUID
    canceled: bool


@pytest.fixture
def history() -> tuple[list[Meter], list[Told]]:
    """Sixty events on two meters, dense days and sparse ones, over a month's end; three quarters are rolled up."""
    chance = random.Random(7)
    first = MeterFactory.create(dimension_keys=["model"])
    meters = [first, MeterFactory.create(environment=first.environment)]
    customers = CustomerFactory.create_batch(3, environment=first.environment)
    elsewhere = MeterFactory.create()
    report(elsewhere, CustomerFactory.create(environment=elsewhere.environment), 1, timestamp=START, now=NOW)
    told: list[Told] = []
    for number in range(COUNT):
        meter, customer = chance.choice(meters), chance.choice(customers)
        days = chance.choice([0, 0, 0, 1, 2, 5, 9, 31, 32, 60])
        at = START + days * DAY + chance.choice([0, 5, 5]) * timedelta(minutes=50)
        event = draft(meter, customer, 1, timestamp=at, identifier=f"e{number}", more={"model": chance.choice("ab")})
        (stored,) = accepted(environment_of=meter, drafts=[event], now=NOW)
        told.append(Told(meter.pk, at, stored.event_id, canceled=False))
        if number == COUNT * 3 // 4:
            roll_up_all()
    for number in chance.sample(range(COUNT), 12):
        services.cancel_event(environment=first.environment, identifier=f"e{number}", now=NOW, reason="test")
        told[number].canceled = True
    services.recompute_dirty_hours()
    told.sort(key=lambda one: (one.at, one.event), reverse=True)
    return meters, told


def pages(
    meter: Meter, filters: dict[str, str], *, canceled: bool | None, backward: bool, size: int
) -> Iterator[list[UUID]]:
    """All pages, as the API asks for them."""
    environment, order = meter.environment, ["at", "event"] if backward else ["-at", "-event"]
    comparison = "gt" if backward else "lt"
    last: Any = None
    while True:
        rows = listing.places(environment, filters, canceled=canceled)
        if last is not None:
            tie = Q(at=last.timestamp, **{f"event__{comparison}": last.pk})
            rows = rows.filter(Q(**{f"at__{comparison}": last.timestamp}) | tie)
        beyond = last.timestamp if last else None
        found = listing.read_of_all_customers(environment, filters, rows, order, size, beyond)
        if not found:
            return
        yield [row.pk for row in found]
        last = found[-1]


def test_every_page_of_every_filter_tells_what_a_plain_list_tells(
    history: tuple[list[Meter], list[Told]],
) -> None:
    meters, told = history
    bounds = [None, START + 2 * DAY + timedelta(hours=1), START + 9 * DAY]
    of_all_sorts = [*product([1, 2, 7, 100], [False, True], [None, meters[0]], bounds, bounds, [None, False])]
    for size, backward, meter, start, end, canceled in random.sample(of_all_sorts, costly(len(of_all_sorts), part=6)):
        filters = {} if meter is None else {"meter": str(meter.pk)}
        filters |= {} if start is None else {"timestamp_gte": start.isoformat()}
        filters |= {} if end is None else {"timestamp_lt": end.isoformat()}
        expected = [
            one.event
            for one in told
            if (meter is None or one.meter == meter.pk)
            and (start is None or one.at >= start)
            and (end is None or one.at < end)
            and canceled in {None, one.canceled}
        ]
        found = list(pages(meters[0], filters, canceled=canceled, backward=backward, size=size))
        assert [event for page in found for event in page] == (expected[::-1] if backward else expected), (
            filters,
            size,
        )
        assert all(len(page) == size for page in found[:-1])


def test_given_a_dropped_month_when_listed_then_its_summaries_lead_nowhere_and_the_rest_is_told(
    history: tuple[list[Meter], list[Told]],
) -> None:
    meters, told = history
    roll_up_all()
    services.drop_partitions(before=datetime(2026, 4, 1, tzinfo=UTC))
    left = [one.event for one in told if one.at >= datetime(2026, 4, 1, tzinfo=UTC)]
    assert len(left) == MeterEvent.objects.filter(environment=meters[0].environment).count() < len(told)

    found = list(pages(meters[0], {}, canceled=None, backward=False, size=7))

    assert [event for page in found for event in page] == left


def test_nothing_is_read_but_the_days_and_customers_that_the_summaries_name(
    history: tuple[list[Meter], list[Told]],
) -> None:
    meters, _ = history
    roll_up_all()
    statements: list[str] = []

    def explain(execute: Any, sql: str, parameters: Any, *rest: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.cursor.execute("SET enable_seqscan = off")
            cursor.cursor.execute(f"EXPLAIN {sql}", parameters)
            statements.append("\n".join(line for (line,) in cursor.fetchall()))
        return execute(sql, parameters, *rest)

    environment, filters = meters[0].environment, {"meter": str(meters[0].pk)}
    rows = listing.places(environment, filters)
    with connection.execute_wrapper(explain):
        found = listing.read_of_all_customers(environment, filters, rows, listing.BY_TIME, 2)

    assert len(found) == 2
    plans = [plan for plan in statements if "usage_" in plan]
    assert not [plan for plan in plans if "Seq Scan on usage_" in plan]
    # The newest day has enough: no other month is looked at for it.
    by_customer = [plan for plan in plans if "customer_id = accounts_customer.id" in plan]
    assert by_customer
    for plan in by_customer:
        assert "usage_meterevent_2026_05" in plan
        assert "usage_meterevent_2026_03" not in plan
