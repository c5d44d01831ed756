"""A client of LedgerBee's API without a network, as its users write one: there is no official one."""

import json
from typing import Any
from uuid import uuid4

from django.http import HttpResponse
from django.test import Client

from accounts.models import Company, Environment, Mode, Scope
from accounts.services import create_company
from accounts.tests.factories import create_key

REPORT = "/api/v1/meters/report"
BOTH = ("metered_products", "subscription")


class Caller:
    """One company in one mode, with a key for LedgerBee's scope alone."""

    def __init__(self, company: Company, mode: str = Mode.TEST, *scopes: str) -> None:
        self.environment = Environment.objects.select_related("company").get(company=company, mode=mode)
        self.key, self.secret = create_key(self.environment, *(scopes or [Scope.METER_REPORT]))
        self.client = Client(raise_request_exception=False)

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        kind: str = "application/json",
        query: str = "",
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> HttpResponse:
        """Send a request as it is; what is no text or bytes goes as JSON."""
        sent = {"x-api-key": self.secret} | (headers or {})
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.client.generic(  # type: ignore[return-value]
            method, path, content, kind, QUERY_STRING=query, headers={k: v for k, v in sent.items() if v}, **extra
        )

    def report(self, body: Any, key: str | None = None, **more: Any) -> HttpResponse:
        """Report under a key of its own, or the given one; none if it is empty."""
        headers = {"x-api-idempotency-key": str(uuid4()) if key is None else key} | more.pop("headers", {})
        return self("POST", REPORT, body, headers=headers, **more)


def new_caller(name: str = "Acme", mode: str = Mode.TEST) -> Caller:
    return Caller(create_company(name=name, licenses=BOTH), mode)


def error_of(response: HttpResponse, *, path: str = "/v1/meters/report") -> dict[str, Any]:
    """The error of an answer, with what every such answer has."""
    assert response.headers["Content-Type"] == "application/json"
    error: dict[str, Any] = json.loads(response.content)
    assert set(error) <= {"statusCode", "timestamp", "path", "message", "code", "details"}
    assert error["statusCode"] == response.status_code
    assert error["path"] == path
    assert error["timestamp"].endswith("Z")
    assert len(error["timestamp"]) == len("2026-06-10T12:34:56.789Z")
    assert error["message"]
    assert error["code"]
    return error


def problems_of(response: HttpResponse) -> dict[str, list[str]]:
    """The properties that a body was refused for, each with the names of the rules that it breaks."""
    error = error_of(response)
    assert (error["statusCode"], error["message"]) == (400, "Bad Request Exception")
    assert error["code"] == "SHARED_VALIDATION_FAILED"
    assert set(error["details"]) == {"validationErrors"}
    assert all(set(found) == {"property", "constraints"} for found in error["details"]["validationErrors"])
    return {found["property"]: list(found["constraints"]) for found in error["details"]["validationErrors"]}
