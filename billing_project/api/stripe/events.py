"""/v1/events: what happened, each with its object as it was at that instant."""

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q
from msgspec import Raw
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import Array, CreatedListParams, Text, exclusive
from billing_project.api.stripe.kinds import EVENT
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import VERSION, Wire, timestamp
from webhooks.models import Event

_TYPE_LENGTH = 100


@EVENT.shaped
def shape_of_event(event: Event) -> Wire:
    # Word for word as it was recorded: read and written again, a number might lose a digit.
    data: Wire = {"object": Raw(event.snapshot.encode())}
    if event.previous:
        data["previous_attributes"] = Raw(event.previous.encode())
    return {
        "id": EVENT.id_of(event),
        "object": "event",
        "api_version": VERSION,
        "created": timestamp(event.created_at),
        "data": data,
        "pending_webhooks": 0,
        "request": {"id": event.request_id or None, "idempotency_key": event.idempotency_key or None},
        "type": event.type,
    }


class EventListParams(CreatedListParams):
    type = Text(_TYPE_LENGTH)
    types = Array(Text(_TYPE_LENGTH), most=20)

    unserved = ("delivery_success",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "type", "types")
        return super().validate(attrs)


class EventViewSet(StripeViewSet[Event]):
    kind = EVENT
    read_scope = Scope.EVENTS_READ
    write_scope = Scope.EVENTS_WRITE
    # As they were recorded: a test clock's customers live at times of their own.
    order = ("-pk",)

    def list(self, request: Request) -> Response:
        params = self.validated(EventListParams)
        events = self.get_queryset().filter(**in_range(params))
        names = params.get("types", [params["type"]] if "type" in params else [])
        if names:
            events = events.filter(reduce(or_, map(_of_type, names)))
        return self.listed(events, params)


def _of_type(name: str) -> Q:
    """The condition of a type's name, or of many by a wildcard: ``invoice.*``."""
    start, star, end = name.partition("*")
    return Q(type__startswith=start, type__endswith=end) if star else Q(type=name)
