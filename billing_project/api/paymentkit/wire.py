"""What every answer has in common: JSON without an envelope, instants as text, and the refusal as an exception."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest, HttpResponse

ROOT = "/api"
# Another dialect lives there.
_OTHERS = "/api/v1"

# Quantities are numbers in the vendor's words; amounts are texts by themselves.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

# As :func:`instant_text` writes it.
Instant = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
# A whole number of a currency's smallest units. A reader divides it by ``10 ** decimal``.
Units = Annotated[str, msgspec.Meta(pattern="^-?[0-9]+$")]


class Shape(msgspec.Struct, frozen=True, gc=False):
    """A JSON object of an answer."""


class PaymentKitError(Exception):
    """A refusal in Payment Kit's words."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        self.message = message
        self.status = status
        super().__init__(message)


def missing(noun: str, identifier: str) -> PaymentKitError:
    """There is no such thing within the caller's walls."""
    return PaymentKitError(f"{noun} not found: {identifier[:100]}", status=404)


def is_ours(request: HttpRequest) -> bool:
    path = request.path
    if path == _OTHERS or path.startswith(f"{_OTHERS}/"):
        return False
    return path == ROOT or path.startswith(f"{ROOT}/")


def json_response(body: object, status: int = 200) -> HttpResponse:
    return HttpResponse(_ENCODER.encode(body), status=status, content_type="application/json")


def instant_text(moment: datetime) -> str:
    """``2026-06-10T12:34:56.789Z``: the millisecond that holds the instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds(moment: datetime) -> int:
    """Whole Unix seconds: the second that holds the instant."""
    return (moment - _EPOCH) // _SECOND


def seconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else seconds(moment)


def page_of(rows: list[Any], count: int, page: int, size: int) -> dict[str, Any]:
    """A page of a list, as every list but that of the currencies is answered."""
    return {"count": count, "list": rows, "paging": {"page": page, "pageSize": size}}
