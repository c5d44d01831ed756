"""``__in`` of ids, which goes to the database as one array."""

import pytest
from django.db import connection
from django.db.models import Q, QuerySet
from django.test.utils import CaptureQueriesContext

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from core.ids import new_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def three() -> list[Customer]:
    return CustomerFactory.create_batch(3)


def found(customers: "QuerySet[Customer]") -> tuple[set[str], str]:
    """The names, and the statement that found them."""
    with CaptureQueriesContext(connection) as queries:
        names = {customer.name for customer in customers}
    return names, "".join(query["sql"] for query in queries)


def test_ids_come_as_one_array_and_unknown_ones_find_nothing(three: list[Customer]) -> None:
    first, second, _ = three

    asked = Customer.objects.filter(pk__in=(pk for pk in (first.pk, second.pk, first.pk, new_id())))
    names, statement = found(asked)

    assert names == {first.name, second.name}
    assert "= ANY" in statement
    # An id that is named twice finds its row once.
    assert asked.count() == len(asked) == 2


def test_rows_and_relations_are_asked_for_in_the_same_way(three: list[Customer]) -> None:
    first, second, third = three
    environments = [first.environment, second.environment]

    by_row, statement = found(Customer.objects.filter(environment__in=environments))
    by_id, _ = found(Customer.objects.filter(environment__in=[one.pk for one in environments]))
    others, _ = found(Customer.objects.exclude(environment__in=environments))

    assert "= ANY" in statement
    assert by_row == by_id == {first.name, second.name}
    assert others == {third.name}


def test_of_none_there_is_nothing_and_of_no_ids_there_is_no_question(three: list[Customer]) -> None:
    first, second, _ = three

    assert found(Customer.objects.filter(pk__in=[first.pk, None, second.pk]))[0] == {first.name, second.name}
    # No customer has a clock.
    assert found(Customer.objects.filter(test_clock__in=[new_id(), new_id()]))[0] == set()
    assert found(Customer.objects.exclude(test_clock__in=[new_id(), new_id()]))[0] == {one.name for one in three}
    assert found(Customer.objects.filter(pk__in=[])) == (set(), "")
    assert found(Customer.objects.filter(~Q(pk__in=[])))[0] == {one.name for one in three}


def test_texts_and_subqueries_are_left_to_django(three: list[Customer]) -> None:
    first, second, _ = three

    by_text, statement = found(Customer.objects.filter(pk__in=[str(first.pk), str(second.pk)]))
    below, _ = found(Customer.objects.filter(pk__in=Customer.objects.filter(pk__in=[first.pk, second.pk])))

    assert by_text == below == {first.name, second.name}
    assert statement
