"""What every answer has in common: JSON that keeps its digits, an id per request, and the refusal as an exception."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec
from django.http import HttpRequest, HttpResponse

from billing_project.api.common.requests import request_uuid
from core.ids import spell
from core.money import plain

Wire: TypeAlias = dict[str, Any]

# The version whose shapes we answer with; a caller that names another gets that name back and the same shapes.
VERSION = "2026-10-28.endive"

INVALID_REQUEST = "invalid_request_error"
API_ERROR = "api_error"
IDEMPOTENCY_ERROR = "idempotency_error"
SESSION_EXPIRED = "temporary_session_expired"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SHOWN = 100
# A Decimal becomes a JSON number, digit by digit. What must be JSON text was made text before.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class StripeError(Exception):
    """A refusal in Stripe's words.

    :ivar kind: the envelope's ``type``
    :ivar param: the parameter's name on the wire, with brackets
    :ivar begun: whether the call had got beyond the check of its parameters, so that its idempotency key is used up
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID_REQUEST,
        code: str = "",
        param: str = "",
        begun: bool = False,
    ) -> None:
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.begun = begun
        super().__init__(message)


def clipped(text: str) -> str:
    """A caller's text, short enough to be said back."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def encode(body: Wire) -> str:
    return _ENCODER.encode(body).decode()


def json_response(body: str, status: int = 200) -> HttpResponse:
    return HttpResponse(body, status=status, content_type="application/json")


def request_id(request: HttpRequest) -> str:
    """The request's id as the answer carries it and the log knows it."""
    return spell("req", request_uuid(request))


def timestamp(instant: datetime) -> int:
    """Whole Unix seconds: the second that holds the instant."""
    return (instant - _EPOCH) // _SECOND


def timestamp_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else timestamp(instant)


def number(value: Decimal) -> Decimal:
    """A decimal for a JSON number: in full, without exponent or zeros at the end."""
    return Decimal(plain(value))
