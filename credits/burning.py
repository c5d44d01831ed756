"""How events burn credit. Pure: no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from credits.applying import Spendable


@dataclass(frozen=True, slots=True)
class Fuel:
    """A grant in a currency of the company's own.

    :ivar meters: whose events it pays for; None for those of all meters of its currency
    """

    grant: Spendable
    currency_id: UUID | None
    meters: frozenset[UUID] | None = None

    def pays_for(self, due: "Due") -> bool:
        return self.currency_id == due.currency_id and (self.meters is None or due.meter_id in self.meters)


@dataclass(frozen=True, slots=True)
class Due:
    """What is still to be paid of an event."""

    charge_id: UUID
    currency_id: UUID
    meter_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class Draw:
    """What one grant pays of one event: more than nothing."""

    charge_id: UUID
    grant_id: UUID
    amount: int


def burn(fuels: Iterable[Fuel], dues: Sequence[Due], at: datetime) -> list[Draw]:
    """Pay for events one after the other, each from as many grants as it takes. What is short stays to be paid.

    :param fuels: of one customer, in any order
    :param dues: of the same customer, in the order in which they are paid
    :param at: the instant at which grants must be usable
    """
    usable = sorted((fuel for fuel in fuels if fuel.grant.is_usable(at)), key=lambda fuel: fuel.grant.order)
    left = {fuel.grant.grant_id: fuel.grant.balance for fuel in usable}
    draws = []
    for due in dues:
        missing = due.amount
        for fuel in usable:
            amount = min(missing, left[fuel.grant.grant_id])
            if amount > 0 and fuel.pays_for(due):
                draws.append(Draw(due.charge_id, fuel.grant.grant_id, amount))
                left[fuel.grant.grant_id] -= amount
                missing -= amount
        if not any(left.values()):
            break
    return draws
