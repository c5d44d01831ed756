"""Nonsense in every property and parameter: refused or taken, but never a crash, and never a lie about what is stored."""

import json
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from billing_project.api.ledgerbee.tests.caller import Caller, error_of
from meters.models import Meter
from usage.models import MeterEvent

TEXTS = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=20),
    st.sampled_from(["", " ", "\0", "api_calls", "x" * 101, "x" * 5000, "\ud800", "2026-06-10T12:00:00Z", "null", "1"]),
)
NUMBERS = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**400), 10**400), st.just(1e308)
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
NAMES = ["value", "customerId", "meterId", "meterName", "timestamp", "metadata", "value ", "__proto__"]
CHANGES = st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=4)
MANY = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def sure(call: Caller, body: bytes | str, key: str) -> None:
    """Send a body and check that answer and database tell the same story."""
    before = MeterEvent.objects.count()
    response = call.report(body, key)

    stored = MeterEvent.objects.count() - before
    assert response.status_code in {200, 202, 400, 404}, response.content
    assert stored == (response.status_code == 202)
    if response.status_code == 202:
        event = MeterEvent.objects.get(identifier=json.loads(response.content)["requestId"])
        sent = json.loads(body, parse_float=Decimal)
        assert event.value == Decimal(sent["value"])
        assert len(event.payload) == 2 + len(sent.get("metadata") or {})
    elif response.status_code != 200:
        error_of(response)
        assert len(response.content) < 20_000


@MANY
@given(change=CHANGES, number=st.integers(0, 10**9))
def test_nonsense_in_a_good_body_never_crashes(
    call: Caller, meter: Meter, customer: Customer, change: dict[str, Any], number: int
) -> None:
    body = {"value": 1.25, "customerId": str(customer.pk), "meterName": meter.event_name, **change}
    sure(call, json.dumps(body), str(number))


@MANY
@given(value=VALUES)
def test_any_json_never_crashes(call: Caller, meter: Meter, value: Any) -> None:
    sure(call, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"), "k")


@MANY
@given(body=st.binary(max_size=60))
def test_any_bytes_never_crash(call: Caller, meter: Meter, body: bytes) -> None:
    response = call.report(body, "k", CONTENT_TYPE="application/json")
    assert response.status_code == 400
    error_of(response)


@MANY
@given(text=st.text(st.characters(codec="utf-8"), max_size=50))
def test_any_text_in_addresses_and_queries_never_crashes(call: Caller, meter: Meter, text: str) -> None:
    named = call("GET", "/api/v1/meters/subscriptions", query=f"meterName={quote(text)}")
    assert named.status_code in {200, 400, 404}
    by_id = call("GET", f"/api/v1/meters/{quote(text, safe='')}/subscriptions")
    assert by_id.status_code == 404
    by_key = call("GET", "/api/v1/api-key", headers={"x-api-key": ""}, query=f"x-api-key={quote(text)}")
    assert by_key.status_code == 401


@pytest.mark.parametrize("key", ["ключ", "\x7f", "a\x01b", "k" * 10_000, "'; DROP TABLE usage_eventclaim; --"])
def test_odd_keys_are_kept_or_refused(call: Caller, meter: Meter, customer: Customer, key: str) -> None:
    body = {"value": 1, "customerId": str(customer.pk), "meterName": meter.event_name}

    first, second = call.report(body, key), call.report(body, key)
    assert (first.status_code, second.status_code) in {(202, 200), (400, 400)}
    assert MeterEvent.objects.count() == (first.status_code == 202)
