"""/v2/billing/meter_events, through the SDK."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.sdk import is_a
from billing_project.api.stripe.v2.tests.conftest import Reporter
from usage.models import EventClaim, EventRejection, MeterEvent

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def code_of(reporter: Reporter, event: dict[str, Any]) -> str | None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reporter.v2.billing.meter_events.create(event)
    assert caught.value.http_status == 400
    return caught.value.code


def test_an_event_is_answered_with_what_was_taken(reporter: Reporter) -> None:
    event = reporter.v2.billing.meter_events.create(
        reporter.event("25", identifier="mine", timestamp=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    )
    assert is_a(event, stripe.v2.billing.MeterEvent)
    assert event.object == "v2.billing.meter_event"
    assert event.livemode is False
    assert event.payload.to_dict() == {"stripe_customer_id": reporter.customer, "value": "25"}
    assert RFC_3339.fullmatch(event.created)
    assert RFC_3339.fullmatch(event.timestamp)
    assert MeterEvent.objects.get().identifier == event.identifier == "mine"


def test_a_datetime_that_the_sdk_makes_an_integer_of_is_a_time_too(reporter: Reporter) -> None:
    at = int(time.time()) - 3600
    event = reporter.v2.billing.meter_events.create(reporter.event(timestamp=at))
    assert MeterEvent.objects.get().timestamp.timestamp() == at
    assert event.timestamp == datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def test_a_re_send_under_its_key_gets_the_first_answer(reporter: Reporter) -> None:
    options: Any = {"idempotency_key": "k"}
    first = reporter.v2.billing.meter_events.create(reporter.event(), options)
    again = reporter.v2.billing.meter_events.create(reporter.event(), options)
    assert again.to_dict() == first.to_dict()
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    with pytest.raises(stripe.IdempotencyError):
        reporter.v2.billing.meter_events.create(reporter.event("2"), options)
    assert MeterEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"event_name": "others"}, "no_meter"),
        ({"event_name": "a\0"}, "no_meter"),
        ({"payload": {"value": "1"}}, "payload_no_customer_defined"),
        ({"payload": {"stripe_customer_id": "CUSTOMER"}}, "payload_no_value_defined"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "many"}}, "payload_invalid_value"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1234567890123456"}}, "payload_invalid_value"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1", "note": "x" * 101}}, "payload_invalid_value"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": "1", "note": "\0"}}, "payload_invalid_value"),
        ({"timestamp": "2001-01-01T00:00:00Z"}, "timestamp_too_far_in_past"),
        ({"timestamp": "1999-01-01T00:00:00Z"}, "timestamp_too_far_in_past"),
        ({"timestamp": "9999-01-01T00:00:00Z"}, "timestamp_in_future"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "invalid_fields"),
        ({"timestamp": "2026-01-01T00:00:00"}, "invalid_fields"),
        ({"timestamp": 10**30}, "invalid_fields"),
        ({"timestamp": 1.5}, "invalid_fields"),
        ({"payload": {"stripe_customer_id": "CUSTOMER", "value": 1}}, "invalid_fields"),
        ({"payload": ["CUSTOMER"]}, "invalid_fields"),
        ({"payload": {"": "x"}}, "invalid_fields"),
        ({"event_name": ""}, "invalid_fields"),
        ({"event_name": "x" * 101}, "invalid_fields"),
        ({"identifier": "x" * 101}, "invalid_fields"),
        ({"value": "1"}, "parameter_unknown"),
        ({"payload": None}, "invalid_fields"),
    ],
)
def test_what_is_no_event(reporter: Reporter, fields: dict[str, Any], code: str) -> None:
    payload = fields.get("payload")
    if isinstance(payload, dict):
        fields = {"payload": {k: reporter.customer if v == "CUSTOMER" else v for k, v in payload.items()}}
    assert code_of(reporter, reporter.event() | fields) == code
    assert MeterEvent.objects.count() == EventClaim.objects.count() == EventRejection.objects.count() == 0


def test_a_missing_field_is_named(reporter: Reporter) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Missing required field: event_name"):
        reporter.v2.billing.meter_events.create({"payload": {}})


def test_a_closed_meter_and_a_known_identifier_have_their_codes(reporter: Reporter) -> None:
    reporter.v2.billing.meter_events.create(reporter.event(identifier="mine"))
    assert code_of(reporter, reporter.event(identifier="mine")) == "duplicate_meter_event"
    reporter.account.v1.billing.meters.deactivate(reporter.meter.id)
    assert code_of(reporter, reporter.event()) == "archived_meter"


def test_an_unknown_customer_is_taken_and_reported(reporter: Reporter) -> None:
    reporter.customer = "cus_nobody"
    assert reporter.v2.billing.meter_events.create(reporter.event(identifier="mine")).identifier == "mine"
    rejection = EventRejection.objects.get()
    assert (rejection.identifier, rejection.code) == ("mine", "meter_event_customer_not_found")
    assert rejection.message == "No such customer: 'cus_nobody'"
    assert MeterEvent.objects.count() == 0
