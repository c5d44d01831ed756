"""The session and the stream: what opens it, and what becomes of good and bad events."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import stripe
from django.utils import timezone

from accounts.models import ApiKey, Scope
from accounts.services import revoke_api_key
from billing_project.api.stripe.tests.sdk import is_a, new_account, sdk
from billing_project.api.stripe.v2.tests.conftest import Reporter
from usage.models import EventClaim, EventRejection, MeterEvent


def nothing_stored() -> bool:
    return not (MeterEvent.objects.exists() or EventClaim.objects.exists() or EventRejection.objects.exists())


def refused(reporter: Reporter, token: str, kind: type[stripe.StripeError] = stripe.AuthenticationError) -> Any:
    with pytest.raises(kind) as caught:
        reporter.stream(reporter.event(), token=token)
    assert caught.value.http_status == 401
    assert nothing_stored()
    return caught.value


# --- sessions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["test", "live"])
def test_a_session_lasts_fifteen_minutes(db: None, mode: str) -> None:
    session: Any = new_account(mode=mode).sdk.v2.billing.meter_event_session.create()
    assert is_a(session, stripe.v2.billing.MeterEventSession)
    assert session.livemode is (mode == "live")
    created, expires = datetime.fromisoformat(session.created), datetime.fromisoformat(session.expires_at)
    assert expires - created == timedelta(minutes=15)
    assert abs(created - datetime.now(UTC)) < timedelta(seconds=10)
    assert re.fullmatch(r"mes_\w{26}", session.id)


def test_a_session_opens_nothing_but_the_stream(reporter: Reporter) -> None:
    client: Any = sdk(reporter.session().authentication_token)
    for call in (
        client.v1.customers.list,
        lambda: client.v1.billing.meter_events.create(reporter.event()),
        lambda: client.v2.billing.meter_events.create(reporter.event()),
        client.v2.billing.meter_event_session.create,
        lambda: client.v2.billing.meter_event_adjustments.create(
            {"event_name": "calls", "type": "cancel", "cancel": {"identifier": "x"}}
        ),
    ):
        with pytest.raises(stripe.AuthenticationError):
            call()
    assert nothing_stored()


@pytest.mark.parametrize("change", ["", "x", "session_", "session_x", "session_é", "session_YQ:YQ"])
def test_a_made_up_token_opens_nothing(reporter: Reporter, change: str) -> None:
    if change:
        refused(reporter, change if change != "session_é" else "session_" + chr(233))
    token = reporter.session().authentication_token
    refused(reporter, token[:-1] + ("A" if token[-1] != "A" else "B"))
    refused(reporter, token[:12] + ("A" if token[12] != "A" else "B") + token[13:])


def test_an_api_key_does_not_open_the_stream(reporter: Reporter) -> None:
    refused(reporter, reporter.account.secret)


def test_an_expired_session_says_so(reporter: Reporter) -> None:
    token = reporter.session().authentication_token
    later = timezone.now() + timedelta(minutes=15)
    with patch.object(timezone, "now", return_value=later - timedelta(seconds=2)):
        reporter.stream(reporter.event(), token=token)
    MeterEvent.objects.all().delete()
    EventClaim.objects.all().delete()
    with patch.object(timezone, "now", return_value=later):
        error = refused(reporter, token, stripe.TemporarySessionExpiredError)
    assert error.code == "billing_meter_event_session_expired"


def test_what_is_taken_from_the_key_is_taken_from_its_sessions(reporter: Reporter) -> None:
    token, key = reporter.session().authentication_token, reporter.account.key
    ApiKey.objects.filter(pk=key.pk).update(scopes=[Scope.USAGE_READ])
    with pytest.raises(stripe.PermissionError):
        reporter.stream(reporter.event(), token=token)
    ApiKey.objects.filter(pk=key.pk).update(scopes=[Scope.METER_REPORT], allowed_ips=["192.0.2.1"])
    with pytest.raises(stripe.PermissionError):
        reporter.stream(reporter.event(), token=token)
    ApiKey.objects.filter(pk=key.pk).update(allowed_ips=[], expires_at=timezone.now())
    refused(reporter, token)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=None)
    revoke_api_key(key=key, now=timezone.now())
    refused(reporter, token)


def test_only_a_key_that_reports_opens_a_session(reporter: Reporter) -> None:
    client: Any = reporter.account.with_scopes(Scope.USAGE_READ, Scope.METERS_WRITE)
    with pytest.raises(stripe.PermissionError):
        client.v2.billing.meter_event_session.create()


# --- the stream -------------------------------------------------------------------------------------------------------


def test_a_batch_is_counted(reporter: Reporter) -> None:
    reporter.stream(*(reporter.event(str(number), identifier=f"e{number}") for number in range(100)))
    assert MeterEvent.objects.count() == 100
    assert {event.source for event in MeterEvent.objects.all()} == {"stream"}
    assert not EventRejection.objects.exists()


@pytest.mark.parametrize("count", [0, 101])
def test_no_event_and_too_many_are_refused(reporter: Reporter, count: int) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        reporter.stream(*(reporter.event() for _ in range(count)))
    assert caught.value.http_status == 400
    assert nothing_stored()


def test_one_event_of_a_wrong_shape_refuses_the_batch(reporter: Reporter) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=re.escape("events[1].payload")):
        reporter.stream(reporter.event(), reporter.event(payload=3))
    assert nothing_stored()


def test_bad_events_are_dropped_one_by_one_with_their_codes(reporter: Reporter) -> None:
    new = reporter.account.v1.billing.meters.create
    closed = new({"display_name": "Old", "event_name": "old", "default_aggregation": {"formula": "sum"}})
    reporter.account.v1.billing.meters.deactivate(closed.id)
    now = timezone.now()
    good = {"stripe_customer_id": reporter.customer, "value": "1"}
    cases: dict[str, dict[str, Any]] = {
        "no_meter": {"event_name": "others"},
        "archived_meter": {"event_name": "old"},
        "meter_event_no_customer_defined": {"payload": {"value": "1"}},
        "meter_event_customer_not_found": {"payload": {**good, "stripe_customer_id": "cus_nobody"}},
        "meter_event_value_not_found": {"payload": {"stripe_customer_id": reporter.customer}},
        "meter_event_invalid_value": {"payload": {**good, "value": "many"}},
        "meter_event_value_too_many_digits": {"payload": {**good, "value": "1234567890123456"}},
        "timestamp_too_far_in_past": {"timestamp": (now - timedelta(days=36)).isoformat()},
        "timestamp_in_future": {"timestamp": (now + timedelta(minutes=6)).isoformat()},
    }
    bad = [reporter.event(identifier=code) | fields for code, fields in cases.items()]

    reporter.stream(reporter.event(identifier="first"), *bad, reporter.event(identifier="last"))

    assert set(MeterEvent.objects.values_list("identifier", flat=True)) == {"first", "last"}
    rejections = {rejection.identifier: rejection for rejection in EventRejection.objects.all()}
    assert {name: rejection.code for name, rejection in rejections.items()} == {code: code for code in cases}
    assert all(rejection.message and rejection.source == "stream" for rejection in rejections.values())
    assert rejections["no_meter"].meter_id is None
    meters = {code: rejection.meter.event_name for code, rejection in rejections.items() if rejection.meter}
    assert meters == dict.fromkeys(cases.keys() - {"no_meter"}, "calls") | {"archived_meter": "old"}


def test_a_bad_event_is_found_by_its_identifier_until_a_good_one_has_it(reporter: Reporter) -> None:
    def found() -> list[str]:
        query: Any = {"identifier": "mine"}
        answer = reporter.account.sdk.raw_request("get", "/v1/billing/meter_events", **query)
        return [row["state"] for row in json.loads(answer.body)["data"]]

    assert found() == []
    for _ in range(2):
        reporter.stream(reporter.event("many", identifier="mine"))
    assert found() == ["rejected"]
    reporter.stream(reporter.event(identifier="mine"))
    assert found() == ["counted"]


def test_a_repeated_identifier_is_dropped_without_a_trace(reporter: Reporter) -> None:
    reporter.account.v1.billing.meter_events.create(reporter.event(identifier="a"))
    reporter.stream(*(reporter.event(identifier=name) for name in "abcb"))
    assert sorted(MeterEvent.objects.values_list("identifier", flat=True)) == ["a", "b", "c"]
    assert not EventRejection.objects.exists()


def test_a_bad_event_can_be_sent_again_when_its_reason_is_gone(reporter: Reporter) -> None:
    reporter.stream(reporter.event(identifier="a", event_name="later"))
    reporter.account.v1.billing.meters.create(
        {"display_name": "Later", "event_name": "later", "default_aggregation": {"formula": "sum"}}
    )
    reporter.stream(reporter.event(identifier="a", event_name="later"))
    assert MeterEvent.objects.get().identifier == "a"


def test_a_batch_counts_once_however_often_it_is_sent(reporter: Reporter) -> None:
    """Also events without an identifier, which nothing else tells apart, and rejections."""
    token = reporter.session().authentication_token
    batch = [reporter.event(), reporter.event(), reporter.event("many")]
    for _ in range(3):
        reporter.stream(*batch, token=token, idempotency_key="k")
    assert (MeterEvent.objects.count(), EventRejection.objects.count()) == (2, 1)
    with pytest.raises(stripe.IdempotencyError):
        reporter.stream(reporter.event("7"), token=token, idempotency_key="k")
    # One key per request, whatever it reports.
    with pytest.raises(stripe.IdempotencyError):
        reporter.account.v1.billing.meter_events.create(reporter.event(), {"idempotency_key": "k"})
    assert MeterEvent.objects.count() == 2


def test_what_cannot_be_stored_is_kept_as_far_as_it_can(reporter: Reporter) -> None:
    payload = {"stripe_customer_id": reporter.customer, "value": "1", "n\0te": "a\0b", "long": "x" * 5000}
    reporter.stream(
        reporter.event(payload=payload, identifier="nul\0"),
        reporter.event(event_name="na\0me"),
        reporter.event(timestamp="0001-01-01T00:00:00Z"),
        reporter.event(timestamp="9999-12-31T23:59:59Z"),
    )
    assert not MeterEvent.objects.exists()
    rejections = {rejection.code: rejection for rejection in EventRejection.objects.order_by("pk")}
    assert EventRejection.objects.count() == 4
    kept = rejections["meter_event_invalid_value"]
    assert (kept.identifier, kept.payload["n\ufffdte"]) == ("nul\ufffd", "a\ufffdb")
    assert len(kept.payload["long"]) == 100
    assert rejections["no_meter"].event_name == "na\ufffdme"
