"""How counted events become one number. Pure: no database, no clock."""

from dataclasses import dataclass
from decimal import Decimal

from meters.models import Formula

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of the events of a window; all that any formula needs."""

    event_count: int = 0
    value_sum: Decimal = ZERO
    value_min: Decimal = ZERO
    value_max: Decimal = ZERO
    last_value: Decimal = ZERO
    unique_count: int = 0

    def value(self, formula: str) -> Decimal:
        """The window's one number, in the meter's unit. Without events it is zero, whatever the formula."""
        match formula:
            case Formula.SUM:
                return self.value_sum
            case Formula.COUNT:
                return Decimal(self.event_count)
            case Formula.LAST:
                return self.last_value
            case Formula.MAX:
                return self.value_max
            case Formula.MIN:
                return self.value_min
            case Formula.UNIQUE_COUNT:
                return Decimal(self.unique_count)
        raise ValueError(f"unknown formula {formula!r}")
