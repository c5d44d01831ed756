"""Test clocks: a jump comes to the same as time that passes, and nothing comes between."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.clocks import CUSTOMERS_ON_A_CLOCK, create_test_clock
from accounts.errors import ClockAdvancing, ClockNotAhead, ClocksOnlyInTest, TooManyCustomers
from accounts.models import Customer, Environment, Mode, OverdueOutcome, TestClock
from accounts.services import create_customer, update_company, update_customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from core.errors import NotFound
from core.periods import boundary
from core.tests.examples import costly
from invoices import services
from invoices.models import Invoice
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use, utc
from subscriptions.errors import TooManySubscriptions
from subscriptions.models import Price, Subscription
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.tests.factories import report

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> TestClock:
    return TestClockFactory.create(frozen_at=NOW)


def bound(clock: TestClock) -> Customer:
    return create_customer(environment=clock.environment, now=NOW, test_clock=clock)


def advance(clock: TestClock, to: datetime) -> TestClock:
    services.advance_test_clock(clock=clock, target_at=to)
    assert services.run_test_clocks() == 1
    clock.refresh_from_db()
    assert (clock.status, clock.frozen_at, clock.target_at) == ("ready", to, None)
    return clock


def invoices_of(customer: Customer) -> list[tuple[Any, ...]]:
    return [
        (
            invoice.billing_reason,
            invoice.status,
            invoice.total,
            invoice.period,
            invoice.created_at,
            invoice.finalized_at,
            invoice.due_at,
            [(line.amount, line.period) for line in invoice.lines.all()],
        )
        for invoice in Invoice.objects.filter(customer=customer).order_by("created_at", "period_end", "total")
    ]


def periods_of(customer: Customer) -> list[tuple[Any, ...]]:
    return [
        (
            subscription.status,
            subscription.wakes_at,
            subscription.ended_at,
            [item.current_period for item in subscription.items.all()],
        )
        for subscription in Subscription.objects.filter(customer=customer).order_by("created_at", "pk")
    ]


def test_a_year_that_begins_on_31_january_has_twelve_exact_periods(clock: TestClock) -> None:
    start = utc("2027-01-31T09:30")
    TestClock.objects.update(frozen_at=start)
    clock.refresh_from_db()
    customer = bound(clock)
    subscribe(customer, PriceFactory.create(environment=clock.environment), now=start)

    for month in ("2027-03-31", "2027-05-31", "2027-07-31", "2027-09-30", "2027-11-30", "2028-01-30"):
        advance(clock, utc(f"{month}T09:30"))
    advance(clock, utc("2028-01-31T10:30"))

    ends = ["01-31", "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-31"]
    starts = [utc(f"2027-{day}T09:30") for day in ends] + [utc("2028-01-31T09:30"), utc("2028-02-29T09:30")]
    lines = [lines[0] for *_, lines in invoices_of(customer)]
    assert [(period.start, period.end) for _, period in lines] == list(pairwise(starts))
    assert {(amount, status) for (amount, _), (_, status, *_) in zip(lines, invoices_of(customer), strict=True)} == {
        (1000, "open")
    }


def test_a_clock_moves_through_all_that_lies_between_in_order(clock: TestClock) -> None:
    customer = bound(clock)
    update_company(company=clock.environment.company, overdue_days=3, overdue_outcome=OverdueOutcome.CANCELED)
    licensed, metered = (
        factory.create(environment=clock.environment) for factory in (PriceFactory, MeteredPriceFactory)
    )
    subscription = subscribe(
        customer, licensed, metered, trial_days=2, collection_method="send_invoice", days_until_due=5
    )
    advance(clock, NOW + 30 * DAY)

    subscription.refresh_from_db()
    # Trial, an hour as a draft, five days until it is due, three days of patience.
    assert (subscription.status, subscription.ended_at) == ("canceled", NOW + 10 * DAY + HOUR)
    invoice = Invoice.objects.get(billing_reason="subscription_cycle")
    assert (invoice.created_at, invoice.finalized_at) == (NOW + 2 * DAY, NOW + 2 * DAY + HOUR)
    assert (invoice.due_at, invoice.status, invoice.total) == (NOW + 7 * DAY + HOUR, "open", 1000)


def test_what_lives_by_a_clock_is_left_to_it_and_all_else_to_the_wall(clock: TestClock) -> None:
    price = PriceFactory.create(environment=clock.environment)
    on_clock, by_wall = bound(clock), CustomerFactory.create(environment=clock.environment)
    for customer in (on_clock, by_wall):
        subscribe(customer, price)

    services.close_due_periods(now=SECOND_END)
    assert [len(invoices_of(customer)) for customer in (on_clock, by_wall)] == [1, 3]
    advance(clock, FIRST_END)
    assert [len(invoices_of(customer)) for customer in (on_clock, by_wall)] == [2, 3]


def test_while_it_advances_nothing_that_lives_by_it_can_be_changed(clock: TestClock) -> None:
    customer = bound(clock)
    price = PriceFactory.create(environment=clock.environment)
    subscription = subscribe(customer, price)
    invoice = Invoice.objects.get()
    services.advance_test_clock(clock=clock, target_at=FIRST_END)

    changes: list[Callable[[], object]] = [
        lambda: subscribe(customer, price),
        lambda: services.cancel_subscription(subscription=subscription, now=NOW),
        lambda: services.cancel_later(subscription=subscription, now=NOW, at_period_end=True),
        lambda: services.pause_subscription(subscription=subscription, now=NOW),
        lambda: services.pay_invoice_out_of_band(invoice=invoice, now=NOW),
        lambda: services.void_invoice(invoice=invoice, now=NOW),
        lambda: services.finalize_invoice(invoice=invoice, now=NOW),
        lambda: services.delete_customer(customer=customer, now=NOW),
        lambda: update_customer(customer=customer, now=NOW, name="New"),
        lambda: bound(clock),
        lambda: services.advance_test_clock(clock=clock, target_at=SECOND_END),
        lambda: services.delete_test_clock(clock=clock, now=NOW),
    ]
    for change in changes:
        with pytest.raises(ClockAdvancing):
            change()

    assert periods_of(customer) == [("active", FIRST_END, None, [subscription.items.get().current_period])]
    clock.refresh_from_db()
    assert (clock.status, clock.frozen_at, clock.target_at) == ("advancing", NOW, FIRST_END)
    services.run_test_clocks()
    with pytest.raises(ClockAdvancing):
        # Said at the time that the clock showed before.
        services.cancel_subscription(subscription=subscription, now=NOW)
    services.cancel_subscription(subscription=subscription, now=FIRST_END)


def test_it_goes_forward_and_not_too_far_at_once(clock: TestClock) -> None:
    def furthest() -> datetime:
        with pytest.raises(ClockNotAhead) as refusal:
            services.advance_test_clock(clock=clock, target_at=NOW + 3000 * DAY)
        return refusal.value.furthest

    assert furthest() == NOW + 730 * DAY
    customer = bound(clock)
    yearly = PriceFactory.create(environment=clock.environment, interval="year")
    every_second_month = PriceFactory.create(environment=clock.environment, interval_count=2)
    subscribe(customer, yearly)
    subscription = subscribe(customer, every_second_month)
    assert furthest() == boundary(NOW, "month", 2, 2)
    services.cancel_subscription(subscription=subscription, now=NOW)
    assert furthest() == boundary(NOW, "year", 1, 2)
    for target in (NOW, NOW - DAY):
        with pytest.raises(ClockNotAhead):
            services.advance_test_clock(clock=clock, target_at=target)
    clock.refresh_from_db()
    assert (clock.status, clock.frozen_at) == ("ready", NOW)


def test_it_has_few_customers_with_few_subscriptions(clock: TestClock) -> None:
    customers = [bound(clock) for _ in range(CUSTOMERS_ON_A_CLOCK)]
    with pytest.raises(TooManyCustomers):
        bound(clock)
    services.delete_customer(customer=customers.pop(), now=NOW)
    customer = bound(clock)

    price = PriceFactory.create(environment=clock.environment)
    subscriptions = [subscribe(customer, price) for _ in range(3)]
    with pytest.raises(TooManySubscriptions):
        subscribe(customer, price)
    services.cancel_subscription(subscription=subscriptions[0], now=NOW)
    subscribe(customer, price)
    assert Subscription.objects.count() == 4


def test_a_clock_is_for_a_test_environment_and_for_its_own_customers(clock: TestClock) -> None:
    live = Environment.objects.create(company=clock.environment.company, mode=Mode.LIVE)
    with pytest.raises(ClocksOnlyInTest):
        create_test_clock(environment=live, frozen_at=NOW, now=NOW)
    for environment in (live, EnvironmentFactory.create()):
        with pytest.raises(NotFound):
            create_customer(environment=environment, now=NOW, test_clock=clock)
    assert not Customer.objects.exists()
    assert TestClock.objects.count() == 1


def test_a_customer_on_a_clock_begins_at_its_time(clock: TestClock) -> None:
    assert create_customer(environment=clock.environment, now=FIRST_END, test_clock=clock).created_at == NOW


def test_a_deleted_clock_takes_its_customers_along_and_bills_nothing(clock: TestClock) -> None:
    customer = bound(clock)
    subscribe(customer, MeteredPriceFactory.create(environment=clock.environment))

    services.delete_test_clock(clock=clock, now=FIRST_END)

    customer.refresh_from_db()
    clock.refresh_from_db()
    assert (customer.deleted_at, clock.deleted_at) == (NOW, FIRST_END)
    assert [status for status, *_ in periods_of(customer)] == ["canceled"]
    assert not Invoice.objects.exists()
    for again in (lambda: services.delete_test_clock(clock=clock, now=FIRST_END), lambda: bound(clock)):
        with pytest.raises(NotFound):
            again()


def test_after_thirty_days_it_is_deleted_by_itself() -> None:
    clock = create_test_clock(environment=EnvironmentFactory.create(), frozen_at=NOW - 9000 * DAY, now=NOW)
    assert services.delete_expired_test_clocks(now=NOW + 30 * DAY - HOUR) == 0
    assert services.delete_expired_test_clocks(now=NOW + 30 * DAY) == 1
    assert services.delete_expired_test_clocks(now=NOW + 30 * DAY) == 0
    clock.refresh_from_db()
    assert clock.deleted_at == NOW + 30 * DAY


def dear(clock: TestClock) -> Customer:
    """A customer whose second period cannot be billed."""
    customer = bound(clock)
    price = MeteredPriceFactory.create(environment=clock.environment, unit_amount=10**17)
    subscribe(customer, price)
    use(price, customer, 10**14, NOW)
    return customer


def test_what_cannot_be_billed_stops_the_clock_before_it_and_says_why(clock: TestClock) -> None:
    cheap = bound(clock)
    subscribe(cheap, PriceFactory.create(environment=clock.environment, interval="week"))
    dear(clock)
    services.advance_test_clock(clock=clock, target_at=NOW + 14 * DAY)
    services.run_test_clocks()
    services.advance_test_clock(clock=clock, target_at=NOW + 28 * DAY)
    services.run_test_clocks()
    services.advance_test_clock(clock=clock, target_at=NOW + 42 * DAY)
    assert services.run_test_clocks() == 0

    clock.refresh_from_db()
    assert (clock.status, clock.frozen_at, clock.target_at) == (
        "internal_failure",
        NOW + 28 * DAY + HOUR,
        NOW + 42 * DAY,
    )
    assert clock.failure == "AmountTooLarge: The amount is too large for an invoice: 1.00000e+31"
    assert services.run_test_clocks() == 0
    # It can be tried again, and done away with.
    services.advance_test_clock(clock=clock, target_at=NOW + 29 * DAY)
    assert services.run_test_clocks() == 1
    services.delete_test_clock(clock=clock, now=NOW)


INTERVALS = {"day": 1, "week": 7, "month": 30}


@st.composite
def lives(draw: st.DrawFn) -> dict[str, Any]:
    """A subscription's life over two intervals, and the instants at which its clock stops on the way."""
    interval = draw(st.sampled_from(sorted(INTERVALS)))
    length = INTERVALS[interval] * 86_400
    terms: dict[str, Any] = {}
    if draw(st.booleans()):
        terms["trial_end_at"] = NOW + timedelta(seconds=draw(st.integers(1, length)))
        terms["trial_end_behavior"] = draw(st.sampled_from(["create_invoice", "pause", "cancel"]))
    if draw(st.booleans()):
        terms["cancel_at"] = NOW + timedelta(seconds=draw(st.integers(1, 2 * length)))
    if draw(st.booleans()):
        terms |= {"collection_method": "send_invoice", "days_until_due": draw(st.integers(0, 10))}
    elif draw(st.booleans()):
        terms["incomplete"] = True
    return {
        "interval": interval,
        "terms": terms,
        "pause": draw(st.none() | st.integers(1, 2 * length)),
        "behavior": draw(st.sampled_from(["void", "mark_uncollectible", "keep_as_draft"])),
        "usage": draw(st.lists(st.integers(0, 2 * length - 1), max_size=4)),
        "end": NOW + timedelta(seconds=draw(st.integers(length, 2 * length - 86_400 * (interval == "month")))),
        "stops": sorted(draw(st.sets(st.integers(1, 2 * length), max_size=5))),
    }


