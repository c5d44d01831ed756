"""What every answer has in common: JSON, instants as text, and the refusal as an exception."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse

MOUNT = "/api"
ROOT = f"{MOUNT}/v1"

VALIDATION_FAILED = "SHARED_VALIDATION_FAILED"

_ENCODER = msgspec.json.Encoder()


# As :func:`instant_text` writes it.
Instant = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class Shape(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """A JSON object of an answer."""


class LedgerBeeError(Exception):
    """A refusal in LedgerBee's words."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.details = details
        self.headers = headers or {}
        super().__init__(message)


def invalid(problems: Mapping[str, Mapping[str, str]]) -> LedgerBeeError:
    """The refusal of a body.

    :param problems: for each property, dotted with array indexes, the rules that it breaks, each with a text
    """
    errors = [{"property": name, "constraints": dict(rules)} for name, rules in problems.items()]
    details = {"validationErrors": errors}
    return LedgerBeeError("Bad Request Exception", code=VALIDATION_FAILED, details=details)


def json_response(body: object, status: int = 200) -> HttpResponse:
    return HttpResponse(_ENCODER.encode(body), status=status, content_type="application/json")


def instant_text(moment: datetime) -> str:
    """``2026-06-10T12:34:56.789Z``: the millisecond that holds the instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
