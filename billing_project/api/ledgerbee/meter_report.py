"""POST /v1/meters/report: the hot path, so a plain view that does nothing twice."""

import re
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Scope
from billing_project.api.common.openapi import answer, described
from billing_project.api.ledgerbee.authentication import (
    MAY_NOT_REPORT,
    METERED,
    open_door,
    require_licenses,
    require_scope,
)
from billing_project.api.ledgerbee.errors import ErrorEnvelope, wrong_method
from billing_project.api.ledgerbee.parsers import KEY_LENGTH, MOST_KEYS, read_body_of
from billing_project.api.ledgerbee.wire import LedgerBeeError, Shape, invalid, json_response
from usage.errors import ReportKeyUsed
from usage.events import PAYLOAD_TEXT_LENGTH
from usage.services import Report, report_usage

_KEY_LENGTH = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The same for readers of the document: no control characters, and more than blanks.
_KEY = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"


class Queued(Shape, frozen=True, tag_field="status", tag="queued"):
    """The report is on disk. Its id is that of its event in the other APIs, too."""

    request_id: UUID


class Duplicate(Shape, frozen=True, tag_field="status", tag="duplicate"):
    """Usage was reported under the same key before. This report was not counted, whatever it says."""

    idempotency_key: str


_PROPERTIES = {
    "value": {
        "type": "number",
        "description": "The usage, exact to 15 significant digits. A negative value is a correction.",
    },
    "customerId": {
        "type": "string",
        "pattern": r"[^\s]",
        "description": "The customer's UUID, or its `cus_…` id.",
    },
    "meterId": {
        "type": ["string", "null"],
        "description": "The meter's UUID, or its `mtr_…` id. It, or `meterName`; both must name the same meter.",
    },
    "meterName": {
        "type": ["string", "null"],
        "description": "The meter's name (`event_name` in Stripe's API), to the letter.",
    },
    "timestamp": {
        "type": ["string", "null"],
        "format": "date-time",
        "description": "When the usage took place: within the past 35 days, at most 5 minutes ahead. Without an "
        "offset it is UTC. By default it is now; a customer on a test clock lives at the clock's time.",
    },
    "metadata": {
        "type": ["object", "null"],
        "maxProperties": MOST_KEYS,
        "propertyNames": {"minLength": 1, "maxLength": KEY_LENGTH},
        "additionalProperties": {
            "anyOf": [
                {"type": "string", "maxLength": PAYLOAD_TEXT_LENGTH},
                {"type": "number"},
                {"type": "boolean"},
            ]
        },
        "description": "More of the event, by which usage can be filtered and grouped: numbers are written in "
        "full, booleans as `true` and `false`. The names under which the meter keeps customer and value "
        "(`stripe_customer_id` and `value`, unless it says otherwise) are taken.",
    },
}
_BODY = {
    "type": "object",
    "required": ["value", "customerId"],
    "additionalProperties": False,
    "properties": _PROPERTIES,
}

_DESCRIPTION = """\
Reports usage of a customer on a meter. The answer comes when the report is on disk; reads show it within two seconds.

A key counts once, for good: whatever is sent under it again is answered as a duplicate and not counted, also when the
meter was archived since. A report that is refused does not use up its key."""


@described(
    post={
        "operationId": "reportUsage",
        "tags": ["Meters"],
        "summary": "Report usage",
        "description": _DESCRIPTION,
        "parameters": [
            {
                "name": "x-api-idempotency-key",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": _KEY},
                "description": "The key under which this report counts once. `Idempotency-Key` is accepted instead.",
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _BODY,
                    "example": {
                        "value": 12.5,
                        "customerId": "019392f0-8c5e-7a41-b7d2-3f1e6a9c0d24",
                        "meterName": "api_calls",
                        "metadata": {"model": "large", "cached": True},
                    },
                }
            },
        },
        "responses": {
            "200": answer("Taken in before.", Duplicate),
            "202": answer("Taken in.", Queued),
            "400": answer(
                "`SHARED_VALIDATION_FAILED`, with each property that is at fault in `details.validationErrors`; "
                "`IDEMPOTENCY_KEY_REQUIRED`; `METER_IDENTIFIER_REQUIRED`: neither id nor name; "
                "`METER_IDENTIFIER_CONFLICT`: id and name of two meters; `METER_NOT_ACTIVE`: the meter is archived.",
                ErrorEnvelope,
            ),
            "403": answer(MAY_NOT_REPORT, ErrorEnvelope),
            "404": answer("`METER_NOT_FOUND`, `CUSTOMER_NOT_FOUND`, in your company and mode.", ErrorEnvelope),
            "413": answer("`PAYLOAD_TOO_LARGE`: the body has more than a mebibyte.", ErrorEnvelope),
            "415": answer("`UNSUPPORTED_MEDIA_TYPE`: the content type is not `application/json`.", ErrorEnvelope),
            "429": answer(
                "`TOO_MANY_REQUESTS`: more comes in than can be stored. Send the same again, after the seconds of the "
                "header `Retry-After`.",
                ErrorEnvelope,
            ),
        },
    }
)
@csrf_exempt
def report(request: HttpRequest) -> HttpResponse:
    """Take in usage, once per key. The middleware answers what is raised here."""
    if request.method != "POST":
        raise wrong_method(request, ["POST"])
    key = open_door(request)
    require_scope(key, Scope.METER_REPORT)
    require_licenses(key, METERED)
    report_key = _idempotency_key(request)
    said = _read(request, report_key)
    try:
        event = report_usage(environment=key.environment, report=said, now=timezone.now())
    except ReportKeyUsed:
        return json_response(Duplicate(report_key))
    return json_response(Queued(event.event_id), 202)


def _idempotency_key(request: HttpRequest) -> str:
    """:raises LedgerBeeError: if there is none, or one that cannot be kept"""
    meta = request.META
    name = "x-api-idempotency-key"
    key = str(meta.get("HTTP_X_API_IDEMPOTENCY_KEY", "")).strip()
    if not key:
        # What LedgerBee's own prose calls it.
        name, key = "Idempotency-Key", str(meta.get("HTTP_IDEMPOTENCY_KEY", "")).strip()
    if not key:
        raise LedgerBeeError("The header x-api-idempotency-key is required.", code="IDEMPOTENCY_KEY_REQUIRED")
    if len(key) > _KEY_LENGTH or _CONTROL.search(key):
        text = f"{name} must have at most {_KEY_LENGTH} characters, and no control characters"
        raise invalid({name: {"maxLength": text}})
    return key


def _read(request: HttpRequest, report_key: str) -> Report:
    """:raises LedgerBeeError: with all that is wrong with the body"""
    body = read_body_of(request)
    body.only(_PROPERTIES.keys())
    said = Report(
        key=report_key,
        value=body.number("value"),
        customer=body.text("customerId", required=True),
        meter_id=body.name("meterId"),
        meter_name=body.name("meterName"),
        timestamp=body.instant("timestamp"),
        dimensions=body.texts("metadata"),
    )
    if body.problems:
        raise invalid(body.problems)
    return said
