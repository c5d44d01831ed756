"""Three days before a trial ends, or at once where it is shorter, it is told that it will."""

from datetime import datetime, timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.tests.factories import subscribe
from subscriptions.models import Price, Subscription
from subscriptions.tests.factories import PriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
TYPE = "customer.subscription.trial_will_end"


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def price(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment)


def told() -> list[datetime]:
    return list(Event.objects.filter(type=TYPE).order_by("pk").values_list("created_at", flat=True))


def test_a_trials_end_is_told_once_and_three_days_before(customer: Customer, price: Price) -> None:
    subscription = subscribe(customer, price, trial_end_at=NOW + 14 * DAY)
    warned = NOW + 11 * DAY

    services.close_due_periods(now=warned - timedelta(seconds=1))
    assert told() == []
    services.close_due_periods(now=warned)
    services.close_due_periods(now=warned + DAY)

    assert told() == [warned]
    subscription.refresh_from_db()
    assert (subscription.status, subscription.wakes_at) == ("trialing", NOW + 14 * DAY)


def test_of_a_short_trial_it_is_told_at_once(customer: Customer, price: Price) -> None:
    subscribe(customer, price, trial_end_at=NOW + 2 * DAY)

    assert told() == [NOW]


def test_a_trial_that_ends_later_is_told_of_again(customer: Customer, price: Price) -> None:
    subscription = subscribe(customer, price, trial_end_at=NOW + 2 * DAY)

    services.change_trial_end(subscription=subscription, now=NOW + DAY, ends_at=NOW + 10 * DAY)
    services.close_due_periods(now=NOW + 7 * DAY)

    assert told() == [NOW, NOW + 7 * DAY]


def test_where_nobody_looked_in_time_the_trial_ends_as_ever(customer: Customer, price: Price) -> None:
    subscription = subscribe(customer, price, trial_end_at=NOW + 14 * DAY)

    services.close_due_periods(now=NOW + 20 * DAY)

    assert told() == [NOW + 20 * DAY]
    assert Subscription.objects.get(pk=subscription.pk).status == "active"


def test_a_trial_that_was_ended_is_not_warned_of(customer: Customer, price: Price) -> None:
    ended = subscribe(customer, price, trial_end_at=NOW + 14 * DAY)
    canceled = subscribe(customer, price, trial_end_at=NOW + 14 * DAY)
    services.change_trial_end(subscription=ended, now=NOW + DAY, ends_at=None)
    services.cancel_subscription(subscription=canceled, now=NOW + DAY)

    services.close_due_periods(now=NOW + 14 * DAY)

    assert told() == []
