"""/v1/subscriptions and /v1/subscription_items, through the SDK."""

import time
from functools import partial
from typing import Any

import pytest
import stripe
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from invoices.models import Invoice
from subscriptions.models import Subscription, SubscriptionItem

DAY = 86400
REQUIRED = [
    "automatic_tax",
    "billing_cycle_anchor",
    "billing_mode",
    "billing_schedules",
    "cancel_at_period_end",
    "collection_method",
    "created",
    "currency",
    "customer",
    "discounts",
    "id",
    "invoice_settings",
    "items",
    "livemode",
    "metadata",
    "object",
    "start_date",
    "status",
]
REQUIRED_OF_ITEM = [
    "created",
    "current_period_start",
    "current_period_end",
    "discounts",
    "id",
    "metadata",
    "object",
    "plan",
    "price",
    "subscription",
]


def test_a_subscription_has_all_that_the_reference_requires(account: Account) -> None:
    meter = new_meter(account)
    licensed, metered = new_price(account), new_price(account, meter=meter.id)
    customer = new_customer(account)

    subscription = account.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": metered.id, "metadata": {"i": "1"}}, {"plan": licensed.id, "quantity": 3}],
            "description": "d",
            "metadata": {"a": "1"},
            "billing_mode": {"type": "flexible"},
        }
    )

    assert is_a(subscription, stripe.Subscription)
    assert subscription.id.startswith("sub_")
    assert [name for name in REQUIRED if name not in subscription] == []
    assert (subscription.status, subscription.currency, subscription.customer) == ("active", "usd", customer.id)
    assert subscription.billing_mode.type == "flexible"
    assert subscription.collection_method == "charge_automatically"
    assert (subscription.description, subscription.metadata.to_dict()) == ("d", {"a": "1"})
    assert subscription.start_date == subscription.billing_cycle_anchor == subscription.created
    items = subscription["items"]
    assert (items.object, items.has_more) == ("list", False)
    assert items.url == f"/v1/subscription_items?subscription={subscription.id}"
    first, second = items.data
    for item in (first, second):
        assert [name for name in REQUIRED_OF_ITEM if name not in item] == []
        assert item.current_period_start == subscription.start_date
        assert item.plan.id == item.price.id
        assert item.plan.object == "plan"
    assert "quantity" not in first
    assert (first.price.id, first.metadata.to_dict()) == (metered.id, {"i": "1"})
    assert (second.quantity, second.price.id, second.plan.amount) == (3, licensed.id, 1000)
    assert account.v1.subscriptions.retrieve(subscription.id) == subscription


def test_what_refers_to_others_expands(account: Account) -> None:
    customer = new_customer(account)
    paths = ["customer", "latest_invoice.customer", "latest_invoice.lines.data.pricing.price_details.price.product",
             "items.data.price.product"]  # fmt: skip
    refused(lambda: new_subscription(account, customer.id, new_price(account).id, expand=paths))
    assert Subscription.objects.count() == Invoice.objects.count() == 0

    paths[2] = "latest_invoice.parent.subscription_details.subscription"
    subscription = new_subscription(account, customer.id, new_price(account).id, expand=paths)
    assert subscription.customer.name == "Ada"
    assert subscription.latest_invoice.customer.id == customer.id
    assert subscription.latest_invoice.parent.subscription_details.subscription.id == subscription.id
    assert subscription["items"].data[0].price.product.name == "Plan"
    bare = account.v1.subscriptions.retrieve(subscription.id)
    assert bare.latest_invoice == subscription.latest_invoice.id
    for path in ("items", "items.data", "items.data.price", "items.url", "metadata", "latest_invoice.lines"):
        error = refused(partial(account.v1.subscriptions.retrieve, bare.id, {"expand": [path]}))
        assert error.user_message.startswith("This property cannot be expanded (")
        assert path in error.user_message


def test_without_an_invoice_there_is_none_to_expand(account: Account) -> None:
    metered = new_price(account, meter=new_meter(account).id)
    subscription = new_subscription(account, new_customer(account).id, metered.id, expand=["latest_invoice"])
    assert subscription.latest_invoice is None


def test_items_come_in_pages(account: Account) -> None:
    prices = [new_price(account).id for _ in range(3)]
    subscription = new_subscription(account, new_customer(account).id, *prices)
    items = account.v1.subscription_items.list({"subscription": subscription.id, "limit": 2})
    assert [item.price.id for item in items.auto_paging_iter()] == prices
    assert [item.price.id for item in subscription["items"].auto_paging_iter()] == prices
    first = subscription["items"].data[0]
    assert account.v1.subscription_items.retrieve(first.id) == first
    assert refused(lambda: account.v1.subscription_items.list({})).param == "subscription"


