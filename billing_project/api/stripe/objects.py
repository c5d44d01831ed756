"""How objects are written: a shape per kind, ids that expand into objects, lists within objects.

A shape is a plain dict that may hold :class:`Reference`, :class:`References`, :class:`Embedded`, :class:`Sublist` and
:class:`Hidden`. :func:`write` turns it into JSON values, following the caller's ``expand`` paths.

These are not frozen: a billing run makes dozens of them for each invoice, and a frozen one takes three times as long.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import Environment
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.wire import StripeError, Wire, clipped

# A name to what is expanded within it.
Expansion: TypeAlias = dict[str, Any]

MAX_EXPAND_DEPTH = 4
# What is there as it is: most of what an object holds.
_LEAVES = frozenset({type(None), bool, int, str})


@dataclass(slots=True)
class Reference:
    """Another object's id, or the object itself where the caller asks for it.

    :ivar load: the object's row, if it is at hand
    :ivar rows: else among which rows it is, by ``pk``: those of all objects of a list are read at once
    """

    kind: Kind[Any]
    id: str | None
    load: Callable[[], Any] | None = None
    pk: UUID | None = None
    rows: "Callable[[], QuerySet[Any]] | None" = None

    @classmethod
    def to(cls, kind: Kind[Any], pk: UUID | None, environment: Environment) -> "Reference":
        """One that is read only where it is asked for in full."""
        return cls.among(kind, pk, lambda: kind.complete(environment))

    @classmethod
    def among(cls, kind: Kind[Any], pk: UUID | None, rows: "Callable[[], QuerySet[Any]]") -> "Reference":
        """The same among other rows than usual."""
        return cls(kind, None if pk is None else kind.spell(pk), pk=pk, rows=rows)


@dataclass(slots=True)
class References:
    """An array of other objects' ids, or the objects themselves where the caller asks for it."""

    references: Sequence[Reference]


@dataclass(slots=True)
class Embedded:
    """An object that is always written out, by another kind's shape or by one of its own."""

    shape: Callable[[Any], Wire]
    row: Any


@dataclass(slots=True)
class Sublist:
    """A list within an object; ``url`` answers with its further pages."""

    kind: Kind[Any]
    rows: Sequence[Any]
    has_more: bool
    url: str


@dataclass(slots=True)
class Hidden:
    """What is left out unless the caller asks for it.

    :ivar row: of which it is a part
    :ivar bring: has all rows of a list bring what ``load`` reads
    """

    load: Callable[[], Any]
    row: Any = None
    bring: Callable[[Sequence[Any]], None] | None = None


def expansion_of(paths: Iterable[str]) -> Expansion:
    """The tree that ``expand[]`` paths make: ``a.b`` and ``a.c`` are ``{"a": {"b": {}, "c": {}}}``.

    :raises StripeError: if a path is deeper than four levels
    """
    tree: Expansion = {}
    for path in paths:
        names = path.split(".")
        if len(names) > MAX_EXPAND_DEPTH:
            message = f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property: {clipped(path)}"
            raise StripeError(message, param="expand")
        node = tree
        for name in names:
            node = node.setdefault(name, {})
    return tree


def write(shape: Wire, expansion: Expansion, *, livemode: bool) -> Wire:
    """Write an object.

    :raises StripeError: if the expansion names what cannot be expanded
    """
    return _Writer(livemode=livemode).objects([shape], expansion, "")[0]


def write_all(shapes: Iterable[Wire], expansion: Expansion | None = None, *, livemode: bool) -> list[Wire]:
    """Write objects; what several of them embed is written once, and what all of them refer to is read at once.

    :raises StripeError: if the expansion names what cannot be expanded
    """
    return _Writer(livemode=livemode).objects(list(shapes), expansion or {}, "")


