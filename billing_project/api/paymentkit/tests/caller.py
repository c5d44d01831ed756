"""Calls as the vendor's client sends them, without a network."""

import base64
import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts.models import Company, License, Mode
from accounts.services import create_company
from accounts.tests.factories import create_key
from billing_project.api.common.tests.conformance import problems_with
from billing_project.api.paymentkit.openapi import DIALECT

BOTH = (License.Product.METERED_PRODUCTS, License.Product.SUBSCRIPTION)


class Caller:
    """A key of an environment, and calls with it."""

    def __init__(self, company: Company, mode: str = Mode.TEST, *scopes: str) -> None:
        self.environment = company.environments.get(mode=mode)
        self.key, self.secret = create_key(self.environment, *scopes)
        self._client = Client(raise_request_exception=False)

    @property
    def credentials(self) -> str:
        return "Basic " + base64.b64encode(f"{self.secret}:".encode()).decode()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: str | None = None,
        headers: dict[str, str] | None = None,
        content_type: str | None = None,
        **more: Any,
    ) -> HttpResponse:
        """A call in the key's mode, unless the query says otherwise."""
        livemode = f"livemode={str(self.environment.is_live).lower()}"
        if content_type is None:
            # What the client calls a request without a body.
            content_type = "application/x-www-form-urlencoded" if body is None else "application/json"
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        response: Any = self._client.generic(
            method,
            f"/api{path}",
            data,
            content_type,
            headers={"Authorization": self.credentials} | (headers or {}),
            query_params=None,
            QUERY_STRING=livemode if query is None else query,
            **more,
        )
        found: HttpResponse = response
        # Whatever a test is about: what is answered is what the document says.
        assert problems_with(DIALECT, method, f"/api{path}", found) == []
        return found

    def get(self, path: str, query: str = "") -> Any:
        """What is answered with 200."""
        livemode = f"livemode={str(self.environment.is_live).lower()}"
        return answer_of(self("GET", path, query=f"{query}&{livemode}"))

    def post(self, path: str, body: Any) -> Any:
        return answer_of(self("POST", path, body))

    def put(self, path: str, body: Any = None) -> Any:
        return answer_of(self("PUT", path, body))


def new_caller(name: str = "Acme", mode: str = Mode.TEST) -> Caller:
    return Caller(create_company(name=name, licenses=BOTH), mode)


def answer_of(response: HttpResponse) -> Any:
    assert response.headers["Content-Type"] == "application/json"
    assert response.status_code == 200, response.content
    return json.loads(response.content)


def error_of(response: HttpResponse) -> tuple[int, str]:
    """Status and text of a refusal, which has nothing else."""
    assert response.headers["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"error"}
    assert isinstance(body["error"], str)
    assert body["error"]
    return response.status_code, body["error"]