def test_terms_are_kept(account: Account) -> None:
    now = int(time.time())
    subscription = new_subscription(
        account,
        new_customer(account).id,
        new_price(account).id,
        collection_method="send_invoice",
        days_until_due=14,
        backdate_start_date=now - 10 * DAY,
        billing_cycle_anchor=now + 5 * DAY,
        cancel_at=now + 90 * DAY,
    )
    assert (subscription.collection_method, subscription.days_until_due) == ("send_invoice", 14)
    assert subscription.start_date == now - 10 * DAY
    assert subscription.billing_cycle_anchor == now + 5 * DAY
    assert subscription.cancel_at == now + 90 * DAY
    assert subscription.canceled_at is not None
    item = subscription["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (now - 10 * DAY, now + 5 * DAY)

    ending = new_subscription(account, new_customer(account).id, new_price(account).id, cancel_at_period_end=True)
    assert ending.cancel_at_period_end is True
    assert ending.cancel_at == ending["items"].data[0].current_period_end
    assert ending.status == "active"


NOW = int(time.time())


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"customer": None}, "customer", "parameter_missing"),
        ({"customer": "cus_nope"}, "customer", "resource_missing"),
        ({"items": None}, "items", "parameter_missing"),
        ({"items": [{"price": "price_nope"}]}, "items[0][price]", "resource_missing"),
        ({"items": [{"quantity": 1}]}, "items[0][price]", "parameter_missing"),
        ({"items": [{"price": "LICENSED", "plan": "LICENSED"}]}, "items[0][price]", "parameters_exclusive"),
        ({"items": [{"price": "LICENSED", "quantity": -1}]}, "items[0][quantity]", "parameter_invalid_integer"),
        ({"items": [{"price": "METERED", "quantity": 1}]}, "items[0][quantity]", None),
        ({"items": [{"price": "LICENSED"}, {"price": "LICENSED"}]}, "items[1][price]", None),
        ({"items": [{"price": "LICENSED"}, {"price": "ONE_TIME"}]}, "items[1][price]", None),
        ({"items": [{"price": "LICENSED"}, {"price": "YEARLY"}]}, "items[1][price]", None),
        ({"items": [{"price": "LICENSED", "tax_rates": ["x"]}]}, "items[0][tax_rates][0]", "resource_missing"),
        ({"items": [{"price": "LICENSED"}] * 21}, "items", None),
        ({"items": "LICENSED"}, "items", None),
        ({"collection_method": "cash"}, "collection_method", None),
        ({"collection_method": "send_invoice"}, "days_until_due", "parameter_missing"),
        ({"days_until_due": 5}, "days_until_due", None),
        ({"backdate_start_date": NOW + DAY}, "backdate_start_date", None),
        ({"billing_cycle_anchor": NOW - DAY}, "billing_cycle_anchor", None),
        ({"billing_cycle_anchor": NOW + 60 * DAY}, "billing_cycle_anchor", None),
        ({"billing_cycle_anchor": "now"}, "billing_cycle_anchor", "parameter_invalid_integer"),
        ({"cancel_at": NOW - DAY}, "cancel_at", None),
        ({"cancel_at": NOW + DAY, "cancel_at_period_end": True}, "cancel_at", "parameters_exclusive"),
        ({"billing_mode": {"type": "classic"}}, "billing_mode[type]", "parameter_unknown"),
        ({"trial_from_plan": True}, "trial_from_plan", "parameter_unknown"),
        ({"trial_end": 1}, "trial_end", None),
        ({"trial_period_days": 731}, "trial_period_days", "parameter_invalid_integer"),
        ({"trial_period_days": 1, "trial_end": "now"}, "trial_end", "parameters_exclusive"),
        (
            {"billing_cycle_anchor_config": {"day_of_month": 32}},
            "billing_cycle_anchor_config[day_of_month]",
            "parameter_invalid_integer",
        ),
        ({"metadata": {"a": "x" * 501}}, "metadata[a]", None),
        ({"discounts": [{"coupon": "x"}]}, "discounts[0][coupon]", "resource_missing"),
    ],
)
def test_what_makes_no_subscription(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    prices = {
        "LICENSED": new_price(account).id,
        "METERED": new_price(account, meter=new_meter(account).id).id,
        "ONE_TIME": new_price(account, recurring=None).id,
        "YEARLY": new_price(account, recurring={"interval": "year"}).id,
    }
    if isinstance(fields.get("items"), list):
        items = [{name: prices.get(str(value), value) for name, value in item.items()} for item in fields["items"]]
        fields = {"items": items}
    params = {"customer": new_customer(account).id, "items": [{"price": prices["LICENSED"]}], **fields}

    error = refused(lambda: account.v1.subscriptions.create(params))

    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert Subscription.objects.count() == SubscriptionItem.objects.count() == Invoice.objects.count() == 0


def test_an_inactive_price_is_sold_no_more(account: Account) -> None:
    price = new_price(account, active=False)
    error = refused(lambda: new_subscription(account, new_customer(account).id, price.id))
    assert (error.http_status, error.param) == (400, "items[0][price]")


def test_cancelling_bills_what_was_used_if_asked_to(account: Account) -> None:
    meter, customer = new_meter(account), new_customer(account)
    price = new_price(account, meter=meter.id, unit_amount=7)
    now = int(time.time())
    subscription = new_subscription(account, customer.id, price.id, backdate_start_date=now - DAY)
    report(account, "calls", customer.id, "3", timestamp=now - 60)

    canceled = account.v1.subscriptions.cancel(
        subscription.id,
        {
            "invoice_now": True,
            "prorate": True,
            "cancellation_details": {"comment": "bye", "feedback": "unused"},
            "expand": ["latest_invoice"],
        },
    )

    assert canceled.status == "canceled"
    assert canceled.ended_at == canceled.canceled_at
    details = {"comment": "bye", "feedback": "unused", "reason": "cancellation_requested"}
    assert canceled.cancellation_details.to_dict() == details
    assert canceled.latest_invoice.amount_due == 21
    error = refused(lambda: account.v1.subscriptions.cancel(subscription.id))
    assert (error.http_status, error.code) == (404, "resource_missing")
    assert error.user_message == f"No such subscription: '{subscription.id}'"
    assert Invoice.objects.count() == 1


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"invoice_now": "maybe"}, "invoice_now"),
        ({"cancellation_details": {"feedback": "bored"}}, "cancellation_details[feedback]"),
        ({"cancellation_details": {"reason": "x"}}, "cancellation_details[reason]"),
        ({"at_period_end": True}, "at_period_end"),
    ],
)
def test_a_cancellation_that_is_not_understood_cancels_nothing(account: Account, params: Any, param: str) -> None:
    subscription = new_subscription(account, new_customer(account).id, new_price(account).id)
    error = refused(lambda: account.v1.subscriptions.cancel(subscription.id, params))
    assert (error.http_status, error.param) == (400, param)
    assert account.v1.subscriptions.retrieve(subscription.id) == subscription


