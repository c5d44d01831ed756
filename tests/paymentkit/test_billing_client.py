"""The vendor's own client sells, bills and recharges on the running system, beside Stripe's."""

import shutil
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.paymentkit.client import FOLDER, PaymentKit
from tests.paymentkit.test_client import new_meter, refusal
from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node to run the client")

MONTHLY = {"interval": "month", "interval_count": 1}


@pytest.fixture(scope="module")
def key(running_stack: RunningStack) -> str:
    return new_key(running_stack, new_company(running_stack))


@pytest.fixture(scope="module")
def payment(running_stack: RunningStack, key: str) -> Iterator[PaymentKit]:
    assert (FOLDER / "node_modules").is_dir(), "run tests/paymentkit/install"
    with PaymentKit(running_stack.base_url, key) as client:
        yield client


@pytest.fixture(scope="module")
def did(payment: PaymentKit) -> str:
    text = f"z1{uuid4().hex}"
    payment.call("customers.retrieve", text, {"create": True})
    return text


def price(**more: Any) -> dict[str, Any]:
    return {"type": "recurring", "currency_id": "pcur_usd", "unit_amount": "10", "recurring": MONTHLY, **more}


def test_products_and_prices_live_their_lives_and_stripes_client_sees_them(
    running_stack: RunningStack, key: str, payment: PaymentKit
) -> None:
    lookup = f"seat-{uuid4()}"
    made = payment.call("products.create", {"name": "Pro", "type": "service", "prices": [price(lookup_key=lookup)]})
    [seat] = made["prices"]
    v1 = client_of(running_stack, key).v1
    assert v1.products.retrieve(made["id"]).name == "Pro"
    assert v1.prices.retrieve(seat["id"]).unit_amount == 1000

    theirs = v1.prices.create({"currency": "eur", "product": made["id"], "unit_amount": 250})
    assert payment.call("prices.retrieve", theirs.id)["unit_amount"] == "250"
    assert payment.call("prices.retrieve", lookup) == seat
    assert payment.call("prices.list", {"product_id": made["id"], "active": True})["count"] == 2
    assert payment.call("prices.search", {"query": lookup})["list"] == [seat]
    assert payment.call("prices.update", seat["id"], {"nickname": "Seat"})["nickname"] == "Seat"
    assert payment.call("prices.archive", theirs.id)["active"] is False
    assert payment.call("prices.del", theirs.id)["id"] == theirs.id
    assert refusal(payment, "prices.retrieve", theirs.id)[0] == 404
    assert payment.call("products.update", made["id"], {"description": "All"})["description"] == "All"
    assert payment.call("products.list", {"name": "Pro", "metadata.x": "y"})["count"] == 0
    assert payment.call("products.search", {"query": "pro"})["count"] == 1
    assert payment.call("products.archive", made["id"])["active"] is False
    assert refusal(payment, "products.del", made["id"])[0] == 400


def test_a_subscription_is_billed_with_its_usage(
    running_stack: RunningStack, key: str, payment: PaymentKit, did: str
) -> None:
    meter = new_meter(payment)
    metered = price(unit_amount="0.5", recurring={**MONTHLY, "usage_type": "metered", "meter_id": meter["id"]})
    made = payment.call("products.create", {"name": "Calls", "prices": [price(), metered]})
    seat, calls = made["prices"]
    # As its types have it, what is said is the second argument.
    body = {"customer_id": did, "items": [{"price_id": seat["id"]}, {"price_id": calls["id"]}]}
    subscription = payment.call("subscriptions.create", None, body)
    identifier, item = subscription["id"], subscription["items"][1]["id"]
    assert subscription["status"] == "active"
    assert client_of(running_stack, key).v1.subscriptions.retrieve(identifier).status == "active"

    said = {"subscription_item_id": item, "quantity": 4, "action": "increment"}
    assert payment.call("subscriptionItems.createUsageRecord", said)["quantity"] == 4
    assert payment.call("subscriptionItems.listUsageRecords", {"subscription_item_id": item})["count"] == 1
    summaries = payment.call("subscriptionItems.listUsageRecordSummaries", {"subscription_item_id": item})
    assert summaries["list"][0]["total_usage"] == 4
    assert payment.call("subscriptionItems.retrieve", item)["price"]["meter"]["id"] == meter["id"]
    assert payment.call("subscriptionItems.list", {"subscription_id": identifier})["count"] == 2
    first = subscription["items"][0]["id"]
    assert payment.call("subscriptionItems.update", first, {"quantity": 2})["quantity"] == 2
    assert payment.call("subscriptions.update", identifier, {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}
    assert (
        payment.call("subscriptions.list", {"customer_did": did, "metadata.a": "b", "status": "active"})["count"] == 1
    )
    assert payment.call("subscriptions.overdueInvoices", identifier)["invoices"] == []
    assert payment.call("subscriptions.pause", identifier)["status"] == "paused"
    assert payment.call("subscriptions.resume", identifier)["status"] == "active"
    assert payment.call("subscriptions.cancel", identifier, {"at": "current_period_end"})["cancel_at_period_end"]
    assert payment.call("subscriptions.recover", identifier)["cancel_at_period_end"] is False
    canceled = payment.call("subscriptions.cancel", identifier, {"at": "now"})
    assert payment.call("subscriptions.retrieve", identifier) == canceled

    invoices = payment.call("invoices.list", {"subscription_id": identifier, "status": "open,paid"})["list"]
    assert all(isinstance(invoice["total"], str) for invoice in invoices)
    assert (
        sum(int(line["amount"]) for invoice in invoices for line in invoice["lines"] if line["price_id"] == calls["id"])
        == 200
    )
    due = payment.call("invoices.retrieve", invoices[-1]["id"])
    assert payment.call("invoices.update", due["id"], {"metadata": {"x": "y"}})["metadata"] == {"x": "y"}
    assert payment.call("invoices.void", due["id"])["status"] == "void"
    assert payment.call("invoices.search", {"query": due["number"]})["count"] == 1


def test_auto_recharge_is_set_and_shown(payment: PaymentKit, did: str) -> None:
    meter = new_meter(payment, decimal=2)
    config = {"credit_amount": "100", "currency_id": meter["currency_id"]}
    top_up = {"currency_id": "usd", "unit_amount": "5", "metadata": {"credit_config": config}}
    [sold] = payment.call("products.create", {"name": "Credit", "type": "credit", "prices": [top_up]})["prices"]
    assert sold["metadata"]["credit_config"] == config

    asked = {"currency_id": meter["currency_id"]}
    fresh = payment.call("autoRechargeConfigs.getForCustomer", did, asked)
    assert fresh["enabled"] is False
    said = {"customer_id": did, **asked, "enabled": True, "threshold": 10, "price_id": sold["id"]}
    stored = payment.call("autoRechargeConfigs.submit", said)
    assert (stored["id"], stored["threshold"], stored["enabled"]) == (fresh["id"], "1000", True)
    assert payment.call("autoRechargeConfigs.retrieve", stored["id"]) == stored
    assert payment.call("autoRechargeConfigs.getForCustomer", did, asked) == stored
