"""/v1/plans beside /v1/prices, and products with a default price, through the SDK."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer, new_meter, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from subscriptions.models import Price, Product

MONTHLY = {"currency": "usd", "interval": "month"}
TIERS = [{"up_to": 10, "unit_amount": 5}, {"up_to": "inf", "unit_amount": 4, "flat_amount": 100}]


def test_a_plan_is_a_price_in_older_words(account: Account) -> None:
    v1, meter = account.v1, new_meter(account)
    plan = v1.plans.create(
        {
            **MONTHLY,
            "product": {"name": "Gold", "unit_label": "seat"},
            "amount_decimal": "0.5",
            "usage_type": "metered",
            "meter": meter.id,
            "interval_count": 3,
            "transform_usage": {"divide_by": 100, "round": "down"},
            "nickname": "N",
            "metadata": {"a": "1"},
        }
    )
    assert is_a(plan, stripe.Plan)
    assert plan.id.startswith("plan_")
    assert (plan.amount, plan.amount_decimal, plan.interval, plan.interval_count) == (None, Decimal("0.5"), "month", 3)
    assert (plan.usage_type, plan.meter, plan.billing_scheme, plan.active) == ("metered", meter.id, "per_unit", True)
    assert plan.transform_usage.to_dict() == {"divide_by": 100, "round": "down"}
    assert v1.products.retrieve(plan.product).unit_label == "seat"
    assert v1.plans.retrieve(plan.id) == plan

    price = v1.prices.retrieve(plan.id)
    assert is_a(price, stripe.Price)
    assert (price.id, price.unit_amount_decimal, price.recurring.interval_count) == (plan.id, Decimal("0.5"), 3)
    assert price.transform_quantity.to_dict() == {"divide_by": 100, "round": "down"}
    assert [one.id for one in v1.prices.list().data] == [plan.id]


def test_a_price_is_a_plan_if_it_recurs(account: Account) -> None:
    v1 = account.v1
    price, once = new_price(account, unit_amount=700), new_price(account, recurring=None)
    assert (v1.plans.retrieve(price.id).id, v1.plans.retrieve(price.id).amount) == (price.id, 700)
    error = refused(lambda: v1.plans.retrieve(once.id))
    assert (error.http_status, error.code, error.param) == (404, "resource_missing", "plan")
    assert "No such plan" in str(error)
    assert [plan.id for plan in v1.plans.list().data] == [price.id]
    # One row has one spelling.
    other_spelling = price.id.replace("price_", "plan_")
    assert refused(lambda: v1.prices.retrieve(other_spelling)).http_status == 404


def test_a_plan_may_have_an_id_of_the_callers_own(account: Account) -> None:
    v1 = account.v1
    product = v1.products.create({"name": "P"})
    plan = v1.plans.create({**MONTHLY, "product": product.id, "amount": 500, "id": "gold-monthly"})
    assert plan.id == "gold-monthly"
    assert v1.prices.retrieve("gold-monthly").unit_amount == 500
    taken = refused(lambda: v1.plans.create({**MONTHLY, "product": product.id, "amount": 1, "id": "gold-monthly"}))
    assert (taken.code, taken.param) == ("resource_already_exists", "id")
    subscription = new_subscription(account, new_customer(account).id, "gold-monthly")
    [item] = subscription["items"].data
    assert (item.plan.id, item.price.id) == ("gold-monthly", "gold-monthly")


def test_a_tiered_plan(account: Account) -> None:
    product = account.v1.products.create({"name": "P"})
    tiered = {"billing_scheme": "tiered", "tiers_mode": "graduated", "tiers": TIERS}
    plan = account.v1.plans.create({**MONTHLY, "product": product.id, **tiered, "expand": ["tiers"]})
    assert (plan.amount, plan.amount_decimal, plan.tiers_mode) == (None, None, "graduated")
    assert [(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in plan.tiers] == [(10, 5, None), (None, 4, 100)]


def test_a_deleted_plan_is_gone_but_for_those_who_have_it(account: Account) -> None:
    v1 = account.v1
    product = v1.products.create({"name": "P"})
    plan = v1.plans.create({**MONTHLY, "product": product.id, "amount": 500, "id": "gold"})
    subscription = new_subscription(account, new_customer(account).id, plan.id)
    deleted = v1.plans.delete(plan.id)
    assert deleted.to_dict() == {"id": "gold", "object": "plan", "deleted": True}
    assert refused(lambda: v1.plans.retrieve("gold")).http_status == 404
    assert refused(lambda: v1.prices.retrieve("gold")).http_status == 404
    assert refused(lambda: new_subscription(account, new_customer(account).id, "gold")).code == "resource_missing"
    [item] = v1.subscriptions.retrieve(subscription.id)["items"].data
    assert (item.plan.id, item.plan.active) == ("gold", False)
    assert refused(lambda: v1.products.delete(product.id)).http_status == 400
    again = v1.plans.create({**MONTHLY, "product": product.id, "amount": 700, "id": "gold"})
    assert v1.plans.retrieve("gold").amount == again.amount == 700


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"interval": None}, "interval", "parameter_missing"),
        ({"product": None}, "product", "parameter_missing"),
        ({"product": "prod_nope"}, "product", "resource_missing"),
        ({"product": {"unit_label": "x"}}, "product[name]", "parameter_missing"),
        ({"amount": None}, "amount", "parameter_missing"),
        ({"amount_decimal": "1"}, "amount", "parameters_exclusive"),
        ({"id": "a/b"}, "id", None),
        ({"usage_type": "metered"}, "recurring[meter]", "parameter_missing"),
        ({"trial_period_days": 3}, "trial_period_days", "parameter_unknown"),
        ({"unit_amount": 3}, "unit_amount", "parameter_unknown"),
    ],
)
def test_what_makes_no_plan(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    product = account.v1.products.create({"name": "P"})
    error = refused(lambda: account.v1.plans.create({**MONTHLY, "product": product.id, "amount": 5, **fields}))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert not Price.objects.exists()
    assert Product.objects.count() == 1


def test_a_product_can_be_made_with_its_default_price(account: Account) -> None:
    v1 = account.v1
    data = {"currency": "EUR", "unit_amount_decimal": "12.5", "recurring": {"interval": "year"}, "metadata": {"a": "1"}}
    product = v1.products.create({"name": "P", "default_price_data": data, "expand": ["default_price"]})
    price = product.default_price
    assert (price.currency, price.unit_amount_decimal, price.product) == ("eur", Decimal("12.5"), product.id)
    assert (price.recurring.interval, price.metadata.to_dict()) == ("year", {"a": "1"})
    assert v1.products.retrieve(product.id).default_price == price.id

    archived = refused(lambda: v1.prices.update(price.id, {"active": False}))
    assert (archived.http_status, archived.param) == (400, "active")
    other, stranger = new_price(account, product=product.id), new_price(account)
    assert refused(lambda: v1.products.update(product.id, {"default_price": stranger.id})).param == "default_price"
    assert v1.products.update(product.id, {"default_price": other.id}).default_price == other.id
    assert v1.prices.update(price.id, {"active": False}).active is False
    assert v1.products.update(product.id, {"default_price": ""}).default_price is None
