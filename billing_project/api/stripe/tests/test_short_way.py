"""The short way must not show but in its speed: what it answers is what the long way answers."""

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http.response import HttpResponseBase
from pytest_django import Settings

from billing_project.api.stripe.tests.builders import new_customer, new_meter
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.urls import hot_views
from billing_project.serving.application import Application
from billing_project.serving.messages import Scope
from usage.models import MeterEvent

pytestmark = pytest.mark.django_db(transaction=True)

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
V1, V2, STREAM = "/v1/billing/meter_events", "/v2/billing/meter_events", "/v2/billing/meter_event_stream"
# Different in each answer, or in each of two events.
CHANGING = ("request-id", "original-request", "content-length")


class Answer:
    """What an application says to a request."""

    def __init__(self, application: Application, scope: Scope, body: bytes) -> None:
        self._said: list[dict[str, Any]] = []
        self._body = body
        asyncio.run(application(scope, self._receive, self._send))
        names = [name.decode() for name, _ in self._said[0]["headers"]]
        assert len(names) == len(set(names))
        assert [message["more_body"] for message in self._said[1:]] == [False]
        self.status: int = self._said[0]["status"]
        self.headers = {name.decode(): text.decode() for name, text in self._said[0]["headers"]}
        self.body = json.loads(self._said[1]["body"])

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def _send(self, message: dict[str, Any]) -> None:
        self._said.append(message)

    def said(self) -> tuple[int, dict[str, str], Any]:
        """What it says, but for what differs from one answer to the next."""
        headers = {name: text for name, text in self.headers.items() if name not in CHANGING}
        body = {name: value for name, value in self.body.items() if name not in {"identifier", "created", "timestamp"}}
        return self.status, headers, body


class Ways:
    """The application with and without a short way. Notes which requests went the long way."""

    def __init__(self, thread: Executor) -> None:
        self.django = WSGIHandler()
        self.long = 0
        self._short = Application(self._walk, hot_views, threads=thread, lanes=thread, batch_thread=thread)
        self._long = Application(self.django, {}, threads=thread, lanes=thread, batch_thread=thread)

    def _walk(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        self.long += 1
        return self.django(environ, start_response)

    def short(self, account: Account, path: str, body: str, method: str = "POST", **headers: str) -> Answer:
        return self._ask(self._short, account, path, body, method, headers)

    def both(self, account: Account, path: str, body: str, method: str = "POST", **headers: str) -> Answer:
        """Answers of both ways, which must say the same; the short one's."""
        long = self._ask(self._long, account, path, body, method, headers)
        short = self._ask(self._short, account, path, body, method, headers)
        assert short.said() == long.said()
        assert short.headers.keys() == long.headers.keys()
        length = len(json.dumps(short.body, separators=(",", ":"), ensure_ascii=False).encode())
        assert short.headers["content-length"] == str(length)
        assert short.headers["request-id"] != long.headers["request-id"]
        return short

    def _ask(
        self, application: Application, account: Account, path: str, body: str, method: str, headers: dict[str, str]
    ) -> Answer:
        encoded = body.encode()
        sent = {
            "host": "testserver",
            "authorization": f"Bearer {account.secret}",
            "content-type": FORM if path == V1 else JSON,
            "content-length": str(len(encoded)),
            **{name.replace("_", "-"): text for name, text in headers.items()},
        }
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "client": ("127.0.0.1", 40000),
            "server": ("testserver", 80),
            "headers": [(name.encode(), text.encode()) for name, text in sent.items()],
        }
        return Answer(application, scope, encoded)


@pytest.fixture
def thread() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread
        thread.submit(connections.close_all).result()


@pytest.fixture
def ways(thread: Executor) -> Ways:
    return Ways(thread)


@pytest.fixture
def customer(account: Account) -> str:
    new_meter(account)
    return str(new_customer(account).id)


def form(customer: str, **others: str) -> str:
    pairs = {"event_name": "calls", "payload[stripe_customer_id]": customer, "payload[value]": "3", **others}
    return "&".join(f"{name}={value}" for name, value in pairs.items())


