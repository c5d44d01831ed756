"""Many rows in one statement, of every kind of column; here, because core knows no model to try it on."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from pytest_django import DjangoAssertNumQueries

from accounts.tests.factories import NOW
from core.bulk import insert_rows, update_rows
from core.ids import new_id
from subscriptions.models import Interval, Price, TiersMode
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db


def test_each_row_gets_its_own_values_and_other_fields_stay() -> None:
    one, two, other = PriceFactory.create_batch(3, nickname="before", unit_amount=1)
    later = NOW + timedelta(microseconds=1)
    one.nickname, one.unit_amount, one.metadata, one.created_at = "it's", Decimal("0.000000000001"), {"a": [1]}, later
    two.nickname, two.unit_amount, two.active, two.interval_count = "100 %s {x} \\ ,", Decimal(10) ** 17, False, 3
    one.currency = two.currency = "eur"

    update_rows([one, two], ["nickname", "unit_amount", "metadata", "created_at", "active", "interval_count", "meter"])

    stored = Price.objects.in_bulk()
    assert (stored[one.pk].nickname, stored[one.pk].unit_amount) == (one.nickname, one.unit_amount)
    assert (stored[one.pk].metadata, stored[one.pk].created_at, stored[one.pk].active) == ({"a": [1]}, later, True)
    assert (stored[two.pk].nickname, stored[two.pk].unit_amount) == (two.nickname, two.unit_amount)
    assert (stored[two.pk].active, stored[two.pk].interval_count, stored[two.pk].meter) == (False, 3, None)
    assert {price.currency for price in stored.values()} == {"usd"}
    assert stored[other.pk].nickname == "before"
    assert stored[other.pk].unit_amount == 1


def test_new_rows_are_stored_as_they_stand_in_memory() -> None:
    model = PriceFactory.create(unit_amount=1)
    values = {field.attname: getattr(model, field.attname) for field in Price._meta.concrete_fields}
    rows = [
        Price(
            **values
            | {
                "id": new_id(),
                "nickname": 'it\'s "100" %s {x} \\ \t\n \u20ac',
                "unit_amount": amount,
                "metadata": {"a": [1, "b", None]},
                "created_at": NOW + timedelta(microseconds=1),
                "active": False,
                "interval_count": 32767,
                "interval": Interval.YEAR,
            }
        )
        for amount in (Decimal("0.000000000001"), Decimal(10) ** 17, Decimal("1E+3"), None)
    ]
    rows[-1].tiers_mode = TiersMode.VOLUME

    insert_rows(rows)

    stored = Price.objects.in_bulk([row.pk for row in rows])
    for row in rows:
        for field in Price._meta.concrete_fields:
            assert getattr(stored[row.pk], field.attname) == getattr(row, field.attname), field.name
        assert not row._state.adding


def test_of_rows_that_are_refused_none_is_stored() -> None:
    price = PriceFactory.create()
    other = PriceFactory.build(environment=price.environment, product=price.product)

    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows([other, price])

    assert list(Price.objects.all()) == [price]


def test_no_rows_are_no_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        update_rows([], ["nickname"])
        insert_rows([])


def test_a_name_that_is_no_column_is_the_caller_s_mistake() -> None:
    with pytest.raises(KeyError):
        update_rows([PriceFactory.create()], ["nicknames"])
