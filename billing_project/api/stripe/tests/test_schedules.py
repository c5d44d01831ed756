"""/v1/subscription_schedules, and one-time prices that subscriptions bill beside what recurs."""

from typing import Any

import pytest
import stripe
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_clocks import START, advance, at, new_clock

DAY = 86_400


def new_schedule(account: Account, customer: str, *phases: dict[str, Any], **params: Any) -> Any:
    return account.v1.subscription_schedules.create({"customer": customer, "phases": list(phases), **params})


def phase(price: str, quantity: int = 1, **params: Any) -> dict[str, Any]:
    return {"items": [{"price": price, "quantity": quantity}], **params}


@pytest.fixture
def clock(account: Account) -> Any:
    return new_clock(account)


@pytest.fixture
def customer(account: Account, clock: Any) -> str:
    identifier: str = account.v1.customers.create({"name": "Ada", "test_clock": clock.id}).id
    return identifier


def test_a_schedule_is_shown_with_all_that_it_plans(account: Account, clock: Any, customer: str) -> None:
    price = new_price(account)
    coupon = account.v1.coupons.create({"percent_off": 25, "duration": "forever"})
    rate = account.v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})
    schedule = new_schedule(
        account,
        customer,
        phase(
            price.id,
            2,
            discounts=[{"coupon": coupon.id}],
            default_tax_rates=[rate.id],
            collection_method="send_invoice",
            invoice_settings={"days_until_due": 14},
            description="Pilot",
            metadata={"stage": "one"},
            proration_behavior="none",
        ),
        phase(price.id, iterations=2, trial_end=START + 40 * DAY),
        end_behavior="cancel",
        metadata={"plan": "a"},
        default_settings={"description": "All"},
    )

    shown = schedule.to_dict()
    [first, second] = shown.pop("phases")
    identifier = schedule.id
    assert identifier.startswith("sub_sched_")
    assert shown == {
        "id": identifier,
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": {"flexible": None, "type": "flexible"},
        "canceled_at": None,
        "completed_at": None,
        "created": START,
        "current_phase": {"start_date": START, "end_date": at("2027-02-28T09:30")},
        "customer": customer,
        "customer_account": None,
        "default_settings": {
            "application_fee_percent": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": "automatic",
            "billing_thresholds": None,
            "collection_method": "charge_automatically",
            "default_payment_method": None,
            "description": "All",
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "days_until_due": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "on_behalf_of": None,
            "transfer_data": None,
        },
        "end_behavior": "cancel",
        "livemode": False,
        "metadata": {"plan": "a"},
        "pause_schedules": [],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": schedule.subscription,
        "test_clock": clock.id,
    }
    assert first["items"] == [
        {
            "billing_thresholds": None,
            "discounts": [],
            "metadata": {},
            "plan": price.id,
            "price": price.id,
            "quantity": 2,
            "tax_rates": [],
        }
    ]
    assert first["discounts"] == [{"coupon": coupon.id, "discount": None, "promotion_code": None}]
    assert [one["id"] for one in first["default_tax_rates"]] == [rate.id]
    assert (first["currency"], first["proration_behavior"], first["metadata"]) == ("usd", "none", {"stage": "one"})
    assert first["invoice_settings"]["days_until_due"] == 14
    assert (second["start_date"], second["trial"], second["trial_end"]) == (
        first["end_date"], False, START + 40 * DAY,
    )  # fmt: skip
    subscription = account.v1.subscriptions.retrieve(schedule.subscription, {"expand": ["schedule"]})
    assert subscription.schedule.id == identifier
    assert (subscription.description, subscription.days_until_due) == ("Pilot", 14)
    assert account.v1.invoices.retrieve(subscription.latest_invoice).total == 1800


def test_what_a_phase_holds_expands(account: Account, customer: str) -> None:
    price = new_price(account)
    once = account.v1.prices.create({"currency": "usd", "unit_amount": 300, "product": price.product})
    schedule = new_schedule(
        account,
        customer,
        phase(price.id, add_invoice_items=[{"price": once.id, "quantity": 3}], duration={"interval": "week"}),
    )

    shown = account.v1.subscription_schedules.retrieve(
        schedule.id,
        {"expand": ["customer", "subscription.latest_invoice", "phases.items.price", "phases.add_invoice_items.price"]},
    )

    assert (shown.customer.name, shown.subscription.latest_invoice.total) == ("Ada", 1900)
    [only] = shown.phases
    assert (only["items"][0].price.id, only.add_invoice_items[0].price.unit_amount) == (price.id, 300)
    assert only.add_invoice_items[0].quantity == 3
    assert only.end_date - only.start_date == 7 * DAY


