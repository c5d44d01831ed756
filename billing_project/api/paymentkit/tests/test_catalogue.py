"""Products and prices through Payment Kit's door: made here, seen by the house, and the other way round."""

from decimal import Decimal
from typing import Any

import pytest

from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell, unspell
from subscriptions.models import Price, Product
from subscriptions.services import NewTier, create_price, create_product

MONTHLY = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}


@pytest.fixture
def product(call: Caller) -> Any:
    return call.post("/products", {"name": "Pro", "type": "service", "description": "All of it", "metadata": {"a": 1}})


def price(product: Any, **more: Any) -> dict[str, Any]:
    return {"product_id": product["id"], "currency_id": "pcur_usd", "unit_amount": "10", **more}


def test_a_product_is_made_with_its_prices_the_first_of_which_is_its_default(call: Caller) -> None:
    made = call.post(
        "/products",
        {
            "name": "Pro",
            "type": "service",
            "images": [],
            "prices": [
                {"type": "recurring", "currency_id": "usd", "unit_amount": "9.99", "recurring": MONTHLY},
                {"type": "one_time", "currency_id": "pcur_jpy", "unit_amount": 500, "lookup_key": "setup"},
            ],
        },
    )

    row = Product.objects.get()
    assert unspell("prod", made["id"]) == row.pk
    first, second = made["prices"]
    assert (first["unit_amount"], first["currency"]["decimal"], first["currency_id"]) == ("999", 2, "pcur_usd")
    assert (second["unit_amount"], second["type"], second["lookup_key"]) == ("500", "one_time", "setup")
    assert made["default_price"] == first
    assert made["default_price_id"] == first["id"]
    assert first["product"]["default_price_id"] == first["id"]
    assert Price.objects.get(currency="usd").unit_amount == Decimal(999)
    assert call.get(f"/products/{made['id']}") == made
    assert call.get("/prices/setup") == second
    assert [found["id"] for found in call.get("/payment-currencies")] == ["pcur_jpy", "pcur_usd"]
    assert call.get("/payment-currencies/pcur_jpy") == second["currency"]


def test_a_product_with_a_price_that_is_refused_is_not_made(call: Caller) -> None:
    bad = {"type": "recurring", "currency_id": "pcur_usd", "unit_amount": "9.99"}
    said = error_of(call("POST", "/products", {"name": "Pro", "prices": [bad]}))

    assert said == (400, '"prices[0].recurring" is required')
    assert not Product.objects.exists()


def test_a_product_is_changed_found_closed_and_deleted(call: Caller, product: Any) -> None:
    assert product["metadata"] == {"a": "1"}
    changed = call.put(f"/products/{product['id']}", {"name": "Max", "unit_label": "seat", "metadata": {"b": "2"}})
    assert (changed["name"], changed["unit_label"], changed["metadata"]) == ("Max", "seat", {"b": "2"})
    for query in ("name=ma", "metadata.b=2", "active=true", "description=all"):
        assert call.get("/products", query)["count"] == 1, query
    for query in ("name=pro", "metadata.b=3", "active=false"):
        assert call.get("/products", query)["count"] == 0, query
    assert call.get("/products/search", "query=ALL")["list"] == [changed]
    assert call.put(f"/products/{product['id']}/archive")["active"] is False
    assert call.put(f"/products/{product['id']}", {"active": True})["active"] is True
    assert call("DELETE", f"/products/{product['id']}").status_code == 200
    assert not Product.objects.exists()
    assert error_of(call("GET", f"/products/{product['id']}")) == (404, f"Product not found: {product['id']}")


def test_a_product_that_was_priced_stays(call: Caller, product: Any) -> None:
    call.post("/prices", price(product))

    assert error_of(call("DELETE", f"/products/{product['id']}"))[0] == 400
    assert Product.objects.count() == 1


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"unit_amount": "0.001"}, {"unit_amount": "0.1", "model": "standard", "billing_scheme": "per_unit"}),
        (
            {"model": "package", "transform_quantity": {"divide_by": 100, "round": "up"}},
            {"unit_amount": "1000", "model": "package", "transform_quantity": {"divide_by": 100, "round": "up"}},
        ),
        (
            {"model": "graduated", "unit_amount": "0", "tiers": [{"up_to": 10, "unit_amount": "1", "flat_amount": 5}, {"up_to": "inf", "unit_amount": "0.5"}]},
            {
                "model": "graduated", "billing_scheme": "tiered", "tiers_mode": "graduated", "unit_amount": "0",
                "tiers": [{"up_to": "10", "unit_amount": "100", "flat_amount": "500"}, {"up_to": None, "unit_amount": "50", "flat_amount": None}],
            },
        ),
        (
            {"tiers_mode": "volume", "unit_amount": None, "tiers": [{"up_to": None, "flat_amount": "1.5"}]},
            {"model": "volume", "tiers": [{"up_to": None, "unit_amount": None, "flat_amount": "150"}]},
        ),
        ({"currency_options": [{"currency_id": "pcur_usd", "unit_amount": "10"}]}, {"unit_amount": "1000"}),
        ({"metadata": {"credit_config": {"credit_amount": "1.50"}, "n": 1}}, {"metadata": {"credit_config": {"credit_amount": "1.50"}, "n": "1"}}),
    ],
)  # fmt: skip
def test_prices_of_every_model(call: Caller, product: Any, more: dict[str, Any], shown: dict[str, Any]) -> None:
    made = call.post("/prices", price(product, **more))

    assert {name: made[name] for name in shown} == shown
    assert call.get(f"/prices/{made['id']}") == made


