"""Test clocks on the running system, driven by the official SDK: a worker does the work, and the beat what is left."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

HOUR = 3600


@pytest.fixture(scope="module")
def v1(running_stack: RunningStack) -> Any:
    return client_of(running_stack, new_key(running_stack, new_company(running_stack))).v1


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def advance(v1: Any, clock: str, to: int) -> None:
    """As Stripe's pages have it: set the clock in motion, and ask until it is ready."""
    v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    deadline = time.monotonic() + 60
    while (now := v1.test_helpers.test_clocks.retrieve(clock)).status != "ready":
        assert now.status == "advancing", now
        assert time.monotonic() < deadline, now
        time.sleep(0.2)
    assert now.frozen_time == to


def test_a_year_that_begins_on_31_january_has_twelve_exact_periods(v1: Any) -> None:
    clock = v1.test_helpers.test_clocks.create({"frozen_time": at("2027-01-31T09:30")})
    customer = v1.customers.create({"name": "Ada", "test_clock": clock.id})
    meter = v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "clock_calls", "default_aggregation": {"formula": "sum"}}
    )
    product = v1.products.create({"name": "Plan"})
    seats = v1.prices.create(
        {"currency": "usd", "product": product.id, "unit_amount": 1999, "recurring": {"interval": "month"}}
    )
    calls = v1.prices.create(
        {
            "currency": "usd",
            "product": product.id,
            "unit_amount_decimal": "0.25",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )
    subscription = v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": seats.id, "quantity": 3}, {"price": calls.id}]}
    )
    days = ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30", "2027-07-31",
            "2027-08-31", "2027-09-30", "2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31"]  # fmt: skip
    bounds = [at(f"{day}T09:30") for day in days]

    for month, (start, end) in enumerate(pairwise(bounds), start=1):
        # An event a second before the end of its period counts in it, and only there.
        payload = {"stripe_customer_id": customer.id, "value": str(100 * month)}
        advance(v1, clock.id, end - 1)
        v1.billing.meter_events.create({"event_name": "clock_calls", "payload": payload, "timestamp": end - 1})
        [seat_item, _] = v1.subscriptions.retrieve(subscription.id)["items"].data
        assert (seat_item.current_period_start, seat_item.current_period_end) == (start, end)
    advance(v1, clock.id, bounds[-1] + HOUR)

    invoices = list(v1.invoices.list({"customer": customer.id, "limit": 100}).auto_paging_iter())[::-1]
    assert [invoice.billing_reason for invoice in invoices] == ["subscription_create"] + ["subscription_cycle"] * 12
    assert {invoice.status for invoice in invoices} == {"open"}
    # Three seats in advance; 25 cents more for each month's hundred calls, afterwards.
    assert [invoice.total for invoice in invoices] == [5997 + 25 * month for month in range(13)]
    licensed = [invoice.lines.data[0].period for invoice in invoices]
    following = at("2028-02-29T09:30")
    assert [(period.start, period.end) for period in licensed] == list(pairwise([*bounds, following]))
    metered = [invoice.lines.data[1].period for invoice in invoices[1:]]
    assert [(period.start, period.end) for period in metered] == list(pairwise(bounds))
    assert [invoice.created for invoice in invoices] == bounds

    v1.test_helpers.test_clocks.delete(clock.id)
    assert v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_a_trial_a_due_date_and_an_end(v1: Any) -> None:
    start = datetime(2027, 3, 1, tzinfo=UTC)
    clock = v1.test_helpers.test_clocks.create({"frozen_time": int(start.timestamp()), "name": "Trial"})
    customer = v1.customers.create({"test_clock": clock.id})
    price = v1.prices.create(
        {"currency": "jpy", "product_data": {"name": "Plan"}, "unit_amount": 500, "recurring": {"interval": "month"}}
    )
    subscription = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id}],
            "trial_period_days": 14,
            "collection_method": "send_invoice",
            "days_until_due": 7,
        }
    )
    assert (subscription.status, subscription.trial_end) == ("trialing", at("2027-03-15"))

    advance(v1, clock.id, int((start + timedelta(days=21)).timestamp()))
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    advance(v1, clock.id, at("2027-03-22T01:00"))
    overdue = v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
    assert (overdue.status, overdue.latest_invoice.due_date) == ("past_due", at("2027-03-22T01:00"))
    v1.invoices.pay(overdue.latest_invoice.id, {"paid_out_of_band": True})
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
