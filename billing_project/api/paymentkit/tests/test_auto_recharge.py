"""Automatic recharges through Payment Kit's door: stored, shown, and done where the company allows it."""

import json
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Company, Customer, Mode, Scope
from accounts.tests.factories import CustomerFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell
from invoices.models import AutoRecharge
from invoices.services import recharge_credit
from webhooks.models import Event

DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture
def currency(call: Caller) -> str:
    found: str = call.post("/meters", {**API_CALLS, "decimal": 2})["currency_id"]
    return found


@pytest.fixture
def customer(call: Caller) -> Customer:
    return CustomerFactory.create(environment=call.environment, did=DID)


@pytest.fixture
def price(call: Caller, currency: str) -> Any:
    """Five dollars for a hundred requests and a half."""
    config = {
        "credit_amount": "100.5", "currency_id": currency, "valid_duration_value": 1, "valid_duration_unit": "months",
        "priority": 7,
    }  # fmt: skip
    terms = {"currency_id": "usd", "unit_amount": "5", "lookup_key": "top-up", "metadata": {"credit_config": config}}
    return call.post("/products", {"name": "Credit", "type": "credit", "prices": [terms]})["prices"][0]


def submit(call: Caller, currency: str, **more: Any) -> Any:
    return call.post("/auto-recharge-configs/submit", {"customer_id": DID, "currency_id": currency, **more})


def test_who_never_asked_has_settings_that_do_nothing(call: Caller, customer: Customer, currency: str) -> None:
    path, query = f"/auto-recharge-configs/customer/{DID}", f"currency_id={currency}"
    reader = Caller(call.environment.company, Mode.TEST, Scope.CREDITS_READ)
    assert error_of(reader("GET", path, query=query))[0] == 403

    config = call.get(path, query)
    assert (config["enabled"], config["threshold"], config["price_id"]) == (False, "0", None)
    assert config["customer_id"] == spell("cus", customer.pk)
    assert call.get(path, query) == config == reader.get(path, query)
    assert call.get(f"/auto-recharge-configs/retrieve/{config['id']}") == config
    assert error_of(call("GET", path)) == (400, '"currency_id" is required')
    assert error_of(call("GET", "/auto-recharge-configs/customer/z1nobody", query=query))[0] == 404


def test_what_is_submitted_is_shown_and_the_rest_stays(
    call: Caller, customer: Customer, currency: str, price: Any
) -> None:
    config = submit(
        call, currency, enabled=True, threshold=10.25, price_id="top-up", quantity=3, recharge_currency_id="pcur_usd",
        daily_limits={"max_attempts": 2, "max_amount": 30},
    )  # fmt: skip

    assert (config["enabled"], config["threshold"], config["quantity"]) == (True, "1025", 3)
    assert (config["price_id"], config["price"], config["recharge_currency_id"]) == (price["id"], price, "pcur_usd")
    assert config["currency"]["id"] == currency
    assert config["daily_limits"] == {"max_attempts": 2, "max_amount": "3000"}
    row = AutoRecharge.objects.get()
    assert (row.amount, row.lifetime, row.lifetime_unit, row.priority) == (10050, 1, "month", 7)
    off = submit(call, currency, enabled=False)
    assert {**config, "enabled": False, "updated_at": off["updated_at"]} == off


def test_changes_of_the_settings_are_told(call: Caller, customer: Customer, currency: str, price: Any) -> None:
    def told() -> list[Event]:
        return list(Event.objects.filter(type__startswith="billing.auto_recharge").order_by("pk"))

    path, query = f"/auto-recharge-configs/customer/{DID}", f"currency_id={currency}"
    config = call.get(path, query)
    call.get(path, query)
    assert [event.type for event in told()] == ["billing.auto_recharge.created"]

    submit(call, currency, enabled=True, threshold=10.25, price_id="top-up", daily_limits={"max_amount": 30})
    assert error_of(call("POST", "/auto-recharge-configs/submit", {"customer_id": DID, "currency_id": "x"}))[0] == 400
    _, updated = told()
    assert updated.type == "billing.auto_recharge.updated"
    now, before = json.loads(updated.snapshot), json.loads(updated.previous)
    assert (now["id"], now["enabled"], before["enabled"]) == (config["id"], True, False)
    assert now["customer"] == spell("cus", customer.pk)
    assert (now["price"], before["price"]) == (price["id"], None)
    assert now["threshold"]["custom_pricing_unit"] == {"custom_pricing_unit": currency, "value": "10.25"}
    assert now["amount"]["custom_pricing_unit"]["value"] == "100.5"
    assert now["daily_limits"] == {
        "amount": {"monetary": {"currency": "usd", "value": 3000}, "type": "monetary"},
        "attempts": 0,
    }
    assert now["lifetime"] == {"count": 1, "unit": "month"}


