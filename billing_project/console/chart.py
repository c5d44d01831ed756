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


def pairs(values: Sequence[Decimal | None], before: Sequence[Decimal | None]) -> list[Pair]:
    """Two rows of values, bar beside bar, on one scale that ends at the greatest of all. Below zero nothing is drawn."""
    top = max((value for value in (*values, *before) if value is not None), default=Decimal(0))
    count = max(len(values), len(before))
    rows = [[*row, *[None] * (count - len(row))] for row in (values, before)]

    def height(value: Decimal | None) -> int:
        return max(int(value * HEIGHT / top), 1) if value is not None and value > 0 else 0

    return [Pair(x, new, old, height(new), height(old)) for x, (new, old) in enumerate(zip(*rows, strict=True))]
