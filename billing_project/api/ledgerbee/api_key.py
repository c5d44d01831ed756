"""/v1/api-key: what the caller's own key may do. It needs no scope, so it tells whether one is connected."""

from typing import Annotated, Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from msgspec import Meta
from rest_framework.request import Request

from billing_project.api.ledgerbee.viewsets import LedgerBeeViewSet
from billing_project.api.ledgerbee.wire import Instant, Shape, instant_text, json_response


class ApiKeyDescription(Shape, frozen=True):
    scopes: list[str]
    ip_whitelist: Annotated[list[str], Meta(description="Empty: any address.")]
    expires_at: Annotated[Instant | None, Meta(description="Null: it does not end.")]
    rate_limit_tiers: Annotated[list[dict[str, Any]], Meta(description="Always empty: no number of calls is limited.")]


class ApiKeyViewSet(LedgerBeeViewSet):
    @extend_schema(
        operation_id="describeApiKey",
        tags=["API key"],
        summary="Describe the key",
        description="The scopes, addresses and end of the key that the call is made with. It needs no scope and no "
        "license, so it tells whether one is connected.",
        responses={200: OpenApiResponse(ApiKeyDescription, "What the key may do.")},
    )
    def describe(self, request: Request) -> HttpResponse:
        key = self.key
        expires_at = instant_text(key.expires_at) if key.expires_at else None
        return json_response(ApiKeyDescription(list(key.scopes), list(key.allowed_ips), expires_at, []))
