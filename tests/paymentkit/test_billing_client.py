"""The vendor's own client sells, bills and recharges on the running system, beside Stripe's."""

import shutil
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.paymentkit.client import FOLDER, PaymentKit
from tests.paymentkit.test_client import give, new_meter, refusal, settled, use
from tests.stack import RunningStack, wait_for
from tests.system.clients import client_of, new_company, new_key

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node to run the client")

MONTHLY = {"interval": "month", "interval_count": 1}


@pytest.fixture(scope="module")
def company(running_stack: RunningStack) -> str:
    return new_company(running_stack)


@pytest.fixture(scope="module")
def key(running_stack: RunningStack, company: str) -> str:
    return new_key(running_stack, company)


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


def test_a_currency_says_what_its_credit_is_sold_by(payment: PaymentKit, did: str) -> None:
    meter = new_meter(payment, decimal=2)
    currency = meter["currency_id"]
    config = {"credit_amount": "100", "currency_id": currency}
    top_up = {"currency_id": "usd", "unit_amount": "5", "metadata": {"credit_config": config}}
    [sold] = payment.call("products.create", {"name": "Credit", "type": "credit", "prices": [top_up]})["prices"]
    assert payment.call("paymentCurrencies.getRechargeConfig", currency)["recharge_config"] is None

    said = {
        "base_price_id": sold["id"],
        "checkout_url": "https://shop.example/credit",
        "settings": {"min_recharge_amount": 100, "max_recharge_amount": 500},
    }
    assert payment.call("paymentCurrencies.updateRechargeConfig", currency, said)["recharge_config"] == said
    assert payment.call("paymentCurrencies.getRechargeConfig", currency)["recharge_config"] == said
    wish = {"customer_id": did, "currency_id": currency, "enabled": True, "threshold": 10}
    assert payment.call("autoRechargeConfigs.submit", wish)["price_id"] == sold["id"]
    assert refusal(payment, "autoRechargeConfigs.submit", {**wish, "quantity": 6})[0] == 400

    asked = {"currency_ids": ["pcur_usd", currency]}
    support = payment.call("paymentCurrencies.checkRecurringSupport", asked)
    assert (support["supported"], [found["id"] for found in support["unsupported_currencies"]]) == (False, [currency])


def test_what_usage_burns_is_recharged_where_the_company_allows_it(
    running_stack: RunningStack, company: str, key: str, payment: PaymentKit
) -> None:
    did, meter = f"z1{uuid4().hex}", new_meter(payment)
    payment.call("customers.retrieve", did, {"create": True})
    config = {"credit_amount": "100", "currency_id": meter["currency_id"], "priority": 7}
    top_up = {"currency_id": "usd", "unit_amount": "5", "metadata": {"credit_config": config}}
    [sold] = payment.call("products.create", {"name": "Credit", "type": "credit", "prices": [top_up]})["prices"]
    give(payment, meter, did, "12")
    asked = {"customer_id": did, "currency_id": meter["currency_id"]}
    said = {**asked, "enabled": True, "threshold": 10, "price_id": sold["id"], "quantity": 2}
    payment.call("autoRechargeConfigs.submit", {**said, "daily_limits": {"max_attempts": 1, "max_amount": 0}})

    def left() -> str:
        summary = payment.call("creditGrants.summary", {"customer_id": did})
        return str(summary[meter["currency_id"]]["remainingAmount"])

    # Not for as long as the company has not said so.
    settled(payment, use(payment, meter, did, "3"))
    assert (left(), payment.call("invoices.list", {"customer_id": did})["count"]) == ("9", 0)

    allow = "from accounts.models import Company; from accounts.services import update_company; "
    running_stack.command(
        "shell", "-c", f"{allow}update_company(company=Company.objects.get(name={company!r}), recharges=True)"
    )
    wait_for(lambda: left() == "209", timeout=20, what="the credit is bought again")

    [invoice] = payment.call("invoices.list", {"customer_id": did})["list"]
    assert (invoice["status"], invoice["total"], invoice["paid_out_of_band"]) == ("paid", "1000", True)
    [bought, _] = payment.call("creditGrants.list", {"customer_id": did})["list"]
    assert (bought["amount"], bought["category"], bought["priority"]) == ("200", "paid", 7)
    told = [event.type for event in client_of(running_stack, key).v1.events.list({"limit": 100}).data]
    assert {"invoice.paid", "billing.auto_recharge.created"} <= set(told)

    # Once for the shortfall; and no more on this day.
    settled(payment, use(payment, meter, did, "205"))
    stored = payment.call("autoRechargeConfigs.getForCustomer", did, {"currency_id": meter["currency_id"]})
    assert stored["daily_stats"] == {"attempt_count": 1, "total_amount": "1000"}
    time.sleep(5)
    assert (left(), payment.call("invoices.list", {"customer_id": did})["count"]) == ("4", 1)
