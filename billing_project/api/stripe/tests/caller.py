"""Calls with bare bytes, and what every answer to them has."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import Customer
from billing_project.api.stripe.tests.sdk import Account

FORM = "application/x-www-form-urlencoded"


class Caller:
    """Calls with bare bytes, as a careless or hostile client makes them."""

    def __init__(self, account: Account) -> None:
        self.client = Client(raise_request_exception=False)
        self.authorization = {"Authorization": f"Bearer {account.secret}"}

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | str = b"",
        *,
        kind: str = FORM,
        query: str = "",
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> HttpResponse:
        sent = self.authorization | (headers or {})
        return self.client.generic(method, path, body, kind, QUERY_STRING=query, headers=sent, **extra)  # type: ignore[return-value]


def error_of(response: HttpResponse) -> dict[str, str]:
    """The error of an answer in Stripe's shape, with what every such answer has."""
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Request-Id"].startswith("req_")
    assert response.headers["Stripe-Version"]
    error: dict[str, str] = json.loads(response.content)["error"]
    assert error["type"] in {"api_error", "invalid_request_error", "idempotency_error"}
    assert error["message"]
    if 400 <= response.status_code < 500 and response.status_code not in {409, 429}:
        assert response.headers["Stripe-Should-Retry"] == "false"
    return error


def break_after_writing(**fields: Any) -> None:
    """Stands for a service with a bug."""
    Customer.objects.create(environment=fields["environment"], created_at=fields["now"])
    raise ZeroDivisionError("a bug")
