"""The Idempotency-Key header: which request it belongs to."""

import hashlib
import re
from typing import Any

import msgspec
from django.http import HttpRequest

from billing_project.api.stripe.wire import StripeError

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
