"""The vendor's own client against the running system, as its users would point it there."""

import shutil
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.paymentkit.client import FOLDER, PaymentKit, Refused
from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

# The one that `make test` puts there; where Node is, it must be.
pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node to run the client")

DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture(scope="module")
def key(running_stack: RunningStack) -> str:
    return new_key(running_stack, new_company(running_stack))


@pytest.fixture(scope="module")
def payment(running_stack: RunningStack, key: str) -> Iterator[PaymentKit]:
    assert (FOLDER / "node_modules").is_dir(), "run tests/paymentkit/install"
    with PaymentKit(running_stack.base_url, key) as client:
        yield client


def new_meter(payment: PaymentKit, **more: Any) -> Any:
    terms = {"name": "API Calls", "event_name": f"api.calls.{uuid4()}", "unit": "requests", **more}
    return payment.call("meters.create", terms)


def refusal(payment: PaymentKit, call: str, *args: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        payment.call(call, *args)
    assert set(refused.value.body) == {"error"}
    return refused.value.status, refused.value.body["error"]


def test_a_meter_lives_its_life(payment: PaymentKit) -> None:
    meter = new_meter(payment, description="Calls of the API", metadata={"team": "core"}, decimal=2)

    assert meter["livemode"] is False
    assert meter["paymentCurrency"]["decimal"] == 2
    assert payment.call("meters.retrieve", meter["id"]) == meter
    assert payment.call("meters.retrieve", meter["event_name"]) == meter
    changed = payment.call("meters.update", meter["id"], {"name": "Calls", "metadata": {}})
    assert (changed["name"], changed["metadata"]) == ("Calls", {})
    # Without a body, which the client calls a form.
    assert payment.call("meters.deactivate", meter["id"])["status"] == "inactive"
    assert payment.call("meters.activate", meter["id"])["status"] == "active"
    page = payment.call("meters.list", {"event_name": meter["event_name"], "page": 1, "pageSize": 5, "q": "calls"})
    assert (page["count"], page["paging"]) == (1, {"page": 1, "pageSize": 5})
    assert page["list"][0]["id"] == meter["id"]
    assert refusal(payment, "meters.retrieve", "nothing") == (404, "Meter not found: nothing")
    assert refusal(payment, "meters.create", {"name": "x"}) == (400, '"event_name" is required')


def test_a_customer_is_made_by_asking_for_it(payment: PaymentKit) -> None:
    did = f"z1{uuid4().hex}"
    assert refusal(payment, "customers.retrieve", did)[0] == 404

    # The client sends this as a GET with a body.
    customer = payment.call("customers.retrieve", did, {"create": True})
    assert customer["did"] == did
    assert payment.call("customers.retrieve", customer["id"]) == customer
    assert payment.call("customers.update", customer["id"], {"name": "Ada"})["name"] == "Ada"
    assert [found["id"] for found in payment.call("customers.list", {"did": did})["list"]] == [customer["id"]]


def test_usage_is_reported_once_and_read_back(payment: PaymentKit) -> None:
    meter, did = new_meter(payment), f"z1{uuid4().hex}"
    customer = payment.call("customers.retrieve", did, {"create": True})
    said = {
        "event_name": meter["event_name"],
        "identifier": str(uuid4()),
        "payload": {"customer_id": did, "value": "3"},
        "metadata": {"model": "large"},
    }

    event = payment.call("meterEvents.create", said)
    assert event["payload"] == {"customer_id": customer["id"], "value": "3"}
    assert (
        payment.call("meterEvents.create", {**said, "payload": {"customer_id": did, "value": "9"}})["id"] == event["id"]
    )
    assert payment.call("meterEvents.retrieve", event["id"])["metadata"] == {"model": "large"}
    page = payment.call("meterEvents.list", {"meter_id": meter["id"], "customer_id": did, "page": 1, "pageSize": 10})
    assert (page["count"], [found["id"] for found in page["list"]]) == (1, [event["id"]])
    stats = payment.call("meterEvents.stats", {"meter_id": meter["id"], "start": 0, "granularity": "hour"})
    assert [(row["event_count"], row["total_value"]) for row in stats["list"]] == [(1, "3")]
    assert refusal(payment, "meterEvents.create", {**said, "identifier": "x" * 256})[0] == 400


def test_the_client_of_the_other_mode_finds_nothing(running_stack: RunningStack, key: str, payment: PaymentKit) -> None:
    meter = new_meter(payment)

    with PaymentKit(running_stack.base_url, key, livemode=True) as live:
        assert live.call("meters.list", {})["list"] == []
        assert refusal(live, "meters.retrieve", meter["id"])[0] == 404
        status, text = refusal(live, "meters.deactivate", meter["id"])
        assert (status, "live mode" in text) == (400, True)
    with PaymentKit(running_stack.base_url, "sk_test_nothing") as stranger:
        assert refusal(stranger, "meters.list", {}) == (401, "Invalid API key")


def test_what_is_made_here_is_seen_through_stripes_door(
    running_stack: RunningStack, key: str, payment: PaymentKit
) -> None:
    meter, did = new_meter(payment), f"z1{uuid4().hex}"
    customer = payment.call("customers.retrieve", did, {"create": True})
    v1 = client_of(running_stack, key).v1

    seen = v1.billing.meters.retrieve(meter["id"])
    assert (seen.event_name, seen.display_name) == (meter["event_name"], "API Calls")
    assert v1.customers.retrieve(customer["id"]).id == customer["id"]
    v1.billing.meter_events.create(
        {"event_name": meter["event_name"], "payload": {"stripe_customer_id": customer["id"], "value": "4"}}
    )
    page = payment.call("meterEvents.list", {"meter_id": meter["id"]})
    assert [found["payload"]["value"] for found in page["list"]] == ["4"]


def give(payment: PaymentKit, meter: Any, did: str, amount: str, **more: Any) -> Any:
    terms = {"customer_id": did, "currency_id": meter["currency_id"], "amount": amount, "category": "paid", **more}
    return payment.call("creditGrants.create", terms)


def use(payment: PaymentKit, meter: Any, did: str, value: str) -> Any:
    payload = {"customer_id": did, "value": value}
    said = {"event_name": meter["event_name"], "identifier": str(uuid4()), "payload": payload}
    return payment.call("meterEvents.create", said)


def settled(payment: PaymentKit, event: Any) -> Any:
    """The event when credit was asked for it, which is promised within two seconds."""
    deadline = time.monotonic() + 30
    while (found := payment.call("meterEvents.retrieve", event["id"]))["status"] == "pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_usage_burns_credit_and_a_later_grant_pays_for_what_was_short(payment: PaymentKit) -> None:
    meter, did = new_meter(payment, decimal=2), f"z1{uuid4().hex}"
    # Nobody knows the DID yet.
    grant = give(payment, meter, did, "5", name="Welcome")
    assert (grant["amount"], grant["status"], grant["customer"]["did"]) == ("500", "granted", did)

    first = settled(payment, use(payment, meter, did, "3.5"))
    assert (first["status"], first["credit_consumed"], first["credit_pending"]) == ("completed", "350", "0")
    short = settled(payment, use(payment, meter, did, "2"))
    assert (short["status"], short["credit_consumed"], short["credit_pending"]) == ("requires_capture", "150", "50")
    asked = {"customer_id": did, "currency_id": meter["currency_id"]}
    assert payment.call("meterEvents.pendingAmount", asked) == {meter["currency_id"]: "50"}
    assert payment.call("creditGrants.verifyAvailability", asked)["can_continue"] is False

    later = give(payment, meter, did, "10", category="promotional")
    assert payment.call("meterEvents.retrieve", short["id"])["status"] == "completed"
    assert payment.call("creditGrants.verifyAvailability", asked) == {"can_continue": True}
    summary = payment.call("creditGrants.summary", {"customer_id": did})[meter["currency_id"]]
    assert (summary["totalAmount"], summary["remainingAmount"]) == ("1000", "950")
    page = payment.call("creditTransactions.list", {"customer_id": did, "page": 1, "pageSize": 10})
    assert [row["amount"] for row in page["list"]] == ["-50", "-150", "-350"]
    transaction = page["list"][0]
    assert payment.call("creditTransactions.retrieve", transaction["id"]) == transaction
    assert payment.call("creditTransactions.summary", {"customer_id": did})["total_credit_amount"] == "550"
    listed = payment.call("creditGrants.list", {"customer_id": did, "status": "granted,depleted"})
    assert [found["id"] for found in listed["list"]] == [later["id"], grant["id"]]
    assert payment.call("creditGrants.update", later["id"], {"expired": True}) == {"success": True}
    assert payment.call("creditGrants.retrieve", later["id"])["status"] == "expired"


def test_a_grant_of_this_door_is_voided_through_stripes(
    running_stack: RunningStack, key: str, payment: PaymentKit
) -> None:
    meter, did = new_meter(payment), f"z1{uuid4().hex}"
    grant = give(payment, meter, did, "5")
    v1 = client_of(running_stack, key).v1

    seen: Any = v1.billing.credit_grants.retrieve(grant["id"])
    assert seen.amount.type == "custom_pricing_unit"
    assert seen.amount["custom_pricing_unit"]["value"] == "5"
    v1.billing.credit_grants.void_grant(grant["id"])
    assert payment.call("creditGrants.retrieve", grant["id"])["status"] == "voided"
    assert payment.call("creditGrants.list", {"customer_id": did, "status": "voided"})["count"] == 1
