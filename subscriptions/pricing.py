"""Rating: what a quantity costs under a price's terms. Pure arithmetic, exact, unrounded.

The one rounding happens later, when an invoice line is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from core.money import EXACT


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What a price says about money, without the row that it is kept in.

    :ivar unit_amount: minor units of the currency per unit, with fraction
    """

    unit_amount: Decimal


@dataclass(frozen=True, slots=True)
class Charge:
    """One step of a rating: so many units at so much each.

    :ivar amount: minor units, unrounded
    """

    quantity: Decimal
    unit_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Rating:
    """What a quantity costs, and how that came about.

    :ivar quantity: the units that were rated
    :ivar amount: minor units, unrounded: the sum over the charges
    """

    quantity: Decimal
    amount: Decimal
    charges: Sequence[Charge]


def billable_quantity(used: Decimal) -> Decimal:
    """The quantity that a metered total is billed as: corrections may take a total below zero, but not a bill.

    Source: Stripe, "Recording usage": a negative total of a period is billed as quantity 0.
    """
    return max(used, Decimal(0))


def rate(terms: PriceTerms, quantity: Decimal) -> Rating:
    """Price a quantity.

    :param quantity: in units; zero or more
    :returns: minor units of the price's currency, unrounded: 12.5 is twelve and a half cents
    :raises ValueError: for a negative quantity
    :raises decimal.Inexact: if the result had to be rounded, which takes more than 400 digits
    """
    if quantity < 0:
        raise ValueError("a quantity is zero or more")
    charges = (_per_unit(quantity, terms.unit_amount),)
    with localcontext(EXACT):
        amount = sum((charge.amount for charge in charges), Decimal(0))
    return Rating(quantity=quantity, amount=amount, charges=charges)


def _per_unit(quantity: Decimal, unit_amount: Decimal) -> Charge:
    return Charge(quantity=quantity, unit_amount=unit_amount, amount=EXACT.multiply(quantity, unit_amount))
