"""Rejections as thin events: gathered, listed, retrieved."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.utils import timezone

from accounts.models import Scope
from billing_project.api.stripe.tests.builders import new_meter
from billing_project.api.stripe.tests.sdk import is_a
from billing_project.api.stripe.v2.tests.conftest import Reporter
from usage.models import EventRejection
from usage.services import report_rejections
from webhooks.models import Event


def refused(call: Any) -> Any:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    return caught.value


def test_a_meters_rejections_become_its_error_report(reporter: Reporter) -> None:
    before = datetime.now(UTC)
    reporter.stream(
        *(reporter.event("many", identifier=f"v{number}") for number in range(7)),
        reporter.event(identifier="c", payload={"stripe_customer_id": "cus_nobody", "value": "1"}),
        reporter.event("5"),
    )
    report_rejections(now=timezone.now())

    (listed,) = reporter.v2.core.events.list({"types": ["v1.billing.meter.error_report_triggered"]}).data
    event = reporter.v2.core.events.retrieve(listed.id)

    assert is_a(event, stripe.events.V1BillingMeterErrorReportTriggeredEvent)
    assert "data" not in listed.to_dict()
    assert event.object == "v2.core.event"
    assert event.livemode is False
    assert event.related_object.to_dict() == {
        "id": reporter.meter.id,
        "type": "billing.meter",
        "url": f"/v1/billing/meters/{reporter.meter.id}",
    }
    assert event.fetch_related_object().event_name == "calls"
    assert event.data.developer_message_summary == "There are 8 invalid events"
    assert event.data.reason.error_count == 8
    codes = [(kind.code, kind.error_count) for kind in event.data.reason.error_types]
    assert codes == [("meter_event_invalid_value", 7), ("meter_event_customer_not_found", 1)]
    samples = event.data.reason.error_types[0].sample_errors
    assert [sample.request.identifier for sample in samples] == ["v0", "v1", "v2", "v3", "v4"]
    assert samples[0].error_message == 'The value of "value" is not a decimal number: "many".'
    start, end = (datetime.fromisoformat(text) for text in (event.data.validation_start, event.data.validation_end))
    assert before - timedelta(seconds=1) <= start <= end <= datetime.now(UTC)


def test_events_that_name_no_meter_are_told_apart(reporter: Reporter) -> None:
    reporter.stream(reporter.event(event_name="others"))
    report_rejections(now=timezone.now())
    (listed,) = reporter.v2.core.events.list({"types": ["v1.billing.meter.no_meter_found"]}).data
    event = reporter.v2.core.events.retrieve(listed.id)
    assert is_a(event, stripe.events.V1BillingMeterNoMeterFoundEvent)
    assert event.to_dict()["related_object"] is None
    assert event.data.developer_message_summary == "There is 1 invalid event"
    assert event.data.reason.error_types[0].code == "no_meter"


def test_a_rejection_is_reported_once(reporter: Reporter) -> None:
    other = new_meter(reporter.account, "other")
    reporter.stream(reporter.event("many"), reporter.event("many", event_name="other"))
    assert report_rejections(now=timezone.now()) == 2
    assert report_rejections(now=timezone.now()) == 0
    reporter.stream(reporter.event("many", event_name="other"))
    assert report_rejections(now=timezone.now()) == 1
    assert EventRejection.objects.filter(reported_at=None).count() == 0
    assert len(reporter.v2.core.events.list({"object_id": other.id}).data) == 2
    assert sum(event.data["errors"][0]["count"] for event in Event.objects.reports()) == 3


def make_events(reporter: Reporter, count: int) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    for number in range(count):
        reporter.stream(reporter.event("many"))
        report_rejections(now=start + timedelta(seconds=number))


def test_pages_lead_on_and_back(reporter: Reporter) -> None:
    make_events(reporter, 7)
    events = reporter.v2.core.events
    first = events.list({"limit": 3, "types": ["v1.billing.meter.error_report_triggered"]})
    everything = [event.id for event in first.auto_paging_iter()]
    assert len(everything) == len(set(everything)) == 7
    assert first.previous_page_url is None
    assert first.next_page_url.startswith("/v2/core/events?")

    get = reporter.account.sdk.raw_request
    second = get("get", first.next_page_url).data
    third = get("get", second["next_page_url"]).data
    assert [event["id"] for event in third["data"]] == everything[6:]
    assert third["next_page_url"] is None
    back = get("get", third["previous_page_url"]).data
    assert [event["id"] for event in back["data"]] == everything[3:6]
    assert [event["id"] for event in get("get", back["previous_page_url"]).data["data"]] == everything[:3]


def test_whoever_asks_for_what_came_later_gets_nothing_twice(reporter: Reporter) -> None:
    make_events(reporter, 3)
    events = reporter.v2.core.events
    newest, middle, oldest = events.list().data
    later = events.list({"created": {"gt": middle.created}}).data
    assert [event.id for event in later] == [newest.id]
    assert len(events.list({"created": {"gte": middle.created, "lt": newest.created}}).data) == 1
    # The SDK makes whole seconds of a datetime.
    at = datetime.fromisoformat(middle.created)
    assert [event.id for event in events.list({"created": {"lte": at}}).data] == [middle.id, oldest.id]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"limit": 0}, ""),
        ({"limit": 101}, ""),
        ({"limit": "x"}, ""),
        ({"types": ["x"] * 21}, ""),
        ({"created": "2026-01-01T00:00:00Z"}, ""),
        ({"created": {"gt": "yesterday"}}, ""),
        ({"created": {"gt": "2026-01-01T00:00:00"}}, ""),
        ({"created": {"gt": "9" * 30}}, ""),
        ({"created": {"gt": "0001-01-01T00:00:00+14:00"}}, ""),
        ({"created": {"after": "2026-01-01T00:00:00Z"}}, "parameter_unknown"),
        ({"page": "x"}, "invalid_fields"),
        ({"page": "next_evt_x"}, "resource_missing"),
        ({"starting_after": "evt_x"}, "parameter_unknown"),
    ],
)
def test_what_is_no_filter(reporter: Reporter, params: dict[str, Any], code: str) -> None:
    error = refused(lambda: reporter.v2.core.events.list(params))
    assert error.http_status == 400
    assert error.code
    if code:
        assert error.code == code


def test_what_does_not_match_is_not_found(reporter: Reporter) -> None:
    make_events(reporter, 1)
    events = reporter.v2.core.events
    assert events.list({"types": ["v1.billing.meter.other"]}).data == []
    assert events.list({"object_id": "mtr_nobody"}).data == []
    for pk in ("evt_nobody", "x", "evt_" + "z" * 26, "\0"):
        error = refused(lambda pk=pk: events.retrieve(pk))
        assert (error.http_status, error.code) == (404, "resource_missing")


def test_reading_needs_its_scope(reporter: Reporter) -> None:
    client: Any = reporter.account.with_scopes(Scope.METER_REPORT)
    with pytest.raises(stripe.PermissionError):
        client.v2.core.events.list()
    with pytest.raises(stripe.PermissionError):
        client.v2.core.events.retrieve("evt_x")
