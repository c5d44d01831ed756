"""Phases that begin meet whoever changes their schedule at the same moment, on connections of their own."""

from datetime import timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import Invoice
from invoices.tests.factories import FIRST_END, SECOND_END
from invoices.tests.test_races import at_once, kinds
from invoices.tests.test_schedules import again, managed, phase, plan
from subscriptions.models import Price, SchedulePhase, Subscription, SubscriptionSchedule
from subscriptions.services import ItemChange
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def seats(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment)


def cycles(schedule: SubscriptionSchedule) -> list[int]:
    invoices = Invoice.objects.filter(subscription=managed(schedule)).order_by("created_at", "pk")
    return list(invoices.values_list("total", flat=True))


def test_a_release_meets_the_start_of_a_phase(customer: Customer, seats: Price) -> None:
    outcomes = set()
    for round_ in range(6):
        schedule = plan(customer, phase(seats), phase(seats, 3), phase(seats, 9))

        # The release read the clock before the phase began, or when it did.
        at_once(
            lambda: services.release_schedule(schedule=schedule, now=FIRST_END - SECOND * (round_ % 2)),  # noqa: B023
            lambda: services.close_due_periods(now=FIRST_END),
        )
        services.close_due_periods(now=SECOND_END)

        schedule = again(schedule)
        assert schedule.status == "released"
        quantity = managed(schedule).items.get().quantity
        # The second phase began or it did not, and each month costs what there was; the third never begins.
        assert cycles(schedule) == [1000, *[1000 * (quantity or 0)] * 2]
        begun = SchedulePhase.objects.filter(schedule=schedule, begun_at__isnull=False).count()
        assert (begun, quantity) in {(1, 1), (2, 3)}
        outcomes.add(quantity)
    assert outcomes <= {1, 3}


def test_an_update_meets_the_start_of_a_phase(customer: Customer, seats: Price) -> None:
    for round_ in range(6):
        schedule = plan(customer, phase(seats), phase(seats, 3))
        now = FIRST_END - SECOND * (round_ % 2)

        [updated, _] = at_once(
            lambda: services.update_schedule(
                schedule=schedule,  # noqa: B023
                now=now,  # noqa: B023
                phases=[phase(seats, start_at=NOW, end_at=FIRST_END), phase(seats, 5, iterations=2)],
            ),
            lambda: services.close_due_periods(now=FIRST_END),
        )
        services.close_due_periods(now=FIRST_END)

        subscription = managed(schedule)
        quantity = subscription.items.get().quantity
        # Either it came first, or the phase that it calls the next one had begun by then, and is changed at once.
        assert (type(updated).__name__, quantity) == ("SubscriptionSchedule", 5)
        waiting = sum(subscription.invoice_items.waiting().values_list("amount", flat=True))
        assert sum(cycles(schedule)) + waiting == 1000 + 1000 * (quantity or 0)
        period = subscription.items.get().current_period
        assert (period.start, period.end) == (FIRST_END, SECOND_END)


def test_a_change_of_the_subscription_meets_the_start_of_a_phase(customer: Customer, seats: Price) -> None:
    support = PriceFactory.create(environment=customer.environment)
    for _ in range(4):
        schedule = plan(customer, phase(seats), phase(seats, 3))
        subscription = managed(schedule)

        at_once(
            lambda: services.update_subscription(
                subscription=subscription,  # noqa: B023
                now=FIRST_END,
                items=[ItemChange(price=support)],
            ),
            lambda: services.close_due_periods(now=FIRST_END),
        )

        services.close_due_periods(now=FIRST_END)
        # The phase begins first, whoever lets it, and then the change is made: no change is lost.
        present = {item.price: item.quantity for item in subscription.items.present()}
        assert present == {seats: 3, support: 1}


def test_a_plan_begins_once_or_is_released(customer: Customer, seats: Price) -> None:
    for _ in range(6):
        schedule = plan(customer, phase(seats), start_at=FIRST_END)

        outcomes = at_once(
            lambda: services.release_schedule(schedule=schedule, now=FIRST_END),  # noqa: B023
            lambda: services.start_due_schedules(now=FIRST_END),
            lambda: services.start_due_schedules(now=FIRST_END),
        )

        services.start_due_schedules(now=FIRST_END)
        assert "SubscriptionSchedule" in kinds(outcomes)
        assert again(schedule).status == "released"
        # It began before it was released, or never will.
        begun = Subscription.objects.filter(schedules=schedule).count()
        assert Invoice.objects.filter(subscription__schedules=schedule).count() == begun <= 1


def test_two_runs_begin_each_plan_once(customer: Customer, seats: Price) -> None:
    for _ in range(5):
        plan(customer, phase(seats), start_at=FIRST_END)

    outcomes = at_once(*[lambda: services.start_due_schedules(now=FIRST_END, chunk=2)] * 3)

    assert sum(swept.done for swept in outcomes) == 5
    assert Subscription.objects.count() == Invoice.objects.count() == 5
