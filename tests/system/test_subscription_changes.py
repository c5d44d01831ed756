"""A subscription that is changed in mid-period on the running system, on a test clock, by the official SDK."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

DAY = 86400
START = int(datetime(2027, 6, 10, 12, 30, tzinfo=UTC).timestamp())
# June has 30 days.
END = START + 30 * DAY


@pytest.fixture(scope="module")
def v1(running_stack: RunningStack) -> Any:
    return client_of(running_stack, new_key(running_stack, new_company(running_stack))).v1


def advance(v1: Any, clock: str, to: int) -> None:
    v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    deadline = time.monotonic() + 60
    while (now := v1.test_helpers.test_clocks.retrieve(clock)).status != "ready":
        assert now.status == "advancing", now
        assert time.monotonic() < deadline, now
        time.sleep(0.2)


def test_a_month_of_changes_comes_to_the_cent(v1: Any) -> None:
    clock = v1.test_helpers.test_clocks.create({"frozen_time": START}).id
    customer = v1.customers.create({"name": "Ada", "test_clock": clock}).id
    meter = v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "changing_calls", "default_aggregation": {"formula": "sum"}}
    )
    product = v1.products.create({"name": "Seats"}).id
    month = {"interval": "month"}
    metered = {**month, "usage_type": "metered", "meter": meter.id}
    seats = v1.prices.create({"currency": "usd", "product": product, "unit_amount": 1000, "recurring": month}).id
    old, new = (
        v1.prices.create({"currency": "usd", "product": product, "unit_amount": amount, "recurring": metered}).id
        for amount in (1, 10)
    )
    subscription = v1.subscriptions.create(
        {"customer": customer, "items": [{"price": seats, "quantity": 6}, {"price": old}]}
    )
    seat_item, call_item = subscription["items"].data

    def use(value: int, at: int) -> None:
        payload = {"stripe_customer_id": customer, "value": str(value)}
        v1.billing.meter_events.create({"event_name": "changing_calls", "payload": payload, "timestamp": at})

    # After ten days two seats come, and calls cost ten times as much from that second on.
    advance(v1, clock, START + 10 * DAY)
    use(300, START + 10 * DAY - 1)
    use(20, START + 10 * DAY)
    v1.subscriptions.update(
        subscription.id, {"items": [{"id": seat_item.id, "quantity": 8}, {"id": call_item.id, "price": new}]}
    )
    # After twenty, five go; that is invoiced at once, as the preview said.
    advance(v1, clock, START + 20 * DAY)
    change = {
        "items": [{"id": seat_item.id, "quantity": 3}],
        "proration_behavior": "always_invoice",
        "proration_date": START + 20 * DAY,
    }
    preview = v1.invoices.create_preview({"subscription": subscription.id, "subscription_details": change})
    v1.subscriptions.update(subscription.id, change)
    at_once = v1.invoices.list({"subscription": subscription.id, "limit": 1}).data[0]
    # 60.00 x 2/3 back, 80.00 x 2/3; then 80.00 / 3 back, 30.00 / 3.
    assert sorted(line.amount for line in at_once.lines.data) == [-4000, -2667, 1000, 5333]
    assert (preview.total, at_once.total, at_once.status) == (-334, -334, "paid")
    assert v1.customers.retrieve(customer).balance == -334

    v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd", "description": "Setup"})
    advance(v1, clock, END + 3600)

    renewal = v1.invoices.list({"subscription": subscription.id, "limit": 1}).data[0]
    lines = {
        line.description.split(":")[0] + f" {line.period.start - START}": line.amount for line in renewal.lines.data
    }
    # 300 calls at 0.01 and 20 at 0.10; three seats for July; what waited.
    assert sorted(line.amount for line in renewal.lines.data) == [200, 300, 500, 3000], lines
    assert (renewal.status, renewal.total, renewal.amount_due) == ("open", 4000, 4000 - 334)
    assert (renewal.starting_balance, renewal.ending_balance) == (-334, 0)
