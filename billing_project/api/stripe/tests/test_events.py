"""Snapshot events: written with the change, read at /v1/events."""

import typing
from datetime import timedelta
from typing import Any

import pytest
import stripe
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Customer
from accounts.services import create_customer
from accounts.tests.factories import CustomerFactory
from billing_project.api.stripe.tests.builders import new_customer
from billing_project.api.stripe.tests.sdk import Account, is_a
from webhooks import snapshots
from webhooks.kinds import Kind
from webhooks.models import Event
from webhooks.services import record, take_snapshots


def types(account: Account, **params: Any) -> list[str]:
    """What happened, in order."""
    return [event.type for event in account.v1.events.list(params).auto_paging_iter()][::-1]


def latest(account: Account, name: str) -> Any:
    return account.v1.events.list({"type": name}).data[0]


def test_an_event_carries_the_object_as_it_was_answered(account: Account) -> None:
    customer = account.v1.customers.create({"name": "Ada", "metadata": {"a": "1"}}, {"idempotency_key": "first"})

    event = latest(account, "customer.created")

    assert is_a(event, stripe.Event)
    assert is_a(event.data.object, stripe.Customer)
    assert event.data.object.to_dict() == customer.to_dict()
    assert "previous_attributes" not in event.data.to_dict()
    assert event.created == customer.created
    assert event.livemode is False
    assert event.api_version == "2026-10-28.endive"
    assert event.request.id == customer.last_response.request_id
    assert event.request.idempotency_key == "first"
    assert account.v1.events.retrieve(event.id).to_dict() == event.to_dict()


def test_an_update_says_what_stood_there(account: Account) -> None:
    customer = new_customer(account, metadata={"a": "1", "b": "2"})

    account.v1.customers.update(customer.id, {"name": "Eve", "metadata": {"b": "", "c": "3"}})

    event = latest(account, "customer.updated")
    assert event.data.object.name == "Eve"
    assert event.data.previous_attributes.to_dict() == {"name": "Ada", "metadata": {"b": "2", "c": None}}


def test_an_update_that_changes_nothing_is_no_event(account: Account) -> None:
    customer = new_customer(account)

    account.v1.customers.update(customer.id, {"name": "Ada"})

    assert types(account) == ["customer.created"]


def test_a_deleted_customer_is_told_as_they_last_were(account: Account) -> None:
    customer = new_customer(account, email="ada@example.com")

    account.v1.customers.delete(customer.id)

    event = latest(account, "customer.deleted")
    assert event.data.object.to_dict() == customer.to_dict()
    assert types(account) == ["customer.created", "customer.deleted"]


def test_what_is_refused_is_no_event(account: Account) -> None:
    customer = new_customer(account)

    with pytest.raises(stripe.InvalidRequestError):
        account.v1.customers.update(customer.id, {"name": "Eve", "expand": ["nonsense"]})

    assert types(account) == ["customer.created"]


@pytest.mark.django_db
def test_what_is_rolled_back_is_no_event() -> None:
    environment = CustomerFactory.create().environment

    with transaction.atomic():
        create_customer(environment=environment, now=timezone.now())
        assert Event.objects.exists()
        transaction.set_rollback(True)

    assert not Event.objects.exists()


def test_a_repeated_request_is_one_event(account: Account) -> None:
    for _ in range(2):
        account.v1.customers.create({"name": "Ada"}, {"idempotency_key": "again"})

    assert types(account) == ["customer.created"]


def test_lists_are_narrowed_by_type_and_time(account: Account) -> None:
    customer = new_customer(account)
    account.v1.customers.update(customer.id, {"name": "Eve"})
    account.v1.products.create({"name": "Thing"})
    now = int(timezone.now().timestamp())

    assert types(account, type="customer.updated") == ["customer.updated"]
    assert types(account, types=["customer.updated", "customer.created"]) == ["customer.created", "customer.updated"]
    assert types(account, type="customer.*") == ["customer.created", "customer.updated"]
    assert types(account, type="*.updated") == ["customer.updated"]
    assert types(account, type="customer_.updated") == []
    assert types(account, created={"gt": now + 5}) == []
    assert types(account, created={"lte": now}, type="customer.created") == ["customer.created"]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.events.list({"type": "a", "types": ["b"]})
    assert caught.value.param == "type"


