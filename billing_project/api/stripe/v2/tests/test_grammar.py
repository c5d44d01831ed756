"""What holds for every call below /v2: hostile bytes, and refusals in v2's envelope."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from billing_project.api.stripe.tests.test_errors import LEAVES
from billing_project.api.stripe.v2 import errors
from billing_project.api.stripe.v2.tests.conftest import Reporter
from core.errors import BillingError
from usage.models import EventClaim, EventRejection, MeterEvent

JSON = "application/json"
POSTS = ["meter_events", "meter_event_stream", "meter_event_session", "meter_event_adjustments"]


class Caller:
    def __init__(self, reporter: Reporter) -> None:
        self.client = Client(raise_request_exception=False)
        self.secrets = dict.fromkeys(POSTS, reporter.account.secret)
        self.secrets["meter_event_stream"] = reporter.session().authentication_token

    def __call__(self, name: str, body: bytes, kind: str = JSON, method: str = "POST", **headers: str) -> HttpResponse:
        sent = {"Authorization": f"Bearer {self.secrets[name]}", **headers}
        return self.client.generic(method, f"/v2/billing/{name}", body, kind, headers=sent)  # type: ignore[return-value]


@pytest.fixture
def call(reporter: Reporter) -> Caller:
    return Caller(reporter)


def error_of(response: HttpResponse) -> dict[str, str]:
    assert response.headers["Content-Type"] == JSON
    assert response.headers["Request-Id"].startswith("req_")
    error: dict[str, str] = json.loads(response.content)["error"]
    assert error["code"]
    assert error["message"]
    assert set(error) <= {"code", "message", "type"}
    return error


HOSTILE: dict[str, bytes] = {
    "no JSON": b"events=1",
    "cut short": b'{"events": [',
    "not UTF-8": b'{"event_name": "\xff"}',
    "lone surrogate": rb'{"event_name": "\ud800", "payload": {}, "type": "cancel"}',
    "array": b"[]",
    "text": b'"x"',
    "null": b"null",
    "number": b"1e999999",
    "deep array": b"[" * 200_000,
    "deep hash": b'{"a":' * 200_000,
    "deep payload": b'{"event_name": "calls", "payload": {"a":' + b"[" * 100_000,
    "unknown": b'{"\\u0000": 1}',
    "huge number": b'{"event_name": "calls", "payload": {}, "timestamp": 1' + b"0" * 5000 + b"}",
    "10 MB": b'{"event_name": "' + b"x" * 10_000_000 + b'"}',
    "events of events": b'{"events": [{"events": []}]}',
}


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_bodies_are_refused_and_change_nothing(call: Caller, name: str, body: bytes) -> None:
    response = call(name, body)
    assert response.status_code == 400, response.content
    error_of(response)
    assert MeterEvent.objects.count() == EventClaim.objects.count() == EventRejection.objects.count() == 0


def test_the_stream_answers_with_an_empty_object(call: Caller) -> None:
    """The SDK cannot read an empty body, and hides this one."""
    response = call("meter_event_stream", b'{"events": [{"event_name": "calls", "payload": {}}]}')
    assert (response.status_code, response.content) == (200, b"{}")


@pytest.mark.parametrize("name", POSTS)
def test_another_content_type_is_refused(call: Caller, name: str) -> None:
    error_of(call(name, b"{}", "application/x-www-form-urlencoded"))


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer nope", "Basic !", "Digest x"])
def test_without_a_key_nothing_opens(call: Caller, name: str, authorization: str) -> None:
    response = call(name, b"{}", Authorization=authorization)
    assert response.status_code == 401
    assert error_of(response)["code"] == "unauthenticated"


@pytest.mark.parametrize("name", POSTS)
def test_another_account_is_refused(call: Caller, name: str) -> None:
    response = call(name, b"{}", **{"Stripe-Context": "acct_1"})
    assert (response.status_code, error_of(response)["code"]) == (403, "account_invalid")


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_other_methods_are_no_addresses(call: Caller, name: str, method: str) -> None:
    response = call(name, b"", method=method)
    assert response.status_code == 404
    if method != "HEAD":
        assert error_of(response)["code"] == "url_invalid"


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/billing", "/v2/billing/meter_events/", "/v2/x\n"])
def test_what_is_not_there_is_said_in_v2s_words(reporter: Reporter, path: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {reporter.account.secret}"})
    response: Any = client.get(path)
    assert response.status_code == 404
    assert error_of(response)["code"] == "url_invalid"


@pytest.mark.parametrize("key", ["x" * 256, "a\x01"])
def test_a_bad_idempotency_key_is_refused(call: Caller, key: str) -> None:
    for name in ("meter_events", "meter_event_adjustments"):
        body = b'{"event_name": "calls", "payload": {}, "identifier": "x"}'
        if name != "meter_events":
            body = b'{"event_name": "calls", "type": "cancel", "cancel": {"identifier": "x"}}'
        response = call(name, body, **{"Idempotency-Key": key})
        assert response.status_code == 400
        assert "Idempotency-Key" in error_of(response)["message"]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_every_code_is_a_text_of_ours(error: type[BillingError]) -> None:
    code = next((errors.CODES[family] for family in error.__mro__ if family in errors.CODES), "")
    assert code == code.lower()
