"""Discounts and tax rates of subscriptions, items and customers, and what invoices say of them, through the SDK."""

from decimal import Decimal

import pytest
import stripe

from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from billing_project.api.stripe.tests.test_reductions import new_code, new_coupon
from subscriptions.models import Discount, Subscription


def new_rate(account: Account, percentage: float = 19, *, inclusive: bool = False) -> str:
    rate = account.v1.tax_rates.create({"display_name": "VAT", "percentage": percentage, "inclusive": inclusive})
    return str(rate.id)


def test_a_subscription_with_a_coupon_and_a_tax(account: Account) -> None:
    coupon, rate = new_coupon(account, percent_off=10, duration="forever"), new_rate(account)
    subscription = new_subscription(
        account,
        new_customer(account).id,
        new_price(account, unit_amount=1000).id,
        discounts=[{"coupon": coupon.id}],
        default_tax_rates=[rate],
        expand=["discounts", "latest_invoice"],
    )
    [discount] = subscription.discounts
    assert is_a(discount, stripe.Discount)
    assert (discount.source.coupon, discount.source.type, discount.end) == (coupon.id, "coupon", None)
    assert (discount.subscription, discount.subscription_item) == (subscription.id, None)
    assert [(one.id, one.percentage) for one in subscription.default_tax_rates] == [(rate, 19)]
    assert account.v1.coupons.retrieve(coupon.id).times_redeemed == 1

    invoice = subscription.latest_invoice
    # 10.00 - 1.00 = 9.00, and 19 % of that.
    assert (invoice.subtotal, invoice.total, invoice.amount_due) == (1000, 1071, 1071)
    assert (invoice.total_excluding_tax, invoice.subtotal_excluding_tax) == (900, 1000)
    assert invoice.discounts == [discount.id]
    assert [one.to_dict() for one in invoice.total_discount_amounts] == [{"amount": 100, "discount": discount.id}]
    tax = {
        "amount": 171,
        "tax_behavior": "exclusive",
        "tax_rate_details": {"tax_rate": rate},
        "taxability_reason": "not_available",
        "taxable_amount": 900,
        "type": "tax_rate_details",
    }
    assert [one.to_dict() for one in invoice.total_taxes] == [tax]
    [line] = invoice.lines.data
    assert (line.amount, line.subtotal, line.discountable) == (1000, 1000, True)
    assert [one.to_dict() for one in line.discount_amounts] == [{"amount": 100, "discount": discount.id}]
    assert [one.to_dict() for one in line.taxes] == [tax]
    expanded = account.v1.invoices.retrieve(invoice.id, {"expand": ["discounts", "total_discount_amounts.discount"]})
    assert expanded.discounts[0].source.coupon == expanded.total_discount_amounts[0].discount.source.coupon
    assert account.v1.invoices.line_items.list(invoice.id).data[0].taxes[0].amount == 171


def test_an_item_has_its_own(account: Account) -> None:
    rate, coupon = new_rate(account, 7), new_coupon(account, percent_off=50, duration="forever")
    price, other = new_price(account, unit_amount=1000), new_price(account, unit_amount=500)
    subscription = account.v1.subscriptions.create(
        {
            "customer": new_customer(account).id,
            "items": [
                {"price": price.id},
                {"price": other.id, "discounts": [{"coupon": coupon.id}], "tax_rates": [rate]},
            ],
            "expand": ["items.data.discounts", "latest_invoice"],
        }
    )
    first, second = subscription["items"].data
    assert (first.discounts, first.tax_rates) == ([], [])
    assert ([one.id for one in second.tax_rates], second.discounts[0].subscription_item) == ([rate], second.id)
    # 10.00 + 2.50, and 7 % of the latter: 0.175.
    assert (subscription.latest_invoice.subtotal, subscription.latest_invoice.total) == (1250, 1268)


