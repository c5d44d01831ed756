"""Partitions: made ahead or on demand, dropped whole, and pruned by queries."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from accounts.tests.factories import NOW, CustomerFactory
from meters.tests.factories import MeterFactory
from usage import services
from usage.events import AcceptedEvent
from usage.models import MeterEvent, Source, UsageSummary, Watermark
from usage.services.storing import known_months
from usage.tests.factories import draft, report, roll_up_all

pytestmark = pytest.mark.django_db


def partitions() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_meterevent'::regclass"
        )
        return sorted(name.removeprefix("usage_meterevent_") for (name,) in cursor.fetchall())


def everything_is_rolled_up() -> None:
    """Set the watermark past this test's own transaction, which a real roll-up waits for."""
    Watermark.objects.update_or_create(pk=Watermark.SINGLETON, defaults={"xid": 2**60, "read_at": NOW})


@pytest.fixture(autouse=True)
def no_partitions(_django_db_helper: None) -> Iterator[None]:
    """Begin without those that other tests have left."""
    with connection.cursor() as cursor:
        for name in partitions():
            cursor.execute(f"DROP TABLE usage_meterevent_{name}")
    known_months.clear()
    yield
    # What was made here may be rolled back.
    known_months.clear()


def test_when_maintained_then_two_months_behind_and_two_ahead_exist_and_again_changes_nothing() -> None:
    services.maintain_partitions(now=NOW)
    services.maintain_partitions(now=NOW)

    assert partitions() == ["2026_04", "2026_05", "2026_06", "2026_07", "2026_08"]


def test_given_no_partition_when_an_event_comes_then_its_month_is_made() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)

    report(meter, customer, timestamp=datetime(2023, 11, 30, 23, 59, 59, 999999, tzinfo=UTC))
    report(meter, customer, timestamp=datetime(2023, 12, 1, tzinfo=UTC))

    assert partitions() == ["2023_11", "2023_12"]


def test_given_old_months_when_dropped_then_only_those_that_ended_by_then_go() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    for month in (3, 4, 5):
        report(meter, customer, timestamp=datetime(2026, month, 1, tzinfo=UTC))
    everything_is_rolled_up()

    dropped = services.drop_partitions(before=datetime(2026, 5, 1, tzinfo=UTC))

    assert dropped == ["usage_meterevent_2026_03", "usage_meterevent_2026_04"]
    assert partitions() == ["2026_05"]


def test_given_a_remembered_partition_was_dropped_when_an_event_comes_then_it_is_made_again() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    moment = datetime(2026, 5, 20, tzinfo=UTC)
    report(meter, customer, timestamp=moment)
    everything_is_rolled_up()
    services.drop_partitions(before=NOW)

    (answer,) = services.accept_events(
        environment=meter.environment, drafts=[draft(meter, customer, timestamp=moment)], source=Source.API, now=NOW
    )

    assert isinstance(answer, AcceptedEvent)
    assert MeterEvent.objects.count() == 1


def test_given_many_months_when_a_range_is_read_then_other_months_are_not_touched() -> None:
    services.maintain_partitions(now=NOW)

    plan = MeterEvent.objects.filter(timestamp__gte=NOW, timestamp__lt=NOW + timedelta(hours=1)).explain()

    assert "2026_06" in plan
    assert "2026_05" not in plan
    assert "2026_07" not in plan


def test_given_events_that_are_not_rolled_up_when_dropping_then_their_month_stays() -> None:
    meter = MeterFactory.create()
    report(meter, CustomerFactory.create(environment=meter.environment), timestamp=datetime(2026, 3, 1, tzinfo=UTC))

    assert services.drop_partitions(before=NOW) == []
    assert partitions() == ["2026_03"]


@pytest.mark.django_db(transaction=True)
def test_given_a_dropped_month_when_an_hour_of_it_is_marked_then_its_summary_stays() -> None:
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    report(meter, customer, 5, timestamp=moment)
    roll_up_all()
    services.drop_partitions(before=NOW)

    services.mark_dirty(environment=meter.environment, hours=[(meter.pk, customer.pk, moment)], reason="test", now=NOW)
    services.recompute_dirty_hours()

    assert UsageSummary.objects.get().value_sum == 5
