"""POST /v1/meters/report: the hot path, so a plain view that does nothing twice."""

import re

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from accounts.models import Scope
from billing_project.api.ledgerbee.authentication import METERED, open_door, require_licenses, require_scope
from billing_project.api.ledgerbee.errors import wrong_method
from billing_project.api.ledgerbee.parsers import read_body_of
from billing_project.api.ledgerbee.wire import LedgerBeeError, Shape, invalid, json_response
from usage.errors import ReportKeyUsed
from usage.services import Report, report_usage

_KEY_LENGTH = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAMES = frozenset({"value", "customerId", "meterId", "meterName", "timestamp", "metadata"})


class Queued(Shape, frozen=True):
    """A report that is on disk. ``request_id`` is its event's identifier, too."""

    request_id: str
    status: str = "queued"


class Duplicate(Shape, frozen=True):
    """A report that was taken in before under the same key, whatever it said then."""

    idempotency_key: str
    status: str = "duplicate"


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
    return json_response(Queued(event.identifier), 202)


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
    body.only(_NAMES)
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
