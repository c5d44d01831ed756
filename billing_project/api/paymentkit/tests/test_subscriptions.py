"""Subscriptions, their items, their usage and their invoices, through Payment Kit's door."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.clocks import create_test_clock
from accounts.models import Customer, TestClock
from accounts.tests.factories import CustomerFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell
from invoices.models import Invoice
from invoices.services import advance_test_clock, run_test_clock
from subscriptions.models import Subscription
from usage.models import MeterEvent

START = datetime(2026, 3, 1, tzinfo=UTC)
DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture
def clock(call: Caller) -> TestClock:
    return create_test_clock(environment=call.environment, frozen_at=START, now=START)


@pytest.fixture
def customer(call: Caller, clock: TestClock) -> Customer:
    return CustomerFactory.create(environment=call.environment, did=DID, test_clock=clock, name="Ada")


@pytest.fixture
def meter(call: Caller) -> Any:
    return call.post("/meters", {**API_CALLS, "decimal": 2})


@pytest.fixture
def prices(call: Caller, meter: Any) -> list[Any]:
    """Ten dollars a month, and half a dollar a call."""
    monthly = {"interval": "month"}
    made = call.post(
        "/products",
        {
            "name": "Pro",
            "prices": [
                {"currency_id": "usd", "unit_amount": "10", "recurring": monthly, "lookup_key": "seat"},
                {
                    "currency_id": "usd",
                    "unit_amount": "0.5",
                    "recurring": {**monthly, "usage_type": "metered", "meter_id": meter["id"]},
                },
            ],
        },
    )
    found: list[Any] = made["prices"]
    return found


@pytest.fixture
def subscription(call: Caller, customer: Customer, prices: list[Any]) -> Any:
    items = [{"price_id": "seat", "quantity": 2, "metadata": {"k": "v"}}, {"price_id": prices[1]["id"]}]
    return call.post("/subscriptions", {"customer_id": DID, "items": items, "metadata": {"plan": "pro"}})


def go(clock: TestClock, to: datetime) -> None:
    advance_test_clock(clock=TestClock.objects.get(pk=clock.pk), target_at=to)
    run_test_clock(clock_id=clock.pk)


def unix(moment: datetime) -> int:
    return int(moment.timestamp())


def test_a_subscription_begins_and_bills_what_is_licensed(
    call: Caller, customer: Customer, prices: list[Any], subscription: Any
) -> None:
    assert (subscription["status"], subscription["customer_id"]) == ("active", spell("cus", customer.pk))
    assert (subscription["current_period_start"], subscription["current_period_end"]) == (
        unix(START),
        unix(datetime(2026, 4, 1, tzinfo=UTC)),
    )
    assert [(item["price_id"], item["quantity"]) for item in subscription["items"]] == [
        (prices[0]["id"], 2),
        (prices[1]["id"], None),
    ]
    assert subscription["items"][0]["price"] == prices[0]
    assert subscription["paymentCurrency"]["symbol"] == "USD"
    assert subscription["customer"]["did"] == DID
    assert call.get(f"/subscriptions/{subscription['id']}") == subscription

    invoice = call.get(f"/invoices/{subscription['latest_invoice_id']}")
    assert (invoice["status"], invoice["total"], invoice["amount_remaining"]) == ("open", "2000", "2000")
    assert (invoice["billing_reason"], invoice["subscription_id"]) == ("subscription_create", subscription["id"])
    [line] = invoice["lines"]
    assert (line["amount"], line["quantity"], line["price"]) == ("2000", "2", prices[0])


@pytest.mark.parametrize(
    "query",
    ["status=active", "status=trialing,active", f"customer_did={DID}", "metadata.plan=pro", "activeFirst=true", "currency_id=pcur_usd"],
)  # fmt: skip
def test_subscriptions_are_found(call: Caller, subscription: Any, query: str) -> None:
    assert [found["id"] for found in call.get("/subscriptions", query)["list"]] == [subscription["id"]]
    for other in ("status=canceled", "customer_did=z1nobody", "metadata.plan=max", "currency_id=pcur_eur"):
        assert call.get("/subscriptions", other)["count"] == 0
    assert call.get("/subscriptions/search", "query=ada")["count"] == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"customer_id": "z1nobody"}, "Customer not found: z1nobody"),
        ({"items": []}, "at least one item"),
        ({"items": [{"quantity": 1}]}, '"items[0].price_id" is required'),
        ({"items": [{"price_id": "price_1"}]}, "Price not found: price_1"),
        ({"items": [{"price_id": "seat", "quantity": -1}]}, '"items[0].quantity" must be between'),
        ({"currency_id": "pcur_eur"}, '"currency_id" must be that of the prices'),
        ({"default_payment_method_id": "pm_1"}, '"default_payment_method_id" is not supported'),
        ({"trial_period_days": 731}, '"trial_period_days" must be between 0 and 730'),
        ({"collection_method": "send_invoice"}, "days"),
    ],
)
def test_subscriptions_that_are_refused_leave_nothing(
    call: Caller, customer: Customer, prices: list[Any], more: dict[str, Any], said: str
) -> None:
    body = {"customer_id": DID, "items": [{"price_id": "seat"}], **more}
    status, text = error_of(call("POST", "/subscriptions", body))

    assert (status, said.lower() in text.lower()) == (400, True), text
    assert not Subscription.objects.exists()
    assert not Invoice.objects.exists()


def test_a_trial_and_an_update(call: Caller, customer: Customer, prices: list[Any]) -> None:
    body = {"customer_id": DID, "items": [{"price_id": "seat"}], "trial_period_days": 14, "livemode": False}
    made = call.post("/subscriptions", body)
    assert (made["status"], made["trial_end"]) == ("trialing", unix(START + timedelta(days=14)))

    path = f"/subscriptions/{made['id']}"
    assert call.put(path, {"description": "Hi", "metadata": {"a": "b"}})["metadata"] == {"a": "b"}
    assert call.put(path, {"trial_end": "now"})["status"] == "active"
    item = made["items"][0]["id"]
    changed = call.put(path, {"items": [{"id": item, "quantity": 5}, {"price_id": prices[1]["id"]}]})
    assert [entry["quantity"] for entry in changed["items"]] == [5, None]
    assert call.put(path, {"items": [{"id": item, "deleted": True}]})["items"][0]["price_id"] == prices[1]["id"]
    assert call.put(path, {"cancel_at_period_end": True})["cancel_at_period_end"] is True


def test_a_subscription_is_canceled_later_recovered_and_canceled_now(
    call: Caller, clock: TestClock, subscription: Any
) -> None:
    path = f"/subscriptions/{subscription['id']}"
    said = error_of(call("PUT", f"{path}/recover"))
    assert said == (400, "The subscription is not to be canceled.")

    later = call.put(f"{path}/cancel", {"at": "current_period_end", "feedback": "unused", "comment": "Bye"})
    assert (later["cancel_at_period_end"], later["cancel_at"]) == (True, subscription["current_period_end"])
    assert later["cancelation_details"] == {"comment": "Bye", "feedback": "unused", "reason": "cancellation_requested"}
    recovered = call.put(f"{path}/recover")
    assert (recovered["cancel_at"], recovered["canceled_at"], recovered["cancelation_details"]) == (None, None, None)
    at = unix(START + timedelta(days=3))
    assert call.put(f"{path}/cancel", {"at": "custom", "time": at})["cancel_at"] == at
    for body in ({"at": "custom"}, {"at": "now", "time": at}, {"refund": "last"}, {"staking": "slash"}):
        assert error_of(call("PUT", f"{path}/cancel", body))[0] == 400
    report(call, subscription, 4)

    go(clock, START + timedelta(hours=1))
    now = call.put(f"{path}/cancel", {"at": "now", "reason": "payment_disputed"})
    assert (now["status"], now["cancelation_details"]["reason"]) == ("canceled", "payment_disputed")
    # What was used until then is billed at once.
    bill = call.get(f"/invoices/{now['latest_invoice_id']}")
    assert (bill["total"], bill["lines"][0]["quantity"]) == ("200", "4")
    assert error_of(call("PUT", f"{path}/cancel", {})) == (400, "The subscription is over.")
    late = {"subscription_item_id": subscription["items"][1]["id"], "quantity": 1}
    assert error_of(call("POST", "/usage-records", late)) == (400, "The subscription is over.")
    assert error_of(call("PUT", f"{path}/recover"))[0] == 400


def test_a_subscription_is_paused_and_resumed(call: Caller, clock: TestClock, subscription: Any) -> None:
    path = f"/subscriptions/{subscription['id']}"
    go(clock, START + timedelta(days=10))

    assert call.put(f"{path}/pause")["status"] == "paused"
    assert error_of(call("PUT", f"{path}/pause"))[0] == 400
    go(clock, START + timedelta(days=20))
    resumed = call.put(f"{path}/resume")
    assert resumed["status"] == "active"
    # Its boundaries are where they were.
    assert resumed["current_period_end"] == subscription["current_period_end"]
    assert error_of(call("PUT", f"{path}/resume"))[0] == 400


def report(call: Caller, subscription: Any, quantity: int, **more: Any) -> Any:
    item = subscription["items"][1]["id"]
    return call.post("/usage-records", {"subscription_item_id": item, "quantity": quantity, **more})


def test_a_usage_record_is_an_event_of_the_items_meter(
    call: Caller, customer: Customer, meter: Any, subscription: Any
) -> None:
    record = report(call, subscription, 3, metadata={"model": "large"})

    event = MeterEvent.objects.get()
    assert (event.customer_id, event.value) == (customer.pk, Decimal(3))
    assert (record["quantity"], record["billed"], record["metadata"]) == (3, False, {"model": "large"})
    assert record["timestamp"] == unix(START)
    assert call.get(f"/meter-events/{record['id']}")["payload"]["value"] == "3"
    # And all events of the meter are records.
    said = {
        "event_name": meter["event_name"],
        "identifier": str(uuid4()),
        "payload": {"customer_id": DID, "value": "0.25"},
    }
    call.post("/meter-events", said)
    listed = call.get("/usage-records", f"subscription_item_id={subscription['items'][1]['id']}")
    assert [row["quantity"] for row in listed["list"]] == [0.25, 3]


def test_a_record_with_an_identifier_counts_once(call: Caller, subscription: Any) -> None:
    first = report(call, subscription, 3, identifier="r1")

    assert report(call, subscription, 9, identifier="r1") == first
    report(call, subscription, 3)
    report(call, subscription, 3)
    assert MeterEvent.objects.count() == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"quantity": None}, '"quantity" is required'),
        ({"quantity": -1}, '"quantity" must be between'),
        ({"quantity": 1.5}, '"quantity" must be an integer'),
        ({"action": "set"}, '"action" is set, and the item\'s meter, which is a sum, allows increment only'),
        ({"action": "add"}, '"action" must be one of [increment, set]'),
        ({"subscription_item_id": "si_1"}, "Subscription item not found: si_1"),
        ({"timestamp": 1}, "timestamp"),
    ],
)
def test_usage_that_is_refused_is_not_stored(call: Caller, subscription: Any, more: dict[str, Any], said: str) -> None:
    body = {"subscription_item_id": subscription["items"][1]["id"], "quantity": 1, **more}
    status, text = error_of(call("POST", "/usage-records", body))

    assert (status, said in text) == (400, True), text
    licensed = {"subscription_item_id": subscription["items"][0]["id"], "quantity": 1}
    assert error_of(call("POST", "/usage-records", licensed)) == (
        400,
        '"subscription_item_id" must have a metered price',
    )
    assert not MeterEvent.objects.exists()


def test_usage_is_billed_with_its_period_and_summed_up_by_periods(
    call: Caller, clock: TestClock, subscription: Any
) -> None:
    item = subscription["items"][1]["id"]
    report(call, subscription, 3)
    go(clock, START + timedelta(days=5))
    report(call, subscription, 4)
    path = f"subscription_item_id={item}"
    [current] = call.get("/usage-records/summary", path)["list"]
    assert (current["total_usage"], current["invoice_id"], current["period"]["start"]) == (7, None, unix(START))

    go(clock, datetime(2026, 4, 2, tzinfo=UTC))
    current, past = call.get("/usage-records/summary", path)["list"]
    assert (current["total_usage"], past["total_usage"]) == (0, 7)
    bill = call.get(f"/invoices/{past['invoice_id']}")
    assert (bill["status"], bill["total"]) == ("open", "2350")
    assert {line["amount"] for line in bill["lines"]} == {"2000", "350"}
    assert [row["billed"] for row in call.get("/usage-records", path)["list"]] == [True, True]


def test_items_are_added_changed_and_removed(call: Caller, customer: Customer, prices: list[Any]) -> None:
    made = call.post("/subscriptions", {"customer_id": DID, "items": [{"price_id": "seat"}]})
    added = call.post("/subscription-items", {"subscription_id": made["id"], "price_id": prices[1]["id"]})

    assert (added["subscription_id"], added["price"]) == (made["id"], prices[1])
    first = f"/subscription-items/{made['items'][0]['id']}"
    changed = call.put(first, {"quantity": 3, "price_id": prices[0]["id"], "metadata": {"a": "b"}})
    assert (changed["quantity"], changed["metadata"]) == (3, {"a": "b"})
    assert call.get(first) == changed
    listed = call.get("/subscription-items", f"subscription_id={made['id']}")
    assert {item["id"] for item in listed["list"]} == {made["items"][0]["id"], added["id"]}
    assert call("DELETE", f"/subscription-items/{added['id']}").status_code == 200
    assert error_of(call("GET", f"/subscription-items/{added['id']}"))[0] == 404
    assert error_of(call("DELETE", first))[0] == 400
    assert error_of(call("PUT", first, {"billing_thresholds": {"usage_gte": 1}}))[0] == 400


def test_invoices_are_found_labeled_and_voided(call: Caller, customer: Customer, subscription: Any) -> None:
    identifier = subscription["latest_invoice_id"]
    for query in (
        f"customer_id={spell('cus', customer.pk)}", f"customer_did={DID}", f"subscription_id={subscription['id']}",
        "status=paid,open", "currency_id=pcur_usd", "ignore_zero=true", "include_staking=true",
    ):  # fmt: skip
        assert [row["id"] for row in call.get("/invoices", query)["list"]] == [identifier], query
    for query in ("customer_did=z1nobody", "subscription_id=sub_1", "status=paid", "currency_id=pcur_eur"):
        assert call.get("/invoices", query)["count"] == 0, query
    assert error_of(call("GET", "/invoices", query="status=lost"))[0] == 400
    assert call.get("/invoices/search", "query=ada")["count"] == 1

    path = f"/invoices/{identifier}"
    assert call.put(path, {"metadata": {"order": "7"}})["metadata"] == {"order": "7"}
    assert call.get("/invoices", "metadata.order=7")["count"] == 1
    voided = call.post(f"{path}/void", None)
    assert (voided["status"], voided["status_transitions"]["voided_at"]) == ("void", unix(START))
    assert error_of(call("POST", f"{path}/void"))[0] == 400


def test_what_is_overdue_is_summed_up(call: Caller, customer: Customer, clock: TestClock, prices: list[Any]) -> None:
    body = {
        "customer_id": DID,
        "items": [{"price_id": "seat"}],
        "collection_method": "send_invoice",
        "days_until_due": 7,
    }
    made = call.post("/subscriptions", body)
    path = f"/subscriptions/{made['id']}/overdue/invoices"
    assert call.get(path)["summary"] == {}

    go(clock, START + timedelta(days=7))
    overdue = call.get(path)
    assert overdue["summary"]["pcur_usd"]["amount"] == "1000"
    assert overdue["subscription"]["status"] == "past_due"
    assert [row["id"] for row in overdue["invoices"]] == [made["latest_invoice_id"]]
    assert call.get(f"/customers/{DID}/overdue/invoices")["invoices"] == overdue["invoices"]


def test_lists_ask_the_database_as_often_for_many_rows_as_for_one(
    call: Caller, customer: Customer, prices: list[Any], subscription: Any
) -> None:
    def questions() -> dict[str, int]:
        counts = {}
        for path in ("/products", "/prices", "/subscriptions", "/subscription-items", "/invoices"):
            with CaptureQueriesContext(connection) as asked:
                call.get(path)
            counts[path] = len(asked)
        return counts

    once = questions()
    items = [{"price_id": "seat"}, {"price_id": prices[1]["id"]}]
    for number in range(2):
        call.post("/subscriptions", {"customer_id": DID, "items": items})
        terms = {"currency_id": "usd", "unit_amount": "1", "recurring": {"interval": "month"}}
        call.post("/products", {"name": f"Other {number}", "prices": [terms]})
    assert questions() == once
