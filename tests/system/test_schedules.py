"""A subscription schedule on the running system, driven by the official SDK on a test clock."""

from typing import Any

import pytest

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key
from tests.system.test_clocks import advance, at

HOUR = 3600


@pytest.fixture(scope="module")
def v1(running_stack: RunningStack) -> Any:
    return client_of(running_stack, new_key(running_stack, new_company(running_stack))).v1


def test_three_phases_with_exact_invoices(v1: Any) -> None:
    """A pilot at half the price, half a quarter of seats with usage, then the big plan from the middle of a month."""
    clock = v1.test_helpers.test_clocks.create({"frozen_time": at("2027-01-31T09:30")})
    customer = v1.customers.create({"name": "Ada", "test_clock": clock.id})
    meter = v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "scheduled_calls", "default_aggregation": {"formula": "sum"}}
    )
    product = v1.products.create({"name": "Plan"})
    recurring = {"interval": "month"}
    seats = v1.prices.create({"currency": "usd", "product": product.id, "unit_amount": 2000, "recurring": recurring})
    big = v1.prices.create({"currency": "usd", "product": product.id, "unit_amount": 9300, "recurring": recurring})
    setup = v1.prices.create({"currency": "usd", "product": product.id, "unit_amount": 500})
    metered = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    calls = v1.prices.create({"currency": "usd", "product": product.id, "unit_amount": 2, "recurring": metered})
    half_off = v1.coupons.create({"percent_off": 50, "duration": "forever"})

    schedule = v1.subscription_schedules.create(
        {
            "customer": customer.id,
            "start_date": at("2027-02-28T09:30"),
            "end_behavior": "cancel",
            "phases": [
                {
                    "items": [{"price": seats.id, "quantity": 2}],
                    "discounts": [{"coupon": half_off.id}],
                    "duration": {"interval": "month", "interval_count": 1},
                    "add_invoice_items": [{"price": setup.id}],
                },
                {
                    "items": [{"price": seats.id, "quantity": 2}, {"price": calls.id}],
                    "end_date": at("2027-05-12T21:30"),
                    "metadata": {"stage": "two"},
                },
                {
                    "items": [{"price": big.id}],
                    "end_date": at("2027-05-28T09:30"),
                    "proration_behavior": "always_invoice",
                },
            ],
        }
    )
    assert (schedule.status, schedule.subscription, schedule.test_clock) == ("not_started", None, clock.id)
    assert [phase.end_date for phase in schedule.phases] == [
        at("2027-03-28T09:30"), at("2027-05-12T21:30"), at("2027-05-28T09:30"),
    ]  # fmt: skip

    advance(v1, clock.id, at("2027-02-28T09:30"))
    schedule = v1.subscription_schedules.retrieve(schedule.id, {"expand": ["subscription", "customer"]})
    assert (schedule.status, schedule.subscription.status, schedule.customer.name) == ("active", "active", "Ada")
    assert schedule.subscription.schedule == schedule.id
    assert (schedule.current_phase.start_date, schedule.current_phase.end_date) == (
        at("2027-02-28T09:30"), at("2027-03-28T09:30"),
    )  # fmt: skip
    subscription = schedule.subscription.id

    advance(v1, clock.id, at("2027-03-28T09:30"))
    assert v1.subscriptions.retrieve(subscription).metadata.to_dict() == {"stage": "two"}
    for when, value in (("2027-03-28T09:30", 100), ("2027-05-12T21:29", 10)):
        advance_to = at(when)
        if v1.test_helpers.test_clocks.retrieve(clock.id).frozen_time < advance_to:
            advance(v1, clock.id, advance_to)
        v1.billing.meter_events.create(
            {
                "event_name": "scheduled_calls",
                "payload": {"stripe_customer_id": customer.id, "value": str(value)},
                "timestamp": advance_to,
            }
        )
    advance(v1, clock.id, at("2027-05-28T09:30") + HOUR)

    ended = v1.subscriptions.retrieve(subscription)
    assert (ended.status, ended.ended_at, ended.schedule) == ("canceled", at("2027-05-28T09:30"), None)
    schedule = v1.subscription_schedules.retrieve(schedule.id)
    assert (schedule.status, schedule.completed_at) == ("completed", at("2027-05-28T09:30"))
    invoices = list(v1.invoices.list({"customer": customer.id, "limit": 100}).auto_paging_iter())[::-1]
    assert [
        (invoice.created, invoice.billing_reason, [line.amount for line in invoice.lines.data], invoice.total)
        for invoice in invoices
    ] == [
        # Half of two seats and of the setup.
        (at("2027-02-28T09:30"), "subscription_create", [4000, 500], 2250),
        # The second phase began: its month in advance, without the coupon, and no usage yet.
        (at("2027-03-28T09:30"), "subscription_cycle", [4000], 4000),
        (at("2027-04-28T09:30"), "subscription_cycle", [4000, 200], 4200),
        # 14.5 of April's 30 days are over: 15.5 come back from two seats, and are charged of the big plan.
        (at("2027-05-12T21:30"), "subscription_update", [-2067, 4805], 2738),
        # The last calls are billed with the period's end.
        (at("2027-05-28T09:30"), "subscription_cycle", [20], 20),
    ]
    told = [event.type for event in v1.events.list({"limit": 100}).data if "schedule" in event.type][::-1]
    assert told == [
        "subscription_schedule." + verb for verb in ("created", "updated", "updated", "updated", "completed")
    ]


def test_a_running_subscription_is_scheduled_changed_and_released(v1: Any) -> None:
    customer = v1.customers.create({"name": "Bob"})
    product = v1.products.create({"name": "Plan"})
    price = v1.prices.create(
        {"currency": "usd", "product": product.id, "unit_amount": 1000, "recurring": {"interval": "month"}}
    )
    subscription = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    schedule = v1.subscription_schedules.create({"from_subscription": subscription.id})
    [current] = schedule.phases

    changed = v1.subscription_schedules.update(
        schedule.id,
        {
            "phases": [
                {
                    "items": [{"price": price.id, "quantity": 1}],
                    "start_date": current.start_date,
                    "end_date": current.end_date,
                },
                {"items": [{"price": price.id, "quantity": 5}], "iterations": 12},
            ]
        },
    )
    assert [phase["items"][0].quantity for phase in changed.phases] == [1, 5]
    released = v1.subscription_schedules.release(schedule.id)

    assert (released.status, released.subscription, released.released_subscription) == (
        "released", None, subscription.id,
    )  # fmt: skip
    assert v1.subscriptions.retrieve(subscription.id).schedule is None
