"""/v1/webhook_endpoints."""

from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import Array, Flag, ListParams, Metadata, RetrieveParams, Text
from billing_project.api.stripe.kinds import WEBHOOK_ENDPOINT
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import VERSION, Wire, timestamp
from webhooks import services
from webhooks.models import WebhookEndpoint

_URL_LENGTH = 2048
_MOST_TYPES = 500


@WEBHOOK_ENDPOINT.shaped
def shape_of_endpoint(endpoint: WebhookEndpoint) -> Wire:
    return {
        "id": WEBHOOK_ENDPOINT.id_of(endpoint),
        "object": "webhook_endpoint",
        "api_version": VERSION,
        "application": None,
        "created": timestamp(endpoint.created_at),
        "description": endpoint.description or None,
        "enabled_events": endpoint.enabled_events,
        "metadata": endpoint.metadata,
        "status": endpoint.status,
        "url": endpoint.url,
    }


def shape_with_secret(endpoint: WebhookEndpoint) -> Wire:
    """What is answered once: when a secret is made."""
    return {**shape_of_endpoint(endpoint), "secret": endpoint.secret}


class EndpointUpdateParams(RetrieveParams):
    url = Text(_URL_LENGTH)
    enabled_events = Array(Text(100), most=_MOST_TYPES)
    description = Text(5000, clearable="")
    disabled = Flag()
    metadata = Metadata()


class EndpointParams(RetrieveParams):
    url = Text(_URL_LENGTH, required=True)
    enabled_events = Array(Text(100), most=_MOST_TYPES, required=True)
    description = Text(5000, clearable="")
    metadata = Metadata()
    # Every version is answered with the same shapes.
    api_version = Text(100)

    unserved = ("connect",)


class WebhookEndpointViewSet(StripeViewSet[WebhookEndpoint]):
    kind = WEBHOOK_ENDPOINT
    read_scope = Scope.EVENTS_READ
    write_scope = Scope.EVENTS_WRITE

    def list(self, request: Request) -> Response:
        params = self.validated(ListParams)
        return self.listed(self.get_queryset(), params)

    def create(self, request: Request) -> Response:
        params: dict[str, Any] = self.validated(EndpointParams)
        params.pop("api_version", None)
        endpoint = services.create_endpoint(environment=self.environment, now=self.now, **params)
        return self.respond_with(shape_with_secret(endpoint))

    def update(self, request: Request, pk: str) -> Response:
        params = self.validated(EndpointUpdateParams)
        return self.respond(services.update_endpoint(endpoint=self.row(pk), **params))

    def destroy(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        services.delete_endpoint(endpoint=self.row(pk), now=self.now)
        return Response({"id": pk, "object": "webhook_endpoint", "deleted": True})

    @action(methods=["post"], detail=True)
    def roll_secret(self, request: Request, pk: str) -> Response:
        """Ours: Stripe has this in its dashboard alone."""
        self.validated(RetrieveParams)
        return self.respond_with(shape_with_secret(services.roll_secret(endpoint=self.row(pk), now=self.now)))
