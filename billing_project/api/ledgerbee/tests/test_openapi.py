"""The document says what the door does: valid, complete, and kept under whatever is thrown at it."""

import html
import json
import re
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator

from accounts.tests.factories import CustomerFactory
from billing_project.api.common.tests.conformance import check, schema_of
from billing_project.api.ledgerbee.openapi import DIALECT
from billing_project.api.ledgerbee.tests.caller import Caller
from billing_project.api.ledgerbee.tests.test_grammar import ROUTES
from core.tests.examples import costly
from meters.tests.factories import MeterFactory


@pytest.fixture
def served() -> dict[str, Any]:
    response = Client().get("/openapi/ledgerbee.json")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_it_is_valid(served: dict[str, Any]) -> None:
    assert list(OpenAPIV31SpecValidator(served).iter_errors()) == []


def test_it_has_every_address_and_no_other(served: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, item in served["paths"].items() for method in item}

    assert described == {
        (method, path.replace("019392f0-0000-7000-8000-000000000000", "{meterId}")) for method, path in ROUTES.values()
    }


@pytest.fixture
def api_schema(call: Caller) -> Any:
    # What the document's own example reports, so that it is taken in.
    MeterFactory.create(environment=call.environment, event_name="api_calls")
    CustomerFactory.create(environment=call.environment, pk="019392f0-8c5e-7a41-b7d2-3f1e6a9c0d24")
    return schema_of(DIALECT)


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=costly(50), suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_is_sent_the_answer_is_one_of_the_documents(case: "schemathesis.Case[Any]", call: Caller) -> None:
    check(case, {"x-api-key": call.secret})


def test_its_own_example_is_taken_in(call: Caller, api_schema: Any, served: dict[str, Any]) -> None:
    operation = served["paths"]["/api/v1/meters/report"]["post"]

    assert call.report(operation["requestBody"]["content"]["application/json"]["example"]).status_code == 202


def test_every_code_that_the_door_says_is_in_the_document(served: dict[str, Any]) -> None:
    text = json.dumps(served)

    for code in (
        "UNAUTHORIZED", "INSUFFICIENT_PERMISSIONS", "LICENSE.REQUIRED", "IDEMPOTENCY_KEY_REQUIRED",
        "SHARED_VALIDATION_FAILED", "METER_IDENTIFIER_REQUIRED", "METER_IDENTIFIER_CONFLICT", "METER_NOT_ACTIVE",
        "METER_NOT_FOUND", "CUSTOMER_NOT_FOUND", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "TOO_MANY_REQUESTS",
        "SERVICE_UNAVAILABLE", "INTERNAL_SERVER_ERROR",
    ):  # fmt: skip
        assert f"`{code}`" in text


def test_the_page_shows_every_operation_and_every_property(served: dict[str, Any]) -> None:
    page = Client().get("/openapi/ledgerbee")

    assert page.status_code == 200
    text = html.unescape(page.content.decode())
    bare = re.sub(r"</?code>", "", text)
    for path, item in served["paths"].items():
        assert f"<code>{path}</code>" in text
        for operation in item.values():
            assert operation["summary"] in text
            for parameter in operation.get("parameters", []):
                assert f"<code>{parameter['name']}</code>" in text
    for component in served["components"]["schemas"].values():
        for name in component["properties"]:
            assert f"<code>{name}</code>" in text
    body = served["paths"]["/api/v1/meters/report"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for name, field in body["properties"].items():
        assert f"<code>{name}</code>" in text
        assert field["description"].replace("`", "") in bare
    assert "None" not in re.findall(r">([^<>]+)<", text)


def test_the_list_of_documents_leads_to_it() -> None:
    page = Client().get("/openapi/")

    assert page.status_code == 200
    assert b'href="/openapi/ledgerbee"' in page.content
    assert b'href="/openapi/ledgerbee.json"' in page.content
    assert Client().post("/openapi/ledgerbee.json").status_code == 405
