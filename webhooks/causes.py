"""What a change is owed to, for as long as it is worked on: the request that asked for it, if one did."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """A request's id and idempotency key; both empty for what happens by itself."""

    request_id: str = ""
    idempotency_key: str = ""


_BY_ITSELF = Cause()
_cause: ContextVar[Cause] = ContextVar("webhooks.cause", default=_BY_ITSELF)


def present_cause() -> Cause:
    return _cause.get()


@contextmanager
def caused_by(cause: Cause) -> Iterator[None]:
    """Every event recorded within names the cause, however deep below."""
    token = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(token)
