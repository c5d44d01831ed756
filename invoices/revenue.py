"""Recurring revenue: what customers have committed themselves to by the month, and how that moved. Pure and exact.

docs/revenue.md says what each number means.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

# What an interval's amount is multiplied with.
_A_MONTH = {"day": Fraction(365, 12), "week": Fraction(52, 12), "month": Fraction(1), "year": Fraction(1, 12)}


class Movement(StrEnum):
    NEW = "new"
    EXPANSION = "expansion"
    CONTRACTION = "contraction"
    CHURN = "churn"
    REACTIVATION = "reactivation"


@dataclass(frozen=True, slots=True)
class Commitment:
    """What one subscription item is worth by the month, over the half-open span in which it had one price and quantity.

    :ivar end: None while nothing ends it
    :ivar monthly: minor units
    """

    customer_id: UUID
    currency: str
    monthly: Fraction
    start: datetime
    end: datetime | None = None

    def is_in_force(self, at: datetime) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True)
class Moved:
    """How a customer's monthly revenue in one currency moved between two instants; only what they differ by is told."""

    customer_id: UUID
    currency: str
    kind: Movement
    before: Fraction
    after: Fraction


def by_the_month(amount: Fraction, interval: str, interval_count: int) -> Fraction:
    """A price's amount for one period, for an average month: a year has 12 of them, 52 weeks and 365 days."""
    return amount * _A_MONTH[interval] / interval_count


def committed(commitments: Iterable[Commitment], at: datetime) -> dict[tuple[UUID, str], Fraction]:
    """The monthly revenue at an instant, by customer and currency."""
    found: dict[tuple[UUID, str], Fraction] = defaultdict(Fraction)
    for one in commitments:
        if one.is_in_force(at):
            found[one.customer_id, one.currency] += one.monthly
    return {key: monthly for key, monthly in found.items() if monthly}


def movements(commitments: Sequence[Commitment], since: datetime, until: datetime) -> list[Moved]:
    """From one instant to another; what came and went between them is in none."""
    before, after = committed(commitments, since), committed(commitments, until)
    known = {(one.customer_id, one.currency) for one in commitments if one.monthly and one.start < since}
    found = []
    for key in sorted({*before, *after}):
        one, other = before.get(key, Fraction(0)), after.get(key, Fraction(0))
        if one != other:
            found.append(Moved(*key, _kind(one, other, was_known=key in known), one, other))
    return found


def _kind(before: Fraction, after: Fraction, *, was_known: bool) -> Movement:
    if not before:
        return Movement.REACTIVATION if was_known else Movement.NEW
    if not after:
        return Movement.CHURN
    return Movement.EXPANSION if after > before else Movement.CONTRACTION
