"""What is told of by its date: invoices that come, that will be due, that are overdue, and that cannot become final."""

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.services import update_company
from billing_project.api.stripe.tests.builders import new_customer, new_meter, new_price, new_subscription, report
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_event_kinds import happened, types
from invoices.models import Invoice
from invoices.services import (
    close_due_periods,
    finalize_due_drafts,
    remind_of_due_invoices,
    run_billing,
    run_test_clocks,
    stepping,
)

# 1 June 2027.
START = 1_811_808_000
HOUR, DAY = 3600, 86_400


def at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def told(account: Account, kind: str) -> list[Any]:
    return [event for event in happened(account) if event.type == f"invoice.{kind}"]


def advance(account: Account, clock: str, to: int) -> None:
    account.v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    run_test_clocks()


@pytest.fixture
def clock(account: Account) -> str:
    return str(account.v1.test_helpers.test_clocks.create({"frozen_time": START}).id)


def test_the_next_invoice_is_foretold_days_before_it_comes(account: Account, clock: str) -> None:
    update_company(company=account.environment.company, upcoming_days=3)
    meter = new_meter(account)
    customer = new_customer(account, test_clock=clock).id
    made = new_subscription(account, customer, new_price(account).id, new_price(account, meter=meter.id).id)
    report(account, "calls", customer, "2", timestamp=START)

    advance(account, clock, START + 27 * DAY - 1)
    assert told(account, "upcoming") == []
    advance(account, clock, START + 27 * DAY)
    advance(account, clock, START + 28 * DAY)

    [upcoming] = told(account, "upcoming")
    invoice = upcoming.data.object
    assert upcoming.created == START + 27 * DAY
    assert ("id" in invoice.to_dict(), invoice.customer, invoice.status) == (False, customer, "draft")
    assert invoice.parent.subscription_details.subscription == made.id
    # Two calls at 10.00, and the next month for 10.00.
    assert (invoice.total, len(invoice.lines.data)) == (3000, 2)
    advance(account, clock, START + 58 * DAY)
    assert [event.created for event in told(account, "upcoming")] == [START + 27 * DAY, START + 58 * DAY]
    assert account.v1.events.retrieve(upcoming.id).data.object.total == 3000


def test_nothing_is_foretold_of_what_does_not_come(account: Account, clock: str) -> None:
    customer = new_customer(account, test_clock=clock).id
    price = new_price(account).id
    # Begun before the company wanted it, and so not yet.
    new_subscription(account, customer, price)
    update_company(company=account.environment.company, upcoming_days=7)
    # Its week is no longer than that.
    new_subscription(account, customer, new_price(account, recurring={"interval": "week"}).id)
    new_subscription(account, customer, price, cancel_at_period_end=True)

    for day in (8, 16, 24, 31):
        advance(account, clock, START + day * DAY)

    assert told(account, "upcoming") == []


def test_the_job_foretells_once_and_a_late_one_not_at_all(account: Account) -> None:
    update_company(company=account.environment.company, upcoming_days=3)
    price = new_price(account).id
    first = new_subscription(account, new_customer(account).id, price)
    end = first["items"].data[0].current_period_end

    for _ in range(2):
        run_billing(now=at(end - 2 * DAY))
    assert len(told(account, "upcoming")) == 1
    new_subscription(account, new_customer(account).id, price)
    assert close_due_periods(now=at(end + HOUR)).failed == 0

    # Of the second one nobody was told in time.
    assert len(told(account, "upcoming")) == 1
    assert Invoice.objects.filter(billing_reason="subscription_cycle").count() == 2


def test_an_invoice_is_due_soon_and_then_overdue(account: Account, clock: str) -> None:
    update_company(company=account.environment.company, due_soon_days=5)
    v1, customer = account.v1, new_customer(account, test_clock=clock).id
    sent = {"collection_method": "send_invoice", "days_until_due": 10}
    made = new_subscription(account, customer, new_price(account).id, **sent)
    v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd"})
    by_hand = v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include", **sent})
    v1.invoices.finalize_invoice(by_hand.id)
    # Too late to be told of before.
    short = v1.invoices.create({"customer": customer, "currency": "usd", **sent, "days_until_due": 3})
    v1.invoice_items.create({"customer": customer, "invoice": short.id, "amount": 100, "currency": "usd"})
    v1.invoices.finalize_invoice(short.id)
    paid = new_subscription(account, customer, new_price(account).id, **sent).latest_invoice
    v1.invoices.pay(paid, {"paid_out_of_band": True})

    advance(account, clock, START + 5 * DAY - 1)
    assert [event.data.object.id for event in told(account, "will_be_due")] == []
    assert [(event.data.object.id, event.created) for event in told(account, "overdue")] == [
        (short.id, START + 3 * DAY)
    ]
    for day in (6, 9, 12):
        advance(account, clock, START + day * DAY)

    ids = {made.latest_invoice, by_hand.id}
    soon, late = told(account, "will_be_due"), told(account, "overdue")[1:]
    assert ({event.data.object.id for event in soon}, {event.created for event in soon}) == (ids, {START + 5 * DAY})
    assert ({event.data.object.id for event in late}, {event.created for event in late}) == (ids, {START + 10 * DAY})
    assert (len(soon), len(late)) == (2, 2)
    assert v1.subscriptions.retrieve(made.id).status == "past_due"


def test_the_job_tells_of_what_is_overdue_once(account: Account) -> None:
    customer = new_customer(account).id
    sent = {"collection_method": "send_invoice", "days_until_due": 10}
    new_subscription(account, customer, new_price(account).id, **sent)
    due_at = Invoice.objects.get().due_at
    assert due_at is not None

    for _ in range(2):
        run_billing(now=due_at)

    assert len(told(account, "overdue")) == 1
    assert remind_of_due_invoices(now=due_at).done == 0


def test_a_draft_that_cannot_become_final_is_told_of_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    made = new_subscription(account, new_customer(account).id, new_price(account).id)
    end = made["items"].data[0].current_period_end
    close_due_periods(now=at(end))
    start = happened(account)[-1]

    def fail(*_: Any, **__: Any) -> None:
        raise ArithmeticError("a price that nobody can rate")

    with monkeypatch.context() as patched:
        patched.setattr(stepping, "finalize_drafts", fail)
        for hours in (2, 3):
            assert finalize_due_drafts(now=at(end + hours * HOUR)).failed == 1

    [failed] = happened(account, start)
    assert (failed.type, failed.data.object.status) == ("invoice.finalization_failed", "draft")
    assert finalize_due_drafts(now=at(end + 9 * HOUR)).done == 1
    assert types(happened(account, failed))[0] == "invoice.finalized"
