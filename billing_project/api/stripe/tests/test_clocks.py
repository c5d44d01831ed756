"""/v1/test_helpers/test_clocks, and what lives by them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe
from kombu.exceptions import OperationalError

from billing_project.api.stripe.tests.builders import new_meter, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account, new_account
from invoices import tasks
from invoices.services import run_test_clocks

DAY = 86_400
START = int(datetime(2027, 1, 31, 9, 30, tzinfo=UTC).timestamp())


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def new_clock(account: Account, **params: Any) -> Any:
    return account.v1.test_helpers.test_clocks.create({"frozen_time": START, **params})


def advance(account: Account, clock: Any, to: int) -> Any:
    moving = account.v1.test_helpers.test_clocks.advance(clock.id, {"frozen_time": to})
    assert (moving.status, moving.frozen_time < to) == ("advancing", True)
    assert moving.status_details.advancing.target_frozen_time == to
    run_test_clocks()
    return account.v1.test_helpers.test_clocks.retrieve(clock.id)


def test_a_clock_is_made_advanced_listed_and_deleted(account: Account) -> None:
    clocks = account.v1.test_helpers.test_clocks
    clock = new_clock(account, name="Renewal")

    assert clock.to_dict() == {
        "id": clock.id,
        "object": "test_helpers.test_clock",
        "created": clock.created,
        "deletes_after": clock.created + 30 * DAY,
        "frozen_time": START,
        "livemode": False,
        "name": "Renewal",
        "status": "ready",
        "status_details": {},
    }
    assert clock.id.startswith("clock_")
    arrived = advance(account, clock, START + DAY)
    assert (arrived.status, arrived.frozen_time) == ("ready", START + DAY)
    other = new_clock(account)
    assert [one.id for one in clocks.list().data] == [other.id, clock.id]

    assert clocks.delete(clock.id).to_dict() == {"id": clock.id, "object": "test_helpers.test_clock", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError, match="No such test clock"):
        clocks.retrieve(clock.id)
    assert [one.id for one in clocks.list().data] == [other.id]


def test_a_customer_and_its_subscriptions_live_by_the_clock(account: Account) -> None:
    clock = new_clock(account)
    customer = account.v1.customers.create({"name": "Ada", "test_clock": clock.id})
    price = new_price(account)
    subscription = new_subscription(account, customer.id, price.id)

    assert (customer.test_clock, customer.created) == (clock.id, START)
    assert (subscription.test_clock, subscription.start_date) == (clock.id, START)
    advance(account, clock, START + 40 * DAY)

    [item] = account.v1.subscriptions.retrieve(subscription.id)["items"].data
    assert (item.current_period_start, item.current_period_end) == (at("2027-02-28T09:30"), at("2027-03-31T09:30"))
    invoices = account.v1.invoices.list({"customer": customer.id}).data
    assert [(invoice.created, invoice.status) for invoice in invoices] == [
        (at("2027-02-28T09:30"), "open"),
        (START, "open"),
    ]
    # They are listed by their clock only.
    v1 = account.v1
    assert [len(v1.customers.list(params).data) for params in ({}, {"test_clock": clock.id})] == [0, 1]
    assert [
        len(v1.subscriptions.list(params).data) for params in ({}, {"test_clock": clock.id}, {"customer": customer.id})
    ] == [0, 1, 1]

    account.v1.test_helpers.test_clocks.delete(clock.id)
    assert account.v1.customers.retrieve(customer.id).deleted is True
    assert account.v1.subscriptions.retrieve(subscription.id).status == "canceled"


def test_what_a_clock_refuses(account: Account) -> None:
    clock = new_clock(account)
    customer = account.v1.customers.create({"test_clock": clock.id})
    price = new_price(account)
    new_subscription(account, customer.id, price.id)
    clocks = account.v1.test_helpers.test_clocks
    for target in (START, START - DAY, at("2027-03-31T09:31")):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            clocks.advance(clock.id, {"frozen_time": target})
        assert refusal.value.param == "frozen_time"
    clocks.advance(clock.id, {"frozen_time": at("2027-03-31T09:30")})
    changes: list[Callable[[], object]] = [
        lambda: account.v1.customers.update(customer.id, {"name": "B"}),
        lambda: account.v1.customers.create({"test_clock": clock.id}),
        lambda: new_subscription(account, customer.id, price.id),
        lambda: clocks.delete(clock.id),
    ]
    for change in changes:
        with pytest.raises(stripe.InvalidRequestError, match="advancing") as refusal:
            change()
        assert (refusal.value.http_status, refusal.value.code) == (400, "test_clock_advancing")
    run_test_clocks()
    account.v1.customers.update(customer.id, {"name": "B"})
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        account.v1.customers.update(customer.id, {"test_clock": clock.id})


def test_no_clock_in_live_mode(db: None) -> None:
    live = new_account(mode="live")
    with pytest.raises(stripe.InvalidRequestError, match="test environments only"):
        new_clock(live)
    assert not live.v1.test_helpers.test_clocks.list().data


@pytest.mark.django_db(transaction=True)
def test_an_advance_wakes_a_worker_and_does_not_need_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.run_test_clocks, "apply_async", lambda **options: woken.append(options))
    clock = new_clock(account)
    assert advance(account, clock, START + DAY).status == "ready"
    assert len(woken) == 1

    def gone(**_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.run_test_clocks, "apply_async", gone)
    assert advance(account, clock, START + 2 * DAY).status == "ready"


def test_a_trial_and_an_anchor_by_the_day(account: Account) -> None:
    clock = new_clock(account)
    customer = account.v1.customers.create({"test_clock": clock.id})
    price, meter = new_price(account), new_meter(account)
    trialing = new_subscription(
        account, customer.id, price.id, new_price(account, meter=meter.id).id,
        trial_period_days=7, trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
        payment_behavior="default_incomplete", off_session=True,
    )  # fmt: skip
    assert (trialing.status, trialing.trial_start, trialing.trial_end) == ("trialing", START, START + 7 * DAY)
    assert trialing.trial_settings.end_behavior.missing_payment_method == "pause"
    assert trialing.billing_cycle_anchor == START + 7 * DAY
    assert account.v1.invoices.retrieve(trialing.latest_invoice).total == 0
    anchored = new_subscription(
        account, customer.id, price.id, billing_cycle_anchor_config={"day_of_month": 15, "hour": 0},
    )  # fmt: skip
    assert anchored["items"].data[0].current_period_end == at("2027-02-15T00:30")
    assert anchored.billing_cycle_anchor_config.to_dict()["day_of_month"] == 15

    advance(account, clock, START + 8 * DAY)
    assert account.v1.subscriptions.retrieve(trialing.id).status == "paused"
    resumed = account.v1.subscriptions.resume(trialing.id, {"billing_cycle_anchor": {"type": "now"}})
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", START + 8 * DAY)
    paused = account.v1.subscriptions.pause(anchored.id, {"bill_for": {"outstanding_usage_through": {"type": "none"}}})
    assert paused.status == "paused"


def test_what_waits_for_its_first_invoice(account: Account) -> None:
    clock = new_clock(account)
    customer = account.v1.customers.create({"test_clock": clock.id})
    price = new_price(account)
    waiting = new_subscription(account, customer.id, price.id, payment_behavior="default_incomplete")
    paid = new_subscription(account, customer.id, price.id, payment_behavior="default_incomplete")
    at_once = new_subscription(account, customer.id, price.id, payment_behavior="error_if_incomplete")
    assert [waiting.status, paid.status, at_once.status] == ["incomplete", "incomplete", "active"]

    account.v1.invoices.pay(paid.latest_invoice, {"paid_out_of_band": True})
    advance(account, clock, START + DAY)

    retrieve = account.v1.subscriptions.retrieve
    assert [retrieve(one.id).status for one in (waiting, paid)] == ["incomplete_expired", "active"]
    assert account.v1.invoices.retrieve(waiting.latest_invoice).status == "void"


def test_a_clocks_life_is_told(account: Account) -> None:
    clock = new_clock(account)
    advance(account, clock, START + DAY)
    account.v1.test_helpers.test_clocks.delete(clock.id)

    events = account.v1.events.list({"limit": 100}).data[::-1]

    assert [event.type for event in events] == [
        f"test_helpers.test_clock.{verb}" for verb in ("created", "advancing", "ready", "deleted")
    ]
    assert events[2].data.object.frozen_time == START + DAY


def test_an_update_says_what_is_to_happen_and_when(account: Account) -> None:
    clock = new_clock(account)
    customer = account.v1.customers.create({"test_clock": clock.id})
    subscription = new_subscription(account, customer.id, new_price(account).id)
    end = at("2027-02-28T09:30")

    def update(**params: Any) -> Any:
        return account.v1.subscriptions.update(subscription.id, params)

    ending = update(cancel_at_period_end=True)
    assert (ending.status, ending.cancel_at, ending.canceled_at) == ("active", end, START)
    going = update(cancel_at_period_end=False)
    assert (going.cancel_at, going.canceled_at) == (None, None)
    assert update(cancel_at=START + DAY).cancel_at == START + DAY
    assert update(cancel_at="").cancel_at is None
    paused = update(pause_collection={"behavior": "void", "resumes_at": end + DAY}, metadata={"a": "b"})
    assert paused.pause_collection.to_dict() == {"behavior": "void", "resumes_at": end + DAY}
    assert (paused.status, paused.metadata.to_dict()) == ("active", {"a": "b"})
    assert update(pause_collection="").pause_collection is None
    trialing = update(trial_end=START + 9 * DAY, proration_behavior="none")
    assert (trialing.status, trialing.trial_end) == ("trialing", START + 9 * DAY)
    active = update(trial_end="now")
    assert (active.status, active.billing_cycle_anchor) == ("active", START)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"cancel_at": START}, "cancel_at"),
        ({"trial_end": START}, "trial_end"),
        ({"pause_collection": {"behavior": "void", "resumes_at": START}}, "pause_collection[resumes_at]"),
        ({"cancel_at": end, "cancel_at_period_end": True}, "cancel_at"),
        ({"pause_collection": {"behavior": "never"}}, "pause_collection[behavior]"),
    ]
    for params, param in refused:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            update(**params)
        assert refusal.value.param == param
    assert account.v1.subscriptions.retrieve(subscription.id).to_dict() == active.to_dict()
