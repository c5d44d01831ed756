"""The document says what the door does. Every call of the other tests is held against it, too (caller.py)."""

import json
from typing import Any

import pytest
import schemathesis
from django.test import Client
from django.urls import get_resolver
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import negative_data_rejection, unsupported_method

from billing_project.api.common.openapi import document
from billing_project.api.common.tests.conformance import check, schema_of
from billing_project.api.paymentkit.openapi import DIALECT
from billing_project.api.paymentkit.tests.caller import Caller
from billing_project.api.paymentkit.tests.test_grammar import addresses
from core.tests.examples import costly

# The vendor answers 404 where another method is meant; and what is not needed is not looked at.
UNLIKE_PAYMENT_KIT = [unsupported_method, negative_data_rejection]
DOCUMENT = document(DIALECT)
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]


def test_it_is_valid_and_served() -> None:
    served = Client().get("/openapi/paymentkit.json")
    assert (served.status_code, json.loads(served.content)) == (200, DOCUMENT)
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_it_has_every_address_and_no_other() -> None:
    assert len(DOCUMENT["paths"]) == len(set(addresses(get_resolver().url_patterns)))
    assert len({operation["operationId"] for *_, operation in OPERATIONS}) == len(OPERATIONS)


def test_it_says_what_is_taken_and_what_is_answered() -> None:
    def schema(path: str, method: str) -> Any:
        return DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]

    event = schema("/api/meter-events", "post")
    assert event["required"] == ["event_name", "identifier", "payload"]
    assert event["properties"]["payload"]["required"] == ["customer_id", "value"]
    grant = schema("/api/credit-grants", "post")
    assert grant["properties"]["category"] == {"type": "string", "enum": ["paid", "promotional"]}
    assert (
        "prices"
        in grant["properties"]["applicability_config"]["anyOf"][0]["properties"]["scope"]["anyOf"][0]["properties"]
    )
    query = {one["name"]: one for one in DOCUMENT["paths"]["/api/credit-grants/stats"]["get"]["parameters"]}
    assert query["currency_id"]["required"]
    assert not query["end_date"]["required"]
    # What no reader of the code can tell would be any object.
    silent = [
        path
        for path, _, one in OPERATIONS
        if one["responses"]["200"]["content"]["application/json"]["schema"] == {"type": "object"}
    ]
    assert silent == []


@pytest.fixture
def api_schema(call: Caller) -> Any:
    return schema_of(DIALECT, covers=False)


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=costly(8, part=2), derandomize=True, suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_is_sent_the_answer_is_one_of_the_documents(case: "schemathesis.Case[Any]", call: Caller) -> None:
    check(case, {"Authorization": call.credentials}, but=UNLIKE_PAYMENT_KIT)


def test_the_page_shows_it() -> None:
    page = Client().get("/openapi/paymentkit").content.decode()
    for path, _, operation in OPERATIONS:
        assert f"<code>{path}</code>" in page
        assert operation["summary"] in page
