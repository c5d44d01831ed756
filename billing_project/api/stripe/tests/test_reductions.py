"""/v1/coupons, /v1/promotion_codes and /v1/tax_rates, through the SDK."""

from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from subscriptions.models import Coupon, PromotionCode, TaxRate

LATER = 4_102_444_800
VAT = {"display_name": "VAT", "inclusive": False}


def new_coupon(account: Account, **fields: Any) -> Any:
    given = {"percent_off": 25} if not {"percent_off", "amount_off"} & fields.keys() else {}
    return account.v1.coupons.create({**given, **fields})


def new_code(account: Account, coupon: str, **fields: Any) -> Any:
    return account.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon}, **fields})


# --- coupons ----------------------------------------------------------------------------------------------------------


def test_a_percentage_off(account: Account) -> None:
    coupon = new_coupon(account, percent_off=12.5, duration="repeating", duration_in_months=3, name="Spring")
    assert is_a(coupon, stripe.Coupon)
    assert (coupon.percent_off, coupon.amount_off, coupon.currency) == (12.5, None, None)
    assert (coupon.duration, coupon.duration_in_months, coupon.name) == ("repeating", 3, "Spring")
    assert (coupon.times_redeemed, coupon.valid, coupon.redeem_by) == (0, True, None)
    assert "applies_to" not in coupon.to_dict()
    assert account.v1.coupons.retrieve(coupon.id) == coupon


def test_an_amount_off_some_products(account: Account) -> None:
    product = account.v1.products.create({"name": "P", "id": "p"})
    coupon = new_coupon(
        account,
        id="SPRING",
        amount_off=500,
        currency="EUR",
        applies_to={"products": [product.id]},
        redeem_by=LATER,
        max_redemptions=2,
        expand=["applies_to"],
    )
    assert (coupon.id, coupon.amount_off, coupon.currency, coupon.duration) == ("SPRING", 500, "eur", "once")
    assert (coupon.applies_to.products, coupon.redeem_by, coupon.max_redemptions) == (["p"], LATER, 2)


