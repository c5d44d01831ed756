"""/v2/core/events: thin events, and what they tell when one is retrieved."""

from datetime import datetime
from typing import Any, TypedDict

from django.http import HttpRequest, HttpResponse
from django.http.request import QueryDict

from accounts.models import ApiKey, Environment, Scope
from billing_project.api.stripe.authentication import open_door, require_scope
from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.fields import Array, Integer, Params, Text, checked
from billing_project.api.stripe.kinds import EVENT, METER
from billing_project.api.stripe.pagination import in_range, page_of
from billing_project.api.stripe.parsers import read_params
from billing_project.api.stripe.v2.fields import InstantRange
from billing_project.api.stripe.v2.wire import rfc3339
from billing_project.api.stripe.wire import StripeError, Wire, encode, json_response
from webhooks.kinds import Kind
from webhooks.models import Event, EventQuerySet

TYPES = {
    Kind.METER_ERROR_REPORT: "v1.billing.meter.error_report_triggered",
    Kind.NO_METER_FOUND: "v1.billing.meter.no_meter_found",
}
# A page's name: which way to read, and from which event.
_CURSORS = {"next": "starting_after", "prev": "ending_before"}


class EventListParams(Params):
    object_id = Text(255)
    types = Array(Text(200), most=20)
    created = InstantRange()
    limit = Integer(least=1, most=100, default=20)
    page = Text(300)


def shape_of_event(event: Event, environment: Environment) -> Wire:
    return {
        "id": EVENT.id_of(event),
        "object": "v2.core.event",
        "changes": None,
        "context": None,
        "created": rfc3339(event.created_at),
        "livemode": environment.is_live,
        "reason": None,
        "related_object": _related_object(event),
        "snapshot_event": None,
        "type": TYPES[Kind(event.kind)],
    }


class _Sample(TypedDict):
    identifier: str | None
    message: str


class _Error(TypedDict):
    code: str
    count: int
    samples: list[_Sample]


class _Report(TypedDict):
    """What :func:`usage.services.report_rejections` records."""

    errors: list[_Error]
    first_received_at: str
    last_received_at: str


def data_of_event(event: Event) -> Wire:
    """What a report of rejections tells."""
    told: _Report = event.data
    count: int = sum(error["count"] for error in told["errors"])
    return {
        "developer_message_summary": "There is 1 invalid event" if count == 1 else f"There are {count} invalid events",
        "reason": {
            "error_count": count,
            "error_types": [
                {
                    "code": error["code"],
                    "error_count": error["count"],
                    "sample_errors": [
                        {"error_message": sample["message"], "request": {"identifier": sample["identifier"]}}
                        for sample in error["samples"]
                    ],
                }
                for error in told["errors"]
            ],
        },
        "validation_end": rfc3339(datetime.fromisoformat(told["last_received_at"])),
        "validation_start": rfc3339(datetime.fromisoformat(told["first_received_at"])),
    }


def list_events(request: HttpRequest) -> HttpResponse:
    key = _opened(request)
    params = checked(EventListParams, read_params(request), key.environment)
    rows = _reports(key.environment).filter(**in_range(params))
    if "object_id" in params:
        subject = METER.find(METER.rows(key.environment), params["object_id"])
        rows = rows.filter(subject_id=subject.pk) if subject else rows.none()
    if "types" in params:
        rows = rows.filter(kind__in=[kind for kind, name in TYPES.items() if name in params["types"]])
    cursor = _cursor(params)
    page = page_of(rows, params | cursor, kind=EVENT, cursors=_reports(key.environment))
    backward = "ending_before" in cursor
    has_next = backward or page.has_more
    has_previous = page.has_more if backward else bool(cursor)
    body = {
        "data": [shape_of_event(event, key.environment) for event in page.rows],
        "next_page_url": _url(request, "next", page.rows[-1]) if page.rows and has_next else None,
        "previous_page_url": _url(request, "prev", page.rows[0]) if page.rows and has_previous else None,
    }
    return json_response(encode(body))


def retrieve_event(request: HttpRequest, pk: str) -> HttpResponse:
    key = _opened(request)
    checked(Params, read_params(request), key.environment)
    event = EVENT.find(_reports(key.environment), pk)
    if event is None:
        raise missing(EVENT.noun, pk, param=EVENT.param)
    return json_response(encode(shape_of_event(event, key.environment) | {"data": data_of_event(event)}))


def _reports(environment: Environment) -> EventQuerySet:
    # Those with a snapshot are told at /v1/events.
    return Event.objects.of(environment).reports()


def _opened(request: HttpRequest) -> ApiKey:
    key = open_door(request)
    require_scope(key, Scope.USAGE_READ)
    return key


def _related_object(event: Event) -> Wire | None:
    if event.subject_id is None:
        return None
    meter = METER.spell(event.subject_id)
    return {"id": meter, "type": "billing.meter", "url": f"/v1/billing/meters/{meter}"}


def _cursor(params: dict[str, Any]) -> dict[str, str]:
    if "page" not in params:
        return {}
    way, _, event = params["page"].partition("_")
    if way not in _CURSORS:
        raise StripeError("page is no page of this list.", code="invalid_fields")
    return {_CURSORS[way]: event}


def _url(request: HttpRequest, way: str, event: Event) -> str:
    query = QueryDict(request.META.get("QUERY_STRING", ""), mutable=True)
    query["page"] = f"{way}_{EVENT.id_of(event)}"
    return f"{request.path}?{query.urlencode(safe='[]')}"
