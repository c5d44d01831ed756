"""Meters and their currencies, through Payment Kit's door."""

from typing import Any

import pytest

from billing_project.api.paymentkit.tests.caller import Caller, error_of
from core.ids import spell, unspell
from meters.models import Currency, Meter
from meters.tests.factories import MeterFactory

API_CALLS = {
    "name": "API Calls",
    "event_name": "api.calls.v1",
    "unit": "requests",
    "description": "Tracks the number of API calls made by a user.",
}


def test_the_vendors_example_is_answered_as_the_vendor_does(call: Caller) -> None:
    meter = call.post("/meters", API_CALLS)

    assert unspell("mtr", meter["id"]) == Meter.objects.get().pk
    currency = meter.pop("paymentCurrency")
    assert meter.pop("id").startswith("mtr_")
    assert meter.pop("created_at") == meter.pop("updated_at")
    assert meter.pop("currency_id") == currency["id"]
    assert meter == {
        "object": "meter",
        **API_CALLS,
        "aggregation_method": "sum",
        "status": "active",
        "livemode": False,
        "metadata": {},
        "created_via": "api",
    }
    assert {name: currency[name] for name in ("name", "symbol", "decimal", "type")} == {
        "name": "API Calls", "symbol": "requests", "decimal": 0, "type": "meter",
    }  # fmt: skip


def test_a_meter_is_found_by_id_and_by_name(call: Caller) -> None:
    meter = call.post("/meters", {**API_CALLS, "metadata": {"a": {"b": [1, 2.5, None]}}})

    assert call.get(f"/meters/{meter['id']}") == meter
    assert call.get("/meters/api.calls.v1") == meter
    assert error_of(call("GET", "/meters/nothing")) == (404, "Meter not found: nothing")
    assert error_of(call("GET", f"/meters/{spell('mtr', call.environment.pk)}"))[0] == 404


def test_a_name_stays_its_meters_even_when_that_is_inactive(call: Caller) -> None:
    meter = call.post("/meters", API_CALLS)
    call.put(f"/meters/{meter['id']}/deactivate")

    status, text = error_of(call("POST", "/meters", API_CALLS))
    assert (status, "api.calls.v1" in text) == (400, True)
    assert (Meter.objects.count(), Currency.objects.count()) == (1, 1)


def test_a_currency_may_be_shared_and_may_have_decimals(call: Caller) -> None:
    first = call.post("/meters", {**API_CALLS, "decimal": 10})
    assert first["paymentCurrency"]["decimal"] == 10

    second = call.post("/meters", {**API_CALLS, "event_name": "other", "currency_id": first["currency_id"]})
    assert second["paymentCurrency"] == first["paymentCurrency"]
    assert Currency.objects.count() == 1


def test_an_update_replaces_what_it_names_and_leaves_the_rest(call: Caller) -> None:
    meter = call.post("/meters", {**API_CALLS, "metadata": {"a": "1", "b": "2"}})

    changed = call.put(f"/meters/{meter['id']}", {"description": "", "metadata": {"c": 3}, "event_name": "x"})
    assert changed == {**meter, "description": "", "metadata": {"c": 3}, "updated_at": changed["updated_at"]}
    changed = call.put(f"/meters/{meter['id']}", {"status": "inactive", "name": "Calls", "unit": "calls"})
    assert (changed["status"], changed["name"], changed["unit"]) == ("inactive", "Calls", "calls")
    assert call.put(f"/meters/{meter['id']}", {"status": "active"})["status"] == "active"


def test_a_status_changes_by_calls_without_a_body(call: Caller) -> None:
    meter = call.post("/meters", API_CALLS)

    for _ in range(2):
        assert call.put(f"/meters/{meter['id']}/deactivate")["status"] == "inactive"
    for _ in range(2):
        assert call.put("/meters/api.calls.v1/activate")["status"] == "active"


