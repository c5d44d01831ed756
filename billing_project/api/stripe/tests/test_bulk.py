"""/v1/billing/meter_events/bulk: backfills, line by line."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from accounts.models import Scope
from accounts.tests.factories import create_key
from billing_project.api.stripe.tests.builders import new_customer, new_meter
from billing_project.api.stripe.tests.sdk import Account
from usage.models import EventClaim, EventRejection, MeterEvent

PATH = "/v1/billing/meter_events/bulk"
NDJSON = "application/x-ndjson"


class Backfill:
    def __init__(self, account: Account) -> None:
        new_meter(account)
        self.customer = new_customer(account).id
        self.secret = account.secret

    def line(self, identifier: str = "i", **fields: Any) -> str:
        event = {
            "event_name": "calls",
            "payload": {"stripe_customer_id": self.customer, "value": "1"},
            "identifier": identifier,
            "timestamp": int(time.time()),
        }
        return json.dumps({name: value for name, value in (event | fields).items() if value is not None})

    def raw(self, body: bytes, kind: str = NDJSON, **headers: str) -> HttpResponse:
        sent = {"Authorization": f"Bearer {self.secret}", **headers}
        client = Client(raise_request_exception=False)
        return client.generic("POST", PATH, body, kind, headers=sent)  # type: ignore[return-value]

    def send(self, *lines: str) -> dict[str, Any]:
        response = self.raw("\n".join(lines).encode())
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = json.loads(response.content)
        return answer


@pytest.fixture
def backfill(account: Account) -> Backfill:
    return Backfill(account)


def test_each_line_has_its_result(backfill: Backfill) -> None:
    answer = backfill.send(
        backfill.line("a"), "", backfill.line("b", event_name="others"), backfill.line("a"), "{", backfill.line("c")
    )
    assert answer["object"] == "billing.meter_event_bulk"
    assert (answer["accepted"], answer["duplicate"], answer["refused"]) == (2, 1, 2)
    assert [(result["line"], result["identifier"], result["status"]) for result in answer["results"]] == [
        (1, "a", "accepted"),
        (3, "b", "refused"),
        (4, "a", "duplicate"),
        (5, None, "refused"),
        (6, "c", "accepted"),
    ]
    assert answer["results"][1]["error"] == {
        "message": 'No active meter found for event name "others".',
        "param": "event_name",
        "type": "invalid_request_error",
    }
    assert {(event.identifier, event.source) for event in MeterEvent.objects.all()} == {("a", "bulk"), ("c", "bulk")}


def test_a_second_run_counts_nothing_again(backfill: Backfill) -> None:
    lines = [backfill.line(str(number)) for number in range(2500)]
    assert backfill.send(*lines[:1200])["accepted"] == 1200
    again = backfill.send(*lines)
    assert (again["accepted"], again["duplicate"]) == (1300, 1200)
    assert MeterEvent.objects.count() == EventClaim.objects.count() == 2500


def test_usage_of_any_age_needs_the_right_to_write_usage(account: Account, backfill: Backfill) -> None:
    old = [backfill.line("a", timestamp="2004-02-29T12:00:00+05:30"), backfill.line("b", timestamp=946684800)]
    too_old = backfill.line("c", timestamp="1999-12-31T23:59:59Z")
    future = backfill.line("d", timestamp=int(time.time()) + 600)
    backfill.secret = create_key(account.environment, Scope.METER_REPORT)[1]
    assert backfill.send(*old, too_old, future)["refused"] == 4
    backfill.secret = account.secret
    answer = backfill.send(*old, too_old, future)
    assert [result["status"] for result in answer["results"]] == ["accepted", "accepted", "refused", "refused"]
    assert MeterEvent.objects.get(identifier="a").timestamp == datetime(2004, 2, 29, 6, 30, tzinfo=UTC)


def test_only_a_key_that_reports_may(account: Account, backfill: Backfill) -> None:
    backfill.secret = create_key(account.environment, Scope.USAGE_WRITE, Scope.USAGE_READ)[1]
    assert backfill.raw(backfill.line().encode()).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": None},
        {"identifier": ""},
        {"identifier": "x" * 101},
        {"identifier": "nul\0"},
        {"timestamp": None},
        {"timestamp": "yesterday"},
        {"timestamp": -1},
        {"timestamp": 10**40},
        {"event_name": 1},
        {"payload": {"value": 1}},
        {"payload": []},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_bad_line_fails_alone(backfill: Backfill, change: dict[str, Any]) -> None:
    answer = backfill.send(
        backfill.line("first"), backfill.line(**{"identifier": "bad"} | change), backfill.line("last")
    )
    assert [result["status"] for result in answer["results"]] == ["accepted", "refused", "accepted"]
    assert answer["results"][1]["error"]["message"]
    assert MeterEvent.objects.count() == 2


def test_an_unknown_customer_is_refused_and_not_reported(backfill: Backfill) -> None:
    backfill.customer = "cus_nobody"
    (result,) = backfill.send(backfill.line())["results"]
    assert result["error"]["code"] == "resource_missing"
    assert not EventRejection.objects.exists()


HOSTILE: dict[str, Callable[[Backfill], HttpResponse]] = {
    "empty": lambda backfill: backfill.raw(b""),
    "blank": lambda backfill: backfill.raw(b"\n\r\n \n"),
    "a form": lambda backfill: backfill.raw(b"a=b", "application/x-www-form-urlencoded"),
    "JSON": lambda backfill: backfill.raw(b"{}", "application/json"),
    "10,001 lines": lambda backfill: backfill.raw(b"{}\n" * 10_001),
    "10 MB": lambda backfill: backfill.raw(b"x" * 10_000_000),
}


@pytest.mark.parametrize("send", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_bulk_is_refused(backfill: Backfill, send: Callable[[Backfill], HttpResponse]) -> None:
    response = send(backfill)
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["type"] == "invalid_request_error"
    assert not EventClaim.objects.exists()


@pytest.mark.parametrize(
    "line", [b"\xff", b"[" * 500_000, b'{"a":' * 300_000, b'"\\ud800"', b"\0", b"1e9999999", b"null"]
)
def test_a_hostile_line_fails_alone(backfill: Backfill, line: bytes) -> None:
    response = backfill.raw(line + b"\n" + backfill.line().encode())
    assert [result["status"] for result in json.loads(response.content)["results"]] == ["refused", "accepted"]


def test_a_body_larger_than_a_form_may_be(backfill: Backfill) -> None:
    """Django's own limit of 2.5 MB is for forms."""
    padding = {f"k{number}": "x" * 100 for number in range(4)}
    payload = {"stripe_customer_id": backfill.customer, "value": "1", **padding}
    lines = [backfill.line(str(number), payload=payload) for number in range(6_000)]
    assert sum(map(len, lines)) > 3_000_000
    assert backfill.send(*lines)["accepted"] == 6_000


def test_the_year_is_in_the_answer_of_old_usage(account: Account, backfill: Backfill) -> None:
    at = timezone.now() - timedelta(days=800)
    start = int(at.timestamp()) // 3600 * 3600
    assert backfill.send(backfill.line(timestamp=start))["accepted"] == 1
    meter: Any = account.v1.billing.meters.list().data[0]
    rows = account.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": backfill.customer, "start_time": start, "end_time": start + 3600}
    )
    assert rows.data[0].aggregated_value == 1
