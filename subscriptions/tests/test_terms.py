"""What an item was: terms that the database keeps in a chain, without gap or overlap."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.tests.factories import NOW, CustomerFactory
from core.tests.walls import bend
from subscriptions import services
from subscriptions.models import ItemTerm, SubscriptionItem
from subscriptions.services import NewItem
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def item() -> SubscriptionItem:
    customer = CustomerFactory.create()
    price = PriceFactory.create(environment=customer.environment)
    services.create_subscription(
        environment=customer.environment, customer=customer, items=[NewItem(price, 3)], now=NOW
    )
    return SubscriptionItem.objects.get()


def term(item: SubscriptionItem, start: datetime, end: datetime, follows: datetime | None = None) -> ItemTerm:
    with transaction.atomic():
        made = ItemTerm.objects.create(
            environment=item.environment,
            subscription=item.subscription,
            item=item,
            price=item.price,
            quantity=1,
            starts_at=start,
            ends_at=end,
            follows_at=follows,
        )
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return made


def test_an_item_begins_with_what_it_is(item: SubscriptionItem) -> None:
    assert (item.effective_at, item.removed_at, item.terms.count()) == (NOW, None, 0)


def test_terms_follow_upon_each_other(item: SubscriptionItem) -> None:
    term(item, NOW, NOW + DAY)
    term(item, NOW + DAY, NOW + 2 * DAY, NOW + DAY)

    assert [one.period.start for one in item.terms.all()] == [NOW, NOW + DAY]


@pytest.mark.parametrize(
    ("start", "end", "follows", "name"),
    [
        # A second first one, wherever it lies.
        (NOW + 2 * DAY, NOW + 3 * DAY, None, "item_term_one_after_another"),
        # Beginning where none ends: a gap, an overlap.
        (NOW + 2 * DAY, NOW + 3 * DAY, NOW + 2 * DAY, "item_term_follows_another"),
        (NOW + DAY / 2, NOW + 3 * DAY, NOW + DAY / 2, "item_term_follows_another"),
        # Following one thing and beginning at another.
        (NOW + DAY / 2, NOW + 3 * DAY, NOW + DAY, "item_term_follows_at_once"),
        # Ending where another ends.
        (NOW, NOW + DAY, NOW, "item_term_one_per_end"),
        # Of no length.
        (NOW + DAY, NOW + DAY, NOW + DAY, "item_term_not_empty"),
    ],
)
def test_the_database_refuses_gaps_and_overlaps(
    item: SubscriptionItem, start: datetime, end: datetime, follows: datetime | None, name: str
) -> None:
    term(item, NOW, NOW + DAY)

    with pytest.raises(IntegrityError, match=name):
        term(item, start, end, follows)
    assert ItemTerm.objects.count() == 1


def test_no_two_terms_follow_upon_one(item: SubscriptionItem) -> None:
    term(item, NOW, NOW + DAY)
    term(item, NOW + DAY, NOW + 2 * DAY, NOW + DAY)

    with pytest.raises(IntegrityError, match="item_term_one_after_another"):
        term(item, NOW + DAY, NOW + 3 * DAY, NOW + DAY)


@pytest.mark.parametrize("parent", ["subscription", "item", "price"])
def test_a_term_stays_within_its_wall(item: SubscriptionItem, parent: str) -> None:
    ours = term(item, NOW, NOW + DAY)
    other = CustomerFactory.create()
    price = PriceFactory.create(environment=other.environment)
    subscription = services.create_subscription(
        environment=other.environment, customer=other, items=[NewItem(price)], now=NOW
    )
    theirs = {"subscription": subscription, "item": subscription.items.get(), "price": price}

    with pytest.raises(IntegrityError, match=f"{parent}_id_wall"):
        bend(ours, **{parent: theirs[parent]})


def test_a_removed_price_may_come_back(item: SubscriptionItem) -> None:
    again = SubscriptionItem.objects.get()
    again.pk, again._state.adding = None, True
    again.id = SubscriptionItem._meta.pk.get_default()
    with pytest.raises(IntegrityError, match="subscription_item_one_per_price"), transaction.atomic():
        again.save(force_insert=True)

    SubscriptionItem.objects.filter(pk=item.pk).update(removed_at=NOW)
    again.save(force_insert=True)

    assert SubscriptionItem.objects.present().get() == again
