"""Customers by id and by DID."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from accounts.dids import find_or_create_customer
from accounts.models import Customer, Mode, Scope
from accounts.services import delete_customer
from accounts.tests.factories import CustomerFactory, EnvironmentFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from core.ids import spell

DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


def test_a_get_with_a_body_makes_the_customer_of_a_did_once(call: Caller) -> None:
    path = f"/customers/{DID}"
    assert error_of(call("GET", path)) == (404, f"Customer not found: {DID}")
    assert not Customer.objects.exists()

    made = call("GET", path, {"create": True})
    assert made.status_code == 200
    customer = call.get(path)
    assert (customer["did"], customer["livemode"], customer["object"]) == (DID, False, "customer")
    assert call.get(path, "create=true") == customer
    assert call.get(f"/customers/did:abt:{DID}") == customer
    assert call.get(f"/customers/{customer['id']}") == customer
    assert Customer.objects.get().did == DID


def test_create_stands_in_the_query_too_and_makes_nobody_of_what_is_no_did(call: Caller) -> None:
    assert call.get("/customers/z1did", "create=true")["did"] == "z1did"
    for text in ("cus_00000000000000000000000000", "a-b", "a.b", "x" * 101):
        assert error_of(call("GET", f"/customers/{text}", {"create": True}))[0] == 404
    assert Customer.objects.count() == 1


def test_who_may_only_read_makes_nobody(call: Caller) -> None:
    reader = Caller(call.environment.company, Mode.TEST, Scope.CUSTOMERS_READ)

    assert error_of(reader("GET", f"/customers/{DID}", {"create": True}))[0] == 403
    assert error_of(call("GET", f"/customers/{DID}", {"create": True}, query="livemode=true"))[0] == 400
    assert not Customer.objects.exists()
    call.get(f"/customers/{DID}", "create=true")
    assert reader.get(f"/customers/{DID}", "create=true")["did"] == DID


def test_a_customer_changes_in_what_is_given(call: Caller) -> None:
    customer = call.get(f"/customers/{DID}", "create=true")
    path = f"/customers/{customer['id']}"

    changed = call.put(path, {"name": "Ada", "email": "ada@example.com", "metadata": {"plan": "pro", "seats": 5}})
    assert changed == {
        **customer, "name": "Ada", "email": "ada@example.com", "metadata": {"plan": "pro", "seats": "5"},
    }  # fmt: skip
    assert call.put(f"/customers/{DID}", {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}
    assert error_of(call("PUT", path, {"name": "x" * 257}))[0] == 400
    assert error_of(call("PUT", "/customers/z1nobody", {"name": "x"}))[0] == 404
    assert call.get(path)["name"] == "Ada"


def test_lists_and_searches(call: Caller) -> None:
    call.get(f"/customers/{DID}", "create=true")
    CustomerFactory.create(environment=call.environment, name="Ada Lovelace", email="ada@example.com")
    CustomerFactory.create(name="Ada of others")

    assert call.get("/customers")["count"] == 2
    assert [found["did"] for found in call.get("/customers", f"did={DID}")["list"]] == [DID]
    assert call.get("/customers", "did=a-b")["count"] == 0
    for words in ("query=lovelace", "q=ADA@", f"query={DID}"):
        assert call.get("/customers/search", words)["count"] == 1


def test_who_was_deleted_is_gone_and_the_did_is_free(call: Caller) -> None:
    first = call.get(f"/customers/{DID}", "create=true")
    delete_customer(customer=Customer.objects.get(), now=timezone.now())

    assert error_of(call("GET", f"/customers/{first['id']}"))[0] == 404
    assert call.get(f"/customers/{DID}", "create=true")["id"] != first["id"]


def test_customers_of_others_are_not_there(call: Caller) -> None:
    stranger = CustomerFactory.create(did=DID)

    assert error_of(call("GET", f"/customers/{spell('cus', stranger.pk)}"))[0] == 404
    assert call.get(f"/customers/{DID}", "create=true")["id"] != spell("cus", stranger.pk)


@pytest.mark.django_db(transaction=True)
def test_however_many_ask_for_a_did_at_once_there_is_one_customer() -> None:
    environment = EnvironmentFactory.create()

    def ask(_: int) -> Customer:
        try:
            return find_or_create_customer(environment=environment, did=DID, now=timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(16)))

    assert len({customer.pk for customer in found}) == 1
    assert Customer.objects.count() == 1
