"""A dialect's document and its door held against each other by schemathesis, without a network."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any

import schemathesis
from django.http import HttpResponse
from django.test.client import ClientHandler
from openapi_schema_validator import OAS31Validator
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance

from billing_project.api.common.openapi import Dialect, document

# What is well-formed may still be refused: there is no such meter, the time is too long ago.
_EXCLUDED: list[Any] = [positive_data_acceptance]


def schema_of(dialect: Dialect, *, covers: bool = True) -> BaseSchema:
    """The dialect's document, wired to Django.

    :param covers: whether each bound of each parameter is tried out, too, which takes its time where there are many
    """
    config = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": covers}}})
    schema = schemathesis.openapi.from_dict(document(dialect), config=config)
    schema.app = _application()
    return schema


def check(case: "schemathesis.Case[Any]", headers: Mapping[str, str], *, but: Sequence[Any] = ()) -> None:
    """Send what schemathesis made up, and hold the answer against the document.

    :param headers: credentials; without them every answer would be the same
    :param but: checks that say nothing of a dialect
    """
    answer = case.call_and_validate(headers=dict(headers), excluded_checks=[*_EXCLUDED, *but])
    assert answer.status_code != HTTPStatus.UNAUTHORIZED


def problems_with(dialect: Dialect, method: str, path: str, response: HttpResponse) -> list[str]:
    """What the document does not say of an answer to a call of one of its addresses; static words go before ids."""
    whole = document(dialect)
    addresses = sorted(whole["paths"], key=lambda address: address.count("{"))
    for address in addresses:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", address), path) and method.lower() in whole["paths"][address]:
            answer = whole["paths"][address][method.lower()]["responses"].get(str(response.status_code))
            if answer is None:
                return [f"{method} {address} is answered with {response.status_code}"]
            return _violations(dialect, json.dumps(answer["content"]["application/json"]["schema"]), response.content)
    return []


def _violations(dialect: Dialect, schema: str, content: bytes) -> list[str]:
    errors = _validator(dialect, schema).iter_errors(json.loads(content))
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


@cache
def _validator(dialect: Dialect, schema: str) -> OAS31Validator:
    return OAS31Validator({**json.loads(schema), "components": document(dialect)["components"]})


def _application() -> Callable[..., Iterable[bytes]]:
    # As the handler of Django's own client, which does not end the test's transaction with the request.
    handler = ClientHandler()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response: Any = handler(environ)
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return [response.content]

    return answer
