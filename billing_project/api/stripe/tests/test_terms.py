"""Discounts and taxes beyond a subscription's own: of its items as they change, of customers, on invoices made by hand."""

from typing import Any

import pytest

from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_meters import refused
from subscriptions.models import AppliedTaxRate, Coupon, Discount


def new_tax(account: Account, percentage: float = 20) -> str:
    rate = account.v1.tax_rates.create({"display_name": "VAT", "percentage": percentage, "inclusive": False})
    return str(rate.id)


def new_coupon(account: Account, percent_off: float = 10, duration: str = "forever") -> str:
    return str(account.v1.coupons.create({"percent_off": percent_off, "duration": duration}).id)


@pytest.fixture
def customer(account: Account) -> str:
    return str(new_customer(account).id)


def amounts(invoice: Any) -> tuple[int, list[int], list[int], int]:
    """Subtotal, discounts, taxes, total."""
    discounts = [one.amount for one in invoice.total_discount_amounts]
    return invoice.subtotal, discounts, [one.amount for one in invoice.total_taxes], invoice.total


# --- items of subscriptions -------------------------------------------------------------------------------------------


def test_an_item_is_given_discounts_and_taxes_by_an_update(account: Account, customer: str) -> None:
    v1, price = account.v1, new_price(account)
    subscription = new_subscription(account, customer, price.id)
    [item] = subscription["items"].data
    coupon, tax = new_coupon(account), new_tax(account)

    change = {"id": item.id, "discounts": [{"coupon": coupon}], "tax_rates": [tax]}
    [changed] = v1.subscriptions.update(subscription.id, {"items": [change]})["items"].data

    assert [rate.id for rate in changed.tax_rates] == [tax]
    assert len(changed.discounts) == 1
    preview = v1.invoices.create_preview({"subscription": subscription.id})
    # 10.00 - 1.00, which the subtotal is after, and 20 % of that.
    assert amounts(preview) == (900, [100], [180], 1080)
    kept = v1.subscription_items.update(item.id, {"tax_rates": ""})
    assert (kept.tax_rates, len(kept.discounts)) == ([], 1)
    assert v1.subscription_items.update(item.id, {"discounts": ""}).discounts == []
    assert amounts(v1.invoices.create_preview({"subscription": subscription.id})) == (1000, [], [], 1000)


def test_a_new_item_comes_with_its_own(account: Account, customer: str) -> None:
    v1, tax = account.v1, new_tax(account)
    subscription = new_subscription(account, customer, new_price(account).id)
    other, third = new_price(account), new_price(account)

    item = v1.subscription_items.create({"subscription": subscription.id, "price": other.id, "tax_rates": [tax]})
    assert [rate.id for rate in item.tax_rates] == [tax]
    changed = v1.subscriptions.update(
        subscription.id, {"items": [{"price": third.id, "discounts": [{"coupon": new_coupon(account)}]}]}
    )
    assert [len(one.discounts) for one in changed["items"].data] == [0, 0, 1]


def test_what_an_item_cannot_be_given_changes_nothing(account: Account, customer: str) -> None:
    v1, tax = account.v1, new_tax(account)
    v1.tax_rates.update(tax, {"active": False})
    subscription = new_subscription(account, customer, new_price(account).id)
    [item] = subscription["items"].data

    error = refused(lambda: v1.subscriptions.update(subscription.id, {"items": [{"id": item.id, "quantity": 5, "tax_rates": [tax]}]}))  # fmt: skip
    assert error.param == "tax_rates"
    assert v1.subscription_items.retrieve(item.id).quantity == 1
    gone = {"id": item.id, "deleted": True, "discounts": [{"coupon": new_coupon(account)}]}
    other = {"price": new_price(account).id}
    error = refused(lambda: v1.subscriptions.update(subscription.id, {"items": [gone, other]}))
    assert error.code == "resource_missing"
    assert Coupon.objects.get().times_redeemed == 0


