"""The roll-up beside writers: totals equal what was accepted, whatever commits late, rolls back or is sent again."""

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TypeVar

import pytest
from django.db import connection, transaction

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from core.ids import spell
from core.periods import Period
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.errors import WatermarkFromAnotherCluster
from usage.events import AcceptedEvent, EventDraft
from usage.models import DirtyHour, MeterEvent, Source, UsageSummary, Watermark
from usage.reports import summaries, watermark
from usage.tests.factories import draft, report, roll_up_all

HOUR = Period.hour(NOW)
T = TypeVar("T")


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def summed(meter: Meter, customer: Customer) -> Decimal:
    return sum(
        (row.value_sum or Decimal(0) for row in UsageSummary.objects.filter(meter=meter, customer=customer)), Decimal(0)
    )


def test_given_events_on_both_edges_of_an_hour_when_rolled_up_then_the_start_belongs_and_the_end_does_not(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 3, timestamp=HOUR.start)
    report(meter, customer, 5, timestamp=HOUR.end, now=HOUR.end)

    roll_up_all()

    assert UsageSummary.objects.get(hour=HOUR.start).value_sum == 3
    assert UsageSummary.objects.get(hour=HOUR.end).value_sum == 5


def test_given_a_rolled_up_event_when_rolled_up_again_then_it_counts_once(meter: Meter, customer: Customer) -> None:
    report(meter, customer, 3, timestamp=NOW)

    for _ in range(3):
        roll_up_all()

    assert summed(meter, customer) == 3


def test_given_a_writer_that_commits_late_when_others_are_rolled_up_then_its_events_are_not_passed_by(
    meter: Meter, customer: Customer
) -> None:
    written, go_on = threading.Event(), threading.Event()

    def slow_writer() -> None:
        try:
            with transaction.atomic():
                report(meter, customer, 1, timestamp=NOW)
                written.set()
                go_on.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=slow_writer)
    thread.start()
    written.wait(10)
    report(meter, customer, 10, timestamp=NOW)
    before = watermark().read_at
    services.roll_up()
    held_back = summed(meter, customer)
    (read,) = summaries(meter=meter, customer_id=customer.pk, period=HOUR)
    freshness = watermark().read_at
    go_on.set()
    thread.join()
    roll_up_all()

    # The open transaction holds the later one back from the summaries, not from a read, and freshness says so.
    assert held_back == 0
    assert read.value == 10
    assert before <= freshness < watermark().read_at
    assert summed(meter, customer) == 11


class RollsBack(Exception):
    """Makes a writer's transaction end without effect."""


def write(meter: Meter, customers: list[Customer], seed: int) -> Counter[str]:
    """Report random batches: a third of them twice, some rolled back, some committed late.

    Writers whose seeds are equal modulo 4 race for the same identifiers with different contents.

    :returns: what was accepted, by the customer's name in the payload
    """
    chance = random.Random(seed)
    sums: Counter[str] = Counter()
    for number in range(25):
        batch = [
            draft(
                meter,
                chance.choice(customers),
                chance.randint(1, 9),
                identifier=f"{seed % 4}-{number}-{place}",
                timestamp=NOW - timedelta(minutes=chance.randint(0, 300)),
            )
            for place in range(chance.randint(1, 12))
        ]
        for _ in range(chance.choice([1, 1, 2])):
            with contextlib.suppress(RollsBack):
                answers = write_once(meter, batch, late=chance.random() < 0.2, fails=chance.random() < 0.2)
                for sent, answer in zip(batch, answers, strict=True):
                    if isinstance(answer, AcceptedEvent):
                        sums[sent.payload[meter.customer_key]] += int(sent.payload[meter.value_key])
    return sums


@transaction.atomic
def write_once(meter: Meter, batch: list[EventDraft], *, late: bool, fails: bool) -> list[AcceptedEvent | BillingError]:
    answers = services.accept_events(environment=meter.environment, drafts=batch, source=Source.API, now=NOW)
    if late:
        time.sleep(0.02)
    if fails:
        raise RollsBack
    return answers


def on_own_connection(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connection.close()


def test_given_eight_writers_with_resends_rollbacks_and_slow_commits_when_rolled_up_beside_them_then_totals_are_exact(
    meter: Meter, customer: Customer
) -> None:
    customers = [customer, *(CustomerFactory.create(environment=meter.environment) for _ in range(3))]
    stop = threading.Event()

    def roll() -> None:
        while not stop.is_set():
            services.roll_up()

    rollers = [threading.Thread(target=on_own_connection, args=[roll]) for _ in range(2)]
    for roller in rollers:
        roller.start()
    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(on_own_connection, partial(write, meter, customers, seed)) for seed in range(8)]
        accepted = sum((writer.result() for writer in writers), Counter())
    stop.set()
    for roller in rollers:
        roller.join()
    roll_up_all()

    whole = Period(NOW - timedelta(days=1), NOW + timedelta(days=1))
    assert accepted.total() > 0
    for one in customers:
        total = accepted[spell("cus", one.pk)]
        assert summed(meter, one) == total
        assert sum(event.value or 0 for event in MeterEvent.objects.filter(customer=one)) == total
        assert summaries(meter=meter, customer_id=one.pk, period=whole)[0].value == total


def test_given_a_wrong_summary_when_its_hour_is_marked_then_it_is_computed_again_from_the_events(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 3, timestamp=NOW)
    roll_up_all()
    UsageSummary.objects.update(value_sum=999, event_count=7)
    report(meter, customer, 4, timestamp=NOW)

    services.mark_dirty(environment=meter.environment, hours=[(meter.pk, customer.pk, NOW)], reason="test", now=NOW)
    recomputed = services.recompute_dirty_hours()

    # The event that is not rolled up yet stays out of the summary, or the roll-up would count it twice.
    assert recomputed == 1
    assert summed(meter, customer) == 3
    roll_up_all()
    assert summed(meter, customer) == 7
    assert not DirtyHour.objects.exists()


def test_given_a_watermark_ahead_of_the_database_when_rolled_up_then_it_refuses(meter: Meter) -> None:
    Watermark.objects.create(xid=2**60, read_at=NOW)

    with pytest.raises(WatermarkFromAnotherCluster):
        services.roll_up()
