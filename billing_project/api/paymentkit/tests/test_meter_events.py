"""Meter events through Payment Kit's door."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Customer
from accounts.services import delete_customer
from accounts.tests.factories import CustomerFactory
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell
from core.periods import Period
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage.models import EventNote, MeterEvent
from usage.reports import summaries
from usage.services import cancel_event

DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture
def meter(call: Caller) -> Any:
    return call.post("/meters", {**API_CALLS, "decimal": 2})


@pytest.fixture
def customer(call: Caller) -> Customer:
    return CustomerFactory.create(environment=call.environment, did=DID)


def event(value: object = "5", **more: Any) -> dict[str, Any]:
    payload = {"customer_id": DID, "value": value}
    return {"event_name": "api.calls.v1", "identifier": str(uuid4()), "payload": payload, **more}


def test_a_source_may_be_fields_with_labels_as_the_clients_types_have_it(
    call: Caller, meter: Any, customer: Customer
) -> None:
    fields = [{"key": "model", "label": {"en": "Model"}, "value": "x", "type": "text"}]

    assert call.post("/meter-events", event(source_data=fields))["source_data"] == fields
    said = error_of(call("POST", "/meter-events", event(source_data=["model"])))
    assert said == (400, '"source_data" must be of type object, or an array of objects')


def test_an_event_is_counted_and_shown_whole(call: Caller, meter: Any, customer: Customer) -> None:
    at = int(timezone.now().timestamp()) - 60
    said = event(
        "1.50", identifier="one", timestamp=at, metadata={"run": {"steps": [1, 2]}}, source_data={"type": "tx"}
    )
    said["payload"]["subscription_id"] = "sub_x"
    shown = call.post("/meter-events", said)

    assert call.get(f"/meter-events/{shown['id']}") == shown
    assert shown["payload"] == {"customer_id": spell("cus", customer.pk), "value": "1.5", "subscription_id": "sub_x"}
    assert (shown["identifier"], shown["timestamp"], shown["event_name"]) == ("one", at, "api.calls.v1")
    assert (shown["metadata"], shown["source_data"]) == ({"run": {"steps": [1, 2]}}, {"type": "tx"})
    assert (shown["object"], shown["livemode"], shown["created_via"]) == ("meter_event", False, "api")
    # Nobody has paid for it: 1.50 in the smallest units.
    assert (shown["status"], shown["credit_consumed"], shown["credit_pending"]) == ("pending", "0", "150")
    assert shown["meter"] == meter
    assert shown["paymentCurrency"] == meter["paymentCurrency"]
    assert shown["customer"]["did"] == DID
    assert MeterEvent.objects.get().value == Decimal("1.5")


def test_the_usage_is_everybodys(call: Caller, meter: Any, customer: Customer) -> None:
    for value in ("1.25", 2, 0.5):
        call.post("/meter-events", event(value))

    now = timezone.now()
    rows = summaries(
        meter=Meter.objects.get(),
        customer_id=customer.pk,
        period=Period(now - timedelta(hours=1), now + timedelta(hours=1)),
    )
    assert [row.value for row in rows] == [Decimal("3.75")]


def test_sent_again_it_is_the_first_event_whatever_it_says_now(call: Caller, meter: Any, customer: Customer) -> None:
    first = call.post("/meter-events", event(identifier="one"))

    assert call.post("/meter-events", event("7", identifier="one", metadata={"a": 1})) == first
    call.put(f"/meters/{meter['id']}/deactivate")
    again = call.post("/meter-events", event("7", identifier="one"))
    assert (again["id"], again["payload"]["value"]) == (first["id"], "5")
    assert MeterEvent.objects.count() == 1
    assert not EventNote.objects.exists()


def test_the_first_event_outlives_its_customer(call: Caller, meter: Any, customer: Customer) -> None:
    first = call.post("/meter-events", event(identifier="one"))
    delete_customer(customer=customer, now=timezone.now())

    assert call.post("/meter-events", event(identifier="one"))["id"] == first["id"]
    assert error_of(call("POST", "/meter-events", event(identifier="two"))) == (400, f"Customer not found: {DID}")


def test_events_without_a_time_are_of_now(call: Caller, meter: Any, customer: Customer) -> None:
    before = int(timezone.now().timestamp())
    for said in (event(), event(timestamp=0), event(timestamp=None)):
        assert before <= call.post("/meter-events", said)["timestamp"] <= before + 60


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"event_name": None}, '"event_name" is required'),
        ({"event_name": "nothing"}, 'No active meter found for event name "nothing".'),
        ({"event_name": "closed"}, 'No active meter found for event name "closed".'),
        ({"identifier": None}, '"identifier" is required'),
        ({"identifier": "x" * 256}, '"identifier" length must be less than or equal to 255 characters long'),
        ({"timestamp": "now"}, '"timestamp" must be an integer'),
        ({"timestamp": -1}, '"timestamp" must be between 0 and 253402300799'),
        ({"timestamp": 1_000_000_000}, "The timestamp must be within the past 35 days."),
        ({"timestamp": 4_000_000_000}, "The timestamp must not be more than 5 minutes in the future."),
        ({"payload": None}, '"payload" is required'),
        ({"payload": "x"}, '"payload" must be of type object'),
        ({"payload": {"value": "1"}}, '"payload.customer_id" is required'),
        ({"payload": {"customer_id": DID}}, '"payload.value" is required'),
        ({"payload": {"customer_id": "z1nobody", "value": "1"}}, "Customer not found: z1nobody"),
        ({"payload": {"customer_id": DID, "value": "1.005"}}, '"payload.value" must not have more than 2 decimal places'),
        ({"metadata": "x"}, '"metadata" must be of type object'),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named_and_nothing_is_stored(
    call: Caller, meter: Any, customer: Customer, change: dict[str, Any], said: str
) -> None:
    closed = call.post("/meters", {**API_CALLS, "event_name": "closed"})
    call.put(f"/meters/{closed['id']}/deactivate")

    assert error_of(call("POST", "/meter-events", {**event(), **change})) == (400, said)
    assert not MeterEvent.objects.exists()
    assert not EventNote.objects.exists()


@pytest.mark.parametrize("value", ["", "x", "-1", "1e3", "NaN", "1,5", True, [], 10**40, "1." + "0" * 19])
def test_values_are_decimals_in_full(call: Caller, meter: Any, customer: Customer, value: object) -> None:
    status, text = error_of(call("POST", "/meter-events", event(value)))
    assert status == 400
    assert text.startswith('"payload.value" must be a decimal number')
    assert not MeterEvent.objects.exists()


def test_a_meter_of_another_door_takes_events_and_asks_for_no_credit(call: Caller, customer: Customer) -> None:
    MeterFactory.create(environment=call.environment, event_name="plain", customer_key="who", value_key="how_much")

    shown = call.post("/meter-events", event("1.005", event_name="plain"))
    assert shown["payload"] == {"customer_id": spell("cus", customer.pk), "value": "1.005"}
    assert (shown["status"], shown["credit_pending"], shown["paymentCurrency"]) == ("completed", "0", None)
    assert MeterEvent.objects.get().payload == {"who": spell("cus", customer.pk), "how_much": "1.005"}


def test_lists_are_narrowed_by_everything_and_come_newest_first(call: Caller, meter: Any, customer: Customer) -> None:
    now = int(timezone.now().timestamp())
    other = CustomerFactory.create(environment=call.environment)
    call.post("/meters", {**API_CALLS, "event_name": "other"})
    for minutes, (name, named) in enumerate(
        [("api.calls.v1", DID), ("other", DID), ("api.calls.v1", spell("cus", other.pk))]
    ):
        said = event(str(minutes), identifier=f"event_{minutes}", event_name=name, timestamp=now - 60 * minutes)
        said["payload"]["customer_id"] = named
        call.post("/meter-events", said)

    def found(query: str) -> list[str]:
        page = call.get("/meter-events", query)
        names = [shown["identifier"].removeprefix("event_") for shown in page["list"]]
        assert page["count"] == len(names)
        return names

    assert found("") == ["0", "1", "2"]
    assert found("event_name=api.calls.v1") == ["0", "2"]
    assert found(f"meter_id={meter['id']}") == ["0", "2"]
    assert found(f"customer_id={DID}") == ["0", "1"]
    assert found(f"start={now - 60}") == ["0", "1"]
    assert found(f"end={now - 60}") == ["2"]
    assert found("q=EVENT_1") == ["1"]
    assert error_of(call("GET", "/meter-events", query="customer_id=z1nobody"))[0] == 400


def test_a_canceled_event_says_so(call: Caller, meter: Any, customer: Customer) -> None:
    shown = call.post("/meter-events", event(identifier="one"))
    cancel_event(environment=call.environment, identifier="one", now=timezone.now())

    after = call.get(f"/meter-events/{shown['id']}")
    assert (after["status"], after["credit_pending"]) == ("canceled", "0")


def test_statistics_count_by_minute_hour_and_day(call: Caller, meter: Any, customer: Customer) -> None:
    noon = timezone.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=2)
    other = CustomerFactory.create(environment=call.environment)
    for offset, value in ((0, "1"), (30, "2"), (60, "3.5"), (3600, "4"), (86400, "5")):
        call.post("/meter-events", event(value, timestamp=int(noon.timestamp()) + offset))
    call.post("/meter-events", event("8", timestamp=int(noon.timestamp())) | {
        "payload": {"customer_id": spell("cus", other.pk), "value": "8"}
    })  # fmt: skip
    canceled = call.post("/meter-events", event("100", identifier="canceled", timestamp=int(noon.timestamp())))
    cancel_event(environment=call.environment, identifier=canceled["identifier"], now=timezone.now())

    def stats(step: str, seconds: int, more: str = "") -> list[tuple[str, int, str]]:
        start = int(noon.timestamp())
        query = f"meter_id={meter['id']}&granularity={step}&start={start}&end={start + seconds}{more}"
        answer = call.get("/meter-events/stats", query)
        assert answer["count"] == len(answer["list"])
        for row in answer["list"]:
            assert datetime.fromisoformat(row["date"]).replace(tzinfo=UTC).timestamp() == row["timestamp"]
        return [(row["date"][-8:], row["event_count"], row["total_value"]) for row in answer["list"]]

    assert stats("minute", 3600) == [("12:00:00", 3, "11"), ("12:01:00", 1, "3.5")]
    assert stats("hour", 7200) == [("12:00:00", 4, "14.5"), ("13:00:00", 1, "4")]
    days = stats("day", 172800)
    assert [row[1:] for row in days] == [(5, "18.5"), (1, "5")]
    assert stats("hour", 7200, f"&customer_id={DID}") == [("12:00:00", 3, "6.5"), ("13:00:00", 1, "4")]
    # The end is not part of it.
    assert stats("minute", 60) == [("12:00:00", 3, "11")]


@pytest.mark.parametrize(
    "query", ["", "meter_id=x", "meter_id={meter}&granularity=week", "meter_id={meter}&start=2&end=1", "meter_id={meter}&start=1"]
)  # fmt: skip
def test_statistics_that_cannot_be_given(call: Caller, meter: Any, query: str) -> None:
    assert error_of(call("GET", "/meter-events/stats", query=query.format(meter=meter["id"])))[0] in {400, 404}


def test_an_event_that_is_not_there(call: Caller) -> None:
    assert error_of(call("GET", "/meter-events/x")) == (404, "Meter event not found: x")