# --- customers --------------------------------------------------------------------------------------------------------


def test_a_customers_taxes_are_asked_where_nothing_has_its_own(account: Account) -> None:
    v1, general, own = account.v1, new_tax(account), new_tax(account, 5)
    customer = v1.customers.create({"name": "Ada", "default_tax_rates": [general]}).id
    price = new_price(account)

    plain = new_subscription(account, customer, price.id, expand=["latest_invoice"])
    special = new_subscription(account, customer, price.id, default_tax_rates=[own], expand=["latest_invoice"])

    assert amounts(plain.latest_invoice) == (1000, [], [200], 1200)
    assert amounts(special.latest_invoice) == (1000, [], [50], 1050)
    shown = v1.customers.retrieve(customer, {"expand": ["default_tax_rates"]})
    assert [rate.id for rate in shown.default_tax_rates] == [general]
    assert "default_tax_rates" not in v1.customers.update(customer, {"default_tax_rates": ""})
    assert AppliedTaxRate.objects.filter(customer__isnull=False).count() == 0


# --- invoices made by hand --------------------------------------------------------------------------------------------


def test_an_invoice_by_hand_stands_under_what_its_customer_has(account: Account) -> None:
    v1 = account.v1
    customer = v1.customers.create({"coupon": new_coupon(account), "default_tax_rates": [new_tax(account)]}).id
    v1.invoice_items.create({"customer": customer, "amount": 1000, "currency": "usd"})

    taking = v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    # 10.00 - 1.00 = 9.00, and 20 % of that.
    assert amounts(taking) == (1000, [100], [180], 1080)

    # What comes onto a draft later is asked the same.
    draft = v1.invoices.create({"customer": customer})
    item = v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd", "invoice": draft.id})
    assert amounts(v1.invoices.retrieve(draft.id)) == (500, [50], [90], 540)
    v1.invoice_items.update(item.id, {"amount": 700})
    assert amounts(v1.invoices.retrieve(draft.id)) == (700, [70], [126], 756)
    v1.invoice_items.create(
        {"customer": customer, "amount": 100, "currency": "usd", "invoice": draft.id, "discountable": False}
    )
    final = v1.invoices.finalize_invoice(draft.id)
    assert amounts(final) == (800, [70], [126 + 20], 876)
    v1.invoice_items.delete(v1.invoice_items.create({"customer": customer, "amount": 9, "currency": "usd"}).id)
    assert [one.discount for one in final.total_discount_amounts] == final.discounts


def test_an_invoice_by_hand_of_a_subscription_stands_under_what_that_has(account: Account, customer: str) -> None:
    v1, tax = account.v1, new_tax(account)
    subscription = new_subscription(account, customer, new_price(account).id, default_tax_rates=[tax])
    v1.invoice_items.create({"customer": customer, "subscription": subscription.id, "amount": 500, "currency": "usd"})

    invoice = v1.invoices.create({"subscription": subscription.id, "pending_invoice_items_behavior": "include"})

    assert amounts(invoice) == (500, [], [100], 600)


def test_what_is_for_once_is_used_by_one_invoice_and_comes_back_with_its_draft(account: Account) -> None:
    v1 = account.v1
    customer = v1.customers.create({"coupon": new_coupon(account, duration="once")}).id

    def bill() -> Any:
        v1.invoice_items.create({"customer": customer, "amount": 1000, "currency": "usd"})
        return v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})

    # Nothing is on it that something could be taken off, so it leaves the discount to the next.
    assert v1.invoices.create({"customer": customer, "currency": "usd"}).discounts == []
    first, second = bill(), bill()
    assert (first.total, second.total) == (900, 1000)
    assert v1.customers.retrieve(customer).discount is None

    v1.invoices.delete(first.id)
    assert v1.customers.retrieve(customer).discount is not None
    # What the deleted draft had waits again, and the two of them are billed together.
    assert bill().total == 1800
    assert Discount.objects.get().used_at is not None
