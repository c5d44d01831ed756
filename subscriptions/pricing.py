"""Rating: what a quantity costs under a price's terms. Pure arithmetic, exact, unrounded.

The one rounding happens later, when an invoice line is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.money import EXACT

ZERO = Decimal(0)


class Scheme(StrEnum):
    """How an amount follows from a quantity.

    Per unit: all units at one price. Package: whole packages of units at one price each. Graduated: each tier prices
    the units that fall into it. Volume: the tier that the whole quantity falls into prices all of it.
    """

    PER_UNIT = "per_unit"
    PACKAGE = "package"
    GRADUATED = "graduated"
    VOLUME = "volume"


class Rounding(StrEnum):
    """What becomes of a package that is not full."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Tier:
    """A range of quantities with a price of its own. It begins where the one before it ends.

    :ivar up_to: the last quantity that is still in it, inclusive; None for "and above"
    :ivar unit_amount: minor units per unit
    :ivar flat_amount: minor units for having reached the tier at all
    """

    up_to: Decimal | None
    unit_amount: Decimal = ZERO
    flat_amount: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What a price says about money, without the row that it is kept in.

    :ivar unit_amount: minor units of the currency per unit or package, with fraction; of no meaning with tiers
    :ivar tiers: of a graduated or volume price: ascending, the last one without end
    :ivar divide_by: units in a package
    :ivar flat_fee_at_zero: whether the first tier counts as reached when nothing was used, so that its flat amount is due
    """

    unit_amount: Decimal = ZERO
    scheme: Scheme = Scheme.PER_UNIT
    tiers: Sequence[Tier] = ()
    divide_by: int = 1
    rounding: Rounding = Rounding.UP
    flat_fee_at_zero: bool = True


@dataclass(frozen=True, slots=True)
class Charge:
    """One step of a rating: so many units (or packages) at so much each, and perhaps a flat fee.

    :ivar amount: minor units, unrounded: units times price, plus the flat fee
    :ivar tier: which of the tiers this is, from 1; None for a price without
    """

    quantity: Decimal
    unit_amount: Decimal
    amount: Decimal
    flat_amount: Decimal = ZERO
    tier: int | None = None


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
    return max(used, ZERO)


def rate(terms: PriceTerms, quantity: Decimal) -> Rating:
    """Price a quantity.

    :param quantity: in units; zero or more
    :returns: minor units of the price's currency, unrounded: 12.5 is twelve and a half cents
    :raises ValueError: for a negative quantity, or one beyond the last tier
    :raises decimal.Inexact: if the result had to be rounded, which takes more than 400 digits
    """
    if quantity < 0:
        raise ValueError("a quantity is zero or more")
    charges = tuple(_charges(terms, quantity))
    amount = ZERO
    for charge in charges:
        amount = EXACT.add(amount, charge.amount)
    return Rating(quantity=quantity, amount=amount, charges=charges)


def packages(quantity: Decimal, divide_by: int, rounding: Rounding) -> Decimal:
    """How many packages a quantity comes to.

    Source: Stripe, "Transform quantities": the quantity is divided first and the result rounded up or down, before it
    is multiplied with the price.
    """
    size = Decimal(divide_by)
    full = EXACT.divide_int(quantity, size)
    is_broken = EXACT.multiply(full, size) != quantity
    return EXACT.add(full, Decimal(1)) if is_broken and rounding == Rounding.UP else full


def _charges(terms: PriceTerms, quantity: Decimal) -> Iterator[Charge]:
    match terms.scheme:
        case Scheme.PER_UNIT:
            yield _charge(quantity, terms.unit_amount)
        case Scheme.PACKAGE:
            yield _charge(packages(quantity, terms.divide_by, terms.rounding), terms.unit_amount)
        case Scheme.GRADUATED:
            yield from _graduated(terms, quantity)
        case Scheme.VOLUME:
            yield _volume(terms, quantity)


def _graduated(terms: PriceTerms, quantity: Decimal) -> Iterator[Charge]:
    """Fill each tier in turn. The first one is entered in any case, further ones by what is beyond the last.

    Source: Stripe, "Tiered pricing": each unit is charged at the rate of the tier it falls in, and each tier's flat fee
    is due once it is reached.
    """
    start = ZERO
    for number, tier in enumerate(terms.tiers, start=1):
        end = quantity if tier.up_to is None else min(quantity, tier.up_to)
        yield _of_tier(terms, tier, number, EXACT.subtract(end, start))
        if end == quantity:
            return
        start = end
    raise ValueError("the last tier ends below the quantity")


def _volume(terms: PriceTerms, quantity: Decimal) -> Charge:
    """Price all units at the rate of the tier that the total falls in.

    Source: Stripe, "Tiered pricing": the quantity at the end of the period decides the tier for all of it.
    """
    for number, tier in enumerate(terms.tiers, start=1):
        if tier.up_to is None or quantity <= tier.up_to:
            return _of_tier(terms, tier, number, quantity)
    raise ValueError("the last tier ends below the quantity")


def _of_tier(terms: PriceTerms, tier: Tier, number: int, quantity: Decimal) -> Charge:
    # Only the first tier can be entered by nothing.
    is_reached = quantity > 0 or terms.flat_fee_at_zero
    return _charge(quantity, tier.unit_amount, tier.flat_amount if is_reached else ZERO, number)


def _charge(quantity: Decimal, unit_amount: Decimal, flat_amount: Decimal = ZERO, tier: int | None = None) -> Charge:
    amount = EXACT.add(EXACT.multiply(quantity, unit_amount), flat_amount)
    return Charge(quantity=quantity, unit_amount=unit_amount, amount=amount, flat_amount=flat_amount, tier=tier)