def event(customer: str, **others: str) -> dict[str, Any]:
    return {"event_name": "calls", "payload": {"stripe_customer_id": customer, "value": "3"}, **others}


def test_given_good_events_then_both_ways_answer_alike_and_store(account: Account, ways: Ways, customer: str) -> None:
    token = account.sdk.v2.billing.meter_event_session.create().authentication_token
    bearer = {"authorization": f"Bearer {token}"}

    answers = [
        ways.both(account, V1, form(customer), stripe_version="2026-08-26.dahlia"),
        ways.both(account, V2, json.dumps(event(customer))),
        ways.both(account, STREAM, json.dumps({"events": [event(customer)] * 2}), **bearer),
    ]

    assert [answer.status for answer in answers] == [200] * 3
    assert answers[0].headers["stripe-version"] == "2026-08-26.dahlia"
    assert answers[0].headers["x-content-type-options"] == "nosniff"
    assert MeterEvent.objects.count() == 2 + 2 + 4
    assert ways.long == 0


def test_given_a_re_send_then_the_short_way_gives_the_first_answer(account: Account, ways: Ways, customer: str) -> None:
    answers = [ways.short(account, V1, form(customer), idempotency_key="again") for _ in range(2)]

    assert answers[0].body == answers[1].body
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[1].headers["original-request"] == answers[0].headers["request-id"]
    assert answers[1].headers["idempotency-key"] == "again"
    assert MeterEvent.objects.count() == 1


@pytest.mark.parametrize("path", [V1, V2, STREAM])
@pytest.mark.parametrize(
    ("body", "others"),
    [
        ("", {}),
        ("event_name=none&payload[value]=1", {}),
        (json.dumps({"event_name": "none", "payload": {}}), {}),
        ("{", {}),
        ("x", {"content_type": "text/plain"}),
        ("", {"authorization": ""}),
        ("", {"authorization": "Bearer sk_test_nobody"}),
        ("", {"stripe_account": "acct_other"}),
        ("", {"idempotency_key": "k" * 256}),
        ("", {"content_length": "99999999"}),
    ],
)
def test_given_a_bad_request_then_both_ways_refuse_it_alike(
    account: Account, ways: Ways, path: str, body: str, others: dict[str, str]
) -> None:
    answer = ways.both(account, path, body, **others)

    assert 400 <= answer.status < 500
    assert answer.body["error"]["message"]
    assert MeterEvent.objects.count() == 0
    # What says that it is large is not taken in at once.
    assert ways.long == ("content_length" in others)


def test_given_what_nobody_foresaw_then_the_short_way_says_so_in_the_vendors_shape(
    account: Account, ways: Ways, customer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("billing_project.api.stripe.meter_events.accept_event", fail)

    answer = ways.both(account, V1, form(customer))

    assert answer.status == 500
    assert answer.body["error"]["type"] == "api_error"


def test_given_a_foreign_host_then_the_long_way_refuses_it(account: Account, ways: Ways, customer: str) -> None:
    for host in ("evil.example", ""):
        answer = ways.both(account, V1, form(customer), host=host)
        assert answer.status == 400

    assert ways.long == 2
    assert MeterEvent.objects.count() == 0


def test_given_https_only_then_plain_http_is_refused_and_a_proxys_word_is_heard(
    account: Account, customer: str, settings: Settings, thread: Executor
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 3600
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # The chain reads its settings once.
    ways = Ways(thread)

    plain = ways.both(account, V1, form(customer))
    secure = ways.both(account, V1, form(customer), x_forwarded_proto="https")

    assert (plain.status, ways.long) == (403, 1)
    assert secure.status == 200
    assert secure.headers["strict-transport-security"].startswith("max-age=3600")
    assert MeterEvent.objects.count() == 2


def test_given_other_methods_and_addresses_then_they_go_the_long_way(account: Account, ways: Ways) -> None:
    ways.both(account, V1, "", method="GET")
    ways.both(account, "/v1/billing/meters", "")

    assert ways.long == 2