def test_a_coupon_is_renamed_listed_and_deleted(account: Account) -> None:
    coupons = account.v1.coupons
    first, second = new_coupon(account, id="first"), new_coupon(account)
    assert coupons.update("first", {"name": "N", "metadata": {"a": "1"}}).name == "N"
    assert refused(lambda: coupons.update("first", {"percent_off": 5})).code == "parameter_unknown"
    assert [coupon.id for coupon in coupons.list().data] == [second.id, first.id]
    assert coupons.delete("first").to_dict() == {"id": "first", "object": "coupon", "deleted": True}
    assert refused(lambda: coupons.retrieve("first")).http_status == 404
    assert [coupon.id for coupon in coupons.list().data] == [second.id]
    assert new_coupon(account, id="first").id == "first"
    assert [event.type for event in account.v1.events.list({"types": ["coupon.updated", "coupon.deleted"]}).data] == [
        "coupon.deleted",
        "coupon.updated",
    ]


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "percent_off", None),
        ({"percent_off": 5, "amount_off": 5, "currency": "usd"}, "percent_off", None),
        ({"percent_off": 0}, "percent_off", None),
        ({"percent_off": 100.0001}, "percent_off", None),
        ({"percent_off": "0.00001"}, "percent_off", None),
        ({"amount_off": 0, "currency": "usd"}, "amount_off", "parameter_invalid_integer"),
        ({"amount_off": 5}, "currency", None),
        ({"amount_off": 5, "currency": "xyz"}, "currency", None),
        ({"percent_off": 5, "currency": "usd"}, "currency", None),
        ({"percent_off": 5, "duration": "repeating"}, "duration_in_months", None),
        ({"percent_off": 5, "duration": "forever", "duration_in_months": 3}, "duration_in_months", None),
        ({"percent_off": 5, "redeem_by": 1}, "redeem_by", None),
        ({"percent_off": 5, "max_redemptions": 0}, "max_redemptions", "parameter_invalid_integer"),
        ({"percent_off": 5, "applies_to": {"products": ["prod_x"]}}, "applies_to[products][0]", "resource_missing"),
        ({"percent_off": 5, "id": "taken"}, "id", "resource_already_exists"),
        ({"percent_off": 5, "name": "x" * 41}, "name", None),
    ],
)
def test_what_makes_no_coupon(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    new_coupon(account, id="taken")
    error = refused(lambda: account.v1.coupons.create(fields))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert Coupon.objects.count() == 1


# --- promotion codes --------------------------------------------------------------------------------------------------


def test_a_code_for_a_coupon(account: Account) -> None:
    coupon, customer = new_coupon(account), new_customer(account)
    code = new_code(
        account,
        coupon.id,
        code="Spring-25",
        customer=customer.id,
        max_redemptions=3,
        expires_at=LATER,
        restrictions={"first_time_transaction": True, "minimum_amount": 500, "minimum_amount_currency": "USD"},
        metadata={"a": "1"},
    )
    assert is_a(code, stripe.PromotionCode)
    assert (code.code, code.customer, code.active, code.times_redeemed) == ("Spring-25", customer.id, True, 0)
    assert (code.promotion.type, code.promotion.coupon, code.max_redemptions) == ("coupon", coupon.id, 3)
    assert code.restrictions.to_dict() == {
        "first_time_transaction": True,
        "minimum_amount": 500,
        "minimum_amount_currency": "usd",
    }
    expanded = account.v1.promotion_codes.retrieve(code.id, {"expand": ["promotion.coupon"]})
    assert expanded.promotion.coupon.percent_off == 25


def test_one_active_code_means_one_thing_whatever_its_case(account: Account) -> None:
    coupon, codes = new_coupon(account), account.v1.promotion_codes
    first = new_code(account, coupon.id, code="SPRING")
    assert refused(lambda: new_code(account, coupon.id, code="spring")).code == "resource_already_exists"
    new_code(account, coupon.id, code="spring", customer=new_customer(account).id)
    assert codes.update(first.id, {"active": False}).active is False
    second = new_code(account, coupon.id, code="sprinG")
    assert refused(lambda: codes.update(first.id, {"active": True})).param == "code"
    assert PromotionCode.objects.filter(active=True).count() == 2
    assert codes.list({"code": "SPRING", "active": True}).data[0].id == second.id
    assert [code.id for code in codes.list({"active": False}).data] == [first.id]
    assert len(new_code(account, coupon.id).code) == 10


def test_a_code_is_no_better_than_its_coupon(account: Account) -> None:
    coupon = new_coupon(account, max_redemptions=2, redeem_by=LATER)
    assert refused(lambda: new_code(account, coupon.id, max_redemptions=3)).param == "max_redemptions"
    assert refused(lambda: new_code(account, coupon.id, expires_at=LATER + 1)).param == "expires_at"
    assert refused(lambda: new_code(account, coupon.id, restrictions={"minimum_amount": 5})).code == "parameter_missing"
    assert refused(lambda: new_code(account, coupon.id, code="a b")).param == "code"
    assert not PromotionCode.objects.exists()
    code = new_code(account, coupon.id)
    account.v1.coupons.delete(coupon.id)
    assert account.v1.promotion_codes.retrieve(code.id).active is False
    assert [one.id for one in account.v1.promotion_codes.list({"active": False}).data] == [code.id]


# --- tax rates --------------------------------------------------------------------------------------------------------


def test_a_tax_rate(account: Account) -> None:
    rates = account.v1.tax_rates
    rate = rates.create(
        {
            "display_name": "VAT",
            "percentage": 7.7,
            "inclusive": True,
            "country": "CH",
            "jurisdiction": "Switzerland",
            "tax_type": "vat",
            "description": "d",
        }
    )
    assert is_a(rate, stripe.TaxRate)
    assert rate.id.startswith("txr_")
    assert (rate.display_name, rate.percentage, rate.inclusive, rate.active) == ("VAT", 7.7, True, True)
    assert (rate.country, rate.jurisdiction, rate.tax_type) == ("CH", "Switzerland", "vat")
    added = rates.create({"display_name": "GST", "percentage": "15.0", "inclusive": False})
    assert [one.id for one in rates.list({"inclusive": False}).data] == [added.id]
    assert rates.update(added.id, {"active": False, "country": ""}).active is False
    assert [one.id for one in rates.list({"active": True}).data] == [rate.id]
    assert refused(lambda: rates.update(rate.id, {"percentage": 8})).code == "parameter_unknown"
    assert refused(lambda: rates.create({**VAT, "percentage": -1})).param == "percentage"
    assert refused(lambda: rates.create({**VAT, "percentage": 100.01})).param == "percentage"
    assert refused(lambda: rates.create({**VAT, "percentage": "0.00001"})).param == "percentage"
    assert TaxRate.objects.count() == 2
