"""/v1/customers, through the SDK."""

from typing import Any

import pytest
import stripe

from accounts.models import Customer
from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused

ADDRESS = {"city": "Paris", "country": "FR", "line1": "1 rue X", "line2": "b", "postal_code": "75001", "state": "IDF"}


def test_a_customer_keeps_what_it_is_given(account: Account) -> None:
    customer: Any = new_customer(
        account, email="ada@example.com", phone="+33 1", description="d" * 5000, address=ADDRESS, metadata={"a": "1"}
    )
    assert customer.id.startswith("cus_")
    assert (customer.object, customer.livemode, customer.balance) == ("customer", False, 0)
    assert (customer.name, customer.email, customer.phone) == ("Ada", "ada@example.com", "+33 1")
    assert customer.description == "d" * 5000
    assert customer.address is not None
    assert customer.address.to_dict() == ADDRESS
    assert customer.metadata.to_dict() == {"a": "1"}
    assert account.v1.customers.retrieve(customer.id) == customer


def test_nothing_is_needed_and_what_is_unknown_is_null(account: Account) -> None:
    customer = account.v1.customers.create()
    assert (customer.name, customer.email, customer.phone, customer.description) == (None, None, None, None)
    assert customer.address is None
    assert customer.test_clock is None
    assert customer.metadata.to_dict() == {}


def test_an_update_merges_metadata_and_unsets_what_is_empty(account: Account) -> None:
    customers = account.v1.customers
    customer = new_customer(account, email="a@b.c", address=ADDRESS, metadata={"a": "1", "b": "2"})

    changed = customers.update(customer.id, {"email": "", "metadata": {"a": "", "c": "3"}, "address": ""})
    assert (changed.name, changed.email, changed.address) == ("Ada", None, None)
    assert changed.metadata.to_dict() == {"b": "2", "c": "3"}
    assert customers.update(customer.id).metadata.to_dict() == {"b": "2", "c": "3"}
    assert customers.update(customer.id, {"metadata": ""}).metadata.to_dict() == {}


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"name": "x" * 257}, "name", None),
        ({"email": "x" * 513}, "email", None),
        ({"description": "x" * 5001}, "description", None),
        ({"metadata": {"x" * 41: "1"}}, "metadata", None),
        ({"metadata": {"a": "x" * 501}}, "metadata[a]", None),
        ({"metadata": {"a[b]": "1"}}, "metadata", None),
        ({"metadata": {str(number): "1" for number in range(51)}}, "metadata", None),
        ({"address": {"planet": "Mars"}}, "address[planet]", "parameter_unknown"),
        ({"source": "tok_visa"}, "source", "parameter_unknown"),
    ],
)
def test_what_makes_no_customer(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: new_customer(account, **fields))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert Customer.objects.count() == 0

    customer = new_customer(account, metadata={"a": "1"})
    refused(lambda: account.v1.customers.update(customer.id, fields))
    assert account.v1.customers.retrieve(customer.id) == customer


def test_fifty_keys_are_all_there_can_be(account: Account) -> None:
    customer = new_customer(account, metadata={str(number): "1" for number in range(50)})
    error = refused(lambda: account.v1.customers.update(customer.id, {"metadata": {"more": "1"}}))
    assert error.param == "metadata"
    assert "more" not in account.v1.customers.retrieve(customer.id).metadata


def test_a_deleted_customer_leaves_a_stub_and_no_subscriptions(account: Account) -> None:
    customers = account.v1.customers
    customer = new_customer(account)
    subscription = new_subscription(account, customer.id, new_price(account).id)

    stub = {"id": customer.id, "object": "customer", "deleted": True}
    assert customers.delete(customer.id).to_dict() == stub
    assert customers.retrieve(customer.id).to_dict() == stub
    assert account.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert customers.list({}).data == []
    for call in (lambda: customers.delete(customer.id), lambda: customers.update(customer.id, {"name": "Eve"})):
        error = refused(call)
        assert (error.http_status, error.code, error.param) == (404, "resource_missing", "id")
        assert error.user_message == f"No such customer: '{customer.id}'"
    error = refused(lambda: new_subscription(account, customer.id, new_price(account).id))
    assert (error.http_status, error.code, error.param) == (400, "resource_missing", "customer")


