"""/v1/billing/analytics/meter_usage in all its names, and dimensions in summaries."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import stripe
from django.test import Client

from accounts.models import Scope
from billing_project.api.stripe.tests.builders import new_customer, new_meter
from billing_project.api.stripe.tests.sdk import Account
from core.periods import HOUR
from usage.models import Watermark

PATH = "/v1/billing/analytics/meter_usage"
# New York's clocks go back on this day, a Sunday, so that its week ends with it. Any age comes in by bulk.
START = datetime(2025, 11, 2, tzinfo=ZoneInfo("America/New_York"))


class Used:
    """Two meters of a customer: "tokens" with a declared dimension, and "calls" without."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.tokens = new_meter(account, "tokens", dimension_payload_keys=["model"]).id
        self.calls = new_meter(account, "calls", "count").id
        self.customer = new_customer(account).id
        hours = [(0, "a", "eu"), (1, "a", "us"), (2, "b", "eu"), (25, "a", "eu"), (26, "b", None), (200, "a", "eu")]
        events = []
        for number, (hour, model, region) in enumerate(hours):
            at = int((START.astimezone(UTC) + hour * HOUR).timestamp())
            more = {"model": model} | ({"region": region} if region else {})
            events.append(self.event("tokens", str(10**number), at, more))
            events.append(self.event("calls", "1", at, {}))
        answer = send_bulk(account, events)
        assert answer["accepted"] == 12

    def event(self, name: str, value: str, at: int, more: dict[str, str]) -> dict[str, Any]:
        payload = {"stripe_customer_id": self.customer, "value": value, **more}
        return {"event_name": name, "payload": payload, "identifier": f"{name} {at}", "timestamp": at}

    def ask(self, **params: Any) -> Any:
        start = int(START.timestamp())
        usual = {"customer": self.customer, "starts_at": start, "ends_at": start + 10 * 86400}
        sent = {name: value for name, value in (usual | params).items() if value is not None}
        return json.loads(self.account.sdk.raw_request("get", PATH, **sent).body)

    def values(self, **params: Any) -> list[int]:
        return [row["value"] for row in self.ask(**params)["data"]]

    def refused(self, **params: Any) -> stripe.InvalidRequestError:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            self.ask(**params)
        assert caught.value.http_status == 400
        return caught.value


def send_bulk(account: Account, events: list[dict[str, Any]]) -> Any:
    response = Client().post(
        "/v1/billing/meter_events/bulk",
        "\n".join(map(json.dumps, events)),
        content_type="application/x-ndjson",
        headers={"Authorization": f"Bearer {account.secret}"},
    )
    return json.loads(response.content)


@pytest.fixture
def used(account: Account) -> Used:
    return Used(account)


def test_the_answer_speaks_all_three_generations(used: Used) -> None:
    answer = used.ask(meters=[{"meter": used.tokens, "dimension_group_by_keys": ["model"]}])
    assert answer["object"] == "billing.analytics.meter_usage"
    assert answer["rows"] == {"object": "list", "data": answer["data"], "has_more": False, "url": PATH}
    assert answer["refreshed_at"] == answer["data_refreshed_at"]
    row = answer["data"][0]
    start = int(START.timestamp())
    assert {name: value for name, value in row.items() if name != "id"} == {
        "object": "billing.analytics.meter_usage_row",
        "bucket_end_time": start + 10 * 86400,
        "bucket_start_time": start,
        "bucket_value": 101011,
        "dimensions": {"model": "a"},
        "ends_at": start + 10 * 86400,
        "livemode": False,
        "meter": used.tokens,
        "meter_id": used.tokens,
        "starts_at": start,
        "tenants": None,
        "value": 101011,
    }
    again = used.ask(
        starts_at=None, ends_at=None, start_time=start, end_time=start + 10 * 86400,
        meters=[{"meter": used.tokens, "tenant_group_by_keys": ["model"]}],
    )  # fmt: skip
    assert [row["bucket_value"] for row in again["data"]] == [101011, 10100]
    assert again["data"][0]["tenants"] == {"model": "a"}


def test_several_meters_at_once_each_with_its_filters(used: Used) -> None:
    meters = [
        {"meter": used.calls},
        {"meter": used.tokens, "dimension_filters": {"model": ["a"]}},
        {"meter": used.tokens, "dimension_filters": {"model": ["a", "b"], "region": "eu"}},
        {"meter": used.tokens, "dimension_filters": {"model": ["a"]}, "tenant_filters": {"model": ["b"]}},
        {"meter": used.tokens},
    ]
    answer = used.ask(meters=meters)
    assert [row["value"] for row in answer["data"]] == [6, 101011, 101101, 0, 111111]
    assert len({row["id"] for row in answer["data"]}) == 5


def test_a_missing_key_is_a_group_of_its_own(used: Used) -> None:
    rows = used.ask(meters=[{"meter": used.tokens, "dimension_group_by_keys": ["region"]}])["data"]
    assert [(row["dimensions"]["region"], row["value"]) for row in rows] == [(None, 10000), ("eu", 101101), ("us", 10)]


