"""The life of a subscription: its first period, the ones after it, its end, and what cannot begin."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError

from accounts.errors import CustomerDeleted
from accounts.models import Customer, Environment
from accounts.services import delete_customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.errors import BillingError, NotFound
from core.metadata import MetadataChange
from core.tests.walls import bend
from meters.tests.factories import MeterFactory
from subscriptions import services
from subscriptions.errors import (
    AnchorInPast,
    AnchorTooFar,
    CancelAtInPast,
    CancellationsExclusive,
    CurrencyMismatch,
    DaysUntilDueMissing,
    DaysUntilDueNotAllowed,
    IntervalMismatch,
    ItemsMissing,
    MeterRepeated,
    PriceInactive,
    PriceNotRecurring,
    PriceRepeated,
    QuantityInvalid,
    QuantityNotAllowed,
    StartNotInPast,
    TooManyItems,
)
from subscriptions.models import Price, Subscription, SubscriptionItem
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


@pytest.fixture
def customer(environment: Environment) -> Customer:
    return CustomerFactory.create(environment=environment)


def create(customer: Customer, *prices: Price, now: datetime = NOW, **terms: Any) -> Subscription:
    items = terms.pop("items", [NewItem(price) for price in prices])
    return services.create_subscription(
        environment=customer.environment, customer=customer, items=items, now=now, **terms
    )


def pass_period(subscriptions: list[Subscription]) -> None:
    pks = [subscription.pk for subscription in subscriptions]
    loaded = list(Subscription.objects.filter(pk__in=pks).prefetch_related("items__price"))
    services.advance_subscriptions(subscriptions=loaded)
    services.store(loaded)
    for subscription in subscriptions:
        subscription.refresh_from_db()


def periods(subscription: Subscription) -> set[tuple[datetime, datetime]]:
    items = SubscriptionItem.objects.filter(subscription=subscription)
    return {(item.current_period_start, item.current_period_end) for item in items}


def test_a_subscription_begins_now_with_its_items_in_order(customer: Customer) -> None:
    metered = MeteredPriceFactory.create(environment=customer.environment)
    licensed = PriceFactory.create(environment=customer.environment)
    more = PriceFactory.create(environment=customer.environment)

    subscription = create(
        customer,
        items=[NewItem(metered), NewItem(licensed, 3, MetadataChange({"seat": "window"})), NewItem(more)],
        description="Team",
    )

    subscription.refresh_from_db()
    items = list(subscription.items.all())
    assert [item.price for item in items] == [metered, licensed, more]
    assert [item.quantity for item in items] == [None, 3, 1]
    assert items[1].metadata == {"seat": "window"}
    assert (subscription.start_at, subscription.anchor_at, subscription.currency) == (NOW, NOW, "usd")
    assert periods(subscription) == {(NOW, utc("2026-07-10T12:30"))}
    assert subscription.wakes_at == utc("2026-07-10T12:30")
    assert subscription.status == Subscription.Status.ACTIVE


def test_the_second_of_creation_counts_from_its_beginning(customer: Customer) -> None:
    now = NOW.replace(second=7, microsecond=650_000)

    subscription = create(customer, PriceFactory.create(environment=customer.environment), now=now)

    assert subscription.start_at == subscription.anchor_at == now.replace(microsecond=0)
    assert subscription.created_at == now


def test_backdated_by_years_there_is_one_first_period(customer: Customer) -> None:
    start = utc("2023-02-01T00:00")

    subscription = create(customer, MeteredPriceFactory.create(environment=customer.environment), backdated_to=start)

    assert subscription.start_at == start
    assert periods(subscription) == {(start, utc("2026-07-10T12:30"))}


@pytest.mark.parametrize(
    ("anchor", "end"),
    [
        ("2026-07-01T00:00", "2026-07-01T00:00"),
        ("2026-07-10T12:30", "2026-07-10T12:30"),
        ("2026-06-10T12:30", "2026-07-10T12:30"),
    ],
)
def test_with_an_anchor_ahead_the_first_period_ends_there(customer: Customer, anchor: str, end: str) -> None:
    subscription = create(customer, PriceFactory.create(environment=customer.environment), anchor_at=utc(anchor))

    assert subscription.anchor_at == utc(anchor)
    assert periods(subscription) == {(NOW, utc(end))}


def test_periods_follow_the_anchor_through_short_months(customer: Customer) -> None:
    subscription = create(customer, PriceFactory.create(environment=customer.environment), now=utc("2027-01-31T08:00"))
    ends = []
    for _ in range(13):
        subscription = Subscription.objects.get(pk=subscription.pk)
        ends.append(subscription.wakes_at)
        pass_period([subscription])

    assert [end.strftime("%m-%d") for end in ends if end] == [
        "02-28", "03-31", "04-30", "05-31", "06-30", "07-31", "08-31", "09-30", "10-31", "11-30", "12-31", "01-31", "02-29",
    ]  # fmt: skip


def test_at_period_end_it_is_over(customer: Customer) -> None:
    subscription = create(customer, PriceFactory.create(environment=customer.environment), cancel_at_period_end=True)
    assert (subscription.cancel_at, subscription.canceled_at) == (utc("2026-07-10T12:30"), NOW)
    assert subscription.status == Subscription.Status.ACTIVE

    pass_period([subscription])

    subscription.refresh_from_db()
    assert subscription.status == Subscription.Status.CANCELED
    assert (subscription.ended_at, subscription.wakes_at) == (utc("2026-07-10T12:30"), None)
    assert periods(subscription) == {(NOW, utc("2026-07-10T12:30"))}


def test_a_period_is_cut_where_the_subscription_is_to_be_cancelled(customer: Customer) -> None:
    subscription = create(
        customer, PriceFactory.create(environment=customer.environment), cancel_at=utc("2026-07-20T00:00")
    )
    assert subscription.wakes_at == utc("2026-07-10T12:30")

    pass_period([subscription])
    assert periods(subscription) == {(utc("2026-07-10T12:30"), utc("2026-07-20T00:00"))}
    assert subscription.wakes_at == utc("2026-07-20T00:00")

    pass_period([subscription])
    subscription.refresh_from_db()
    assert subscription.ended_at == utc("2026-07-20T00:00")


def test_many_are_advanced_and_ended_together(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment)
    going, ending = create(customer, price), create(customer, price, cancel_at_period_end=True)

    pass_period([going, ending])

    going.refresh_from_db()
    ending.refresh_from_db()
    assert (going.status, going.wakes_at) == ("active", utc("2026-08-10T12:30"))
    assert (ending.status, ending.wakes_at) == ("canceled", None)


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"backdated_to": NOW + timedelta(seconds=1)}, StartNotInPast),
        ({"anchor_at": NOW - timedelta(seconds=1)}, AnchorInPast),
        ({"anchor_at": utc("2026-07-10T12:30:01")}, AnchorTooFar),
        ({"anchor_at": utc("2027-06-10T12:30")}, AnchorTooFar),
        ({"cancel_at": NOW}, CancelAtInPast),
        ({"cancel_at": NOW + timedelta(days=3), "cancel_at_period_end": True}, CancellationsExclusive),
        ({"collection_method": "send_invoice"}, DaysUntilDueMissing),
        ({"days_until_due": 30}, DaysUntilDueNotAllowed),
    ],
)
def test_terms_that_make_no_sense_are_refused(
    customer: Customer, terms: dict[str, Any], refusal: type[BillingError]
) -> None:
    with pytest.raises(refusal):
        create(customer, PriceFactory.create(environment=customer.environment), **terms)

    assert not Subscription.objects.exists()


def test_items_that_do_not_fit_are_refused_by_their_position(customer: Customer) -> None:
    environment = customer.environment
    meter = MeterFactory.create(environment=environment)
    licensed = PriceFactory.create(environment=environment)
    metered = MeteredPriceFactory.create(environment=environment, meter=meter)
    cases: list[tuple[NewItem, type[BillingError]]] = [
        (NewItem(PriceFactory.create(environment=environment, active=False)), PriceInactive),
        (NewItem(PriceFactory.create(environment=environment, interval="")), PriceNotRecurring),
        (NewItem(PriceFactory.create(environment=environment, currency="eur")), CurrencyMismatch),
        (NewItem(PriceFactory.create(environment=environment, interval="year")), IntervalMismatch),
        (NewItem(PriceFactory.create(environment=environment, interval_count=2)), IntervalMismatch),
        (NewItem(licensed), PriceRepeated),
        (NewItem(MeteredPriceFactory.create(environment=environment, meter=meter)), MeterRepeated),
        (NewItem(MeteredPriceFactory.create(environment=environment), 1), QuantityNotAllowed),
        (NewItem(PriceFactory.create(environment=environment), -1), QuantityInvalid),
        (NewItem(PriceFactory.create(environment=environment), 2**63), QuantityInvalid),
    ]
    for item, refusal in cases:
        with pytest.raises(refusal) as caught:
            create(customer, items=[NewItem(licensed), NewItem(metered), item])
        assert vars(caught.value)["position"] == 2
    assert not Subscription.objects.exists()


def test_a_subscription_has_one_to_twenty_items(customer: Customer) -> None:
    prices = PriceFactory.create_batch(21, environment=customer.environment)
    with pytest.raises(ItemsMissing):
        create(customer)
    with pytest.raises(TooManyItems):
        create(customer, *prices)
    assert not Subscription.objects.exists()

    assert create(customer, *prices[:20]).items.count() == 20


def test_nothing_of_another_environment_is_found(customer: Customer) -> None:
    here, there = PriceFactory.create(environment=customer.environment), PriceFactory.create()
    with pytest.raises(NotFound, match="price"):
        create(customer, here, there)
    with pytest.raises(NotFound, match="customer"):
        services.create_subscription(environment=there.environment, customer=customer, items=[NewItem(there)], now=NOW)
    assert not Subscription.objects.exists()


def test_a_deleted_customer_begins_nothing(customer: Customer) -> None:
    delete_customer(customer=customer, now=NOW)

    # The object in hand does not know yet; the row decides.
    with pytest.raises(CustomerDeleted):
        create(customer, PriceFactory.create(environment=customer.environment))

    assert not Subscription.objects.exists()


def test_the_database_keeps_subscriptions_within_their_environment(customer: Customer) -> None:
    subscription = create(customer, PriceFactory.create(environment=customer.environment))
    item = subscription.items.get()
    cases: list[tuple[Any, str, Any]] = [
        (subscription, "customer_id", CustomerFactory.create().pk),
        (item, "price_id", PriceFactory.create().pk),
    ]
    for row, column, value in cases:
        with pytest.raises(IntegrityError, match=f"{column}_wall"):
            bend(row, **{column: value})
