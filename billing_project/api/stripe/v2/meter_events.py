"""/v2/billing/meter_events, and the session and stream beside it: the fastest way in."""

from typing import Annotated
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.models import ApiKey, Environment, Scope
from accounts.sessions import open_session, open_with_session
from billing_project.api.common.requests import address_of, request_uuid
from billing_project.api.stripe.authentication import (
    hold_to_account,
    open_door,
    require_scope,
    secret_of,
)
from billing_project.api.stripe.idempotency import fingerprint, idempotency_key, mark_replayed
from billing_project.api.stripe.v2.wire import Body, NoFields, Time, instant, read_json, rfc3339
from billing_project.api.stripe.wire import Wire, encode, json_response
from core.ids import spell
from usage.events import AcceptedEvent, EventDraft
from usage.models import Source
from usage.services import BatchKey, UnknownCustomer, accept_event, take_in_stream

MOST_EVENTS = 100

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class EventBody(Body, frozen=True):
    """One event, as v2 and the stream spell it."""

    event_name: _Text
    payload: dict[_Text, str]
    identifier: _Text | None = None
    timestamp: Time | None = None

    def draft(
        self, retry_key: str | None = None, request_hash: bytes | None = None, request_id: UUID | None = None
    ) -> EventDraft:
        return EventDraft(
            event_name=self.event_name,
            payload=self.payload,
            identifier=self.identifier,
            timestamp=instant(self.timestamp),
            retry_key=retry_key,
            fingerprint=request_hash,
            request_id=request_id,
        )


class StreamBody(Body, frozen=True):
    events: Annotated[list[EventBody], msgspec.Meta(min_length=1, max_length=MOST_EVENTS)]


_EVENT = msgspec.json.Decoder(EventBody)
_STREAM = msgspec.json.Decoder(StreamBody)
_NOTHING = msgspec.json.Decoder(NoFields)


def shape_of_event(event: AcceptedEvent, environment: Environment) -> Wire:
    return {
        "object": "v2.billing.meter_event",
        "created": rfc3339(event.received_at),
        "event_name": event.event_name,
        "identifier": event.identifier,
        "livemode": environment.is_live,
        # In one order, so that a replay is the same to the byte.
        "payload": dict(sorted(event.payload.items())),
        "timestamp": rfc3339(event.timestamp),
    }


def create_event(request: HttpRequest) -> HttpResponse:
    """Take in one event, all checks in the call but for the customer's existence, as in v1."""
    key = _opened(request)
    body = read_json(request, _EVENT)
    retry_key = idempotency_key(request)
    draft = body.draft(retry_key, fingerprint(request, body) if retry_key else None, request_uuid(request))
    event = accept_event(
        environment=key.environment,
        draft=draft,
        source=Source.API,
        now=timezone.now(),
        unknown_customer=UnknownCustomer.REPORT,
    )
    response = json_response(encode(shape_of_event(event, key.environment)))
    if event.replayed:
        mark_replayed(response, event.first_request_id)
    return response


def create_session(request: HttpRequest) -> HttpResponse:
    """Open a session for the stream.

    Its Idempotency-Key is not looked at: a session writes nothing that could be there twice, and no credential
    belongs into the store of answers.
    """
    key = _opened(request)
    read_json(request, _NOTHING)
    session = open_session(key=key, now=timezone.now())
    return json_response(
        encode(
            {
                "id": spell("mes", session.id),
                "object": "v2.billing.meter_event_session",
                "authentication_token": session.token,
                "created": rfc3339(session.created_at),
                "expires_at": rfc3339(session.expires_at),
                "livemode": key.environment.is_live,
            }
        )
    )


def create_stream(request: HttpRequest) -> HttpResponse:
    """Take in up to 100 events. Only their shape is checked in the call; what cannot be counted is reported later."""
    now = timezone.now()
    key = open_with_session(token=secret_of(request), address=address_of(request), now=now)
    hold_to_account(request, key)
    # Asked again: what was taken from the key is taken from its sessions, too.
    require_scope(key, Scope.METER_REPORT)
    body = read_json(request, _STREAM)
    retry_key = idempotency_key(request)
    first = take_in_stream(
        environment=key.environment,
        drafts=[event.draft() for event in body.events],
        source=Source.STREAM,
        now=now,
        key=BatchKey(retry_key, fingerprint(request, body), request_uuid(request)) if retry_key else None,
    )
    response = json_response("{}")
    if first is not None:
        mark_replayed(response, first.request_id)
    return response


def _opened(request: HttpRequest) -> ApiKey:
    key = open_door(request)
    require_scope(key, Scope.METER_REPORT)
    return key
