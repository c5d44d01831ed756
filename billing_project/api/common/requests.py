"""A request before any grammar: its id, its sender's address, its body."""

from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, UnreadablePostError

from accounts.models import ApiKey
from core.ids import new_id

MAX_BYTES = 1024 * 1024

_REQUEST_ID = "tollbook.request_id"
_OPENED_WITH = "tollbook.api_key"
_IS_HOT = "tollbook.is_hot"


class BodyRefused(Exception):
    """A body that is not read."""


class BodyTooLarge(BodyRefused):
    def __init__(self, most: int) -> None:
        super().__init__(f"The request's body is too large: at most {most} bytes are accepted.")


class BodyCutShort(BodyRefused):
    def __init__(self) -> None:
        super().__init__("The request's body ended before it was complete.")


class BodyWithoutEnd(BodyRefused):
    def __init__(self) -> None:
        super().__init__("Chunked requests are not accepted: send a Content-Length header.")


def request_uuid(request: HttpRequest) -> UUID:
    """The request's own id; made when first asked for."""
    known = request.META.get(_REQUEST_ID)
    if not isinstance(known, UUID):
        known = request.META[_REQUEST_ID] = new_id()
    return known


def note_key(request: HttpRequest, key: ApiKey) -> None:
    """Remember what a request was let in with, for the headers of its answer and for the record of requests."""
    request.META[_OPENED_WITH] = key


def noted_key(request: HttpRequest) -> ApiKey | None:
    key = request.META.get(_OPENED_WITH)
    return key if isinstance(key, ApiKey) else None


def mark_hot(request: HttpRequest) -> None:
    """Say that there are thousands of its kind a second."""
    request.META[_IS_HOT] = True


def is_hot(request: HttpRequest) -> bool:
    return _IS_HOT in request.META


def address_of(request: HttpRequest) -> str:
    """The caller's network address; behind a proxy, the one that the proxy saw."""
    if settings.SECURE_PROXY_SSL_HEADER:
        # Only the last entry was written by our own proxy; those before it are the caller's claim.
        return str(request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip())
    return str(request.META.get("REMOTE_ADDR", ""))


def read_body(request: HttpRequest, most: int = MAX_BYTES) -> bytes:
    """A request's body, whatever it is.

    :raises BodyRefused: if it has more than ``most`` bytes, or ended before it was complete
    """
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    body = _chunked(request, most) if chunked else _sized(request, most)
    if len(body) > most:
        raise BodyTooLarge(most)
    return body


def _chunked(request: HttpRequest, most: int) -> bytes:
    """A body without a Content-Length, of which Django by itself would see nothing."""
    if not request.META.get("wsgi.input_terminated"):
        # Nothing says where the body ends, and a lost parameter must not pass for one that was not given.
        raise BodyWithoutEnd
    try:
        return bytes(request.META["wsgi.input"].read(most + 1))
    except OSError as error:
        raise BodyCutShort from error


def _sized(request: HttpRequest, most: int) -> bytes:
    length = request.META.get("CONTENT_LENGTH") or "0"
    # Asked before the body is read, so that nothing large ever is.
    if not length.isdecimal() or int(length) > most:
        raise BodyTooLarge(most)
    try:
        # Django holds its own limit against what it keeps, which is for forms.
        body = request.body if most <= MAX_BYTES else request.read()
    except UnreadablePostError as error:
        raise BodyCutShort from error
    if len(body) < int(length):
        raise BodyCutShort
    return body