def test_phases_are_said_anew_released_and_canceled(account: Account, clock: Any, customer: str) -> None:
    price, schedules = new_price(account), account.v1.subscription_schedules
    subscription = new_subscription(account, customer, price.id)
    schedule = schedules.create({"from_subscription": subscription.id})
    [current] = schedule.phases
    assert (current.start_date, current.end_date) == (START, at("2027-02-28T09:30"))

    schedules.update(
        schedule.id,
        {"phases": [phase(price.id, start_date=START, end_date=current.end_date), phase(price.id, 3, trial=False)]},
    )
    advance(account, clock, at("2027-02-28T09:30"))
    assert account.v1.subscriptions.retrieve(subscription.id)["items"].data[0].quantity == 3
    released = schedules.release(schedule.id)
    assert (released.status, released.subscription, released.released_subscription, released.current_phase) == (
        "released", None, subscription.id, None,
    )  # fmt: skip

    other = schedules.create({"from_subscription": subscription.id})
    canceled = schedules.cancel(other.id, {"prorate": False, "invoice_now": False})
    assert (canceled.status, canceled.subscription) == ("canceled", subscription.id)
    assert account.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_schedules_are_listed(account: Account, customer: str) -> None:
    price, bob = new_price(account), new_customer(account)
    on_clock = new_schedule(account, customer, phase(price.id))
    waiting = new_schedule(account, bob.id, phase(price.id), start_date=4_000_000_000)
    running = new_schedule(account, bob.id, phase(price.id), start_date="now")
    gone = account.v1.subscription_schedules.release(new_schedule(account, bob.id, phase(price.id)).id)

    def listed(**params: Any) -> list[str]:
        return [one.id for one in account.v1.subscription_schedules.list(params).data]

    assert listed() == [gone.id, running.id, waiting.id]
    assert listed(customer=customer) == [on_clock.id]
    assert listed(scheduled=True) == [waiting.id]
    assert listed(released_at={"gte": gone.released_at}) == [gone.id]
    assert listed(canceled_at={"gte": 1}) == []


def test_a_list_asks_as_much_of_the_database_for_many_as_for_one(account: Account, customer: str) -> None:
    price = new_price(account)
    coupon = account.v1.coupons.create({"percent_off": 25, "duration": "forever"})
    params = {"expand": ["data.customer", "data.phases.items.price", "data.phases.discounts.coupon"]}

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            account.v1.subscription_schedules.list({"customer": customer, **params})
        return len(queries)

    new_schedule(account, customer, phase(price.id, discounts=[{"coupon": coupon.id}]))
    one = asked()
    for _ in range(2):
        new_schedule(account, customer, phase(price.id, discounts=[{"coupon": coupon.id}]), phase(price.id))
    assert asked() == one


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"phases": []}, "phases"),
        ({"phases": [{"items": [{"price": "{price}", "quantity": -1}]}]}, "phases[0][items][0][quantity]"),
        ({"phases": [{"items": [{"price": "{once}"}]}]}, "phases[0][items][0][price]"),
        (
            {"phases": [{"items": [{"price": "{price}"}], "add_invoice_items": [{"price": "{price}"}]}]},
            "phases[0][add_invoice_items][0][price]",
        ),
        ({"phases": [{"items": [{"price": "{price}"}], "end_date": 1, "iterations": 1}]}, "phases[0][end_date]"),
        ({"phases": [{"items": [{"price": "{price}"}], "end_date": START}]}, "phases[0][end_date]"),
        ({"phases": [{"items": [{"price": "{price}"}], "start_date": START}]}, "phases[0][start_date]"),
        ({"phases": [{"items": [{"price": "{price}"}], "trial_end": 5_000_000_000}]}, "phases[0][trial_end]"),
        (
            {"phases": [{"items": [{"price": "{price}"}], "collection_method": "send_invoice"}]},
            "phases[0][invoice_settings][days_until_due]",
        ),
        ({"end_behavior": "renew"}, "end_behavior"),
        ({"from_subscription": "{subscription}"}, "phases"),
    ],
)
def test_what_is_refused_leaves_nothing_behind(
    account: Account, customer: str, change: dict[str, Any], param: str
) -> None:
    price = new_price(account)
    ids = {
        "{price}": price.id,
        "{once}": account.v1.prices.create({"currency": "usd", "unit_amount": 1, "product": price.product}).id,
        "{subscription}": new_subscription(account, customer, price.id).id,
    }

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [filled(inner) for inner in value]
        return ids.get(value, value) if isinstance(value, str) else value

    with pytest.raises(stripe.InvalidRequestError) as refusal:
        account.v1.subscription_schedules.create({"customer": customer, "phases": [phase(price.id)], **filled(change)})

    assert refusal.value.param == param
    assert account.v1.subscription_schedules.list({"customer": customer}).data == []
    assert len(account.v1.subscriptions.list({"customer": customer}).data) == 1


