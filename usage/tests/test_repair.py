"""Summaries made anew, counted again, and put right: beside live traffic, and without a false alarm."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection, transaction
from django.db.models import F

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.periods import HOUR, Period
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import errors, services
from usage.models import (
    DirtyHour,
    EventAdjustment,
    MeterEvent,
    RecountDifference,
    UniqueValue,
    UsageSummary,
)
from usage.services import repair
from usage.tests.factories import accepted, draft, report, roll_up_all
from usage.tests.repairs import JANUARY, WHOLE, read, restored_elsewhere
from usage.totals import Span, watermark


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    return MeterFactory.create(dimension_keys=["model"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def summarized(meter: Meter) -> list[dict[str, object]]:
    """All that the summaries of a meter say, but for their ids."""
    rows = UsageSummary.objects.filter(meter=meter).order_by("customer", "hour", "dimensions")
    return [{name: value for name, value in row.items() if name != "id"} for row in rows.values()]


def recount(meter: Meter, *customers: Customer) -> int:
    spans = [Span(meter, customer.pk, WHOLE) for customer in customers]
    return services.recount(environment=meter.environment, spans=spans, now=NOW)


def use_several_hours(meter: Meter, *customers: Customer) -> None:
    """Ten events for each customer: two in each of five hours, across a month's end, in two dimensions."""
    drafts = [
        draft(
            meter,
            customer,
            place + 1,
            timestamp=JANUARY + place // 2 * HOUR + timedelta(minutes=place),
            more={"model": "ab"[place % 2]},
        )
        for customer in customers
        for place in range(10)
    ]
    accepted(environment_of=meter, drafts=drafts)


