"""Pages: newest first by default, and a cursor that is the id of an object."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

from billing_project.api.stripe.errors import missing
from billing_project.api.stripe.kinds import Kind

M = TypeVar("M", bound=Model)
T = TypeVar("T")

Reader = Callable[[QuerySet[Any], Sequence[str], int], Sequence[Any]]

NEWEST_FIRST = ("-created_at", "-pk")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, in the list's order; ``has_more`` speaks about the direction that was asked for."""

    rows: Sequence[T]
    has_more: bool


def page_of(
    rows: QuerySet[M],
    params: Mapping[str, Any],
    *,
    kind: Kind[M],
    cursors: QuerySet[M],
    order: Sequence[str] = NEWEST_FIRST,
    read: "Reader" = lambda rows, order, count: list(rows.order_by(*order)[:count]),
) -> Page[Any]:
    """Read one page.

    :param rows: the list, filtered
    :param params: validated ``limit`` and at most one of ``starting_after``, ``ending_before``
    :param cursors: what a cursor may name: it may have dropped out of the filter since the last page
    :param read: reads the first ``count`` rows in an order
    :param order: fields that make the order total, all of them ascending or all descending
    :raises StripeError: if the cursor names nothing
    """
    limit = params["limit"]
    name = "ending_before" if "ending_before" in params else "starting_after"
    backward = name == "ending_before"
    if name in params:
        cursor = kind.find(cursors, params[name])
        if cursor is None:
            raise missing(kind.noun, params[name], param=name, status=400)
        rows = rows.filter(_beyond(cursor, order, backward=backward))
    found = read(rows, _reversed(order) if backward else order, limit + 1)
    page = found[:limit]
    return Page(page[::-1] if backward else page, len(found) > limit)


def page_of_rows(rows: Sequence[T], params: Mapping[str, Any], *, ids: Sequence[str], noun: str) -> Page[T]:
    """Take one page out of a list that is in memory.

    :param ids: of the rows, in order
    :raises StripeError: if the cursor names none of them
    """
    limit = params["limit"]
    name = "ending_before" if "ending_before" in params else "starting_after"
    if name not in params:
        return Page(rows[:limit], len(rows) > limit)
    if params[name] not in ids:
        raise missing(noun, params[name], param=name, status=400)
    position = ids.index(params[name])
    if name == "ending_before":
        start = max(position - limit, 0)
        return Page(rows[start:position], start > 0)
    return Page(rows[position + 1 : position + 1 + limit], position + 1 + limit < len(rows))


def in_range(params: Mapping[str, Any], name: str = "created", column: str = "created_at") -> dict[str, Any]:
    """The conditions that a range of time among the parameters puts on a column."""
    return {f"{column}__{comparison}": bound for comparison, bound in params.get(name, {}).items()}


def _reversed(order: Sequence[str]) -> list[str]:
    return [name.removeprefix("-") if name.startswith("-") else f"-{name}" for name in order]


def _beyond(cursor: Model, order: Sequence[str], *, backward: bool) -> Q:
    """What comes strictly after the cursor, reading in the order or against it."""
    descending = order[0].startswith("-")
    comparison = "gt" if descending == backward else "lt"
    names = [name.removeprefix("-") for name in order]
    if len(names) == 1:
        return Q(**{f"{names[0]}__{comparison}": getattr(cursor, names[0])})
    first, second = names
    tie = Q(**{first: getattr(cursor, first), f"{second}__{comparison}": getattr(cursor, second)})
    # The first condition alone is what an index can use.
    within = Q(**{f"{first}__{comparison}e": getattr(cursor, first)})
    return within & (Q(**{f"{first}__{comparison}": getattr(cursor, first)}) | tie)
