"""Bars of a chart: plain geometry, in a box of one unit per bar and 1000 units of height. No database, no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from core.periods import HOUR, Period

HEIGHT = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """One color of a bar, from ``y`` downward for ``height``; ``y`` counts from the top."""

    kind: str
    count: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour."""

    x: int
    hour: Period
    parts: tuple[Part, ...]

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)


def ceiling(greatest: int) -> int:
    """A round number that is not below the greatest count: 1, 2, 5 or 10 times a power of ten; at least 10."""
    unit = 1
    while unit * 10 <= max(greatest, 10):
        unit *= 10
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= greatest)


def bars(counts: Mapping[tuple[datetime, str], int], span: Period, kinds: Sequence[str]) -> list[Bar]:
    """A bar for every hour of the span, its kinds stacked in their order from the bottom up.

    :param counts: by the hour's start and the kind
    """
    hours = [span.start + position * HOUR for position in range((span.end - span.start) // timedelta(hours=1))]
    top = ceiling(max((sum(counts.get((hour, kind), 0) for kind in kinds) for hour in hours), default=0))
    drawn = []
    for x, hour in enumerate(hours):
        below = 0
        parts = []
        for kind in kinds:
            count = counts.get((hour, kind), 0)
            # Any usage at all is seen: one part in a thousand is drawn where rounding would leave nothing.
            height = max(count * HEIGHT // top, 1) if count else 0
            parts.append(Part(kind, count, HEIGHT - below - height, height))
            below += height
        drawn.append(Bar(x, Period(hour, hour + HOUR), tuple(parts)))
    return drawn


@dataclass(frozen=True, slots=True)
class Pair:
    """A value beside the one that it is compared with, each with its height; None where there is none to draw."""

    x: int
    value: Decimal | None
    before: Decimal | None
    height: int
    height_before: int

    @property
    def y(self) -> int:
        return HEIGHT - self.height

    @property
    def y_before(self) -> int:
        return HEIGHT - self.height_before


def pairs(
    values: Sequence[Decimal | None], before: Sequence[Decimal | None], *, top: Decimal | None = None
) -> list[Pair]:
    """Two rows of values, bar beside bar, on one scale that ends at the greatest of all. Below zero nothing is drawn.

    :param top: where the scale ends instead, so that several charts have the same one; not below any value
    """
    if top is None:
        top = greatest([*values, *before])
    count = max(len(values), len(before))
    rows = [[*row, *[None] * (count - len(row))] for row in (values, before)]
    return [
        Pair(x, new, old, _height(new, top), _height(old, top)) for x, (new, old) in enumerate(zip(*rows, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class Slice:
    """One color of a stack."""

    place: int
    y: int
    height: int


@dataclass(frozen=True, slots=True)
class Stack:
    """Values on top of each other, beside a mark for the sum that they are compared with."""

    x: int
    slices: tuple[Slice, ...]
    y_before: int | None


def stacks(rows: Sequence[Sequence[Decimal | None]], before: Sequence[Decimal | None]) -> tuple[Decimal, list[Stack]]:
    """A stack for each row of values that add up, the first at the bottom. Below zero nothing is drawn.

    :returns: where the scale ends, and the stacks
    """
    sums = [sum((value for value in row if value is not None and value > 0), Decimal(0)) for row in rows]
    top = greatest([*sums, *before])
    drawn = []
    for x in range(max(len(rows), len(before))):
        below, slices = Decimal(0), []
        for place, value in enumerate(rows[x] if x < len(rows) else ()):
            if value is not None and value > 0:
                # From the sums, not from rounded heights: however many slices, they end where the whole does.
                foot = _height(below, top)
                below += value
                slices.append(Slice(place, HEIGHT - _height(below, top), max(_height(below, top) - foot, 1)))
        mark = before[x] if x < len(before) else None
        drawn.append(Stack(x, tuple(slices), HEIGHT - _height(mark, top) if mark is not None and mark > 0 else None))
    return top, drawn


def greatest(values: Sequence[Decimal | None]) -> Decimal:
    """The greatest of the values that are there, or zero."""
    return max((value for value in values if value is not None), default=Decimal(0))


def _height(value: Decimal | None, top: Decimal) -> int:
    # Anything above zero is seen.
    return max(int(value * HEIGHT / top), 1) if value is not None and value > 0 else 0