# Rebuilding


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_given_summaries_that_are_wrong_missing_and_invented_when_rebuilt_then_they_are_as_they_were(
    meter: Meter, customer: Customer, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(repair, "EVENTS_AT_ONCE", at_once)
    other = CustomerFactory.create(environment=meter.environment)
    use_several_hours(meter, customer, other)
    roll_up_all()
    good = summarized(meter)
    first, second, *_ = UsageSummary.objects.filter(customer=customer).order_by("hour", "dimensions")
    UsageSummary.objects.filter(pk=first.pk).update(value_sum=999, last_value=999)
    UsageSummary.objects.filter(pk=second.pk).delete()
    UsageSummary.objects.filter(customer=other, hour__lt=JANUARY).update(hour=F("hour") - timedelta(hours=7))
    UsageSummary.objects.filter(customer=other).order_by("hour").last().delete()  # type: ignore[union-attr]
    assert summarized(meter) != good

    rebuilt = services.rebuild_summaries(meter=meter)

    assert summarized(meter) == good
    assert (rebuilt.summaries, rebuilt.events) == (len(good), 20)


def test_given_events_beyond_the_watermark_when_rebuilt_then_they_are_counted_once(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 3, timestamp=NOW)
    with writing(lambda: report(meter, customer, 4, timestamp=NOW)):
        services.roll_up()
        services.rebuild_summaries(meter=meter)
        assert read(meter, customer) == 3
    assert read(meter, customer) == 7
    roll_up_all()
    assert read(meter, customer) == 7
    assert UsageSummary.objects.get().value_sum == 7


def test_given_a_scope_when_rebuilt_then_nothing_else_is_touched(meter: Meter, customer: Customer) -> None:
    other = MeterFactory.create(environment=meter.environment)
    for one in (meter, other):
        for hours in range(3):
            report(one, customer, 5, timestamp=NOW + hours * HOUR, now=NOW + 3 * HOUR)
    roll_up_all()
    UsageSummary.objects.update(value_sum=999)

    services.rebuild_summaries(meter=meter, period=Period(NOW + HOUR, NOW + HOUR + timedelta(minutes=1)))

    sums = UsageSummary.objects.order_by("hour").values_list("value_sum", flat=True)
    assert list(sums.filter(meter=meter)) == [999, 5, 999]
    assert list(sums.filter(meter=other)) == [999, 999, 999]


def test_given_different_values_when_rebuilt_then_each_hour_has_its_own_again(customer: Customer) -> None:
    meter = MeterFactory.create(environment=customer.environment, formula="unique_count")
    for place, value in enumerate("abca"):
        report(meter, customer, value, timestamp=NOW + place * HOUR, now=NOW + 4 * HOUR)
    roll_up_all()
    good = list(UniqueValue.objects.order_by("hour").values_list("hour", "value"))
    UniqueValue.objects.filter(value="a").delete()

    services.rebuild_summaries(meter=meter)

    assert list(UniqueValue.objects.order_by("hour").values_list("hour", "value")) == good
    assert read(meter, customer) == 3


def test_given_a_month_that_was_dropped_and_came_back_when_rebuilt_marked_or_recounted_then_its_summaries_stay(
    meter: Meter, customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    report(meter, customer, 5, timestamp=JANUARY)
    report(meter, customer, 7, timestamp=NOW)
    roll_up_all()
    services.drop_partitions(before=datetime(2026, 2, 1, tzinfo=UTC))
    # An import of old usage makes the partition again, but not the events that were in it.
    report(meter, customer, 1, timestamp=JANUARY, identifier="late")
    roll_up_all()

    rebuilt = services.rebuild_summaries(meter=meter)
    services.mark_dirty(environment=meter.environment, hours=[(meter.pk, customer.pk, JANUARY)], reason="", now=NOW)
    services.recompute_dirty_hours()

    assert rebuilt.kept == {datetime(2026, 1, 1, tzinfo=UTC)}
    assert recount(meter, customer) == 0
    assert read(meter, customer) == 13
    with pytest.raises(errors.EventsDropped):
        services.cancel_event(environment=meter.environment, identifier="late", now=NOW)
    assert not EventAdjustment.objects.exists()
    assert read(meter, customer) == 13


# Recounting


def spoil_value(meter: Meter) -> None:
    UsageSummary.objects.filter(meter=meter).update(value_sum=F("value_sum") + 1)


def spoil_last(meter: Meter) -> None:
    UsageSummary.objects.filter(meter=meter).update(last_value=F("last_value") + 1)


def lose(meter: Meter) -> None:
    UsageSummary.objects.filter(meter=meter).delete()


def invent(meter: Meter) -> None:
    UsageSummary.objects.filter(meter=meter).update(dimensions={"model": "invented"})


@pytest.mark.parametrize("spoil", [spoil_value, spoil_last, lose, invent])
def test_given_a_spoiled_summary_when_recounted_then_it_is_found_told_recorded_and_healed(
    meter: Meter, customer: Customer, caplog: pytest.LogCaptureFixture, spoil: Callable[[Meter], None]
) -> None:
    report(meter, customer, "3.50", timestamp=NOW)
    report(meter, customer, 4, timestamp=NOW)
    roll_up_all()
    assert recount(meter, customer) == 0
    spoil(meter)

    found = recount(meter, customer)

    differences = list(RecountDifference.objects.order_by("dimensions"))
    assert len(differences) == found >= 1
    assert {row.hour for row in differences} == {Period.hour(NOW).start}
    assert any(row.counted and row.counted["value_sum"] == "7.5" for row in differences)
    assert all(row.counted != row.summarized for row in differences)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert str(meter.pk) in caplog.text
    # It waits for its repair, so nobody is alarmed twice, and reads are right already.
    assert recount(meter, customer) == 0
    assert read(meter, customer) == Decimal("7.5")
    services.recompute_dirty_hours()
    assert UsageSummary.objects.get().value_sum == Decimal("7.5")
    assert recount(meter, customer) == 0
    assert RecountDifference.objects.unresolved().count() == found

    services.resolve_difference(difference=differences[0], now=NOW)
    services.resolve_difference(difference=differences[0], now=NOW + HOUR)
    differences[0].refresh_from_db()
    assert differences[0].resolved_at == NOW


@pytest.mark.parametrize("change", [{"value": "c"}, None])
def test_given_a_spoiled_different_value_when_recounted_then_it_is_found_and_healed(
    customer: Customer, change: dict[str, str] | None
) -> None:
    meter = MeterFactory.create(environment=customer.environment, formula="unique_count")
    for value in "aab":
        report(meter, customer, value, timestamp=NOW)
    roll_up_all()
    assert recount(meter, customer) == 0
    spoiled = UniqueValue.objects.filter(value="b")
    if change:
        spoiled.update(**change)
    else:
        spoiled.delete()

    assert recount(meter, customer) == 1

    services.recompute_dirty_hours()
    assert recount(meter, customer) == 0
    assert sorted(UniqueValue.objects.values_list("value", flat=True)) == ["a", "b"]


def test_given_spans_that_overlap_and_cut_hours_when_recounted_then_each_hour_they_touch_is_told_once(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 3, timestamp=NOW)
    roll_up_all()
    spoil_value(meter)
    spans = [Span(meter, customer.pk, Period(NOW - step * HOUR, NOW + timedelta(seconds=1))) for step in range(3)]

    assert services.recount(environment=meter.environment, spans=spans, now=NOW) == 1
    assert RecountDifference.objects.count() == DirtyHour.objects.count() == 1


def test_given_another_environment_when_recounted_then_only_its_own_is_looked_at(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 3, timestamp=NOW)
    roll_up_all()
    spoil_value(meter)
    elsewhere = MeterFactory.create().environment

    assert services.recount(environment=elsewhere, spans=[Span(meter, customer.pk, WHOLE)], now=NOW) == 0
    assert services.recount_sample(environment=elsewhere, now=NOW) == 0
    assert services.recount_sample(environment=meter.environment, now=NOW) == 1


def test_given_a_lost_summary_when_a_neighbor_is_in_the_sample_then_its_day_brings_it_to_light(
    meter: Meter, customer: Customer
) -> None:
    for hours in range(3):
        report(meter, customer, 3, timestamp=NOW - hours * HOUR)
    roll_up_all()
    UsageSummary.objects.filter(hour=Period.hour(NOW).start).delete()

    assert services.recount_sample(environment=meter.environment, now=NOW, size=1) == 1
    assert RecountDifference.objects.get().summarized is None


# Beside live traffic


def on_own_connection(work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    return run


@contextmanager
def writing(work: Callable[[], object]) -> Iterator[None]:
    """Do work in a transaction of its own, which commits after the block."""
    done, commit = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            work()
            done.set()
            assert commit.wait(10)

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(on_own_connection(write))
        assert done.wait(10)
        try:
            yield
        finally:
            commit.set()
        writer.result()


def report_and_cancel(meter: Meter, customers: list[Customer], seed: int) -> None:
    """20 batches of 10 events for each of two customers; one of each ten is taken back."""
    for number in range(20):
        drafts = [
            draft(
                meter,
                customers[place % 2],
                1,
                identifier=f"{seed}-{number}-{place}",
                timestamp=NOW - (seed + place) % 5 * HOUR,
            )
            for place in range(20)
        ]
        accepted(environment_of=meter, drafts=drafts)
        for place in (0, 1):
            services.cancel_event(environment=meter.environment, identifier=f"{seed}-{number}-{place}", now=NOW)


def test_given_writers_cancellations_and_roll_ups_when_rebuilt_and_recounted_beside_them_then_no_alarm_and_exact_totals(
    meter: Meter, customer: Customer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repair, "EVENTS_AT_ONCE", 40)
    customers = [customer, CustomerFactory.create(environment=meter.environment)]
    stop = threading.Event()

    def until_stopped(work: Callable[[], object]) -> None:
        while not stop.is_set():
            work()

    beside: list[Callable[[], object]] = [
        services.roll_up,
        services.recompute_dirty_hours,
        lambda: services.rebuild_summaries(meter=meter),
        lambda: recount(meter, *customers),
        lambda: services.recount_sample(environment=meter.environment, now=NOW),
    ]
    with ThreadPoolExecutor(len(beside) + 3) as pool:
        loops = [pool.submit(on_own_connection(partial(until_stopped, work))) for work in beside]
        writers = [pool.submit(on_own_connection(partial(report_and_cancel, meter, customers, n))) for n in range(3)]
        wait(writers)
        stop.set()
    for task in [*writers, *loops]:
        task.result()
    roll_up_all()
    while services.recompute_dirty_hours():
        pass

    assert not RecountDifference.objects.exists()
    assert caplog.records == []
    for one in customers:
        assert read(meter, one) == 3 * 20 * 9
        assert sum(row.event_count for row in UsageSummary.objects.filter(customer=one)) == 3 * 20 * 9
    assert recount(meter, *customers) == 0


# Another server


@pytest.mark.parametrize("ids_ahead_by", [1 << 40, 0, -200])
def test_given_another_server_when_used_then_nothing_is_taken_in_before_its_ids_follow_and_then_all_counts_once(
    meter: Meter, customer: Customer, ids_ahead_by: int
) -> None:
    report(meter, customer, 1, timestamp=NOW)
    roll_up_all()
    report(meter, customer, 10, timestamp=NOW)
    restored_elsewhere(ids_ahead_by)

    for refused in (services.roll_up, lambda: report(meter, customer, 100, timestamp=NOW, identifier="next")):
        with pytest.raises(errors.WatermarkFromAnotherCluster):
            refused()
    assert read(meter, customer) == 11
    services.adopt_cluster()
    report(meter, customer, 100, timestamp=NOW, identifier="next")

    assert read(meter, customer) == 111
    roll_up_all()
    roll_up_all()
    assert UsageSummary.objects.get().value_sum == 111
    assert MeterEvent.objects.get(identifier="next").xid < watermark().xid
    assert recount(meter, customer) == 0


def test_given_the_same_server_when_adopted_beside_a_writer_then_nothing_is_lost_or_counted_twice(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 1, timestamp=NOW)
    roll_up_all()
    report(meter, customer, 10, timestamp=NOW)

    with ThreadPoolExecutor(1) as pool, writing(lambda: report(meter, customer, 100, timestamp=NOW)):
        adopting = pool.submit(on_own_connection(services.adopt_cluster))
        # It waits for the writer.
        assert not adopting.done()
    adopting.result()
    services.adopt_cluster()
    report(meter, customer, 1000, timestamp=NOW)
    roll_up_all()

    assert UsageSummary.objects.get().value_sum == 1111
