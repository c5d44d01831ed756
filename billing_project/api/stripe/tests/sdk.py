"""Stripe's official client without a network: its requests go to Django's test client."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import stripe
from django.test import Client

from accounts.models import Company, Environment, License, Mode
from accounts.services import create_company
from accounts.tests.factories import create_key


class DjangoTransport(stripe.HTTPClient):
    """What the SDK sends, to the byte, without a socket and within the test's transaction."""

    name = "django"

    def __init__(self) -> None:
        super().__init__()
        self.client = Client(raise_request_exception=False)

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        parts = urlsplit(url)
        sent = dict(headers or {})
        response = self.client.generic(
            method.upper(),
            parts.path,
            data=post_data or "",
            content_type=sent.pop("Content-Type", ""),
            QUERY_STRING=parts.query,
            headers=sent,
        )
        return response.content.decode(), response.status_code, stripe_headers(response.headers)

    def close(self) -> None:
        """There is nothing to close."""


def stripe_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The SDK looks for some names in lower case, as its usual transport would find them."""
    return {**headers, **{name.lower(): value for name, value in headers.items()}}


def is_a(value: Any, kind: type) -> bool:
    """Whether the SDK made an object of that class; for the type checker it stays what it was, free of "or None"."""
    return isinstance(value, kind)


def sdk(secret: str) -> stripe.StripeClient:
    return stripe.StripeClient(secret, http_client=DjangoTransport())


class Account:
    """One company in one mode, with a key that may do everything and a client for it."""

    def __init__(self, company: Company, mode: str = Mode.TEST) -> None:
        self.environment = Environment.objects.select_related("company").get(company=company, mode=mode)
        self.key, self.secret = create_key(self.environment)
        self.sdk = sdk(self.secret)
        # Untyped: to send what the SDK would not advise is half of what the tests do.
        self.v1: Any = self.sdk.v1

    def with_scopes(self, *scopes: str) -> stripe.StripeClient:
        _, secret = create_key(self.environment, *scopes)
        return sdk(secret)


def new_account(name: str = "Acme", mode: str = Mode.TEST) -> Account:
    return Account(create_company(name=name, licenses=License.Product.values), mode)