class _Writer:
    def __init__(self, *, livemode: bool) -> None:
        self.livemode = livemode
        # By shape and row, which is kept so that its place in memory stays its own.
        self._embedded: dict[tuple[Any, int], tuple[Any, Wire]] = {}
        # What references lead to, by kind and id, as far as it was read.
        self._read: dict[tuple[Kind[Any], UUID | None], Any] = {}

    def objects(self, shapes: Sequence[Wire], expansion: Expansion, path: str) -> list[Wire]:
        """Write objects of one list."""
        if expansion:
            self._read_below(shapes, expansion)
        return [self.object(shape, expansion, path) for shape in shapes]

    def object(self, shape: Wire, expansion: Expansion, path: str) -> Wire:
        # What is left of a deleted object says nothing but that.
        marked = shape if shape.get("deleted") else {**shape, "livemode": self.livemode}
        return self._hash(marked, expansion, path)

    def _hash(self, shape: Wire, expansion: Expansion, path: str) -> Wire:
        for name in expansion:
            if name not in shape:
                raise not_expandable(path, name)
        if not expansion:
            return self._plain(shape)
        written = {}
        for name, value in shape.items():
            if not isinstance(value, Hidden):
                written[name] = self._value(value, expansion.get(name), f"{path}.{name}")
            elif name in expansion:
                written[name] = self._asked_for(value, expansion[name], f"{path}.{name}")
        return written

    def _plain(self, shape: Wire) -> Wire:
        """Write a hash of which nothing is to be expanded, as most are, and all that billing runs record: nothing below can
        be refused, so no path is needed.
        """
        return {
            name: value if type(value) in _LEAVES else self._plain_value(value)
            for name, value in shape.items()
            if type(value) is not Hidden
        }

    def _plain_value(self, value: Any) -> Any:
        kind = type(value)
        if kind is Reference:
            return value.id
        if kind is dict:
            return self._plain(value)
        if kind is list:
            return [self._plain_value(element) for element in value] if value else value
        return value if kind in _LEAVES else self._value(value, None, "")

    @staticmethod
    def _asked_for(value: Hidden, expansion: Expansion, path: str) -> Any:
        if expansion:
            raise not_expandable(path, next(iter(expansion)))
        return value.load()

    def _value(self, value: Any, expansion: Expansion | None, path: str) -> Any:
        if isinstance(value, (Reference, References)):
            return self._referred(value, expansion, path)
        if isinstance(value, Sublist):
            return self._list(value, expansion, path)
        # What is written out already cannot be asked for again; only something within it can. Where a hash is null there
        # is nothing within: of a list's objects some may have it.
        if expansion is not None and (not expansion or not isinstance(value, (dict, list, Embedded, NoneType))):
            raise not_expandable(path)
        if isinstance(value, Embedded):
            return self._embed(value, expansion or {}, path)
        if isinstance(value, dict):
            return self._hash(value, expansion or {}, path)
        if isinstance(value, list):
            # A plain array of hashes: what is asked for is asked of each.
            return [self._value(element, expansion, path) for element in value]
        return value

    def _embed(self, embedded: Embedded, expansion: Expansion, path: str) -> Wire:
        if expansion:
            return self.object(embedded.shape(embedded.row), expansion, path)
        key = (embedded.shape, id(embedded.row))
        if key not in self._embedded:
            self._embedded[key] = (embedded.row, self.object(embedded.shape(embedded.row), {}, path))
        return self._embedded[key][1]

    def _referred(self, value: Reference | References, expansion: Expansion | None, path: str) -> Any:
        if isinstance(value, References):
            return [self._reference(reference, expansion, path) for reference in value.references]
        return self._reference(value, expansion, path)

    def _reference(self, reference: Reference, expansion: Expansion | None, path: str) -> Wire | str | None:
        if expansion is None or reference.id is None:
            return reference.id
        row = self._row(reference)
        # Where a preview refers to what was undone with it, there is no more than the id.
        return reference.id if row is None else self.object(reference.kind.shape(row), expansion, path)

    def _row(self, reference: Reference) -> Any:
        if reference.load is not None:
            return reference.load()
        if (reference.kind, reference.pk) not in self._read:
            self._read_all([reference])
        return self._read.get((reference.kind, reference.pk))

    def _read_below(self, shapes: Iterable[Wire], expansion: Expansion) -> None:
        """Read what all shapes refer to and the caller wants to see, level by level. What cannot be expanded is refused later."""
        every = list(shapes)
        for name, inner in expansion.items():
            self._read_values([shape[name] for shape in every if name in shape], inner)

    def _read_values(self, values: Iterable[Any], expansion: Expansion) -> None:
        references: list[Reference] = []
        below: list[Wire] = []
        hidden: dict[Callable[[Sequence[Any]], None], list[Any]] = {}
        for value in _flat(values):
            if isinstance(value, Reference):
                references.append(value)
            elif isinstance(value, dict):
                below.append(value)
            elif isinstance(value, Hidden) and value.bring is not None:
                hidden.setdefault(value.bring, []).append(value.row)
            elif expansion and isinstance(value, Embedded):
                below.append(value.shape(value.row))
            elif expansion and isinstance(value, Sublist):
                # Its objects are under a name of their own.
                below.append({"data": [Embedded(value.kind.shape, row) for row in value.rows]})
        for bring, rows_of_hidden in hidden.items():
            bring(rows_of_hidden)
        known = [one for one in references if one.id is not None]
        self._read_all([one for one in known if one.load is None])
        if expansion:
            rows = [(one.kind, self._row(one)) for one in known]
            below += [kind.shape(row) for kind, row in rows if row is not None]
            self._read_below(below, expansion)

    def _read_all(self, references: Iterable[Reference]) -> None:
        unread: dict[Kind[Any], list[Reference]] = {}
        for reference in references:
            if (reference.kind, reference.pk) not in self._read:
                unread.setdefault(reference.kind, []).append(reference)
        for kind, some in unread.items():
            if some[0].rows is not None:
                found = some[0].rows().filter(pk__in={one.pk for one in some})
                self._read.update(((kind, row.pk), row) for row in found)

    def _list(self, sublist: Sublist, expansion: Expansion | None, path: str) -> Wire:
        if expansion is not None and set(expansion) != {"data"}:
            raise not_expandable(path, *sorted(set(expansion) - {"data"})[:1])
        inner = (expansion or {}).get("data", {})
        if expansion is not None and not inner:
            raise not_expandable(path, "data")
        return {
            "object": "list",
            "data": self.objects([sublist.kind.shape(row) for row in sublist.rows], inner, f"{path}.data"),
            "has_more": sublist.has_more,
            "url": sublist.url,
        }


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Values one by one, also those that stand in arrays."""
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif isinstance(value, References):
            yield from value.references
        else:
            yield value


def not_expandable(*names: str) -> StripeError:
    """The property of that path is no reference to another object."""
    path = ".".join(names).strip(".")
    return StripeError(f"This property cannot be expanded ({clipped(path)}).", param="expand")
