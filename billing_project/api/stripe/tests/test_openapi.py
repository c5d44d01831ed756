"""The document says what the door does: valid, complete, and kept by good calls and by whatever is thrown at it."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from hypothesis import HealthCheck, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.specs.openapi.checks import negative_data_rejection, unsupported_method

from billing_project.api.common.openapi import document
from billing_project.api.common.tests.conformance import check, problems_with, schema_of
from billing_project.api.stripe.openapi import DIALECT
from billing_project.api.stripe.tests.builders import new_meter
from billing_project.api.stripe.tests.foreign_ids import CASES, addresses
from billing_project.api.stripe.tests.sdk import Account, new_account
from billing_project.api.stripe.tests.test_hostile import CALLS, names
from billing_project.api.stripe.tests.worlds import World, populate

# Stripe answers 404 where another method is meant; and in a form or a query a number is as good a text as any.
UNLIKE_STRIPE = [unsupported_method, negative_data_rejection]
DOCUMENT = document(DIALECT)
OPERATIONS = [
    (path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]


def test_it_is_valid_and_served() -> None:
    served = Client().get("/openapi/stripe.json")
    assert (served.status_code, json.loads(served.content)) == (200, DOCUMENT)
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_it_has_every_address_and_no_other() -> None:
    mounted = set(addresses(get_resolver().url_patterns))
    assert mounted == set(CASES)
    assert len(OPERATIONS) == len(mounted)
    assert len({operation["operationId"] for *_, operation in OPERATIONS}) == len(OPERATIONS)


def operation_at(path: str, method: str) -> dict[str, Any]:
    """The operation of an address as the other tests spell it: ``prices/{price}``."""
    wanted = re.sub(r"\{\w+\}", "{}", f"/v1/{path}")
    operation: dict[str, Any]
    [operation] = [
        one for address, verb, one in OPERATIONS if (re.sub(r"\{\w+\}", "{}", address), verb) == (wanted, method)
    ]
    return operation


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_it_lists_what_the_fields_take_and_nothing_else(call: tuple[str, str]) -> None:
    path, params, _ = CALLS[call]
    operation = operation_at(path, call[1])
    if call[1] == "post":
        described = set(
            operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]["properties"]
        )
    else:
        described = {one["name"] for one in operation["parameters"] if one["in"] == "query"}

    def heads(spelled: set[str]) -> set[str]:
        return {name.partition("[")[0] for name in spelled}

    assert heads(described) == heads(set(names(params())))


@pytest.fixture
def world(db: None) -> World:
    world = populate(new_account(), "x")
    world.ids["spare_meter"] = new_meter(world.account, "spare").id
    world.ids["spare_customer"] = world.account.v1.customers.create({"name": "Spare"}).id
    return world


def test_every_good_call_is_answered_as_it_says(world: World) -> None:
    world.account.v1.customers.update(world.ids["customer"], {"email": "ada@example.com"})
    client = Client(headers={"Authorization": f"Bearer {world.account.secret}"}, raise_request_exception=False)

    def fill(text: str) -> str:
        for name, value in world.ids.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    wrong, answered = {}, 0
    for (name, method), (path, _, good) in CALLS.items():
        encoded = urlencode({fill(key): fill(value) for key, value in good.items()})
        with transaction.atomic():
            if method == "post":
                said: Any = client.generic("POST", f"/v1/{fill(path)}", encoded, "application/x-www-form-urlencoded")
            else:
                said = client.generic(method.upper(), f"/v1/{fill(path)}", QUERY_STRING=encoded)
            transaction.set_rollback(True)
        problems = problems_with(DIALECT, method, f"/v1/{fill(path)}", said)
        answered += said.status_code == 200
        if problems:
            wrong[name, method] = problems
    assert wrong == {}
    # Some objects have to be in another state first (test_every_write_tells.py).
    assert answered > 0.9 * len(CALLS)


def test_it_says_what_is_in_answers() -> None:
    # What no reader of the code can tell would stay open.
    silent = [
        path for path, _, operation in OPERATIONS
        if not operation["responses"]["200"]["content"]["application/json"]["schema"].keys() & {"$ref", "properties", "anyOf"}
    ]  # fmt: skip
    assert silent == ["/v2/billing/meter_event_stream"]
    assert list(open_properties(DOCUMENT)) == []
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Invoice"]["properties"]["amount_due"] == {"type": "integer"}
    assert schemas["Invoice"]["properties"]["customer_email"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert schemas["CreditReservation"]["properties"]["status"]["enum"] == [
        "active",
        "committed",
        "released",
        "expired",
    ]
    assert schemas["Price"]["properties"]["metadata"]["additionalProperties"] == {"type": "string"}
    grant = DOCUMENT["components"]["schemas"]["CreditGrant"]
    assert grant["properties"]["category"] == {"type": "string", "enum": ["paid", "promotional"]}
    assert grant["properties"]["expires_at"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert grant["properties"]["customer"]["anyOf"][:2] == [
        {"type": "string"},
        {"$ref": "#/components/schemas/Customer"},
    ]
    assert {"id", "amount", "livemode"} <= set(grant["required"])


def open_properties(whole: dict[str, Any]) -> Iterator[str]:
    """Properties of answers that may be any value, by their address or object, and their name."""

    def within(place: str, schema: dict[str, Any]) -> Iterator[str]:
        for name, value in schema.get("properties", {}).items():
            if not value.keys() - {"description"}:
                yield f"{place}.{name}"
            yield from within(place, value)
        parts = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
        for part in parts:
            if isinstance(part, dict):
                yield from within(place, part)

    for name, schema in whole["components"]["schemas"].items():
        yield from within(name, schema)
    for path, item in whole["paths"].items():
        for operation in item.values():
            yield from within(path, operation["responses"]["200"]["content"]["application/json"]["schema"])


@pytest.fixture
def account(db: None) -> Account:
    return new_account()


@pytest.fixture
def session(account: Account) -> str:
    """What opens the stream, and nothing else."""
    return str(account.sdk.v2.billing.meter_event_session.create({}).authentication_token)


@pytest.fixture
def api_schema(account: Account) -> Any:
    return schema_of(DIALECT, covers=False)


@schemathesis.serializer("application/x-ndjson")
def lines(_: Any, value: Any) -> bytes:
    """One line."""
    return json.dumps(value).encode()


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=4, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_is_sent_the_answer_is_one_of_the_documents(
    case: "schemathesis.Case[Any]", account: Account, session: str
) -> None:
    secret = session if case.path.endswith("/meter_event_stream") else account.secret
    check(case, {"Authorization": f"Bearer {secret}"}, but=UNLIKE_STRIPE)


def test_the_page_shows_it() -> None:
    page = Client().get("/openapi/stripe").content.decode()
    for path, _, operation in OPERATIONS:
        assert f"<code>{path}</code>" in page
        assert operation["summary"] in page
    assert b'href="/openapi/stripe"' in Client().get("/openapi/").content
