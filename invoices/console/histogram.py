"""How many customers would pay how much more or less, as bars: geometry in a box of 100 units per bar and 1000 of height."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, F, IntegerField, QuerySet, When
from django.utils.translation import gettext as _

HEIGHT = 1000
# On each side of those for whom nothing changes; what lies beyond is in the last one.
SIDE = 8


@dataclass(frozen=True, slots=True)
class Bin:
    """
    :ivar kind: ``less``, ``same`` or ``more``
    :ivar label: which differences are in it
    """

    x: int
    kind: str
    count: int
    height: int
    label: str

    @property
    def y(self) -> int:
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Histogram:
    bins: list[Bin]
    most: int
    less: int
    same: int
    more: int

    @property
    def last(self) -> Bin:
        return self.bins[-1]


def step_for(reach: int) -> int:
    """How many minor units a bar is wide, so that those of a side reach so far: 1, 2 or 5 times a power of ten."""
    unit = 1
    while unit * 10 * SIDE <= reach:
        unit *= 10
    return next(unit * step for step in (1, 2, 5, 10) if unit * step * SIDE >= reach)


def draw(outcomes: QuerySet[Any], step: int, spoken: Callable[[int], str]) -> Histogram:
    """Count differences into bars of ``step`` minor units, each with its far end; zero has a bar of its own."""
    # PostgreSQL divides whole numbers toward zero.
    place = Case(
        When(difference__gt=0, then=(F("difference") + step - 1) / step),
        default=(F("difference") - (step - 1)) / step,
        output_field=IntegerField(),
    )
    counted = outcomes.order_by().annotate(place=place).values_list("place").annotate(count=Count("pk"))
    counts: dict[int, int] = {}
    for at, count in counted:
        within = max(min(at, SIDE), -SIDE)
        counts[within] = counts.get(within, 0) + count
    most = max(counts.values(), default=0)
    bins = [
        Bin(
            x=at + SIDE,
            kind="same" if at == 0 else "more" if at > 0 else "less",
            count=counts.get(at, 0),
            # Anybody at all is seen.
            height=max(counts[at] * HEIGHT // most, 8) if counts.get(at) else 0,
            label=_label(at, step, spoken),
        )
        for at in range(-SIDE, SIDE + 1)
    ]
    return Histogram(
        bins,
        most,
        less=sum(one.count for one in bins if one.kind == "less"),
        same=counts.get(0, 0),
        more=sum(one.count for one in bins if one.kind == "more"),
    )


def _label(at: int, step: int, spoken: Callable[[int], str]) -> str:
    if at == 0:
        return _("no difference")
    near, far = spoken((abs(at) - 1) * step), spoken(abs(at) * step)
    words = {"near": near, "far": far}
    if abs(at) == SIDE:
        return _("more than %(near)s more") % words if at > 0 else _("more than %(near)s less") % words
    return _("over %(near)s up to %(far)s more") % words if at > 0 else _("over %(near)s up to %(far)s less") % words
