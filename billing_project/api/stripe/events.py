"""/v1/events: what happened, each with its object as it was at that instant."""

from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from msgspec import Raw
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Scope
from billing_project.api.stripe.fields import Array, CreatedListParams, Flag, Ref, RetrieveParams, Text, exclusive
from billing_project.api.stripe.kinds import EVENT, WEBHOOK_ENDPOINT
from billing_project.api.stripe.pagination import in_range
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import VERSION, Wire, timestamp
from webhooks import services
from webhooks.models import Delivery, Event

_TYPE_LENGTH = 100


@EVENT.completed
def complete(events: QuerySet[Event]) -> QuerySet[Event]:
    return events.annotate(pending_count=Count("deliveries", Q(deliveries__state=Delivery.State.PENDING)))


@EVENT.shaped
def shape_of_event(event: Event) -> Wire:
    # Word for word as it was recorded: read and written again, a number might lose a digit.
    data: Wire = {"object": Raw(event.snapshot.encode())}
    if event.previous:
        data["previous_attributes"] = Raw(event.previous.encode())
    pending: int = event.pending_count  # type: ignore[attr-defined]  # of the query
    return {
        "id": EVENT.id_of(event),
        "object": "event",
        "api_version": VERSION,
        "created": timestamp(event.created_at),
        "data": data,
        "pending_webhooks": pending,
        "request": {"id": event.request_id or None, "idempotency_key": event.idempotency_key or None},
        "type": event.type,
    }


class EventListParams(CreatedListParams):
    type = Text(_TYPE_LENGTH)
    types = Array(Text(_TYPE_LENGTH), most=20)

    delivery_success = Flag()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "type", "types")
        return super().validate(attrs)


class RetryParams(RetrieveParams):
    webhook_endpoint = Ref(WEBHOOK_ENDPOINT, required=True)


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
        if "delivery_success" in params:
            undelivered = Exists(Delivery.objects.filter(event=OuterRef("pk")).exclude(state=Delivery.State.SUCCEEDED))
            events = events.filter(~undelivered if params["delivery_success"] else undelivered)
        return self.listed(events, params)

    @action(methods=["post"], detail=True)
    def retry(self, request: Request, pk: str) -> Response:
        """What Stripe's command line calls to resend an event."""
        params = self.validated(RetryParams)
        event = self.row(pk)
        services.resend_event(event=event, endpoint=params["webhook_endpoint"], now=self.now)
        return self.respond(self.row(pk))


def _of_type(name: str) -> Q:
    """The condition of a type's name, or of many by a wildcard: ``invoice.*``."""
    start, star, end = name.partition("*")
    return Q(type__startswith=start, type__endswith=end) if star else Q(type=name)
