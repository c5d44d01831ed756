"""/v1/billing/meter_events: the hot path, so a plain view that does nothing twice."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import ValidationError

from accounts.models import Environment, Scope
from billing_project.api.common.requests import request_uuid
from billing_project.api.stripe.authentication import open_door, require_scope
from billing_project.api.stripe.errors import unrecognized
from billing_project.api.stripe.fields import Array, Params, Text, TextHash, Timestamp, checked
from billing_project.api.stripe.idempotency import fingerprint, idempotency_key, mark_replayed
from billing_project.api.stripe.objects import expansion_of, not_expandable, write
from billing_project.api.stripe.parsers import Tree, read_params
from billing_project.api.stripe.wire import (
    Wire,
    encode,
    json_response,
    timestamp,
)
from usage.events import AcceptedEvent, EventDraft
from usage.models import Source
from usage.services import UnknownCustomer, accept_event

_KEY_LENGTH = 100
_TEXT_LENGTH = 100
_PLAIN = {"event_name", "payload", "identifier", "timestamp"}
_TIMESTAMP = Timestamp()


class MeterEventParams(Params):
    event_name = Text(_TEXT_LENGTH, required=True)
    # How long a value may be depends on nothing here: the service refuses what it cannot keep.
    payload = TextHash(key_length=_KEY_LENGTH, required=True)
    identifier = Text(_TEXT_LENGTH)
    timestamp = Timestamp()
    expand = Array(Text(500), most=20)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        # Nothing of an event expands. Said before it is stored, and not while the answer is written.
        if expansion := expansion_of(attrs.pop("expand", ())):
            raise not_expandable(next(iter(expansion)))
        return attrs


def read_event(tree: Tree, environment: Environment) -> dict[str, Any]:
    """The values of :class:`MeterEventParams`. What is plain is taken as it is, a hundred times as fast.

    :raises StripeError: for the first thing that is wrong with them, naming the parameter
    """
    return _plain_event(tree) or checked(MeterEventParams, tree, environment)


def _plain_event(tree: Tree) -> dict[str, Any] | None:
    """The values of an event with nothing unusual about it; None if a closer look is needed."""
    payload = tree.get("payload")
    if not (tree.keys() <= _PLAIN and "event_name" in tree and isinstance(payload, dict)):
        return None
    for name in tree:
        text = tree[name]
        if name != "payload" and not (isinstance(text, str) and 0 < len(text) <= _TEXT_LENGTH):
            return None
    for key, value in payload.items():
        if not (isinstance(value, str) and 0 < len(key) <= _KEY_LENGTH):
            return None
    values: dict[str, Any] = {**tree}
    if "timestamp" in values:
        try:
            values["timestamp"] = _TIMESTAMP.to_internal_value(values["timestamp"])
        except ValidationError:
            return None
    return values


def shape_of_event(event: AcceptedEvent) -> Wire:
    return {
        "object": "billing.meter_event",
        "created": timestamp(event.received_at),
        "event_name": event.event_name,
        "identifier": event.identifier,
        # In one order, so that a replay, which is read from the database, is the same to the byte.
        "payload": dict(sorted(event.payload.items())),
        "timestamp": timestamp(event.timestamp),
    }


@csrf_exempt
def meter_events(request: HttpRequest) -> HttpResponse:
    """Take in one event. The middleware answers what is raised here."""
    if request.method != "POST":
        raise unrecognized(request)
    key = open_door(request)
    require_scope(key, Scope.METER_REPORT)
    tree = read_params(request)
    params = read_event(tree, key.environment)
    retry_key = idempotency_key(request)
    draft = EventDraft(
        event_name=params["event_name"],
        payload=params["payload"],
        identifier=params.get("identifier"),
        timestamp=params.get("timestamp"),
        retry_key=retry_key,
        fingerprint=fingerprint(request, tree) if retry_key else None,
        request_id=request_uuid(request),
    )
    event = accept_event(
        environment=key.environment,
        draft=draft,
        source=Source.API,
        now=timezone.now(),
        unknown_customer=UnknownCustomer.REPORT,
    )
    response = json_response(encode(write(shape_of_event(event), {}, livemode=key.environment.is_live)))
    if event.replayed:
        mark_replayed(response, event.first_request_id)
    return response
