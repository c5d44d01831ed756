"""Which subscriptions report to a meter."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Customer, License, Mode, Scope
from accounts.tests.factories import CustomerFactory, TestClockFactory
from billing_project.api.ledgerbee.tests.caller import Caller, error_of, new_caller
from core.ids import spell
from meters.models import Meter
from meters.services import deactivate_meter
from meters.tests.factories import MeterFactory
from subscriptions import statuses
from subscriptions.models import Price, Subscription, SubscriptionItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, ProductFactory

Status = statuses.Status
NOBODY = "019392f0-0000-7000-8000-000000000000"


def subscribe(customer: Customer, *prices: Price, **fields: Any) -> Subscription:
    """A subscription in any state, as the database would hold it."""
    now = timezone.now()
    values: dict[str, Any] = {"start_at": now - timedelta(days=1), "created_at": now, **fields}
    if values.get("status") in statuses.OVER:
        values["ended_at"] = now
    if values.get("status") == Status.INCOMPLETE:
        values["expires_at"] = now + timedelta(hours=23)
    if values.get("status") == Status.TRIALING:
        values |= {"trial_start_at": values["start_at"], "trial_end_at": now + timedelta(days=7)}
    subscription = Subscription.objects.create(
        environment=customer.environment, customer=customer, currency="usd", anchor_at=values["start_at"], **values
    )
    for price in prices:
        SubscriptionItem.objects.create(
            environment=customer.environment,
            subscription=subscription,
            price=price,
            effective_at=values["start_at"],
            current_period_start=values["start_at"],
            current_period_end=values["start_at"] + timedelta(days=30),
            created_at=now,
        )
    return subscription


@pytest.fixture
def price(meter: Meter) -> Price:
    return MeteredPriceFactory.create(environment=meter.environment, meter=meter, product__name="API calls")


def path_of(meter: Meter | str) -> str:
    return f"/api/v1/meters/{meter.pk if isinstance(meter, Meter) else meter}/subscriptions"


def ask(call: Caller, meter: Meter | str) -> dict[str, Any]:
    response = call("GET", path_of(meter))
    assert response.status_code == 200
    answer: dict[str, Any] = json.loads(response.content)
    return answer


def by_name(call: Caller, name: str) -> dict[str, Any]:
    response = call("GET", "/api/v1/meters/subscriptions", query=f"meterName={name}")
    assert response.status_code == 200
    answer: dict[str, Any] = json.loads(response.content)
    return answer


def test_a_meters_subscriptions_come_with_their_products(
    call: Caller, meter: Meter, customer: Customer, price: Price
) -> None:
    subscription = subscribe(customer, price)

    assert ask(call, meter) == by_name(call, "api_calls") == ask(call, spell("mtr", meter.pk)) == {
        "meterId": str(meter.pk),
        "meterName": "api_calls",
        "subscriptions": [
            {
                "subscriptionId": str(subscription.pk),
                "customerId": str(customer.pk),
                "customerName": "Acme",
                "planId": None,
                "status": "active",
                "products": [
                    {
                        "productId": str(price.product.pk),
                        "productName": "API calls",
                        "prices": [{"priceId": str(price.pk), "nickname": None, "currency": "USD"}],
                    }
                ],
            }
        ],
    }  # fmt: skip


def test_each_customer_of_the_answer_can_report(call: Caller, meter: Meter, customer: Customer, price: Price) -> None:
    subscribe(customer, price)
    answer = ask(call, meter)

    body = {"value": 1, "meterId": answer["meterId"], "customerId": answer["subscriptions"][0]["customerId"]}
    assert call.report(body).status_code == 202


def test_a_meter_without_prices_or_subscribers_has_none(call: Caller, meter: Meter) -> None:
    assert ask(call, meter)["subscriptions"] == []
    MeteredPriceFactory.create(environment=meter.environment, meter=meter)
    assert ask(call, meter)["subscriptions"] == []


def test_subscriptions_and_products_come_once_and_without_what_is_not_metered_here(
    call: Caller, meter: Meter, customer: Customer, price: Price
) -> None:
    environment = meter.environment
    second = MeteredPriceFactory.create(environment=environment, meter=meter, product=price.product, nickname="Extra")
    third = MeteredPriceFactory.create(environment=environment, meter=meter, product__name="More", currency="eur")
    flat = PriceFactory.create(environment=environment, product=price.product)
    other = MeteredPriceFactory.create(environment=environment, product=ProductFactory.create(environment=environment))
    subscribe(customer, flat, price, third, other, second)
    subscribe(customer, other, flat)

    (entry,) = ask(call, meter)["subscriptions"]
    assert [
        (product["productName"], [found["priceId"] for found in product["prices"]]) for product in entry["products"]
    ] == [
        ("API calls", [str(price.pk), str(second.pk)]),
        ("More", [str(third.pk)]),
    ]
    assert entry["products"][0]["prices"][1]["nickname"] == "Extra"
    assert entry["products"][1]["prices"][0]["currency"] == "EUR"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, "active"),
        ({"status": Status.TRIALING}, "trial"),
        ({"status": Status.PAST_DUE}, "active"),
        ({"status": Status.UNPAID}, "awaiting_payment"),
        ({"status": Status.INCOMPLETE}, "awaiting_payment"),
        ({"cancel_at_period_end": True}, "pending_cancellation"),
        ({"cancel_at": timezone.now() + timedelta(days=3)}, "pending_cancellation"),
        ({"status": Status.UNPAID, "cancel_at_period_end": True}, "awaiting_payment"),
        ({"status": Status.PAUSED}, None),
        ({"pause_behavior": "void"}, None),
        ({"status": Status.CANCELED}, None),
        ({"status": Status.INCOMPLETE_EXPIRED}, None),
        ({"start_at": timezone.now() + timedelta(days=1)}, None),
    ],
)
def test_only_those_that_can_report_are_listed(
    call: Caller, meter: Meter, customer: Customer, price: Price, fields: dict[str, Any], status: str | None
) -> None:
    subscribe(customer, price, **fields)

    listed = [entry["status"] for entry in ask(call, meter)["subscriptions"]]
    assert listed == ([status] if status else [])


def test_a_customer_on_a_test_clock_has_begun_by_their_own_time(call: Caller, meter: Meter, price: Price) -> None:
    ahead = timezone.now() + timedelta(days=100)
    for days, begun in ((1, True), (-1, False)):
        clock = TestClockFactory.create(environment=meter.environment, frozen_at=ahead)
        customer = CustomerFactory.create(environment=meter.environment, test_clock=clock)
        subscription = subscribe(customer, price, start_at=ahead - timedelta(days=days))

        listed = {entry["subscriptionId"] for entry in ask(call, meter)["subscriptions"]}
        assert (str(subscription.pk) in listed) is begun


def test_a_removed_item_is_not_listed(call: Caller, meter: Meter, customer: Customer, price: Price) -> None:
    subscribe(customer, price)
    SubscriptionItem.objects.update(removed_at=timezone.now())

    assert ask(call, meter)["subscriptions"] == []


def test_they_come_in_the_order_of_their_creation(call: Caller, meter: Meter, price: Price) -> None:
    now = timezone.now()
    made = [
        subscribe(CustomerFactory.create(environment=meter.environment), price, created_at=now - timedelta(days=days))
        for days in (2, 5, 3)
    ]

    listed = [entry["subscriptionId"] for entry in ask(call, meter)["subscriptions"]]
    assert listed == [str(made[place].pk) for place in (1, 2, 0)]


def test_many_are_read_in_as_many_queries_as_one(
    call: Caller, meter: Meter, price: Price, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        subscribe(CustomerFactory.create(environment=meter.environment), price)

    # The key and when it was used, each license (nothing is remembered within a test's transaction), meter and items.
    with django_assert_max_num_queries(6):
        assert len(ask(call, meter)["subscriptions"]) == 20


def test_an_archived_meter_still_answers_until_its_name_has_another(call: Caller, meter: Meter) -> None:
    deactivate_meter(meter=meter, now=timezone.now())
    assert by_name(call, "api_calls")["meterId"] == str(meter.pk)

    successor = MeterFactory.create(environment=meter.environment, event_name="api_calls")
    assert by_name(call, "api_calls")["meterId"] == str(successor.pk)
    assert ask(call, meter)["meterId"] == str(meter.pk)


@pytest.mark.parametrize("meter_id", [NOBODY, "x", "mtr_x", "cus_06c36c1d8f9b4e0000000000x0", "%00", "%FF", "report"])
def test_a_meter_that_is_not_there_is_not_found(call: Caller, meter: Meter, meter_id: str) -> None:
    response = call("GET", path_of(meter_id))

    assert response.status_code == 404
    assert json.loads(response.content)["code"] == "METER_NOT_FOUND"


@pytest.mark.parametrize("name", ["nothing", "API_CALLS", "api_calls%20", "%00", "x" * 5000])
def test_a_name_that_no_meter_has_is_not_found(call: Caller, meter: Meter, name: str) -> None:
    response = call("GET", "/api/v1/meters/subscriptions", query=f"meterName={name}")

    assert error_of(response, path="/v1/meters/subscriptions")["code"] == "METER_NOT_FOUND"


@pytest.mark.parametrize("query", ["", "meterName=", "meterName=%20", "metername=api_calls"])
def test_the_name_is_required(call: Caller, meter: Meter, query: str) -> None:
    error = error_of(call("GET", "/api/v1/meters/subscriptions", query=query), path="/v1/meters/subscriptions")

    assert (error["statusCode"], error["code"]) == (400, "METER_IDENTIFIER_REQUIRED")


def test_anothers_meters_are_not_there(call: Caller, meter: Meter, customer: Customer, price: Price) -> None:
    subscribe(customer, price)
    for other in (Caller(call.environment.company, Mode.LIVE), new_caller("Globex")):
        path = f"/v1/meters/{meter.pk}/subscriptions"
        assert error_of(other("GET", f"/api{path}"), path=path)["code"] == "METER_NOT_FOUND"
        named = other("GET", "/api/v1/meters/subscriptions", query="meterName=api_calls")
        assert error_of(named, path="/v1/meters/subscriptions")["code"] == "METER_NOT_FOUND"
        # With a meter of the same name of its own it sees its own.
        own = MeterFactory.create(environment=other.environment, event_name="api_calls")
        assert by_name(other, "api_calls") == {"meterId": str(own.pk), "meterName": "api_calls", "subscriptions": []}


@pytest.mark.parametrize("path", [path_of(NOBODY), "/api/v1/meters/subscriptions"])
def test_key_scope_and_licenses_are_asked_for_in_this_order(call: Caller, path: str) -> None:
    License.objects.all().delete()
    narrow = Caller(call.environment.company, Mode.TEST, Scope.METERS_READ)
    below = path.removeprefix("/api")

    assert error_of(narrow("GET", path, headers={"x-api-key": "no"}), path=below)["code"] == "UNAUTHORIZED"
    error = error_of(narrow("GET", path), path=below)
    assert (error["code"], error["details"]) == ("INSUFFICIENT_PERMISSIONS", {"requiredScopes": ["meter-report"]})
    error = error_of(call("GET", path), path=below)
    assert (error["code"], error["details"]) == ("LICENSE.REQUIRED", {"licenseKey": "Metered Products"})


def test_the_idempotency_key_is_ignored(call: Caller, meter: Meter) -> None:
    key = {"x-api-idempotency-key": str(uuid4())}

    for _ in range(2):
        assert call("GET", path_of(meter), headers=key).status_code == 200
