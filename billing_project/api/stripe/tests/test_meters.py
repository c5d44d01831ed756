"""/v1/billing/meters and its summaries, through the SDK."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer, new_meter, report
from billing_project.api.stripe.tests.sdk import Account, is_a
from meters.models import Meter

HOUR = 3600
DAY = 24 * HOUR


def refused(call: Callable[[], object]) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    return caught.value


def test_a_meter_has_all_its_fields_and_the_usual_defaults(account: Account) -> None:
    meter = new_meter(account, "ai_search_api")

    assert is_a(meter, stripe.billing.Meter)
    assert meter.id.startswith("mtr_")
    assert meter.to_dict() == {
        "id": meter.id,
        "object": "billing.meter",
        "created": meter.created,
        "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
        "default_aggregation": {"formula": "sum"},
        "dimension_payload_keys": None,
        "display_name": "Ai_Search_Api",
        "event_name": "ai_search_api",
        "event_time_window": None,
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": meter.created,
        "value_settings": {"event_payload_key": "value"},
    }
    assert account.v1.billing.meters.retrieve(meter.id) == meter


def test_every_setting_is_kept(account: Account) -> None:
    meter = new_meter(
        account,
        "x" * 100,
        "last",
        display_name="é" * 250,
        customer_mapping={"type": "by_id", "event_payload_key": "who"},
        value_settings={"event_payload_key": "tokens"},
        event_time_window="day",
        dimension_payload_keys=["model", "region"],
    )
    assert meter.dimension_payload_keys == ["model", "region"]
    assert meter.display_name == "é" * 250
    assert meter.customer_mapping.event_payload_key == "who"
    assert meter.value_settings.event_payload_key == "tokens"
    assert meter.event_time_window == "day"
    assert meter.default_aggregation.formula == "last"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"display_name": None}, "display_name", "parameter_missing"),
        ({"event_name": None}, "event_name", "parameter_missing"),
        ({"event_name": ""}, "event_name", "parameter_invalid_empty"),
        ({"event_name": "x" * 101}, "event_name", None),
        ({"display_name": "x" * 251}, "display_name", None),
        ({"default_aggregation": None}, "default_aggregation", "parameter_missing"),
        ({"default_aggregation": {"formula": "median"}}, "default_aggregation[formula]", None),
        ({"customer_mapping": {"type": "by_id"}}, "customer_mapping[event_payload_key]", "parameter_missing"),
        (
            {"customer_mapping": {"type": "by_name", "event_payload_key": "x"}},
            "customer_mapping[type]",
            None,
        ),
        ({"value_settings": {"event_payload_key": "x" * 101}}, "value_settings[event_payload_key]", None),
        ({"event_time_window": "minute"}, "event_time_window", None),
        ({"dimension_payload_keys": ["model", "model"]}, "dimension_payload_keys", None),
        ({"dimension_payload_keys": ["value"]}, "dimension_payload_keys", None),
        ({"dimension_payload_keys": ["stripe_customer_id"]}, "dimension_payload_keys", None),
        ({"dimension_payload_keys": [str(number) for number in range(11)]}, "dimension_payload_keys", None),
    ],
)
def test_what_makes_no_meter(account: Account, fields: dict[str, Any], param: str, code: str | None) -> None:
    error = refused(lambda: new_meter(account, **fields))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert Meter.objects.count() == 0


def test_one_active_meter_per_event_name(account: Account) -> None:
    meter = new_meter(account)
    error = refused(lambda: new_meter(account))
    assert (error.http_status, error.param, error.code) == (400, "event_name", "resource_already_exists")

    meters = account.v1.billing.meters
    gone = meters.deactivate(meter.id)
    assert gone.status == "inactive"
    assert gone.status_transitions.deactivated_at is not None
    second = new_meter(account)
    assert refused(lambda: meters.reactivate(meter.id)).param == "event_name"
    assert meters.retrieve(meter.id) == gone

    meters.deactivate(second.id)
    back = meters.reactivate(meter.id)
    assert (back.status, back.status_transitions.deactivated_at) == ("active", None)


def test_only_the_display_name_changes(account: Account) -> None:
    meter = new_meter(account)
    meters = account.v1.billing.meters
    assert meters.update(meter.id, {"display_name": "New"}).display_name == "New"
    assert meters.update(meter.id, {}).display_name == "New"
    error = refused(lambda: meters.update(meter.id, {"event_name": "other"}))
    assert (error.code, error.param) == ("parameter_unknown", "event_name")
    assert refused(lambda: meters.update(meter.id, {"display_name": ""})).code == "parameter_invalid_empty"
    assert meters.retrieve(meter.id).display_name == "New"


def test_the_list_is_filtered_by_status(account: Account) -> None:
    first, second = new_meter(account, "a"), new_meter(account, "b")
    meters = account.v1.billing.meters
    meters.deactivate(first.id)
    listed = meters.list({})
    assert [meter.id for meter in listed.data] == [second.id, first.id]
    assert listed.url == "/v1/billing/meters"
    assert [meter.id for meter in meters.list({"status": "active"}).data] == [second.id]
    assert [meter.id for meter in meters.list({"status": "inactive"}).data] == [first.id]
    assert refused(lambda: meters.list({"status": "gone"})).param == "status"


# --- summaries --------------------------------------------------------------------------------------------------------


@pytest.fixture
def metered(account: Account) -> tuple[str, str, int]:
    """A meter with five events over three days, its customer, and the midnight before the last of them."""
    meter, customer = new_meter(account), new_customer(account)
    first = report(account, "calls", customer.id, "0.1")
    midnight = first.timestamp // DAY * DAY - DAY
    for timestamp, value in (
        (midnight - DAY, "1.5"),
        (midnight - 1, "2"),
        (midnight, "10"),
        (midnight + HOUR - 1, "20.25"),
        (midnight + HOUR, "-5"),
    ):
        report(account, "calls", customer.id, value, timestamp=timestamp)
    return meter.id, customer.id, midnight


def rows(account: Account, meter: str, **params: Any) -> list[tuple[int, int, Any]]:
    listed = account.v1.billing.meters.event_summaries.list(meter, params)
    assert listed.object == "list"
    assert listed.url == f"/v1/billing/meters/{meter}/event_summaries"
    for row in listed.data:
        assert is_a(row, stripe.billing.MeterEventSummary)
        assert (row.object, row.meter, row.livemode) == ("billing.meter_event_summary", meter, False)
    return [(row.start_time, row.end_time, row.aggregated_value) for row in listed.data]


def test_summaries_by_range_hour_and_day(account: Account, metered: tuple[str, str, int]) -> None:
    meter, customer, midnight = metered
    whole: dict[str, Any] = {"customer": customer, "start_time": midnight - DAY, "end_time": midnight + DAY}

    assert rows(account, meter, **whole) == [(midnight - DAY, midnight + DAY, 28.75)]
    assert rows(account, meter, **whole, value_grouping_window="day") == [
        (midnight, midnight + DAY, 25.25),
        (midnight - DAY, midnight, 3.5),
    ]
    assert rows(account, meter, **whole, value_grouping_window="hour") == [
        (midnight + HOUR, midnight + 2 * HOUR, -5),
        (midnight, midnight + HOUR, 30.25),
        (midnight - HOUR, midnight, 2),
        (midnight - DAY, midnight - DAY + HOUR, 1.5),
    ]
    # Half-open to the minute: the event at the end is out, the one in the last second is in.
    edges = {**whole, "start_time": midnight - 60, "end_time": midnight + HOUR}
    assert rows(account, meter, **edges) == [(midnight - 60, midnight + HOUR, 32.25)]
    # A range without events is one row of nothing; a window without events is no row.
    empty = {**whole, "start_time": midnight + 2 * HOUR, "end_time": midnight + 3 * HOUR}
    assert rows(account, meter, **empty) == [(midnight + 2 * HOUR, midnight + 3 * HOUR, 0)]
    assert rows(account, meter, **empty, value_grouping_window="hour") == []


def test_summaries_come_in_pages(account: Account, metered: tuple[str, str, int]) -> None:
    meter, customer, midnight = metered
    summaries = account.v1.billing.meters.event_summaries
    whole: Any = {
        "customer": customer,
        "start_time": midnight - DAY,
        "end_time": midnight + DAY,
        "value_grouping_window": "hour",
    }
    every = summaries.list(meter, whole).data
    assert len({row.id for row in every}) == 4

    assert list(summaries.list(meter, {**whole, "limit": 1}).auto_paging_iter()) == every
    middle = summaries.list(meter, {**whole, "limit": 1, "ending_before": every[2].id})
    assert (middle.data, middle.has_more) == ([every[1]], True)
    start = summaries.list(meter, {**whole, "limit": 2, "ending_before": every[2].id})
    assert (start.data, start.has_more) == (every[:2], False)
    error = refused(lambda: summaries.list(meter, {**whole, "starting_after": "mtrusg_nope"}))
    assert (error.http_status, error.param) == (400, "starting_after")


def test_a_value_keeps_its_digits_as_a_json_number(account: Account) -> None:
    new_meter(account, "tokens")
    customer = new_customer(account)
    event = report(account, "tokens", customer.id, "123456789012.345")
    report(account, "tokens", customer.id, "0.00000000000001")
    meter = account.v1.billing.meters.list({}).data[0]
    start = event.timestamp // DAY * DAY
    raw = account.sdk.raw_request(
        "get",
        f"/v1/billing/meters/{meter.id}/event_summaries",
        customer=customer.id,
        start_time=start,
        end_time=start + DAY,
    )
    body = raw.body if isinstance(raw.body, str) else raw.body.decode()
    assert '"aggregated_value":123456789012.34500000000001,' in body


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"customer": None}, "customer"),
        ({"customer": "cus_nope"}, "customer"),
        ({"start_time": None}, "start_time"),
        ({"end_time": None}, "end_time"),
        ({"start_time": 1}, "start_time"),
        ({"end_time": 86400 * 20000 + 59}, "end_time"),
        ({"start_time": 86400 * 20000}, "end_time"),
        ({"start_time": 86400 * 20001}, "end_time"),
        ({"value_grouping_window": "hour", "start_time": 86400 * 19000 + 60}, "start_time"),
        ({"value_grouping_window": "day", "end_time": 86400 * 20000 + 3600}, "end_time"),
        ({"value_grouping_window": "week"}, "value_grouping_window"),
        ({"dimension_filters": "x"}, "dimension_filters"),
        ({"value_grouping_window": "hour", "start_time": 0}, "value_grouping_window"),
        ({"limit": 0}, "limit"),
    ],
)
def test_questions_that_cannot_be_asked(account: Account, change: dict[str, Any], param: str) -> None:
    meter, customer = new_meter(account), new_customer(account)
    good = {"customer": customer.id, "start_time": 86400 * 19000, "end_time": 86400 * 20000}
    assert rows(account, meter.id, **good) == [(86400 * 19000, 86400 * 20000, 0)]

    error = refused(lambda: rows(account, meter.id, **{**good, **change}))
    assert (error.http_status, error.param) == (400, param)


def test_a_closed_meter_and_a_deleted_customer_stay_readable(account: Account, metered: tuple[str, str, int]) -> None:
    meter, customer, midnight = metered
    account.v1.billing.meters.deactivate(meter)
    account.v1.customers.delete(customer)
    whole = {"customer": customer, "start_time": midnight - DAY, "end_time": midnight + DAY}
    assert rows(account, meter, **whole)[0][2] == float(Decimal("28.75"))
