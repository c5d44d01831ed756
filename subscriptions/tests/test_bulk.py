"""Many rows in one statement, of every kind of column; here, because core knows no model to try it on."""

from datetime import timedelta
from decimal import Decimal

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.tests.factories import NOW
from core.bulk import update_rows
from subscriptions.models import Price
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


def test_no_rows_are_no_statement(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        update_rows([], ["nickname"])


def test_a_name_that_is_no_column_is_the_caller_s_mistake() -> None:
    with pytest.raises(KeyError):
        update_rows([PriceFactory.create()], ["nicknames"])
