"""/v1/products and /v1/prices, through the SDK."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_meter, new_price
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from subscriptions.models import Price, Product

# --- products ---------------------------------------------------------------------------------------------------------


def test_a_product_keeps_what_it_is_given(account: Account) -> None:
    product = account.v1.products.create(
        {"name": "Tokens", "description": "d", "unit_label": "token", "active": False, "metadata": {"a": "1"}}
    )
    assert is_a(product, stripe.Product)
    assert product.id.startswith("prod_")
    assert (product.name, product.description, product.unit_label) == ("Tokens", "d", "token")
    assert (product.active, product.livemode, product.object) == (False, False, "product")
    assert (product.images, product.marketing_features, product.metadata.to_dict()) == ([], [], {"a": "1"})
    assert account.v1.products.retrieve(product.id) == product


def test_a_product_may_have_an_id_of_the_callers_own(account: Account) -> None:
    products = account.v1.products
    product = products.create({"name": "Gold", "id": "gold.2024:eu"})
    assert product.id == "gold.2024:eu"
    assert products.retrieve("gold.2024:eu").name == "Gold"
    assert products.update("gold.2024:eu", {"name": "Silver"}).name == "Silver"
    assert new_price(account, product="gold.2024:eu").product == "gold.2024:eu"
    error = refused(lambda: products.create({"name": "Other", "id": "gold.2024:eu"}))
    assert (error.http_status, error.param, error.code) == (400, "id", "resource_already_exists")


def test_a_product_is_changed_and_deleted(account: Account) -> None:
    products = account.v1.products
    product = products.create({"name": "Tokens", "unit_label": "token", "metadata": {"a": "1"}})
    changed = products.update(product.id, {"unit_label": "", "metadata": {"b": "2"}, "active": False})
    assert (changed.name, changed.unit_label, changed.active) == ("Tokens", None, False)
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}

    price = new_price(account, product=product.id)
    error = refused(lambda: products.delete(product.id))
    assert (error.http_status, error.param) == (400, "id")
    assert products.retrieve(product.id).id == price.product

    other = products.create({"name": "Other"})
    assert products.delete(other.id).to_dict() == {"id": other.id, "object": "product", "deleted": True}
    assert refused(lambda: products.retrieve(other.id)).http_status == 404
    assert refused(lambda: products.delete(other.id)).code == "resource_missing"


def test_products_are_listed(account: Account) -> None:
    products = account.v1.products
    first = products.create({"name": "A", "active": False})
    second = products.create({"name": "B", "id": "b"})

    def ids(**params: Any) -> list[str]:
        return [product.id for product in products.list(params).data]

    assert ids() == ["b", first.id]
    assert ids(active=True) == ["b"]
    assert ids(active=False) == [first.id]
    assert ids(ids=["b", first.id, "nope"]) == ["b", first.id]
    assert ids(ids=["nope"]) == []
    assert ids(ids=[first.id], active=True) == []
    assert ids(created={"gt": second.created}) == []


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"name": None}, "name", "parameter_missing"),
        ({"name": ""}, "name", "parameter_invalid_empty"),
        ({"name": "x" * 251}, "name", None),
        ({"id": "a/b"}, "id", None),
        ({"id": "a b"}, "id", None),
        ({"active": "yes"}, "active", None),
        ({"default_price_data": {"currency": "usd"}}, "default_price_data[unit_amount]", "parameter_missing"),
        ({"default_price_data": {"currency": "xyz", "unit_amount": 1}}, "currency", None),
        ({"default_price": "price_nope"}, "default_price", "parameter_unknown"),
    ],
)
def test_what_makes_no_product(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: account.v1.products.create({"name": "A", **fields}))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert Product.objects.count() == 0


# --- prices -----------------------------------------------------------------------------------------------------------


def test_a_licensed_price(account: Account) -> None:
    price = new_price(account, unit_amount=1050, nickname="Basic", lookup_key="basic", metadata={"a": "1"})
    assert is_a(price, stripe.Price)
    assert price.id.startswith("price_")
    assert (price.type, price.billing_scheme, price.currency, price.active) == ("recurring", "per_unit", "usd", True)
    assert (price.unit_amount, price.unit_amount_decimal) == (1050, Decimal(1050))
    assert (price.nickname, price.lookup_key, price.metadata.to_dict()) == ("Basic", "basic", {"a": "1"})
    assert price.recurring.to_dict() == {
        "interval": "month",
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
    assert account.v1.prices.retrieve(price.id) == price


@pytest.mark.parametrize(
    ("given", "said", "whole"),
    [
        (Decimal("0.000000000001"), "0.000000000001", None),
        ("0.00025", "0.00025", None),
        ("2.50", "2.5", None),
        ("0.0", "0", 0),
        ("1E+3", "1000", 1000),
        ("999999999999999999.999999999999", "999999999999999999.999999999999", None),
    ],
)
def test_a_metered_price_keeps_all_twelve_places(account: Account, given: Any, said: str, whole: int | None) -> None:
    meter = new_meter(account)
    price = new_price(account, meter=meter.id, unit_amount_decimal=given)
    # The SDK makes a Decimal of text, and of nothing else.
    assert price.unit_amount_decimal == Decimal(said)
    assert isinstance(price.unit_amount_decimal, Decimal)
    assert price.unit_amount == whole
    assert (price.recurring.usage_type, price.recurring.meter) == ("metered", meter.id)


def test_a_one_time_price(account: Account) -> None:
    price = new_price(account, recurring=None, unit_amount=5, currency="JPY")
    assert (price.type, price.recurring, price.currency) == ("one_time", None, "jpy")


def test_a_tiered_price_shows_its_tiers_when_asked(account: Account) -> None:
    tiers = [
        {"up_to": 5, "unit_amount": 700, "flat_amount": 1000},
        {"up_to": 10, "unit_amount_decimal": "650.5"},
        {"up_to": "inf", "flat_amount_decimal": "12.25"},
    ]
    price = new_price(account, billing_scheme="tiered", tiers_mode="graduated", tiers=tiers)
    assert (price.billing_scheme, price.tiers_mode) == ("tiered", "graduated")
    assert (price.unit_amount, price.unit_amount_decimal, price.transform_quantity) == (None, None, None)
    assert "tiers" not in price.to_dict()
    assert "currency_options" not in price.to_dict()

    asked = account.v1.prices.retrieve(price.id, {"expand": ["tiers"]})
    assert [tier.up_to for tier in asked.tiers] == [5, 10, None]
    assert [(tier.unit_amount, tier.unit_amount_decimal) for tier in asked.tiers] == [
        (700, Decimal(700)),
        (None, Decimal("650.5")),
        (None, None),
    ]
    assert [(tier.flat_amount, tier.flat_amount_decimal) for tier in asked.tiers] == [
        (1000, Decimal(1000)),
        (None, None),
        (None, Decimal("12.25")),
    ]
    listed = account.v1.prices.list({"expand": ["data.tiers", "data.currency_options"]})
    assert listed.data[0].tiers == asked.tiers
    options = listed.data[0].currency_options.usd
    assert [(tier.up_to, tier.unit_amount) for tier in options.tiers] == [(5, 700), (10, None), (None, None)]
    assert refused(lambda: account.v1.prices.retrieve(price.id, {"expand": ["tiers.up_to"]})).param == "expand"


def test_the_tiers_of_an_item_s_price_are_shown_when_asked(account: Account) -> None:
    price = new_price(account, **tiered({"up_to": 1, "unit_amount": 9}, FALLBACK, mode="volume"))
    customer = account.v1.customers.create({})
    expand = ["items.data.price.tiers"]
    made = account.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}], "expand": expand})
    [item] = made["items"].data
    assert [tier.unit_amount for tier in item.price.tiers] == [9, 1]
    assert "tiers" not in item.plan.to_dict()
    assert (item.plan.billing_scheme, item.plan.tiers_mode, item.plan.amount) == ("tiered", "volume", None)


def test_a_price_by_the_package(account: Account) -> None:
    price = new_price(account, unit_amount=500, transform_quantity={"divide_by": 1000, "round": "up"})
    assert price.transform_quantity.to_dict() == {"divide_by": 1000, "round": "up"}
    assert (price.billing_scheme, price.unit_amount) == ("per_unit", 500)


def test_taxes_are_said_to_be_in_a_price_or_not_once(account: Account) -> None:
    prices = account.v1.prices
    price = new_price(account)
    assert price.tax_behavior == "unspecified"
    assert prices.update(price.id, {"tax_behavior": "inclusive"}).tax_behavior == "inclusive"
    assert prices.update(price.id, {"tax_behavior": "inclusive"}).tax_behavior == "inclusive"
    error = refused(lambda: prices.update(price.id, {"tax_behavior": "exclusive", "nickname": "N"}))
    assert error.param == "tax_behavior"
    kept = prices.retrieve(price.id)
    assert (kept.tax_behavior, kept.nickname) == ("inclusive", None)
    assert new_price(account, tax_behavior="exclusive").tax_behavior == "exclusive"


def test_a_price_can_bring_its_product(account: Account) -> None:
    data = {"name": "Tokens", "unit_label": "token", "metadata": {"a": "1"}, "active": True, "id": "tokens"}
    price = new_price(account, product_data=data, expand=["product"])
    assert price.product.id == "tokens"
    assert (price.product.name, price.product.unit_label) == ("Tokens", "token")


def tiered(*tiers: dict[str, Any], mode: str = "graduated") -> dict[str, Any]:
    return {"billing_scheme": "tiered", "tiers_mode": mode, "tiers": list(tiers), "unit_amount": None}


METER = "METER"
FALLBACK = {"up_to": "inf", "unit_amount": 1}
VOLUME = tiered(FALLBACK, mode="volume")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"currency": None}, "currency", "parameter_missing"),
        ({"currency": "xyz"}, "currency", None),
        ({"currency": "euro"}, "currency", None),
        ({"product": None}, "product", "parameter_missing"),
        ({"product": "prod_nope"}, "product", "resource_missing"),
        ({"product": "p", "product_data": {"name": "A"}}, "product", "parameters_exclusive"),
        ({"product": None, "product_data": {}}, "product", "parameter_missing"),
        ({"product": None, "product_data": {"unit_label": "x"}}, "product_data[name]", "parameter_missing"),
        ({"product": None, "product_data": {"name": "A", "url": "x"}}, "product_data[url]", "parameter_unknown"),
        ({"unit_amount": None}, "unit_amount", "parameter_missing"),
        ({"unit_amount": -1}, "unit_amount", "parameter_invalid_integer"),
        ({"unit_amount": "1.5"}, "unit_amount", "parameter_invalid_integer"),
        ({"unit_amount_decimal": "1"}, "unit_amount", "parameters_exclusive"),
        ({"unit_amount": None, "unit_amount_decimal": "0.0000000000001"}, "unit_amount_decimal", None),
        ({"unit_amount": None, "unit_amount_decimal": "-1"}, "unit_amount_decimal", None),
        ({"unit_amount": None, "unit_amount_decimal": "1e18"}, "unit_amount_decimal", None),
        ({"unit_amount": None, "unit_amount_decimal": "abc"}, "unit_amount_decimal", None),
        ({"recurring": {"interval": "fortnight"}}, "recurring[interval]", None),
        ({"recurring": {"interval_count": 2}}, "recurring[interval]", "parameter_missing"),
        ({"recurring": {"interval": "year", "interval_count": 4}}, "recurring[interval_count]", None),
        ({"recurring": {"interval": "month", "interval_count": 0}}, "recurring[interval_count]", "parameter_invalid_integer"),
        ({"recurring": {"interval": "month", "usage_type": "metered"}}, "recurring[meter]", "parameter_missing"),
        ({"recurring": {"interval": "month", "meter": METER}}, "recurring[meter]", None),
        ({"recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_x"}}, "recurring[meter]", "resource_missing"),
        ({"recurring": {"interval": "month", "aggregate_usage": "sum"}}, "recurring[aggregate_usage]", "parameter_unknown"),
        ({"billing_scheme": "tiered"}, "tiers_mode", "parameter_missing"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume"}, "tiers", "parameter_missing"),
        ({"billing_scheme": "tiered", "tiers_mode": "volume", "tiers": []}, "tiers", "parameter_missing"),
        ({**VOLUME, "unit_amount": 5}, "unit_amount", None),
        ({**VOLUME, "unit_amount": None, "transform_quantity": {"divide_by": 10, "round": "up"}}, "transform_quantity", None),
        (tiered({"up_to": 5}), "tiers[0]", None),
        (tiered({"up_to": 5, "unit_amount": 5}), "tiers[0]", None),
        (tiered({"up_to": 5, "unit_amount": 5}, {"up_to": 5, "unit_amount": 4}, FALLBACK), "tiers[1]", None),
        (tiered(FALLBACK, FALLBACK), "tiers[0]", None),
        (tiered({"unit_amount": 5}), "tiers[0][up_to]", "parameter_missing"),
        (tiered({"up_to": 0, "unit_amount": 5}), "tiers[0][up_to]", "parameter_invalid_integer"),
        (tiered({"up_to": "inf", "unit_amount": 5, "unit_amount_decimal": "5"}), "tiers[0][unit_amount]", "parameters_exclusive"),
        (tiered({"up_to": "inf", "flat_amount": -1}), "tiers[0][flat_amount]", "parameter_invalid_integer"),
        ({"tiers": [{"up_to": "inf", "unit_amount": 5}]}, "tiers", None),
        ({"tiers_mode": "volume"}, "tiers_mode", None),
        ({"transform_quantity": {"divide_by": 10}}, "transform_quantity[round]", "parameter_missing"),
        ({"transform_quantity": {"divide_by": 0, "round": "up"}}, "transform_quantity[divide_by]", "parameter_invalid_integer"),
        ({"transform_quantity": {"divide_by": 10, "round": "half"}}, "transform_quantity[round]", None),
        ({"tax_behavior": "none"}, "tax_behavior", None),
        ({"custom_unit_amount": {"enabled": True}}, "custom_unit_amount", "parameter_unknown"),
        ({"lookup_key": "x" * 201}, "lookup_key", None),
        ({"lookup_key": "taken"}, "lookup_key", "resource_already_exists"),
    ],
)  # fmt: skip
def test_what_makes_no_price(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    meter = new_meter(account)
    product = account.v1.products.create({"name": "P", "id": "p"})
    taken = new_price(account, product=product.id, lookup_key="taken")
    if fields.get("recurring", {}).get("meter") == METER:
        fields = {"recurring": {**fields["recurring"], "meter": meter.id}}

    params = {"currency": "usd", "unit_amount": 5, "product": "p", **fields}
    error = refused(lambda: account.v1.prices.create(params))

    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert [price.pk for price in Price.objects.all()] == [Price.objects.get(lookup_key="taken").pk]
    assert Product.objects.count() == 1
    assert account.v1.prices.retrieve(taken.id) == taken


def test_a_refused_price_takes_its_new_product_with_it(account: Account) -> None:
    error = refused(lambda: new_price(account, product_data={"name": "A"}, currency="xyz"))
    assert error.param == "currency"
    assert Product.objects.count() == 0


def test_a_closed_meter_is_priced_no_more(account: Account) -> None:
    meter = new_meter(account)
    account.v1.billing.meters.deactivate(meter.id)
    error = refused(lambda: new_price(account, meter=meter.id))
    assert (error.http_status, error.param) == (400, "recurring[meter]")
    assert Price.objects.count() == Product.objects.count() == 0


def test_only_labels_change(account: Account) -> None:
    prices = account.v1.prices
    price = new_price(account, nickname="A", lookup_key="a")
    other = new_price(account)
    changed = prices.update(price.id, {"nickname": "", "active": False, "metadata": {"k": "v"}})
    assert (changed.nickname, changed.active, changed.lookup_key) == (None, False, "a")
    assert changed.metadata.to_dict() == {"k": "v"}

    assert refused(lambda: prices.update(price.id, {"unit_amount": 5})).code == "parameter_unknown"
    assert refused(lambda: prices.update(other.id, {"lookup_key": "a"})).param == "lookup_key"
    assert prices.update(other.id, {"lookup_key": "a", "transfer_lookup_key": True}).lookup_key == "a"
    assert prices.retrieve(price.id).lookup_key is None
    assert prices.update(other.id, {"lookup_key": ""}).lookup_key is None


def test_prices_are_listed(account: Account) -> None:
    meter = new_meter(account)
    one_time = new_price(account, recurring=None, currency="eur", lookup_key="one")
    licensed = new_price(account, lookup_key="two", active=False)
    metered = new_price(account, meter=meter.id, product=licensed.product)
    prices = account.v1.prices

    def ids(**params: Any) -> list[str]:
        return [price.id for price in prices.list(params).data]

    assert ids() == [metered.id, licensed.id, one_time.id]
    assert ids(active=True) == [metered.id, one_time.id]
    assert ids(currency="EUR") == [one_time.id]
    assert ids(product=licensed.product) == [metered.id, licensed.id]
    assert ids(type="one_time") == [one_time.id]
    assert ids(type="recurring") == [metered.id, licensed.id]
    assert ids(lookup_keys=["two", "one", "none"]) == [licensed.id, one_time.id]
    assert ids(recurring={"usage_type": "licensed"}) == [licensed.id]
    assert ids(recurring={"meter": meter.id}) == [metered.id]
    assert ids(recurring={"interval": "year"}) == []
    assert ids(created={"lt": 1}) == []
    listed = prices.list({"expand": ["data.product"]})
    assert all(isinstance(price.product, stripe.Product) for price in listed.data)
    assert refused(lambda: prices.list({"product": "prod_nope"})).code == "resource_missing"
    assert refused(lambda: prices.list({"expand": ["product"]})).param == "expand"
