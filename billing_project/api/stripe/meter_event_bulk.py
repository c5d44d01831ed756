"""/v1/billing/meter_events/bulk, which is ours: backfills of up to 10,000 events as NDJSON, with a result for each line.

Every event must have an identifier: it alone makes a re-send count nothing twice, however far the first one came. The
events are stored a thousand to a transaction, and the Idempotency-Key is not needed and not looked at.
"""

from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from msgspec import UNSET, UnsetType

from accounts.models import Environment, Scope
from billing_project.api.stripe.authentication import open_door, require_scope
from billing_project.api.stripe.errors import Refusal, refusal_of, spoken
from billing_project.api.stripe.parsers import read_body
from billing_project.api.stripe.v2.wire import Body, Time, decoded, instant
from billing_project.api.stripe.wire import StripeError, encode, json_response
from core.errors import BillingError
from usage.errors import EventExists
from usage.events import EventDraft
from usage.models import Source
from usage.services import accept_events

MOST_BYTES = 8 * 1024 * 1024
MOST_LINES = 10_000
_BATCH = 1_000
_KINDS = ("application/x-ndjson", "application/jsonl", "application/ndjson")

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class LineBody(Body, frozen=True):
    """One event. Its timestamp is Unix seconds or RFC 3339."""

    event_name: _Text
    payload: dict[_Text, str]
    identifier: _Text
    timestamp: Time


class LineResult(msgspec.Struct, frozen=True):
    """What became of a line: ``accepted``, ``duplicate`` or ``refused``."""

    line: int
    identifier: str | None
    status: str
    error: Refusal | UnsetType = UNSET


_LINE = msgspec.json.Decoder(LineBody)


def create_meter_events_in_bulk(request: HttpRequest) -> HttpResponse:
    """Store what can be counted. A bad line fails alone, so the answer is a success even if every line is refused.

    Whoever may also write usage may report any age back to the year 2000; others are held to the usual window.
    """
    key = open_door(request)
    require_scope(key, Scope.METER_REPORT)
    lines = _lines(request)
    results: list[LineResult] = []
    for start in range(0, len(lines), _BATCH):
        results += _take_in(key.environment, lines[start : start + _BATCH], any_age=key.allows(Scope.USAGE_WRITE))
    counts = {
        status: sum(result.status == status for result in results) for status in ("accepted", "duplicate", "refused")
    }
    body = {
        "object": "billing.meter_event_bulk",
        "livemode": key.environment.is_live,
        **counts,
        "results": results,
    }
    return json_response(encode(body))


def _lines(request: HttpRequest) -> list[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1.

    :raises StripeError: if the body is not NDJSON, too large, or has too many lines
    """
    if (request.content_type or "").lower() not in _KINDS:
        raise StripeError(f"Invalid request (check that your POST content type is {_KINDS[0]}).")
    body = read_body(request, MOST_BYTES)
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), start=1) if line.strip()]
    if len(lines) > MOST_LINES:
        raise StripeError(f"Too many lines: at most {MOST_LINES} are accepted.")
    if not lines:
        raise StripeError("The request has no line.")
    return lines


def _take_in(environment: Environment, lines: list[tuple[int, bytes]], *, any_age: bool) -> list[LineResult]:
    results: dict[int, LineResult] = {}
    drafts: list[tuple[int, EventDraft]] = []
    for number, line in lines:
        try:
            drafts.append((number, _draft(line)))
        except StripeError as error:
            results[number] = _refused(number, None, error)
    outcomes = accept_events(
        environment=environment,
        drafts=[draft for _, draft in drafts],
        source=Source.BULK,
        now=timezone.now(),
        any_age=any_age,
    )
    for (number, draft), outcome in zip(drafts, outcomes, strict=True):
        if isinstance(outcome, EventExists):
            results[number] = LineResult(number, draft.identifier, "duplicate")
        elif isinstance(outcome, BillingError):
            results[number] = _refused(number, draft.identifier, outcome)
        else:
            results[number] = LineResult(number, draft.identifier, "accepted")
    return [results[number] for number, _ in lines]


def _draft(line: bytes) -> EventDraft:
    """:raises StripeError: if the line is no event"""
    body = decoded(line, _LINE)
    return EventDraft(
        event_name=body.event_name,
        payload=body.payload,
        identifier=body.identifier,
        timestamp=instant(body.timestamp),
    )


def _refused(number: int, identifier: str | None, error: Exception) -> LineResult:
    said = spoken(error)
    if said is None:
        raise error
    return LineResult(number, identifier, "refused", refusal_of(said))