def test_a_metered_price_has_its_meter(call: Caller, product: Any) -> None:
    meter = call.post("/meters", API_CALLS)
    recurring = {"interval": "month", "usage_type": "metered", "meter_id": meter["id"], "aggregate_usage": "sum"}
    made = call.post("/prices", price(product, type="recurring", recurring=recurring))

    assert made["recurring"] == {**recurring, "interval_count": 1}
    assert made["meter"] == meter
    recurring["aggregate_usage"] = "max"
    status, text = error_of(call("POST", "/prices", price(product, recurring=recurring)))
    assert (status, "recurring.aggregate_usage" in text) == (400, True)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"unit_amount": None}, '"unit_amount" is required'),
        ({"unit_amount": "-1"}, '"unit_amount" must be a decimal number, not negative, with at most 18 decimal places'),
        ({"currency_id": "pcur_xyz"}, "Payment currency is no money: pcur_xyz; prices are in money, such as pcur_usd"),
        ({"currency_id": None}, '"currency_id" is required'),
        ({"product_id": "prod_1"}, "Product not found: prod_1"),
        ({"model": "volume", "unit_amount": 0}, "tiers"),
        ({"model": "package"}, '"transform_quantity" is required'),
        ({"model": "standard", "tiers_mode": "volume"}, '"model" does not agree with the rest, which says volume'),
        ({"tiers": [{"up_to": None}]}, '"tiers" is not allowed with the model standard'),
        ({"type": "one_time", "recurring": MONTHLY}, '"recurring" is not allowed with the type one_time'),
        ({"recurring": {"interval": "hour"}}, '"recurring.interval" must be one of [day, week, month, year]'),
        ({"recurring": {**MONTHLY, "meter_id": "mtr_1"}}, "Meter not found: mtr_1"),
        ({"recurring": {**MONTHLY, "usage_type": "metered"}}, "A metered price"),
        ({"currency_options": [{"currency_id": "pcur_eur"}]}, '"currency_options" must not have other currencies'),
        ({"custom_unit_amount": {"minimum": 1}}, '"custom_unit_amount" is not supported'),
        ({"lookup_key": "taken"}, "lookup key"),
    ],
)
def test_prices_that_are_refused_leave_nothing(call: Caller, product: Any, more: dict[str, Any], said: str) -> None:
    call.post("/prices", price(product, lookup_key="taken"))

    status, text = error_of(call("POST", "/prices", price(product, **more)))
    assert (status, said in text) == (400, True), text
    assert Price.objects.count() == 1


def test_what_a_price_costs_never_changes_and_its_labels_do(call: Caller, product: Any) -> None:
    made = call.post("/prices", price(product, nickname="Old", lookup_key="a"))
    path = f"/prices/{made['id']}"

    said = error_of(call("PUT", path, {"unit_amount": "11"}))
    assert said == (400, '"unit_amount" cannot be changed: another amount is another price')
    changed = call.put(path, {"nickname": "New", "lookup_key": "b", "metadata": {"x": "y"}})
    assert (changed["nickname"], changed["lookup_key"], changed["metadata"]) == ("New", "b", {"x": "y"})
    assert error_of(call("GET", "/prices/a"))[0] == 404
    assert call.put("/prices/b/archive")["active"] is False
    assert call.put(path, {"active": True})["active"] is True
    for query in (
        "active=true",
        "type=one_time",
        "currency_id=pcur_usd",
        f"product_id={product['id']}",
        "lookup_key=b",
    ):
        assert call.get("/prices", query)["count"] == 1, query
    for query in ("active=false", "type=recurring", "currency_id=pcur_eur", "product_id=prod_1", "lookup_key=a"):
        assert call.get("/prices", query)["count"] == 0, query
    assert call.get("/prices/search", "query=pro")["count"] == 1
    assert call("DELETE", path).status_code == 200
    assert call.get("/prices")["count"] == 0
    assert error_of(call("GET", path))[0] == 404


def test_what_other_doors_made_is_seen_here_by_their_ids(call: Caller) -> None:
    environment, now = call.environment, call.key.created_at
    product = create_product(environment=environment, now=now, slug="my-product", name="Theirs")
    plan = create_price(
        environment=environment, product=product, currency="usd", now=now, interval="month", is_plan=True, slug="gold",
        unit_amount=Decimal("12.5"),
    )  # fmt: skip
    tiered = create_price(
        environment=environment, product=product, currency="kwd", now=now, tiers_mode="volume",
        tiers=[NewTier(None, Decimal("0.25"))], is_plan=False,
    )  # fmt: skip

    seen = call.get("/products/my-product")
    assert [found["id"] for found in seen["prices"]] == ["gold", spell("price", tiered.pk)]
    assert call.get("/prices/gold")["unit_amount"] == "12.5"
    assert error_of(call("GET", f"/prices/{spell('price', plan.pk)}"))[0] == 404
    assert call.get(f"/prices/{spell('price', tiered.pk)}")["tiers"][0]["unit_amount"] == "0.25"


def test_a_product_gives_credit_if_a_price_of_it_does(call: Caller, product: Any) -> None:
    assert product["type"] == "service"
    made = call.post("/prices", price(product, metadata={"credit_config": {"credit_amount": 5}}))

    assert made["product"]["type"] == "credit"
    assert call.get(f"/products/{product['id']}")["type"] == "credit"
