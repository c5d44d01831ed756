"""The Idempotency-Key header: which request it belongs to, and how an answer is given again."""

import hashlib
import re
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from django.http import HttpRequest, HttpResponse

from accounts.services import Answer
from billing_project.api.stripe.wire import StripeError, json_response
from core.ids import spell

_MAX_LENGTH = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def idempotency_key(request: HttpRequest) -> str | None:
    """The request's key; None if it has none, or needs none.

    :raises StripeError: if it is longer than 255 characters, or no text
    """
    key = request.META.get("HTTP_IDEMPOTENCY_KEY", "") if request.method == "POST" else ""
    if len(key) > _MAX_LENGTH:
        raise StripeError(f"The Idempotency-Key header is longer than {_MAX_LENGTH} characters.")
    if _CONTROL.search(key):
        raise StripeError("The Idempotency-Key header contains control characters.")
    return key or None


def fingerprint(request: HttpRequest, params: Any) -> bytes:
    """A hash of path and parameters, in whatever order they came."""
    said = msgspec.json.encode([request.method, request.path, params], order="deterministic")
    return hashlib.sha256(said).digest()


def stored_response(answer: Answer, *, replayed: bool) -> HttpResponse:
    """The response to a request whose answer is kept under its key."""
    response = json_response(answer.body, answer.status)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # The same key would only bring the same answer again.
        response["Stripe-Should-Retry"] = "false"
    if replayed:
        mark_replayed(response, answer.request_id)
    return response


def mark_replayed(response: HttpResponse, original: UUID | str | None) -> None:
    """Say that an answer was given before, to the request of that id."""
    response["Idempotent-Replayed"] = "true"
    if original is not None:
        response["Original-Request"] = spell("req", original) if isinstance(original, UUID) else original
