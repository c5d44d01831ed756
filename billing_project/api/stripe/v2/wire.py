"""JSON bodies, and times as text."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import services
from accounts.models import ApiKey
from accounts.services import Answer
from billing_project.api.common.database import is_passing
from billing_project.api.stripe.idempotency import fingerprint, idempotency_key, stored_response
from billing_project.api.stripe.parsers import read_body
from billing_project.api.stripe.v2.errors import error_response, spoken
from billing_project.api.stripe.wire import StripeError, Wire, encode, json_response, request_id

B = TypeVar("B")

# RFC 3339 text; the SDK sends whole Unix seconds where it was given a datetime.
Time = Annotated[datetime, msgspec.Meta(tz=True)] | int

_LAST_SECOND = 7_258_118_400
_PLACE = re.compile(r"^(.*) - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_SHOWN = 200


class Body(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A JSON object of declared fields. What is not declared is refused, never ignored."""


class NoFields(Body, frozen=True):
    """The body of a call without parameters."""


def read_json(request: HttpRequest, decoder: "msgspec.json.Decoder[B]") -> B:
    """The body, decoded and its shape checked. An empty body is an empty object.

    :raises StripeError: if it is no JSON, or not of the decoder's shape
    """
    body = read_body(request)
    if body and (request.content_type or "").lower() != "application/json":
        raise StripeError("Invalid request (check that your POST content type is application/json).")
    return decoded(body or b"{}", decoder)


def decoded(text: bytes, decoder: "msgspec.json.Decoder[B]") -> B:
    """JSON of the decoder's shape.

    :raises StripeError: if it is none
    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise misshapen(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StripeError("Invalid JSON.", code="invalid_json") from error


def misshapen(words: str) -> StripeError:
    """What msgspec found wrong with the shape, said with the place where."""
    found = _PLACE.match(words)
    what, place = (found[1], found[2]) if found else (words, "")
    for pattern, code, text in (
        (_MISSING, "parameter_missing", "Missing required field: {}."),
        (_UNKNOWN, "parameter_unknown", "Received unknown field: {}"),
    ):
        if named := pattern.match(what):
            name = f"{place}.{named[1]}" if place else named[1]
            return StripeError(text.format(name[:_SHOWN]), code=code)
    return StripeError((f"{place}: {what}" if place else what)[:_SHOWN], code="invalid_fields")


def instant(value: datetime | int | None, name: str = "timestamp") -> datetime | None:
    """A time of a body in UTC.

    :raises StripeError: if it lies where no calendar goes
    """
    if value is None:
        return None
    if isinstance(value, int):
        if not 0 <= value <= _LAST_SECOND:
            raise StripeError(f"{name}: {str(value)[:20]} is no Unix time in seconds.", code="invalid_fields")
        return datetime.fromtimestamp(value, UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise StripeError(f"{name}: the time lies outside of the calendar.", code="invalid_fields") from error


def rfc3339(moment: datetime) -> str:
    """``2026-06-01T12:00:00.000Z``: the millisecond that holds the instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def answer_once(request: HttpRequest, key: ApiKey, said: Any, work: Callable[[], Wire]) -> HttpResponse:
    """Do a POST once per idempotency key, and give its first answer again.

    :param said: the decoded body
    """

    def answered() -> Answer:
        try:
            return Answer(200, encode(work()), request_id(request))
        except Exception as error:
            told = spoken(error)
            if is_passing(error) or (told is not None and not told.begun):
                raise
            response = error_response(request, error)
            return Answer(response.status_code, response.content.decode(), request_id(request))

    retry_key = idempotency_key(request)
    if retry_key is None:
        return json_response(encode(work()))
    answer, replayed = services.answer_once(
        environment=key.environment,
        key=retry_key,
        fingerprint=fingerprint(request, said).hex(),
        now=timezone.now(),
        work=answered,
    )
    return stored_response(answer, replayed=replayed)
