"""What waits for a subscription is invoiced between its periods' ends, at an interval of its own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_meters import refused
from invoices.models import Invoice
from invoices.services import close_due_periods, finalize_due_drafts, run_test_clocks

# 1 June 2027.
START = 1_811_808_000
HOUR, DAY = 3600, 86_400
WEEK = 7 * DAY
WEEKLY = {"interval": "week", "interval_count": 1}


def at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def wait(account: Account, subscription: Any, amount: int) -> None:
    item = {"customer": subscription.customer, "subscription": subscription.id, "amount": amount, "currency": "usd"}
    account.v1.invoice_items.create(item)


def advance(account: Account, clock: str, to: int) -> None:
    account.v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    run_test_clocks()


def billed(account: Account, customer: str) -> list[tuple[str, int, int]]:
    """Why each invoice was made, when, and what it comes to; the oldest first."""
    found = account.v1.invoices.list({"customer": customer, "limit": 100}).data
    return [(one.billing_reason, one.created - START, one.total) for one in found][::-1]


@pytest.fixture
def clock(account: Account) -> str:
    return str(account.v1.test_helpers.test_clocks.create({"frozen_time": START}).id)


def test_what_waits_is_invoiced_week_by_week_and_by_the_renewal(account: Account, clock: str) -> None:
    v1, customer = account.v1, new_customer(account, test_clock=clock).id
    made = new_subscription(account, customer, new_price(account).id, pending_invoice_item_interval=WEEKLY)
    assert made.pending_invoice_item_interval.to_dict() == WEEKLY
    assert made.next_pending_invoice_item_invoice == START + WEEK

    wait(account, made, 300)
    account.v1.invoice_items.create({"customer": customer, "amount": 70, "currency": "usd"})
    advance(account, clock, START + WEEK + HOUR)
    # A week in which nothing waits makes no invoice.
    advance(account, clock, START + 2 * WEEK + HOUR)
    assert v1.subscriptions.retrieve(made.id).next_pending_invoice_item_invoice == START + 3 * WEEK
    wait(account, made, 400)
    advance(account, clock, START + 4 * WEEK)
    wait(account, made, 500)
    advance(account, clock, START + 30 * DAY)

    first, cycle = ("subscription_create", 0, 1000), ("subscription_cycle", 30 * DAY, 1570)
    # What waits for the customer, and for no subscription, is left to the renewal.
    assert billed(account, customer) == [
        first,
        ("subscription_update", WEEK, 300),
        ("subscription_update", 3 * WEEK, 400),
        cycle,
    ]
    [draft] = v1.invoices.list({"customer": customer, "status": "draft"}).data
    assert draft.billing_reason == "subscription_cycle"
    weekly = v1.invoices.list({"customer": customer}).data[1]
    assert (weekly.status, weekly.status_transitions.finalized_at) == ("open", START + 3 * WEEK + HOUR)
    assert (weekly.period_start, weekly.period_end) == (START, START + 3 * WEEK)


def test_it_is_set_changed_and_unset(account: Account, clock: str) -> None:
    v1, customer = account.v1, new_customer(account, test_clock=clock).id
    made = new_subscription(account, customer, new_price(account).id)
    assert (made.pending_invoice_item_interval, made.next_pending_invoice_item_invoice) == (None, None)
    advance(account, clock, START + 3 * DAY)

    daily = v1.subscriptions.update(
        made.id, {"pending_invoice_item_interval": {"interval": "day", "interval_count": 2}}
    )
    # Boundaries count from the anchor.
    assert daily.next_pending_invoice_item_invoice == START + 4 * DAY
    unset = v1.subscriptions.update(made.id, {"pending_invoice_item_interval": ""})
    assert (unset.pending_invoice_item_interval, unset.next_pending_invoice_item_invoice) == (None, None)
    wait(account, made, 300)
    advance(account, clock, START + 10 * DAY)

    assert billed(account, customer) == [("subscription_create", 0, 1000)]
    v1.subscriptions.update(made.id, {"pending_invoice_item_interval": WEEKLY})
    ended = v1.subscriptions.cancel(made.id)
    assert ended.next_pending_invoice_item_invoice is None


@pytest.mark.parametrize("count", [("day", 366), ("week", 53), ("month", 13), ("year", 2)])
def test_it_is_a_year_at_most(account: Account, count: tuple[str, int]) -> None:
    customer, price = new_customer(account).id, new_price(account).id
    made = new_subscription(account, customer, price)
    every = {"pending_invoice_item_interval": {"interval": count[0], "interval_count": count[1]}}

    refusals = [
        refused(lambda: account.v1.subscriptions.update(made.id, every)),
        refused(lambda: new_subscription(account, customer, price, **every)),
    ]

    assert {(error.http_status, error.param) for error in refusals} == {
        (400, "pending_invoice_item_interval[interval_count]")
    }
    assert account.v1.subscriptions.list({"customer": customer}).data == [made]


def test_the_job_does_the_same_once_however_late(account: Account) -> None:
    customer = new_customer(account).id
    made = new_subscription(
        account, customer, new_price(account, recurring={"interval": "year"}).id, pending_invoice_item_interval=WEEKLY
    )
    start = made.billing_cycle_anchor
    wait(account, made, 300)

    # Three weeks late: one invoice, of what waits by now.
    assert close_due_periods(now=at(start + 3 * WEEK + HOUR)).done == 1
    assert close_due_periods(now=at(start + 3 * WEEK + HOUR)).done == 0

    assert billed(account, customer)[1:] == [("subscription_update", start - START + 3 * WEEK + HOUR, 300)]
    assert account.v1.subscriptions.retrieve(made.id).next_pending_invoice_item_invoice == start + 4 * WEEK
    finalize_due_drafts(now=at(start + 3 * WEEK + 2 * HOUR))
    assert Invoice.objects.filter(status="draft").count() == 0


def test_what_is_paused_invoices_nothing_until_it_goes_on(account: Account, clock: str) -> None:
    v1, customer = account.v1, new_customer(account, test_clock=clock).id
    made = new_subscription(account, customer, new_price(account).id, pending_invoice_item_interval=WEEKLY)
    v1.subscriptions.pause(made.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    wait(account, made, 300)

    advance(account, clock, START + 2 * WEEK)
    assert billed(account, customer) == [("subscription_create", 0, 1000)]
    v1.subscriptions.resume(made.id, {"billing_cycle_anchor": {"type": "unchanged"}, "proration_behavior": "none"})
    advance(account, clock, START + 2 * WEEK + HOUR)

    assert [one[0] for one in billed(account, customer)] == ["subscription_create", "subscription_update"]
