"""Objects as callers see them, at an instant: who can take such a snapshot, and what differs between two.

Nothing down here knows how a dialect writes an object. Each dialect registers a :class:`Teller` per model when the
process starts.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from uuid import UUID

import msgspec
from django.db.models import Model

if TYPE_CHECKING:
    from accounts.models import Environment
    from webhooks.models import Event

Snapshot: TypeAlias = dict[str, Any]
Snapshots: TypeAlias = Mapping[UUID, Snapshot]

# Decimals stay numbers, digit by digit, as answers have them.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Teller:
    """One dialect's view on the rows of a model.

    :ivar noun: what the dialect calls them in a type of event, such as ``customer.subscription``
    :ivar take: reads the rows of these ids as they are now, however many, in as few queries as it takes; rows that the
        dialect does not know by this noun are left out
    :ivar tell: the same of rows that are in hand as they are stored: only what stands beside them is read
    """

    noun: str
    take: "Callable[[Environment, Collection[UUID]], Snapshots]"
    tell: "Callable[[Environment, Sequence[Any]], Snapshots]"


_TELLERS: dict[type[Model], list[Teller]] = {}


def register(model: type[Model], teller: Teller) -> None:
    """Have a dialect tell what happens to the rows of a model."""
    _TELLERS.setdefault(model, []).append(teller)


def tellers_of(model: type[Model]) -> list[Teller]:
    """:raises LookupError: if nothing says how the model's rows are told"""
    tellers = _TELLERS.get(model)
    if not tellers:
        raise LookupError(f"nothing says how a {model.__name__} is told")
    return tellers


@dataclass(frozen=True, slots=True)
class Viewer:
    """One dialect's view on what is stored nowhere.

    :ivar noun: what the dialect calls it in a type of event
    :ivar show: writes it as the dialect does
    """

    noun: str
    show: "Callable[[Environment, Any], Snapshot]"


_VIEWERS: dict[type, list[Viewer]] = {}


def register_viewer(kind: type, viewer: Viewer) -> None:
    """Have a dialect tell of things of a class that are no rows."""
    _VIEWERS.setdefault(kind, []).append(viewer)


def viewers_of(kind: type) -> list[Viewer]:
    """:raises LookupError: if nothing says how such a thing is told"""
    viewers = _VIEWERS.get(kind)
    if not viewers:
        raise LookupError(f"nothing says how a {kind.__name__} is told")
    return viewers


class Messenger(Protocol):
    """How a dialect puts an event into a message to an endpoint."""

    def body(self, event: "Event") -> bytes:
        """The event as it is listed, in the very bytes that are sent and signed."""

    def headers(self, body: bytes, *, secrets: Sequence[str], at: datetime) -> Mapping[str, str]:
        """What goes with a body that is sent at an instant: above all, a signature by each of the secrets."""


_MESSENGERS: list[Messenger] = []


def register_messenger(messenger: Messenger) -> None:
    """Have a dialect write the messages. There is one: endpoints are a resource of that dialect."""
    _MESSENGERS[:] = [messenger]


def messenger() -> Messenger:
    return _MESSENGERS[0]


def encode(snapshot: Snapshot) -> str:
    return _ENCODER.encode(snapshot).decode()


def previous(before: Snapshot, after: Snapshot) -> Snapshot:
    """What stood there before, of all that differs: hashes by their keys, lists as a whole, null for what is new."""
    differences: Snapshot = {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        differences[name] = previous(old, new) if isinstance(old, dict) and isinstance(new, dict) else old
    return differences