@settings(max_examples=costly(25), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(life=lives())
def test_one_jump_comes_to_the_same_as_many_steps_and_as_the_beat_s_jobs(life: dict[str, Any], db: None) -> None:
    outcomes = []
    end = life["end"]
    stops = [NOW + timedelta(seconds=seconds) for seconds in life["stops"]]
    ways: list[Callable[[TestClock], None]] = [
        lambda clock: _jump(clock, [end]),
        lambda clock: _jump(clock, [*[stop for stop in stops if stop < end], end]),
        lambda _: _let_the_beat_run(end),
    ]
    for way in ways:
        with transaction.atomic():
            environment = EnvironmentFactory.create()
            update_company(company=environment.company, overdue_days=2, overdue_outcome=OverdueOutcome.UNPAID)
            customer = CustomerFactory.create(environment=environment)
            _begin(customer, life)
            clock = TestClockFactory.create(environment=environment, frozen_at=NOW)
            if way is not ways[2]:
                Customer.objects.update(test_clock=clock)
            way(clock)
            outcomes.append((invoices_of(customer), periods_of(customer)))
            transaction.set_rollback(True)

    assert outcomes[0] == outcomes[1]
    assert outcomes[0] == outcomes[2]
    assert outcomes[0][1]


def _begin(customer: Customer, life: dict[str, Any]) -> None:
    """Begin a life by the wall: usage cannot lie in the future of a customer on a clock."""
    environment = customer.environment
    metered: Price = MeteredPriceFactory.create(environment=environment, interval=life["interval"])
    licensed: Price = PriceFactory.create(environment=environment, interval=life["interval"])
    subscription = subscribe(customer, licensed, metered, **life["terms"])
    if life["pause"] is not None:
        services.pause_collection(
            subscription=subscription,
            now=NOW,
            behavior=life["behavior"],
            resumes_at=NOW + timedelta(seconds=life["pause"]),
        )
    assert metered.meter is not None
    for seconds in life["usage"]:
        at = NOW + timedelta(seconds=seconds)
        report(metered.meter, customer, 7, timestamp=at, now=at)


def _jump(clock: TestClock, targets: Sequence[datetime]) -> None:
    for target in targets:
        advance(clock, target)


def _let_the_beat_run(end: datetime) -> None:
    """The wall's time passes, and the beat's task runs at each instant at which something is due."""
    while (now := _due_by_wall()) is not None and now <= end:
        for sweep in (services.close_due_periods, services.finalize_due_drafts, services.escalate_due_invoices):
            assert sweep(now=now).failed == 0


def _due_by_wall() -> datetime | None:
    instants = [
        *Subscription.objects.values_list("wakes_at", flat=True),
        *Invoice.objects.filter(status="draft").values_list("finalizes_at", flat=True),
        *Invoice.objects.values_list("escalates_at", flat=True),
    ]
    return min((instant for instant in instants if instant is not None), default=None)
