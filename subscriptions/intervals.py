"""How often something happens that goes by no price: no ORM, no clock."""

from dataclasses import dataclass

from core.periods import Interval

# As many of each as a year has, which is the most.
_YEAR: dict[str, int] = {"day": 365, "week": 52, "month": 12, "year": 1}


@dataclass(frozen=True, slots=True)
class Every:
    """So many days, weeks, months or years."""

    interval: Interval
    count: int = 1

    @property
    def is_known(self) -> bool:
        """Whether it is an interval from a day to a year."""
        return 1 <= self.count <= _YEAR.get(self.interval, 0)
