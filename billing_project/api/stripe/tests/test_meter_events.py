"""/v1/billing/meter_events, through the SDK."""

import time
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer, new_meter, report
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from usage.models import EventClaim, EventRejection, MeterEvent


def test_an_event_is_answered_with_what_was_taken(account: Account) -> None:
    new_meter(account)
    customer = new_customer(account)
    at = int(time.time()) - 60

    event = report(account, "calls", customer.id, "25", identifier="mine", timestamp=at)

    assert is_a(event, stripe.billing.MeterEvent)
    assert event.to_dict() == {
        "object": "billing.meter_event",
        "created": event.created,
        "event_name": "calls",
        "identifier": "mine",
        "livemode": False,
        "payload": {"stripe_customer_id": customer.id, "value": "25"},
        "timestamp": at,
    }
    assert abs(event.created - time.time()) < 10
    assert MeterEvent.objects.get().identifier == "mine"


def test_what_is_left_out_is_filled_in(account: Account) -> None:
    new_meter(account)
    event = report(account, "calls", new_customer(account).id)
    assert event.identifier
    assert abs(event.timestamp - time.time()) < 10


def test_an_identifier_counts_once(account: Account) -> None:
    new_meter(account)
    customer = new_customer(account).id
    report(account, "calls", customer, identifier="mine")
    error = refused(lambda: report(account, "calls", customer, "2", identifier="mine"))
    assert (error.http_status, error.code) == (400, "resource_already_exists")
    assert error.user_message == "An event already exists with identifier mine."
    assert MeterEvent.objects.count() == 1


def test_a_re_send_under_its_key_gets_the_first_answer(account: Account) -> None:
    new_meter(account)
    event: Any = {"event_name": "calls", "payload": {"stripe_customer_id": new_customer(account).id, "value": "1"}}
    options: Any = {"idempotency_key": "k"}
    events = account.v1.billing.meter_events

    first = events.create(event, options)
    again = events.create(event, options)

    assert again.to_dict() == first.to_dict()
    assert first.last_response.headers["Idempotency-Key"] == "k"
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert again.last_response.headers["Request-Id"] != first.last_response.headers["Request-Id"]
    assert MeterEvent.objects.count() == 1

    with pytest.raises(stripe.IdempotencyError) as caught:
        events.create({**event, "identifier": "another"}, options)
    assert caught.value.http_status == 400
    assert MeterEvent.objects.count() == 1
    # Events are many: they leave nothing in the general store.
    assert not account.environment.idempotency_records.filter(key="k").exists()


def test_a_refused_event_does_not_use_up_its_key(account: Account) -> None:
    options: Any = {"idempotency_key": "k"}
    event: Any = {"event_name": "calls", "payload": {"stripe_customer_id": new_customer(account).id, "value": "1"}}
    events = account.v1.billing.meter_events
    assert refused(lambda: events.create(event, options)).user_message == (
        'No active meter found for event name "calls".'
    )
    new_meter(account)
    assert events.create(event, options).event_name == "calls"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"event_name": None}, "event_name"),
        ({"event_name": "x" * 101}, "event_name"),
        ({"event_name": "others"}, "event_name"),
        ({"payload": None}, "payload"),
        ({"payload": "x"}, "payload"),
        ({"payload": {"value": "1"}}, "payload[stripe_customer_id]"),
        ({"payload": {"stripe_customer_id": "", "value": "1"}}, "payload[stripe_customer_id]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "many"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "NaN"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1234567890123456"}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1", "note": "x" * 101}}, "payload[note]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": {"a": "1"}}}, "payload[value]"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1", "k" * 101: "x"}}, "payload"),
        ({"identifier": ""}, "identifier"),
        ({"identifier": "x" * 101}, "identifier"),
        ({"timestamp": "now"}, "timestamp"),
        ({"timestamp": int(time.time()) - 36 * 86400}, "timestamp"),
        ({"timestamp": int(time.time()) + 86_400}, "timestamp"),
        ({"value": "1"}, "value"),
        ({"expand": ["payload"]}, "expand"),
    ],
)
def test_what_is_no_event(account: Account, fields: dict[str, Any], param: str) -> None:
    new_meter(account)
    customer = new_customer(account).id
    if isinstance(fields.get("payload"), dict):
        fields = {"payload": {k: customer if v == "CUSTOMER" else v for k, v in fields["payload"].items()}}

    error = refused(lambda: report(account, "calls", customer, **fields))

    assert (error.http_status, error.param) == (400, param)
    assert MeterEvent.objects.count() == EventClaim.objects.count() == EventRejection.objects.count() == 0


def test_a_closed_meter_takes_nothing(account: Account) -> None:
    meter = new_meter(account)
    account.v1.billing.meters.deactivate(meter.id)
    error = refused(lambda: report(account, "calls", new_customer(account).id))
    assert error.user_message == 'No active meter found for event name "calls".'


def test_an_unknown_customer_is_taken_and_reported(account: Account) -> None:
    new_meter(account)
    event = report(account, "calls", "cus_nobody", identifier="mine")
    assert event.identifier == "mine"
    assert MeterEvent.objects.count() == 0
    rejection = EventRejection.objects.get()
    assert (rejection.identifier, rejection.code) == ("mine", "meter_event_customer_not_found")


@pytest.mark.parametrize("value", ["0", "-3", "0.000001", "+7", "123456789012345"])
def test_decimals_and_corrections_are_values(account: Account, value: str) -> None:
    new_meter(account)
    assert report(account, "calls", new_customer(account).id, value).payload["value"] == value