def test_pages_go_by_the_order_in_which_things_happened(account: Account) -> None:
    """A test clock's customers live in the future; whoever asks for what came after an event shall get it all."""
    ahead = timezone.now() + timedelta(days=400)
    customers = CustomerFactory.create_batch(3, environment=account.environment)
    for customer, now in zip(customers, [ahead, timezone.now(), ahead], strict=True):
        record(Kind.CUSTOMER_CREATED, rows=[customer], now=now)
    names = [customer.name for customer in customers]

    listed = [event.data.object.name for event in account.v1.events.list({"limit": 1}).auto_paging_iter()]
    assert listed == names[::-1]
    oldest = account.v1.events.list().data[-1]
    newer = account.v1.events.list({"ending_before": oldest.id}).data
    assert [event.data.object.name for event in newer] == names[:0:-1]


def test_events_need_a_scope_of_their_own(account: Account) -> None:
    event = account.v1.events.list().data
    assert event == []
    with pytest.raises(stripe.PermissionError):
        account.with_scopes("customers-read", "usage-read").v1.events.list()
    assert account.with_scopes("events-read").v1.events.list().data == []


@pytest.mark.django_db
def test_many_rows_take_as_many_statements_as_one() -> None:
    first, *others = CustomerFactory.create_batch(30, environment=CustomerFactory.create().environment)
    now = timezone.now()

    def statements(rows: list[Customer]) -> int:
        with CaptureQueriesContext(connection) as queries:
            before = take_snapshots(rows)
            Customer.objects.filter(pk__in=[row.pk for row in rows]).update(name="Eve")
            events = record(Kind.CUSTOMER_UPDATED, rows=rows, now=now, before=before)
        assert [event.subject_id for event in events] == [row.pk for row in rows]
        return len(queries)

    assert statements(others) == statements([first])


@pytest.mark.django_db
def test_rows_of_several_environments_are_told_behind_their_walls() -> None:
    customers = CustomerFactory.create_batch(2)

    record(Kind.CUSTOMER_CREATED, rows=customers, now=timezone.now())

    for customer in customers:
        assert Event.objects.get(environment=customer.environment).subject_id == customer.pk


# What Stripe calls the nouns of our kinds, where that is not the same word.
NOUNS = {
    "meter": "billing.meter",
    "discount": "customer.discount",
    "subscription": "customer.subscription",
    "schedule": "subscription_schedule",
    "test_clock": "test_helpers.test_clock",
    "invoice_item": "invoiceitem",
    "payment": "invoice_payment",
    "credit_grant": "billing.credit_grant",
    "credit_transaction": "billing.credit_balance_transaction",
}
REPORTS = {Kind.METER_ERROR_REPORT, Kind.NO_METER_FOUND}
# What Stripe has nothing of.
OURS = {Kind.AUTO_RECHARGE_CREATED, Kind.AUTO_RECHARGE_UPDATED}


def test_every_type_that_is_told_is_one_of_stripes() -> None:
    known = set(typing.get_args(typing.get_type_hints(stripe.Event)["type"]))
    told = {
        f"{NOUNS.get(noun, noun)}.{verb}"
        for noun, _, verb in (kind.value.rpartition(".") for kind in set(Kind) - REPORTS - OURS)
    }

    assert told <= known
    nouns = {name.rpartition(".")[0] for name in known} | {"billing.auto_recharge"}
    assert {teller.noun for tellers in snapshots._TELLERS.values() for teller in tellers} <= nouns
