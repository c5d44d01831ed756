"""The short way must not show but in its speed: what it answers is what the long way answers."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from pytest_django import Settings

from billing_project.api.stripe.tests.builders import new_customer, new_meter
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.urls import hot_views
from billing_project.short_way import Application, ShortWay
from usage.models import MeterEvent

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
V1, V2, STREAM = "/v1/billing/meter_events", "/v2/billing/meter_events", "/v2/billing/meter_event_stream"
# Different in each answer, or in each of two events.
CHANGING = ("Request-Id", "Original-Request", "Content-Length")


class Answer:
    def __init__(self, application: Application, environ: dict[str, Any]) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        self.body = json.loads(b"".join(application(environ, self._start)))

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        names = [name for name, _ in headers]
        assert len(names) == len(set(names))
        self.status, self.headers = status, dict(headers)

    def said(self) -> tuple[str, dict[str, str], Any]:
        """What it says, but for what differs from one answer to the next."""
        headers = {name: text for name, text in self.headers.items() if name not in CHANGING}
        body = {name: value for name, value in self.body.items() if name not in {"identifier", "created", "timestamp"}}
        return self.status, headers, body


def environ(account: Account, path: str, body: str, **others: Any) -> dict[str, Any]:
    encoded = body.encode()
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "HTTP_AUTHORIZATION": f"Bearer {account.secret}",
        "CONTENT_TYPE": FORM if path == V1 else JSON,
        "CONTENT_LENGTH": str(len(encoded)),
        "wsgi.input": io.BytesIO(encoded),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        **others,
    }


class Walked:
    """Notes which requests went the long way."""

    def __init__(self) -> None:
        self.django = WSGIHandler()
        self.long = 0
        self.short = ShortWay(self._walk, hot_views)

    def _walk(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        self.long += 1
        return self.django(environ, start_response)


@pytest.fixture(autouse=True)
def _one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both ways look after the connection as a request begins, and would take the test's own for one left in disorder.
    monkeypatch.setattr(connections["default"], "close_if_unusable_or_obsolete", lambda: None)


@pytest.fixture
def walked() -> Walked:
    return Walked()


@pytest.fixture
def customer(account: Account) -> str:
    new_meter(account)
    return str(new_customer(account).id)


def form(customer: str, **others: str) -> str:
    pairs = {"event_name": "calls", "payload[stripe_customer_id]": customer, "payload[value]": "3", **others}
    return "&".join(f"{name}={value}" for name, value in pairs.items())


def event(customer: str, **others: str) -> dict[str, Any]:
    return {"event_name": "calls", "payload": {"stripe_customer_id": customer, "value": "3"}, **others}


def both(walked: Walked, account: Account, path: str, body: str, **others: Any) -> Answer:
    """Answers of both ways, which must say the same; the short one's."""
    long = Answer(walked.django, environ(account, path, body, **others))
    short = Answer(walked.short, environ(account, path, body, **others))
    assert short.said() == long.said()
    assert short.headers.keys() == long.headers.keys()
    assert short.headers["Content-Length"] == str(
        len(json.dumps(short.body, separators=(",", ":"), ensure_ascii=False).encode())
    )
    assert short.headers["Request-Id"] != long.headers["Request-Id"]
    return short


def test_given_good_events_then_both_ways_answer_alike_and_store(
    account: Account, walked: Walked, customer: str
) -> None:
    token = account.sdk.v2.billing.meter_event_session.create().authentication_token
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {token}"}

    answers = [
        both(walked, account, V1, form(customer), HTTP_STRIPE_VERSION="2026-08-26.dahlia"),
        both(walked, account, V2, json.dumps(event(customer))),
        both(walked, account, STREAM, json.dumps({"events": [event(customer)] * 2}), **bearer),
    ]

    assert [answer.status for answer in answers] == ["200 OK"] * 3
    assert answers[0].headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert answers[0].headers["X-Content-Type-Options"] == "nosniff"
    assert MeterEvent.objects.count() == 2 + 2 + 4
    assert walked.long == 0


def test_given_a_re_send_then_the_short_way_gives_the_first_answer(
    account: Account, walked: Walked, customer: str
) -> None:
    answers = [
        Answer(walked.short, environ(account, V1, form(customer), HTTP_IDEMPOTENCY_KEY="again")) for _ in range(2)
    ]

    assert answers[0].body == answers[1].body
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert answers[1].headers["Original-Request"] == answers[0].headers["Request-Id"]
    assert answers[1].headers["Idempotency-Key"] == "again"
    assert MeterEvent.objects.count() == 1


@pytest.mark.parametrize("path", [V1, V2, STREAM])
@pytest.mark.parametrize(
    ("body", "others"),
    [
        ("", {}),
        ("event_name=none&payload[value]=1", {}),
        (json.dumps({"event_name": "none", "payload": {}}), {}),
        ("{", {}),
        ("x", {"CONTENT_TYPE": "text/plain"}),
        ("", {"HTTP_AUTHORIZATION": ""}),
        ("", {"HTTP_AUTHORIZATION": "Bearer sk_test_nobody"}),
        ("", {"HTTP_STRIPE_ACCOUNT": "acct_other"}),
        ("", {"HTTP_IDEMPOTENCY_KEY": "k" * 256}),
        ("", {"CONTENT_LENGTH": "99999999"}),
    ],
)
def test_given_a_bad_request_then_both_ways_refuse_it_alike(
    account: Account, walked: Walked, path: str, body: str, others: dict[str, str]
) -> None:
    answer = both(walked, account, path, body, **others)

    assert answer.status[0] == "4"
    assert answer.body["error"]["message"]
    assert MeterEvent.objects.count() == 0
    assert walked.long == 0


def test_given_what_nobody_foresaw_then_the_short_way_says_so_in_the_vendors_shape(
    account: Account, walked: Walked, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("billing_project.api.stripe.meter_events.accept_event", fail)

    answer = both(walked, account, V1, form(customer))

    assert answer.status == "500 Internal Server Error"
    assert answer.body["error"]["type"] == "api_error"


def test_given_a_foreign_host_then_the_long_way_refuses_it(account: Account, walked: Walked, customer: str) -> None:
    for host in ("evil.example", ""):
        answer = both(walked, account, V1, form(customer), HTTP_HOST=host)
        assert answer.status == "400 Bad Request"

    assert walked.long == 2
    assert MeterEvent.objects.count() == 0


def test_given_https_only_then_plain_http_is_refused_and_a_proxys_word_is_heard(
    account: Account, customer: str, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 3600
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # The chain reads its settings once.
    walked = Walked()

    plain = both(walked, account, V1, form(customer))
    secure = both(walked, account, V1, form(customer), HTTP_X_FORWARDED_PROTO="https")

    assert (plain.status, walked.long) == ("403 Forbidden", 1)
    assert secure.status == "200 OK"
    assert secure.headers["Strict-Transport-Security"].startswith("max-age=3600")
    assert MeterEvent.objects.count() == 2


def test_given_other_methods_and_addresses_then_they_go_the_long_way(account: Account, walked: Walked) -> None:
    both(walked, account, V1, "", REQUEST_METHOD="GET")
    both(walked, account, "/v1/billing/meters", "")

    assert walked.long == 2