def test_discounts_and_rates_are_replaced_and_taken_away(account: Account) -> None:
    v1 = account.v1
    first, second = new_coupon(account, duration="forever"), new_coupon(account, duration="forever")
    price = new_price(account)
    made = new_subscription(
        account,
        new_customer(account).id,
        price.id,
        discounts=[{"coupon": first.id}],
        default_tax_rates=[new_rate(account)],
    )
    kept = made.discounts[0]
    changed = v1.subscriptions.update(made.id, {"discounts": [{"coupon": second.id}, {"discount": kept}]})
    assert (len(changed.discounts), changed.discounts[1]) == (2, kept)
    assert len(changed.default_tax_rates) == 1
    cleared = v1.subscriptions.update(made.id, {"discounts": "", "default_tax_rates": ""})
    assert (cleared.discounts, cleared.default_tax_rates) == ([], [])
    assert refused(lambda: v1.subscriptions.delete_discount(made.id)).http_status == 404
    again = v1.subscriptions.update(made.id, {"discounts": [{"coupon": first.id}]})
    deleted = v1.subscriptions.delete_discount(made.id)
    assert (deleted.id, deleted.deleted) == (again.discounts[0], True)
    assert v1.subscriptions.retrieve(made.id).discounts == []
    assert refused(lambda: v1.subscriptions.update(made.id, {"discounts": [{"discount": kept}]})).http_status == 400


def test_a_customer_has_one_discount_that_subscriptions_inherit(account: Account) -> None:
    v1, coupon = account.v1, new_coupon(account, amount_off=250, currency="usd", duration="forever")
    customer = new_customer(account, coupon=coupon.id)
    assert customer.discount.source.coupon == coupon.id
    assert customer.discount.subscription is None
    subscription = new_subscription(account, customer.id, new_price(account).id, expand=["latest_invoice"])
    assert (subscription.discounts, subscription.latest_invoice.total) == ([], 750)
    code = new_code(account, new_coupon(account).id)
    assert v1.customers.update(customer.id, {"promotion_code": code.id}).discount.promotion_code == code.id
    assert v1.customers.delete_discount(customer.id).deleted
    assert v1.customers.retrieve(customer.id).discount is None
    assert refused(lambda: v1.customers.delete_discount(customer.id)).http_status == 404
    kinds = ["customer.discount.created", "customer.discount.deleted"]
    assert [event.type for event in v1.events.list({"types": kinds}).data] == [kinds[1], kinds[0], kinds[1], kinds[0]]


def test_a_preview_has_what_the_invoice_will_have(account: Account) -> None:
    meter = new_meter(account)
    price = new_price(account, meter=meter.id, unit_amount_decimal=Decimal(1))
    customer, rate = new_customer(account), new_rate(account, 20, inclusive=True)
    coupon = new_coupon(account, percent_off=10)
    subscription = new_subscription(
        account, customer.id, price.id, discounts=[{"coupon": coupon.id}], default_tax_rates=[rate]
    )
    report(account, meter.event_name, customer.id, "1000")

    preview = account.v1.invoices.create_preview({"subscription": subscription.id})

    # 10.00 - 1.00 = 9.00, of which 1.50 are the tax.
    assert (preview.subtotal, preview.total, preview.total_excluding_tax) == (1000, 900, 750)
    assert (preview.subtotal_excluding_tax, preview.total_taxes[0].amount) == (833, 150)
    assert preview.total_discount_amounts[0].amount == 100
    assert preview.lines.data[0].taxes[0].tax_behavior == "inclusive"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"discounts": [{"coupon": "nope"}]}, "discounts[0][coupon]", "resource_missing"),
        ({"discounts": [{"coupon": "once", "discount": "di_x"}]}, "discounts[0][discount]", "resource_missing"),
        ({"discounts": [{"coupon": "euros"}]}, "coupon", None),
        ({"default_tax_rates": ["txr_x"]}, "default_tax_rates[0]", "resource_missing"),
        ({"discounts": [{"coupon": "once"}] * 2}, "coupon", "coupon_expired"),
    ],
)
def test_what_is_not_redeemed(account: Account, fields: dict[str, object], param: str, code: str | None) -> None:
    new_coupon(account, id="once", max_redemptions=1)
    new_coupon(account, id="euros", amount_off=5, currency="eur")
    price, customer = new_price(account), new_customer(account)
    error = refused(lambda: new_subscription(account, customer.id, price.id, **fields))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert not Subscription.objects.exists()
    assert not Discount.objects.exists()
    assert account.v1.coupons.retrieve("once").times_redeemed == 0
