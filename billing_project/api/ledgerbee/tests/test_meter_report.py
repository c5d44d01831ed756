"""Reporting usage: every row of LedgerBee's page and guide, and what it leaves open."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import ApiKey, Customer, License, Mode, Scope
from accounts.tests.factories import CustomerFactory
from billing_project.api.ledgerbee.tests.caller import REPORT, Caller, error_of, new_caller, problems_of
from core.ids import spell
from meters.models import Meter
from meters.services import deactivate_meter, reactivate_meter
from meters.tests.factories import MeterFactory
from usage.errors import TooManyEventsWaiting
from usage.models import EventClaim, EventRejection, MeterEvent

NOBODY = "019392f0-0000-7000-8000-000000000000"


@pytest.fixture
def body(meter: Meter, customer: Customer) -> dict[str, Any]:
    return {"value": 5, "customerId": str(customer.pk), "meterName": meter.event_name}


def nothing_stored() -> bool:
    return not (MeterEvent.objects.exists() or EventClaim.objects.exists() or EventRejection.objects.exists())


def test_a_report_is_queued_and_counted(call: Caller, meter: Meter, customer: Customer, body: dict[str, Any]) -> None:
    response = call.report(body)

    answer = json.loads(response.content)
    event = MeterEvent.objects.get()
    assert response.status_code == 202
    assert answer == {"status": "queued", "requestId": event.identifier}
    assert str(UUID(answer["requestId"])) == answer["requestId"]
    assert (event.meter, event.customer, event.value) == (meter, customer, Decimal(5))
    assert timezone.now() - event.timestamp < timedelta(minutes=1)


def test_a_replay_is_a_duplicate_and_is_not_counted(call: Caller, body: dict[str, Any]) -> None:
    call.report(body, "k1")
    for again in (body, {**body, "value": 7}, {**body, "customerId": NOBODY}):
        response = call.report(again, "k1")

        assert response.status_code == 200
        assert json.loads(response.content) == {"status": "duplicate", "idempotencyKey": "k1"}
    assert MeterEvent.objects.get().value == 5


def test_a_replay_after_archiving_is_still_a_duplicate(call: Caller, meter: Meter, body: dict[str, Any]) -> None:
    call.report(body, "k1")
    deactivate_meter(meter=meter, now=timezone.now())

    assert call.report(body, "k1").status_code == 200
    assert call.report({**body, "meterId": str(meter.pk)}, "k1").status_code == 200
    error = error_of(call.report(body, "k2"))
    assert (error["statusCode"], error["code"]) == (400, "METER_NOT_ACTIVE")
    assert MeterEvent.objects.count() == 1

    reactivate_meter(meter=meter, now=timezone.now())
    assert call.report(body, "k2").status_code == 202


def test_a_refused_report_leaves_its_key_free(call: Caller, body: dict[str, Any]) -> None:
    assert call.report({**body, "customerId": NOBODY}, "k1").status_code == 404
    assert call.report({**body, "value": "5"}, "k1").status_code == 400
    assert nothing_stored()

    assert call.report(body, "k1").status_code == 202


@pytest.mark.parametrize("headers", [
    {"x-api-idempotency-key": "", "Idempotency-Key": "alias"},
    {"x-api-idempotency-key": "  ", "Idempotency-Key": "alias"},
    {"x-api-idempotency-key": "alias", "Idempotency-Key": "other"},
])  # fmt: skip
def test_the_key_has_two_names_of_which_the_own_one_counts(
    call: Caller, body: dict[str, Any], headers: dict[str, str]
) -> None:
    assert call("POST", REPORT, body, headers=headers).status_code == 202

    assert json.loads(call.report(body, "alias").content)["idempotencyKey"] == "alias"


def test_keys_are_each_modes_own(call: Caller, body: dict[str, Any]) -> None:
    live = Caller(call.environment.company, Mode.LIVE)
    meter = MeterFactory.create(environment=live.environment, event_name=body["meterName"])
    customer = CustomerFactory.create(environment=live.environment)
    own = {**body, "customerId": str(customer.pk), "meterId": str(meter.pk)}

    assert call.report(body, "same").status_code == 202
    assert live.report(own, "same").status_code == 202
    # The other mode's meters and customers are not there.
    assert error_of(live.report({**own, "customerId": body["customerId"]}))["code"] == "CUSTOMER_NOT_FOUND"
    assert error_of(call.report({**body, "meterName": None, "meterId": str(meter.pk)}))["code"] == "METER_NOT_FOUND"


# --- the body ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", "1"),
        ("-2.5", "-2.5"),
        ("0", "0"),
        ("0.1", "0.1"),
        ("0.000000000000001", "0.000000000000001"),
        ("123456789.012345", "123456789.012345"),
        ("1e3", "1000"),
        ("1.50", "1.5"),
        ("100000000000000000000", "100000000000000000000"),
    ],
)
def test_values_keep_every_digit(call: Caller, body: dict[str, Any], value: str, expected: str) -> None:
    text = json.dumps(body).replace('"value": 5', f'"value": {value}')

    assert call.report(text).status_code == 202
    event = MeterEvent.objects.get()
    assert event.value == Decimal(expected)
    assert event.payload["value"] == expected


@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [("Z", timedelta(0)), ("+02:00", timedelta(hours=2)), ("-0530", timedelta(hours=-5, minutes=-30)), ("", None)],
)
def test_offsets_are_honored_and_none_is_utc(
    call: Caller, body: dict[str, Any], timestamp: str, offset: timedelta | None
) -> None:
    local = (timezone.now() - timedelta(days=1)).replace(tzinfo=None, microsecond=123000)
    call.report({**body, "timestamp": local.isoformat(timespec="milliseconds") + timestamp})

    assert MeterEvent.objects.get().timestamp == local.replace(tzinfo=UTC) - (offset or timedelta(0))


def test_a_date_is_its_first_instant(call: Caller, body: dict[str, Any]) -> None:
    day = (timezone.now() - timedelta(days=2)).date()
    call.report({**body, "timestamp": day.isoformat()})

    assert MeterEvent.objects.get().timestamp == datetime(day.year, day.month, day.day, tzinfo=UTC)


def test_metadata_becomes_dimensions(call: Caller, meter: Meter, body: dict[str, Any]) -> None:
    Meter.objects.filter(pk=meter.pk).update(dimension_keys=["model", "cached", "size"])
    metadata = '{"model": "m-1", "cached": true, "size": 2.50, "other": -0.001, "off": false, "big": 1e3}'
    text = json.dumps({**body, "metadata": "M"}).replace('"M"', metadata)

    assert call.report(text).status_code == 202
    event = MeterEvent.objects.get()
    assert event.dimensions == {"model": "m-1", "cached": "true", "size": "2.5"}
    assert event.payload.items() >= {"other": "-0.001", "off": "false", "big": "1000"}.items()


def test_ids_are_taken_in_both_spellings(call: Caller, meter: Meter, customer: Customer) -> None:
    for meter_id in (str(meter.pk), spell("mtr", meter.pk)):
        for customer_id in (str(customer.pk), spell("cus", customer.pk)):
            body = {"value": 1, "meterId": meter_id, "customerId": customer_id}
            assert call.report(body).status_code == 202
    # However it was reported, the event names the customer in one way.
    assert {event.payload["stripe_customer_id"] for event in MeterEvent.objects.all()} == {spell("cus", customer.pk)}
    assert MeterEvent.objects.count() == 4


def test_nulls_are_absent_where_nothing_is_required(call: Caller, body: dict[str, Any]) -> None:
    assert call.report({**body, "meterId": None, "timestamp": None, "metadata": None}).status_code == 202


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"value": None}, {"value": ["isNumber"]}),
        ({"value": "5"}, {"value": ["isNumber"]}),
        ({"value": True}, {"value": ["isNumber"]}),
        ({"value": [5]}, {"value": ["isNumber"]}),
        ({"value": 1234567890123456}, {"value": ["isNumber"]}),
        ({"value": 1e100}, {"value": ["isNumber"]}),
        ({"customerId": None}, {"customerId": ["isString"]}),
        ({"customerId": 5}, {"customerId": ["isString"]}),
        ({"customerId": " "}, {"customerId": ["isNotEmpty"]}),
        ({"customerId": "a\0"}, {"customerId": ["isString"]}),
        ({"meterName": 5}, {"meterName": ["isString"]}),
        ({"meterId": {}}, {"meterId": ["isString"]}),
        ({"timestamp": 1700000000}, {"timestamp": ["isISO8601"]}),
        ({"timestamp": "yesterday"}, {"timestamp": ["isISO8601"]}),
        ({"timestamp": "2026-13-01T00:00:00Z"}, {"timestamp": ["isISO8601"]}),
        ({"timestamp": "0001-01-01T00:00:00+02:00"}, {"timestamp": ["isISO8601"]}),
        ({"timestamp": "2020-01-01T00:00:00Z"}, {"timestamp": ["minDate"]}),
        ({"timestamp": "1999-01-01T00:00:00Z"}, {"timestamp": ["minDate"]}),
        ({"timestamp": "2100-01-01T00:00:00Z"}, {"timestamp": ["maxDate"]}),
        ({"metadata": "x"}, {"metadata": ["isObject"]}),
        ({"metadata": [1]}, {"metadata": ["isObject"]}),
        ({"metadata": {"a": None}}, {"metadata.a": ["isStringNumberOrBoolean"]}),
        ({"metadata": {"a": {}}}, {"metadata.a": ["isStringNumberOrBoolean"]}),
        ({"metadata": {"a": [1]}}, {"metadata.a": ["isStringNumberOrBoolean"]}),
        ({"metadata": {"a": "x" * 101}}, {"metadata.a": ["maxLength"]}),
        ({"metadata": {"a": "\0"}}, {"metadata.a": ["maxLength"]}),
        ({"metadata": {"a": 1e200}}, {"metadata.a": ["maxLength"]}),
        ({"metadata": {"": 1}}, {"metadata.": ["isLength"]}),
        ({"metadata": {"k" * 101: 1}}, {"metadata." + "k" * 100: ["isLength"]}),
        ({"metadata": {"value": 1}}, {"metadata.value": ["isNotReserved"]}),
        ({"metadata": {"stripe_customer_id": "x"}}, {"metadata.stripe_customer_id": ["isNotReserved"]}),
        ({"metadata": {str(number): 1 for number in range(1001)}}, {"metadata": ["maxProperties"]}),
        ({"subscriptionId": "x"}, {"subscriptionId": ["whitelistValidation"]}),
        (
            {"value": "x", "customerId": 1, "more": 1, "metadata": {"a": None, "b": 1, "c": []}},
            {
                "more": ["whitelistValidation"],
                "value": ["isNumber"],
                "customerId": ["isString"],
                "metadata.a": ["isStringNumberOrBoolean"],
                "metadata.c": ["isStringNumberOrBoolean"],
            },
        ),
    ],
)
def test_a_bad_body_is_refused_for_each_property(
    call: Caller, body: dict[str, Any], change: dict[str, Any], problems: dict[str, list[str]]
) -> None:
    assert problems_of(call.report({**body, **change})) == problems
    assert nothing_stored()


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "5", '"x"', "NaN", '{"value": 01}', b"\xff", "[" * 5000, "1e" + "9" * 30]
)
def test_what_is_no_json_object_is_refused(call: Caller, text: str | bytes, meter: Meter) -> None:
    # Django's client sends no type with nothing.
    assert list(problems_of(call.report(text, CONTENT_TYPE="application/json"))) == [""]
    assert nothing_stored()


@pytest.mark.parametrize(
    "value", ["1e999999999", "-1e-999999999", "1e9999999999999999999999", "1" * 4000, "0." + "1" * 500]
)
@pytest.mark.parametrize("place", ["value", "metadata"])
def test_monstrous_numbers_are_refused_in_no_time(call: Caller, body: dict[str, Any], value: str, place: str) -> None:
    text = json.dumps({**body, "metadata": {"a": 7}}).replace(": 7" if place == "metadata" else ": 5", f": {value}")

    assert set(problems_of(call.report(text))) <= {"", "value", "metadata.a"}
    assert nothing_stored()


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_is_refused(call: Caller, body: dict[str, Any], kind: str) -> None:
    error = error_of(call.report(body, kind=kind))

    assert (error["statusCode"], error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert nothing_stored()


def test_the_content_types_parameters_do_not_matter(call: Caller, body: dict[str, Any]) -> None:
    assert call.report(body, kind="Application/JSON; charset=utf-8").status_code == 202


def test_a_body_beyond_a_mebibyte_is_refused(call: Caller, body: dict[str, Any]) -> None:
    error = error_of(call.report({**body, "metadata": {"a": "x" * 1024 * 1024}}))

    assert (error["statusCode"], error["code"]) == (413, "PAYLOAD_TOO_LARGE")


def test_a_body_that_ends_too_early_is_refused(call: Caller, body: dict[str, Any]) -> None:
    short: dict[str, Any] = {"CONTENT_LENGTH": "5000", "wsgi.input": BytesIO(json.dumps(body).encode())}

    assert problems_of(call.report(body, **short)) == {"": ["isComplete"]}
    assert nothing_stored()


# --- the other refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"meterName": None}, 400, "METER_IDENTIFIER_REQUIRED"),
        ({"meterName": " ", "meterId": ""}, 400, "METER_IDENTIFIER_REQUIRED"),
        ({"meterName": "Api_calls"}, 404, "METER_NOT_FOUND"),
        ({"meterName": "nothing"}, 404, "METER_NOT_FOUND"),
        ({"meterId": NOBODY}, 404, "METER_NOT_FOUND"),
        ({"meterId": "x"}, 404, "METER_NOT_FOUND"),
        ({"meterId": "cus_06c36c1d8f9b4e0000000000x0"}, 404, "METER_NOT_FOUND"),
        ({"customerId": NOBODY}, 404, "CUSTOMER_NOT_FOUND"),
        ({"customerId": "x" * 5000}, 404, "CUSTOMER_NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_not_found(
    call: Caller, body: dict[str, Any], change: dict[str, Any], status: int, code: str
) -> None:
    error = error_of(call.report({**body, **change}))

    assert (error["statusCode"], error["code"]) == (status, code)
    assert nothing_stored()


def test_id_and_name_must_be_of_one_meter(call: Caller, meter: Meter, body: dict[str, Any]) -> None:
    other = MeterFactory.create(environment=call.environment, event_name="other")

    error = error_of(call.report({**body, "meterId": str(other.pk)}))
    assert (error["statusCode"], error["code"]) == (400, "METER_IDENTIFIER_CONFLICT")
    assert nothing_stored()
    assert call.report({**body, "meterId": str(meter.pk)}).status_code == 202


def test_a_deleted_customer_is_not_found(call: Caller, customer: Customer, body: dict[str, Any]) -> None:
    Customer.objects.filter(pk=customer.pk).update(deleted_at=timezone.now())

    assert error_of(call.report(body))["code"] == "CUSTOMER_NOT_FOUND"


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_a_key_is_required(call: Caller, body: dict[str, Any], key: str) -> None:
    error = error_of(call.report(body, key))

    assert (error["statusCode"], error["code"]) == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert nothing_stored()


def test_a_key_may_have_255_characters(call: Caller, body: dict[str, Any]) -> None:
    assert call.report(body, "k" * 255).status_code == 202
    assert problems_of(call.report(body, "k" * 256)) == {"x-api-idempotency-key": ["maxLength"]}
    assert MeterEvent.objects.count() == 1


def test_the_checks_come_in_their_order(call: Caller, meter: Meter, body: dict[str, Any]) -> None:
    """Each request has all faults from here on; one is mended after the other."""
    narrow = Caller(call.environment.company, Mode.TEST, Scope.METERS_READ)
    bad: dict[str, Any] = {"customerId": NOBODY, "meterName": "nothing"}
    License.objects.all().delete()
    deactivate_meter(meter=meter, now=timezone.now())

    def code(caller: Caller, body: dict[str, Any], key: str, **headers: str) -> tuple[int, str]:
        error = error_of(caller.report(body, key, headers=headers))
        return error["statusCode"], error["code"]

    assert code(narrow, bad, "", **{"x-api-key": "sk_test_nope"}) == (401, "UNAUTHORIZED")
    assert code(narrow, bad, "") == (403, "INSUFFICIENT_PERMISSIONS")
    assert code(call, bad, "") == (403, "LICENSE.REQUIRED")
    for product in License.Product:
        License.objects.create(company=call.environment.company, product=product, starts_at=timezone.now())
    assert code(call, bad, "") == (400, "IDEMPOTENCY_KEY_REQUIRED")
    assert code(call, bad, "k") == (400, "SHARED_VALIDATION_FAILED")
    bad["value"] = 1
    assert code(call, bad, "k") == (404, "METER_NOT_FOUND")
    bad["meterName"] = body["meterName"]
    assert code(call, bad, "k") == (400, "METER_NOT_ACTIVE")
    reactivate_meter(meter=meter, now=timezone.now())
    assert code(call, bad, "k") == (404, "CUSTOMER_NOT_FOUND")
    assert nothing_stored()
    bad["customerId"] = body["customerId"]
    assert call.report(bad, "k").status_code == 202


@pytest.mark.parametrize(
    ("missing", "name"), [("metered_products", "Metered Products"), ("subscription", "Subscription")]
)
def test_both_licenses_are_needed(call: Caller, body: dict[str, Any], missing: str, name: str) -> None:
    License.objects.filter(product=missing).delete()

    error = error_of(call.report(body))
    assert (error["statusCode"], error["code"]) == (403, "LICENSE.REQUIRED")
    assert error["details"] == {"licenseKey": name}
    assert nothing_stored()


def test_a_license_in_its_days_of_grace_is_enough(call: Caller, body: dict[str, Any]) -> None:
    now = timezone.now()
    License.objects.update(starts_at=now - timedelta(days=30), ends_at=now - timedelta(days=6))
    assert call.report(body).status_code == 202

    License.objects.update(ends_at=now - timedelta(days=8))
    assert error_of(call.report(body))["code"] == "LICENSE.REQUIRED"


def test_the_scope_is_needed_and_named(call: Caller, body: dict[str, Any]) -> None:
    others = [scope for scope in Scope.values if scope != Scope.METER_REPORT]
    error = error_of(Caller(call.environment.company, Mode.TEST, *others).report(body))

    assert (error["statusCode"], error["code"]) == (403, "INSUFFICIENT_PERMISSIONS")
    assert error["details"] == {"requiredScopes": ["meter-report"]}
    assert nothing_stored()


def test_when_too_much_waits_the_caller_comes_again(
    call: Caller, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise TooManyEventsWaiting

    monkeypatch.setattr("billing_project.api.ledgerbee.meter_report.report_usage", refuse)
    response = call.report(body)

    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert error_of(response)["code"] == "TOO_MANY_REQUESTS"


def test_while_the_database_is_away_the_envelope_says_so(
    call: Caller, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError("no connection")

    monkeypatch.setattr("billing_project.api.ledgerbee.meter_report.report_usage", fail)
    response = call.report(body)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert error_of(response)["code"] == "SERVICE_UNAVAILABLE"


def test_a_revoked_key_opens_nothing(call: Caller, body: dict[str, Any]) -> None:
    ApiKey.objects.filter(pk=call.key.pk).update(revoked_at=timezone.now())

    error = error_of(call.report(body))
    assert (error["statusCode"], error["code"], error["message"]) == (401, "UNAUTHORIZED", "Invalid API key")


def test_anothers_meters_and_customers_are_not_there(body: dict[str, Any]) -> None:
    stranger = new_caller("Globex")

    assert error_of(stranger.report(body))["code"] == "METER_NOT_FOUND"
    meter = MeterFactory.create(environment=stranger.environment, event_name=body["meterName"])
    assert error_of(stranger.report(body))["code"] == "CUSTOMER_NOT_FOUND"
    foreign = {**body, "meterId": str(Meter.objects.exclude(pk=meter.pk).get().pk)}
    assert error_of(stranger.report(foreign))["code"] == "METER_NOT_FOUND"
    assert nothing_stored()
