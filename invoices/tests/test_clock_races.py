"""Test clocks and whoever else comes at the same moment, on connections of their own."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts.errors import ClockAdvancing
from accounts.models import Customer, TestClock
from accounts.services import create_customer
from accounts.tests.factories import NOW, TestClockFactory
from invoices import services
from invoices.models import Invoice
from invoices.services import clocks
from invoices.services.stepping import step
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe
from invoices.tests.test_races import at_once, kinds
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import Subscription
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)


@pytest.fixture
def customer() -> Customer:
    clock = TestClockFactory.create(frozen_at=NOW)
    return create_customer(environment=clock.environment, now=NOW, test_clock=clock)


@pytest.fixture
def subscription(customer: Customer) -> Subscription:
    return subscribe(customer, PriceFactory.create(environment=customer.environment))


def clock_of(customer: Customer) -> TestClock:
    return TestClock.objects.get(customers=customer)


def totals() -> list[int]:
    return list(Invoice.objects.order_by("created_at").values_list("total", flat=True))


def test_of_two_advances_one_is_told_that_it_moves_already(customer: Customer, subscription: Subscription) -> None:
    clock = clock_of(customer)

    outcomes = at_once(*[lambda: services.advance_test_clock(clock=clock, target_at=SECOND_END)] * 2)

    assert kinds(outcomes) == ["ClockAdvancing", "TestClock"]
    assert clock_of(customer).target_at == SECOND_END


def test_two_workers_on_one_clock_bill_each_period_once(customer: Customer, subscription: Subscription) -> None:
    services.advance_test_clock(clock=clock_of(customer), target_at=SECOND_END)

    at_once(*[services.run_test_clocks] * 3)
    services.run_test_clocks()

    assert totals() == [1000, 1000, 1000]
    assert (clock_of(customer).status, clock_of(customer).frozen_at) == ("ready", SECOND_END)


def test_an_update_meets_an_advance_and_comes_before_it_or_not_at_all(
    customer: Customer, subscription: Subscription
) -> None:
    for number in range(1, 6):
        clock = clock_of(customer)
        now, target = clock.frozen_at, clock.frozen_at + 40 * DAY

        def move(clock: TestClock = clock, target: Any = target) -> None:
            services.advance_test_clock(clock=clock, target_at=target)
            services.run_test_clocks()

        changed, _ = at_once(
            lambda: services.cancel_later(subscription=subscription, now=now, at_period_end=True),  # noqa: B023
            move,
        )
        # What the other one held at that moment was left to the next beat.
        services.run_test_clocks()

        subscription.refresh_from_db()
        if isinstance(changed, ClockAdvancing):
            assert (subscription.status, subscription.cancel_at) == ("active", None)
            assert len(totals()) > number
        else:
            assert (subscription.status, subscription.ended_at) == ("canceled", changed.cancel_at)
            subscription = subscribe(Customer.objects.get(pk=customer.pk), subscription.items.get().price, now=target)


def test_a_cancellation_meets_the_renewal_and_no_period_is_billed_twice() -> None:
    price = PriceFactory.create()
    for _ in range(5):
        customer = create_customer(environment=price.environment, now=NOW)
        subscription = subscribe(customer, price)

        outcomes = at_once(
            lambda: services.close_due_periods(now=FIRST_END),
            lambda: services.cancel_subscription(subscription=subscription, now=FIRST_END),  # noqa: B023
            lambda: services.cancel_later(subscription=subscription, now=FIRST_END, at_period_end=True),  # noqa: B023
        )

        cycles = Invoice.objects.filter(subscription=subscription, billing_reason="subscription_cycle")
        assert [invoice.period_end for invoice in cycles] == [FIRST_END]
        subscription.refresh_from_db()
        assert (subscription.status, subscription.ended_at) == ("canceled", FIRST_END)
        assert isinstance(outcomes[2], Subscription | SubscriptionEnded)


def test_a_worker_that_dies_in_the_middle_of_a_step_loses_nothing_and_the_next_one_goes_on(
    customer: Customer, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.advance_test_clock(clock=clock_of(customer), target_at=SECOND_END)
    backends: list[int] = []
    working, dead = threading.Event(), threading.Event()

    def die_at_the_second(subscriptions: Any, *, now: Any) -> None:
        step(subscriptions, now=now)
        if now == SECOND_END and not dead.is_set():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                backends.append(cursor.fetchone()[0])
            working.set()
            assert dead.wait(timeout=20)

    def work() -> str:
        try:
            services.run_test_clocks()
        except OperationalError:
            return "died"
        return "arrived"

    def kill() -> None:
        assert working.wait(timeout=20)
        with connection.cursor() as cursor:
            # What the database sees of a worker that is killed.
            cursor.execute("SELECT pg_terminate_backend(%s)", [backends[0]])
        dead.set()

    monkeypatch.setattr(clocks, "step", die_at_the_second)
    assert at_once(work, kill)[0] == "died"
    clock = clock_of(customer)
    # All that was committed before stands, and nothing of the step that was under way.
    assert (clock.status, clock.frozen_at) == ("advancing", FIRST_END + timedelta(hours=1))
    assert totals() == [1000, 1000]

    assert services.run_test_clocks() == 1
    assert totals() == [1000, 1000, 1000]
    assert clock_of(customer).status == "ready"