def test_it_recharges_where_the_company_allows_it(call: Caller, customer: Customer, currency: str, price: Any) -> None:
    submit(call, currency, enabled=True, threshold=1, price_id="top-up", quantity=2, daily_limits={"max_attempts": 1})
    assert recharge_credit(now=timezone.now()) == 0
    Company.objects.update(recharges=True)

    assert recharge_credit(now=timezone.now()) == 1
    config = call.get(f"/auto-recharge-configs/customer/{DID}", f"currency_id={currency}")
    assert config["daily_stats"] == {"attempt_count": 1, "total_amount": "1000"}
    assert config["last_recharge_date"] == f"{timezone.now():%Y-%m-%d}"
    [invoice] = call.get("/invoices", f"customer_id={DID}")["list"]
    assert (invoice["status"], invoice["total"], invoice["paid_out_of_band"]) == ("paid", "1000", True)
    [grant] = call.get("/credit-grants", f"customer_id={DID}")["list"]
    assert (grant["amount"], grant["priority"], grant["category"]) == ("20100", 7, "paid")


def test_what_recharges_may_bring_today_lets_a_customer_go_on(
    call: Caller, customer: Customer, currency: str, price: Any
) -> None:
    """201 requests each time, for ten dollars."""
    limits = {"max_attempts": 3, "max_amount": 20}
    submit(call, currency, enabled=True, threshold=1, price_id="top-up", quantity=2, daily_limits=limits)

    def may(owed: int, times: int) -> bool:
        query = f"customer_id={DID}&currency_id={currency}&pending_amount={owed}&max_recharge_times={times}"
        found: bool = call.get("/credit-grants/verify-availability", query)["can_continue"]
        return found

    assert not may(0, 5)
    Company.objects.update(recharges=True)
    assert [may(20099, times) for times in (0, 1)] == [False, True]
    assert [may(20100, times) for times in (1, 2)] == [False, True]
    # For twenty dollars a day there is no third one.
    assert [may(40199, 9), may(40200, 9)] == [True, False]
    recharge_credit(now=timezone.now())
    # Half of the day's is there already, the other half may come.
    assert [may(40199, 9), may(40200, 9)] == [True, False]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"enabled": True}, "An automatic recharge needs a price"),
        ({"price_id": "price_1"}, "Price not found: price_1"),
        ({"price_id": "plain"}, '"price_id" must be a price whose metadata.credit_config gives credit of the currency'),
        ({"price_id": "top-up", "quantity": 0}, '"quantity" must be between'),
        ({"threshold": "0.001"}, '"threshold" must not have more than 2 decimal places'),
        ({"threshold": -1}, '"threshold" must be a decimal number, not negative'),
        ({"price_id": "top-up", "recharge_currency_id": "pcur_eur"}, '"recharge_currency_id" must be that of the price'),
        ({"payment_method_id": "pm_1"}, '"payment_method_id" is not supported'),
        ({"daily_limits": {"max_amount": 5}}, '"daily_limits.max_amount" needs a price'),
        ({"price_id": "top-up", "daily_limits": {"max_amount": "5.001"}}, '"daily_limits.max_amount" must be an amount of USD'),
        ({"customer_id": "z1nobody"}, "Customer not found: z1nobody"),
        ({"currency_id": "pcur_usd"}, "Payment currency not found: pcur_usd"),
    ],
)  # fmt: skip
def test_settings_that_are_refused_are_not_stored(
    call: Caller, customer: Customer, currency: str, price: Any, more: dict[str, Any], said: str
) -> None:
    terms = {"product_id": price["product_id"], "currency_id": "usd", "unit_amount": 1, "lookup_key": "plain"}
    call.post("/prices", terms)
    body = {"customer_id": DID, "currency_id": currency, **more}
    status, text = error_of(call("POST", "/auto-recharge-configs/submit", body))

    assert (status, said in text) == (400, True), text
    assert not AutoRecharge.objects.exists()
