"""For whom something is done: a person, a key, a job, a command. The audit trail asks it of every change.

A door opens a scope with :func:`acting` and says within who it is with :func:`identify`, as soon as it knows. The database
learns it with the first statement of a transaction that writes (see :mod:`core.postgres`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from functools import lru_cache

import msgspec


@dataclass(frozen=True, slots=True)
class Actor:
    """
    :ivar kind: ``person``, ``key``, ``job`` or ``command``; empty while nobody has said
    :ivar id: of the person's or key's row
    :ivar name: what a reader knows it by, at the time
    :ivar address: of the network, where it came by one
    :ivar reason: why, in the words of whoever does it
    """

    kind: str = ""
    id: str = ""
    name: str = ""
    address: str = ""
    request_id: str = ""
    reason: str = ""


_present: ContextVar[Actor | None] = ContextVar("core.actor", default=None)


def present_actor() -> Actor | None:
    return _present.get()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Whatever is changed within is changed by the actor, however deep below."""
    token = _present.set(actor)
    try:
        yield
    finally:
        _present.reset(token)


def identify(*, kind: str, id: object, name: str) -> None:  # noqa: A002 (its name)
    """Say who it is that the present scope acts for. Without one nothing is kept: the hottest requests open none."""
    actor = _present.get()
    if actor is not None:
        _present.set(replace(actor, kind=kind, id=str(id), name=name))


@contextmanager
def as_job(name: str) -> Iterator[None]:
    """What our own machinery does is its own doing, whoever sets it going."""
    actor = _present.get() or Actor()
    with acting(actor if actor.kind == "job" else replace(actor, kind="job", id="", name=name)):
        yield


@contextmanager
def giving_reason(reason: str) -> Iterator[None]:
    """Whatever is changed within is changed for this reason; an empty one says nothing new."""
    with acting(replace(_present.get() or Actor(), reason=reason)) if reason else _as_it_is():
        yield


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def present_text() -> str:
    """The actor as the database is told of them: a JSON object, or nothing."""
    actor = _present.get()
    return "" if actor is None else _text(actor)


@lru_cache(maxsize=256)
def _text(actor: Actor) -> str:
    # PostgreSQL's text has no NUL, and an address may be whatever a caller says.
    told = {name: value.replace("\x00", "") for name, value in asdict(actor).items()}
    return msgspec.json.encode(told).decode()