def test_what_is_scheduled_is_not_ended_directly(account: Account, customer: str) -> None:
    schedule = new_schedule(account, customer, phase(new_price(account).id))

    for change in ({"cancel_at_period_end": True}, {"cancel_at": START + DAY}):
        with pytest.raises(stripe.InvalidRequestError, match="managed by"):
            account.v1.subscriptions.update(schedule.subscription, change)
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        account.v1.subscription_schedules.create({"from_subscription": schedule.subscription})

    assert account.v1.subscriptions.retrieve(schedule.subscription).cancel_at is None
    account.v1.subscriptions.cancel(schedule.subscription)
    assert account.v1.subscription_schedules.retrieve(schedule.id).status == "canceled"


def test_one_time_prices_go_onto_the_first_invoice_and_the_next_one(
    account: Account, clock: Any, customer: str
) -> None:
    price = new_price(account)
    setup = account.v1.prices.create({"currency": "usd", "unit_amount": 700, "product": price.product})
    inline = {"currency": "usd", "product": price.product, "unit_amount": 55}
    subscription = new_subscription(account, customer, price.id, add_invoice_items=[{"price": setup.id}])
    first = account.v1.invoices.retrieve(subscription.latest_invoice)
    assert [line.amount for line in first.lines.data] == [1000, 700]

    account.v1.subscriptions.update(subscription.id, {"add_invoice_items": [{"price_data": inline, "quantity": 2}]})
    advance(account, clock, at("2027-02-28T09:30"))
    latest = account.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]}).latest_invoice
    assert sorted(line.amount for line in latest.lines.data) == [110, 1000]

    at_once = {"add_invoice_items": [{"price": setup.id}], "proration_behavior": "always_invoice"}
    updated = account.v1.subscriptions.update(subscription.id, {**at_once, "expand": ["latest_invoice"]})
    assert (updated.latest_invoice.total, updated.latest_invoice.status) == (700, "open")


def test_a_one_time_price_is_billed_where_nothing_else_is_yet(account: Account, customer: str) -> None:
    meter = account.v1.billing.meters.create(
        {"display_name": "C", "event_name": "c", "default_aggregation": {"formula": "sum"}}
    )
    price = new_price(account, meter=meter.id)
    setup = account.v1.prices.create({"currency": "usd", "unit_amount": 700, "product": price.product})

    subscription = new_subscription(account, customer, price.id, add_invoice_items=[{"price": setup.id}])

    assert account.v1.invoices.retrieve(subscription.latest_invoice).total == 700
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        new_subscription(account, customer, price.id, add_invoice_items=[{"price": price.id}])
    assert refusal.value.param == "add_invoice_items[0][price]"


def test_a_preview_shows_the_phase_that_begins_with_the_next_period(
    account: Account, clock: Any, customer: str
) -> None:
    first, second = new_price(account), new_price(account, unit_amount=2500)
    coupon = account.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    later = phase(second.id, 2, discounts=[{"coupon": coupon.id}])
    made = new_schedule(account, customer, phase(first.id, end_date=at("2027-02-28T09:30")), later, start_date=START)
    assert account.v1.subscriptions.retrieve(made.subscription)["items"].data[0].price.id == first.id

    preview = account.v1.invoices.create_preview({"subscription": made.subscription})
    advance(account, clock, at("2027-03-01T00:00"))

    [renewal] = account.v1.invoices.list({"customer": customer, "limit": 1}).data
    # Two at 25.00, without 10 %.
    assert (preview.total, preview.subtotal, preview.period_end) == (4500, 5000, at("2027-02-28T09:30"))
    assert (renewal.total, renewal.subtotal, renewal.period_end) == (4500, 5000, at("2027-02-28T09:30"))
    assert [line.description for line in preview.lines.data] == [line.description for line in renewal.lines.data]
