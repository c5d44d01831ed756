"""What a currency's credit is sold by, and which currencies subscriptions can be in."""

from typing import Any

import pytest

from accounts.models import Customer, Mode, Scope
from accounts.tests.factories import CustomerFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from invoices.models import AutoRecharge, RechargeOffer

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
    config = {"credit_amount": "100.5", "currency_id": currency}
    terms = {"currency_id": "usd", "unit_amount": "5", "lookup_key": "top-up", "metadata": {"credit_config": config}}
    return call.post("/products", {"name": "Credit", "type": "credit", "prices": [terms]})["prices"][0]


def path_of(currency: str) -> str:
    return f"/payment-currencies/{currency}/recharge-config"


def test_what_credit_is_sold_by_is_set_as_a_whole_and_shown(call: Caller, currency: str, price: Any) -> None:
    bare = call.get(path_of(currency))
    assert bare == {**call.get(f"/payment-currencies/{currency}"), "recharge_config": None}

    settings = {"min_recharge_amount": 100.5, "max_recharge_amount": 1000}
    said = {"base_price_id": "top-up", "checkout_url": "https://shop.example/credit", "settings": settings}
    assert call.put(path_of(currency), said)["recharge_config"] == {**said, "base_price_id": price["id"]}
    assert call.get(path_of(currency))["recharge_config"] == {**said, "base_price_id": price["id"]}

    nothing = {"min_recharge_amount": None, "max_recharge_amount": None}
    again = call.put(path_of(currency), {"base_price_id": price["id"]})
    assert again["recharge_config"] == {"base_price_id": price["id"], "checkout_url": None, "settings": nothing}
    assert RechargeOffer.objects.count() == 1


def test_it_is_about_credit_and_asks_for_the_scopes_of_credit(call: Caller, currency: str, price: Any) -> None:
    poor = Caller(call.environment.company, Mode.TEST, Scope.METERS_READ, Scope.METERS_WRITE)
    assert error_of(poor("GET", path_of(currency)))[0] == 403
    assert error_of(poor("PUT", path_of(currency), {"base_price_id": price["id"]}))[0] == 403
    assert not RechargeOffer.objects.exists()


def test_settings_that_name_no_price_buy_by_it(call: Caller, currency: str, price: Any, customer: Customer) -> None:
    asked = {"customer_id": DID, "currency_id": currency}
    wish = {**asked, "enabled": True, "threshold": 10}
    assert error_of(call("POST", "/auto-recharge-configs/submit", wish))[0] == 400

    call.put(path_of(currency), {"base_price_id": "top-up"})
    # Who wants nothing has nothing bought.
    assert call.post("/auto-recharge-configs/submit", {**asked, "threshold": 5})["price_id"] is None
    stored = call.post("/auto-recharge-configs/submit", wish)
    assert (stored["enabled"], stored["price_id"], stored["threshold"]) == (True, price["id"], "1000")
    assert AutoRecharge.objects.get().amount == 10050


def test_a_recharge_gives_no_less_and_no_more_than_it_says(
    call: Caller, currency: str, price: Any, customer: Customer
) -> None:
    call.put(
        path_of(currency),
        {"base_price_id": "top-up", "settings": {"min_recharge_amount": "201", "max_recharge_amount": "301.5"}},
    )
    wish = {"customer_id": DID, "currency_id": currency, "price_id": "top-up"}
    for quantity, given in ((1, "100.5"), (4, "402")):
        said = error_of(call("POST", "/auto-recharge-configs/submit", {**wish, "enabled": True, "quantity": quantity}))
        text = f"An automatic recharge gives at least 201 requests and at most 301.5 requests; this one would give {given} requests."
        assert said == (400, text)
    assert not AutoRecharge.objects.exists()

    for quantity in (2, 3):
        call.post("/auto-recharge-configs/submit", {**wish, "enabled": True, "quantity": quantity})
    # What is switched off gives nothing.
    off = call.post("/auto-recharge-configs/submit", {**wish, "enabled": False, "quantity": 4})
    assert (off["enabled"], off["quantity"]) == (False, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base_price_id": None}, '"base_price_id" is required'),
        ({"base_price_id": "price_1"}, "Price not found: price_1"),
        ({"base_price_id": "plain"}, '"base_price_id" must be a price whose metadata.credit_config gives credit of the currency'),
        ({"payment_link_id": "plink_1"}, '"payment_link_id" is not supported'),
        ({"checkout_url": "javascript:alert(1)"}, '"checkout_url" must be a valid uri'),
        ({"settings": {"min_recharge_amount": "0.001"}}, '"settings.min_recharge_amount" must not have more than 2 decimal places'),
        ({"settings": {"max_recharge_amount": -1}}, '"settings.max_recharge_amount" must be a decimal number, not negative'),
        ({"settings": {"max_recharge_amount": 0}}, "A recharge's least must be greater than 0 and not above its most."),
        ({"settings": {"min_recharge_amount": 2, "max_recharge_amount": 1}}, "A recharge's least must be greater than 0"),
    ],
)  # fmt: skip
def test_what_no_recharge_could_be_sold_by_is_refused(
    call: Caller, currency: str, price: Any, change: dict[str, Any], said: str
) -> None:
    call.post(
        "/prices", {"product_id": price["product_id"], "currency_id": "usd", "unit_amount": 1, "lookup_key": "plain"}
    )
    status, text = error_of(call("PUT", path_of(currency), {"base_price_id": "top-up", **change}))

    assert (status, said in text) == (400, True), text
    assert not RechargeOffer.objects.exists()


def test_a_currency_that_is_not_there_has_none(call: Caller, price: Any) -> None:
    assert error_of(call("GET", path_of("pcur_usd"))) == (404, "Payment currency not found: pcur_usd")
    assert error_of(call("PUT", path_of("pcur_x"), {"base_price_id": price["id"]}))[0] == 404


def test_subscriptions_can_be_in_money_and_in_nothing_else(call: Caller, currency: str) -> None:
    def check(*ids: str) -> Any:
        return call.post("/payment-currencies/check-recurring-support", {"currency_ids": ids})

    own = call.get(f"/payment-currencies/{currency}")
    assert check("pcur_usd", "eur") == {"supported": True, "unsupported_currencies": []}
    unsupported = [{"id": currency, "name": own["name"], "symbol": own["symbol"]}]
    assert check("pcur_usd", currency, currency) == {"supported": False, "unsupported_currencies": unsupported}
    bodies: list[dict[str, Any]] = [
        {},
        {"currency_ids": []},
        {"currency_ids": "pcur_usd"},
        {"currency_ids": ["pcur_x"]},
    ]
    for body in bodies:
        assert error_of(call("POST", "/payment-currencies/check-recurring-support", body))[0] == 400
    reader = Caller(call.environment.company, Mode.TEST, Scope.METERS_READ)
    assert reader.post("/payment-currencies/check-recurring-support", {"currency_ids": ["usd"]})["supported"]