def test_without_meters_all_are_added_up(used: Used) -> None:
    (row,) = used.ask()["data"]
    assert (row["meter"], row["meter_id"], row["value"]) == (None, None, 111117)


def test_days_weeks_and_months_follow_the_zone(used: Used) -> None:
    zone = {"timezone": "America/New_York", "meters": [{"meter": used.tokens}]}
    # The first day has 25 hours, so hour 25 is the second day's first.
    days = used.ask(value_grouping_window="day", **zone)["data"]
    assert [row["value"] for row in days] == [111, 11000, 100000]
    assert days[0]["ends_at"] - days[0]["starts_at"] == 25 * 3600
    assert used.values(value_grouping_window="day", meters=zone["meters"]) == [111, 11000, 100000]
    weeks = used.ask(value_grouping_window="week", **zone)["data"]
    assert [row["value"] for row in weeks] == [111, 11000, 100000]
    assert used.values(value_grouping_window="month", **zone) == [111111]
    assert used.values(value_grouping_window="hour", **zone) == [1, 10, 100, 1000, 10000, 100000]
    kathmandu = used.ask(value_grouping_window="hour", timezone="Asia/Kathmandu", meters=zone["meters"])["data"]
    assert {row["starts_at"] % 3600 for row in kathmandu[1:]} == {15 * 60}


def test_nothing_used_is_a_row_of_zero_and_no_bucket(account: Account, used: Used) -> None:
    other = new_customer(account).id
    assert used.values(customer=other) == [0]
    assert used.values(customer=other, meters=[{"meter": used.tokens}, {"meter": used.calls}]) == [0, 0]
    assert used.values(customer=other, value_grouping_window="day") == []


def test_the_time_of_the_last_refresh_is_the_watermarks(used: Used) -> None:
    assert used.ask()["refreshed_at"] == 0
    Watermark.objects.update_or_create(pk=1, defaults={"xid": 0, "read_at": datetime(2026, 1, 2, 3, 4, 5, 999999, UTC)})
    assert used.ask()["data_refreshed_at"] == int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"customer": None}, "customer", "parameter_missing"),
        ({"customer": "cus_nobody"}, "customer", "resource_missing"),
        ({"starts_at": None}, "start_time", "parameter_missing"),
        ({"ends_at": None}, "end_time", "parameter_missing"),
        ({"start_time": 60}, "start_time", "parameters_exclusive"),
        ({"starts_at": 61}, "starts_at", None),
        ({"ends_at": 61}, "ends_at", None),
        ({"ends_at": 60}, "ends_at", None),
        ({"ends_at": 7258118400, "value_grouping_window": "hour"}, "value_grouping_window", None),
        ({"timezone": "Mars/Olympus"}, "timezone", None),
        ({"timezone": "../etc/passwd"}, "timezone", None),
        ({"timezone": "Europe"}, "timezone", None),
        ({"value_grouping_window": "minute"}, "value_grouping_window", None),
        ({"meters": [{"meter": "mtr_nobody"}]}, "meters[0][meter]", "resource_missing"),
        ({"meters": [{}, {"dimension_filters": {"a": ["b"]}}]}, "meters[0][meter]", "parameter_missing"),
        ({"meters": [{"meter": "TOKENS", "dimension_filters": "x"}]}, "meters[0][dimension_filters]", None),
        ({"meters": [{"meter": "TOKENS", "other": "x"}]}, "meters[0][other]", "parameter_unknown"),
        (
            {"meters": [{"meter": "TOKENS", "dimension_group_by_keys": [str(n) for n in range(11)]}]},
            "meters[0][dimension_group_by_keys]",
            None,
        ),
        ({"expand": ["customer"]}, "expand", None),
        ({"limit": 3}, "limit", "parameter_unknown"),
    ],
)
def test_what_is_no_question(used: Used, params: dict[str, Any], param: str, code: str | None) -> None:
    for meter in params.get("meters", ()):
        if meter.get("meter") == "TOKENS":
            meter["meter"] = used.tokens
    error = used.refused(**params)
    assert (error.param, error.code) == (param, code)


def test_reading_needs_its_scope(used: Used) -> None:
    client = used.account.with_scopes(Scope.METER_REPORT)
    with pytest.raises(stripe.PermissionError):
        client.raw_request("get", PATH, customer=used.customer)


def test_summaries_by_dimensions(account: Account, used: Used) -> None:
    start = int(START.timestamp())
    usual = {"customer": used.customer, "start_time": start, "end_time": start + 10 * 86400}
    summaries = account.v1.billing.meters.event_summaries

    def rows(**params: Any) -> list[tuple[Any, Any]]:
        found = summaries.list(used.tokens, {**usual, **params}).data
        return [(row.dimensions and row.dimensions.to_dict(), row.aggregated_value) for row in found]

    assert rows() == [(None, 111111)]
    assert rows(dimension_filters={"model": ["b"]}) == [(None, 10100)]
    assert rows(dimension_filters={"model": "b", "region": "eu"}) == [(None, 100)]
    assert rows(dimension_group_by_keys=["model"]) == [({"model": "a"}, 101011), ({"model": "b"}, 10100)]