def test_lists_come_newest_first_in_pages_and_can_be_narrowed(call: Caller) -> None:
    names = [f"event_{number}" for number in range(3)]
    for name in names:
        call.post("/meters", {**API_CALLS, "event_name": name, "name": name.upper(), "description": f"of {name}"})
    MeterFactory.create(event_name="of_somebody_else")

    whole = call.get("/meters")
    assert (whole["count"], whole["paging"]) == (3, {"page": 1, "pageSize": 20})
    assert [meter["event_name"] for meter in whole["list"]] == names[::-1]
    second = call.get("/meters", "page=2&pageSize=2")
    assert (second["count"], [meter["event_name"] for meter in second["list"]]) == (3, names[:1])
    assert call.get("/meters", "pageSize=1000")["paging"] == {"page": 1, "pageSize": 100}
    assert [meter["event_name"] for meter in call.get("/meters", "event_name=event_1")["list"]] == ["event_1"]
    assert [meter["event_name"] for meter in call.get("/meters", "q=of%20EVENT_2")["list"]] == ["event_2"]
    assert [meter["event_name"] for meter in call.get("/meters", "q=event_0")["list"]] == ["event_0"]
    assert call.get("/meters", "status=inactive")["list"] == []
    assert [meter["count"] for meter in [call.get("/meters", "q=nothing")]] == [0]


def test_a_meter_of_another_door_has_no_currency(call: Caller) -> None:
    MeterFactory.create(environment=call.environment, event_name="from_elsewhere", display_name="Elsewhere")

    meter = call.get("/meters/from_elsewhere")
    assert (meter["name"], meter["currency_id"], meter["paymentCurrency"]) == ("Elsewhere", None, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, '"name" is required'),
        ({"name": "  "}, '"name" is not allowed to be empty'),
        ({"name": 5}, '"name" must be a string'),
        ({"name": "x" * 65}, '"name" length must be less than or equal to 64 characters long'),
        ({"event_name": None}, '"event_name" is required'),
        ({"event_name": "x" * 65}, '"event_name" length must be less than or equal to 64 characters long'),
        ({"event_name": "a/b"}, '"event_name" must not contain any of / ? # %'),
        ({"event_name": "a?b"}, '"event_name" must not contain any of / ? # %'),
        ({"event_name": "a\0b"}, '"event_name" must not contain NUL characters'),
        ({"unit": None}, '"unit" is required'),
        ({"unit": "x" * 33}, '"unit" length must be less than or equal to 32 characters long'),
        ({"description": "x" * 256}, '"description" length must be less than or equal to 255 characters long'),
        ({"aggregation_method": "max"}, '"aggregation_method" must be one of [sum]'),
        ({"decimal": 19}, '"decimal" must be between 0 and 18'),
        ({"decimal": True}, '"decimal" must be an integer'),
        ({"metadata": []}, '"metadata" must be of type object'),
        ({"metadata": {"a": "x" * 20_000}}, '"metadata" must have at most 16384 bytes, without NUL characters'),
        ({"metadata": {"a": "\0"}}, '"metadata" must have at most 16384 bytes, without NUL characters'),
        ({"currency_id": "pcur_nothing"}, "Payment currency not found: pcur_nothing"),
    ],
)
def test_what_breaks_a_rule_is_named_and_nothing_is_made(call: Caller, change: dict[str, Any], said: str) -> None:
    assert error_of(call("POST", "/meters", {**API_CALLS, **change})) == (400, said)
    assert (Meter.objects.count(), Currency.objects.count()) == (0, 0)


def test_currencies_are_made_shown_and_renamed(call: Caller) -> None:
    made = call.post("/payment-currencies", {"name": "Tokens", "symbol": "TKN", "decimal": 2})

    assert call.get("/payment-currencies", "type=meter") == [made]
    assert call.get(f"/payment-currencies/{made['id']}") == made
    changed = call.put(f"/payment-currencies/{made['id']}", {"name": "Credits", "decimal": 5})
    assert (changed["name"], changed["symbol"], changed["decimal"]) == ("Credits", "TKN", 2)
    assert error_of(call("GET", "/payment-currencies/x")) == (404, "Payment currency not found: x")
    assert error_of(call("POST", "/payment-currencies", {"name": "x"})) == (400, '"symbol" is required')