def test_subscriptions_are_listed(account: Account) -> None:
    first_customer, second_customer = new_customer(account).id, new_customer(account).id
    price, other = new_price(account).id, new_price(account).id
    first = new_subscription(account, first_customer, price).id
    second = new_subscription(account, second_customer, price, other).id
    gone = new_subscription(account, first_customer, price).id
    account.v1.subscriptions.cancel(gone)

    def ids(**params: Any) -> list[str]:
        return [row.id for row in account.v1.subscriptions.list(params).data]

    assert ids() == [second, first]
    assert ids(status="all") == [gone, second, first]
    assert ids(status="canceled") == ids(status="ended") == [gone]
    assert ids(status="active") == [second, first]
    assert ids(status="trialing") == []
    assert ids(customer=first_customer) == [first]
    assert ids(price=other) == ids(plan=other) == [second]
    assert ids(price=price, status="all") == [gone, second, first]
    assert ids(collection_method="send_invoice") == []
    assert ids(created={"gte": NOW - DAY}) == [second, first]
    assert refused(lambda: account.v1.subscriptions.list({"customer": "cus_nope"})).code == "resource_missing"


def test_a_page_costs_the_same_however_long_it_is(
    account: Account,
) -> None:
    price = new_price(account).id
    for _ in range(6):
        new_subscription(account, new_customer(account).id, price)

    def asked(limit: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(account.v1.subscriptions.list({"limit": limit, "expand": ["data.customer"]}).data) == limit
        return len(queries)

    asked(1)
    assert asked(6) == asked(2) <= 14


def test_how_a_trial_ends_and_why_one_leaves_is_said_later(account: Account) -> None:
    customer, price = new_customer(account), new_price(account)
    subscription = new_subscription(account, customer.id, price.id, trial_period_days=14)
    subscriptions = account.v1.subscriptions

    subscriptions.update(subscription.id, {"trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}})
    subscriptions.cancel(subscription.id, {"cancellation_details": {"comment": "Too much", "feedback": "other"}})
    said = subscriptions.update(subscription.id, {"cancellation_details": {"comment": "", "feedback": "too_expensive"}})

    assert said.trial_settings.end_behavior.missing_payment_method == "pause"
    assert said.cancellation_details.to_dict() == {
        "comment": None,
        "feedback": "too_expensive",
        "reason": "cancellation_requested",
    }