def test_the_list_is_filtered(account: Account) -> None:
    first, second = new_customer(account, email="a@b.c"), new_customer(account)
    Customer.objects.filter(name="Ada", email="").update(created_at="2026-01-01T00:00:00.5Z")
    second_created = 1767225600

    def ids(**params: Any) -> list[str]:
        return [customer.id for customer in account.v1.customers.list(params).data]

    assert ids() == [first.id, second.id]
    assert ids(email="a@b.c") == [first.id]
    assert ids(email="A@b.c") == []
    # A second stands for all that lies in it.
    assert ids(created=second_created) == [second.id]
    assert ids(created={"lte": second_created}) == [second.id]
    assert ids(created={"lt": second_created}) == []
    assert ids(created={"gte": second_created}) == [first.id, second.id]
    assert ids(created={"gt": second_created}) == [first.id]


# --- paging, which all lists share ------------------------------------------------------------------------------------


@pytest.fixture
def many(account: Account) -> list[str]:
    """Ids of seven customers, newest first; the middle five were made in the same instant."""
    ids = [new_customer(account).id for _ in range(7)]
    made = list(Customer.objects.order_by("pk"))
    Customer.objects.filter(pk__in=[customer.pk for customer in made[1:6]]).update(created_at=made[3].created_at)
    return ids[::-1]


def test_pages_go_forward(account: Account, many: list[str]) -> None:
    customers = account.v1.customers
    first = customers.list({"limit": 3})
    assert ([row.id for row in first.data], first.has_more) == (many[:3], True)
    assert first.url == "/v1/customers"
    second = customers.list({"limit": 3, "starting_after": many[2]})
    assert ([row.id for row in second.data], second.has_more) == (many[3:6], True)
    third = customers.list({"limit": 3, "starting_after": many[5]})
    assert ([row.id for row in third.data], third.has_more) == (many[6:], False)
    assert customers.list({"limit": 3, "starting_after": many[6]}).data == []
    assert customers.list({"limit": 7}).has_more is False
    for limit in (1, 2, 3, 7, 100):
        assert [row.id for row in customers.list({"limit": limit}).auto_paging_iter()] == many


def test_pages_go_backward(account: Account, many: list[str]) -> None:
    customers = account.v1.customers
    page = customers.list({"limit": 2, "ending_before": many[5]})
    assert ([row.id for row in page.data], page.has_more) == (many[3:5], True)
    page = customers.list({"limit": 3, "ending_before": many[3]})
    assert ([row.id for row in page.data], page.has_more) == (many[:3], False)
    assert customers.list({"limit": 2, "ending_before": many[0]}).data == []
    page = customers.list({"limit": 2, "ending_before": many[6]})
    assert [row.id for row in page.auto_paging_iter()] == many[5::-1]


def test_a_page_holds_ten_unless_said_otherwise(account: Account) -> None:
    for _ in range(11):
        new_customer(account)
    page = account.v1.customers.list()
    assert (len(page.data), page.has_more) == (10, True)


def test_a_cursor_that_left_the_filter_still_stands(account: Account, many: list[str]) -> None:
    account.v1.customers.delete(many[2])
    page = account.v1.customers.list({"limit": 2, "starting_after": many[2]})
    assert [row.id for row in page.data] == many[3:5]


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"limit": 0}, "limit", "parameter_invalid_integer"),
        ({"limit": 101}, "limit", "parameter_invalid_integer"),
        ({"limit": "ten"}, "limit", "parameter_invalid_integer"),
        ({"limit": ""}, "limit", "parameter_invalid_empty"),
        ({"starting_after": "cus_nope"}, "starting_after", "resource_missing"),
        ({"ending_before": "mtr_0"}, "ending_before", "resource_missing"),
        ({"starting_after": "a", "ending_before": "b"}, "starting_after", "parameters_exclusive"),
    ],
)
def test_pages_that_cannot_be_asked_for(account: Account, params: Any, param: str, code: str) -> None:
    error = refused(lambda: account.v1.customers.list(params))
    assert (error.http_status, error.param, error.code) == (400, param, code)


def test_a_retrieved_customer_is_of_the_sdks_class(account: Account) -> None:
    assert is_a(account.v1.customers.retrieve(new_customer(account).id), stripe.Customer)
