"""Old events go, but never those that are still to be billed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounts.tests.factories import CustomerFactory
from invoices import services
from invoices.true_ups import REACH
from meters.models import Meter
from meters.tests.factories import MeterFactory
from subscriptions.models import Subscription
from subscriptions.services import NewItem, create_price, create_product
from usage.models import MeterEvent
from usage.tests.factories import report, roll_up_all

JANUARY, MARCH, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 3, 5))
RETENTION = timedelta(days=100)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    """A meter with an event of January and one of March, both rolled up."""
    meter = MeterFactory.create()
    customer = CustomerFactory.create(environment=meter.environment)
    for moment in (JANUARY, MARCH):
        report(meter, customer, timestamp=moment)
    roll_up_all()
    return meter


def subscribe(meter: Meter, now: datetime) -> None:
    product = create_product(environment=meter.environment, now=now, name="Calls")
    price = create_price(
        environment=meter.environment,
        now=now,
        product=product,
        currency="usd",
        unit_amount=Decimal(1),
        usage_type="metered",
        meter=meter,
        interval="month",
    )
    customer = CustomerFactory.create(environment=meter.environment)
    services.start_subscription(environment=meter.environment, customer=customer, items=[NewItem(price)], now=now)


def months_left() -> list[int]:
    return sorted(event.timestamp.month for event in MeterEvent.objects.all())


def test_given_nothing_to_bill_when_dropping_then_months_older_than_the_retention_go(meter: Meter) -> None:
    services.drop_expired_usage(now=MAY + timedelta(days=75), retention=RETENTION)

    assert months_left() == []


def test_given_a_month_within_the_retention_when_dropping_then_it_stays(meter: Meter) -> None:
    services.drop_expired_usage(now=MAY + timedelta(days=15), retention=RETENTION)

    assert months_left() == [3]


def test_given_a_period_that_is_not_closed_when_dropping_then_its_events_stay(meter: Meter) -> None:
    subscribe(meter, now=JANUARY + timedelta(days=10))

    services.drop_expired_usage(now=MAY + timedelta(days=75), retention=RETENTION)

    assert months_left() == [1, 3]


def test_given_a_period_that_late_usage_may_still_reach_when_dropping_then_its_events_stay(meter: Meter) -> None:
    subscribe(meter, now=JANUARY + timedelta(days=10))
    end = datetime(2026, 2, 11, tzinfo=UTC)
    services.close_due_periods(now=end)
    services.finalize_due_drafts(now=end + services.GRACE)
    Subscription.objects.update(wakes_at=None)

    services.drop_expired_usage(now=end + REACH - MOMENT, retention=MOMENT)
    within_reach = months_left()
    services.drop_expired_usage(now=end + REACH, retention=MOMENT)

    assert within_reach == [1, 3]
    assert months_left() == []


def test_given_a_draft_when_dropping_then_the_events_of_its_period_stay_until_it_is_final(meter: Meter) -> None:
    subscribe(meter, now=MARCH + timedelta(days=10))
    later = MAY + timedelta(days=75)
    services.close_due_periods(now=later)

    services.drop_expired_usage(now=later, retention=RETENTION)
    with_drafts = months_left()
    services.finalize_due_drafts(now=later + services.GRACE)
    services.drop_expired_usage(now=later, retention=RETENTION)

    assert with_drafts == [3]
    assert months_left() == []
