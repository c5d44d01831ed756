"""/v1/api-key: what the caller's own key may do. It needs no scope, so it tells whether one is connected."""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from billing_project.api.ledgerbee.viewsets import LedgerBeeViewSet
from billing_project.api.ledgerbee.wire import Shape, instant_text, json_response


class ApiKeyDescription(Shape, frozen=True):
    scopes: list[str]
    ip_whitelist: list[str]
    expires_at: str | None
    # Nothing is limited by number here.
    rate_limit_tiers: list[dict[str, Any]] = []


class ApiKeyViewSet(LedgerBeeViewSet):
    def describe(self, request: Request) -> HttpResponse:
        """The scopes, addresses and end of the key that the request is made with."""
        key = self.key
        expires_at = instant_text(key.expires_at) if key.expires_at else None
        return json_response(ApiKeyDescription(list(key.scopes), list(key.allowed_ips), expires_at))
