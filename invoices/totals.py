"""Discounts, taxes and totals: from the amounts of lines to what an invoice comes to. Pure arithmetic, in whole minor units.

Lines are rounded already. A discount over several lines is rounded once, as a whole, and handed out to the lines by
largest remainder, so that what they say adds up to it. Each tax is rounded once per line, half away from zero, from what
is left of the line after discounts.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

_WHOLE = Fraction(100)


@dataclass(frozen=True, slots=True)
class Tax:
    """
    :ivar percentage: of what is taxed, from 0 to 100
    :ivar inclusive: whether amounts have it in them, or it is added
    """

    key: Hashable
    percentage: Decimal
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Amount:
    """One line's amount, in whole minor units, and what taxes are asked for it.

    :ivar credit: what the customer's credit pays of it, after discounts and before taxes
    """

    amount: int
    taxes: Sequence[Tax] = ()
    credit: int = 0


@dataclass(frozen=True, slots=True)
class Reduction:
    """A discount, with the lines that it may take something off.

    :ivar percent_off: of what is left of each line, above 0 and at most 100; or ``amount_off``
    :ivar amount_off: minor units, at most what is left of the lines together; lines below zero have nothing to take off
    :ivar lines: positions of lines
    :ivar is_of_item: taken off before the invoice's own, and within the subtotal
    """

    key: Hashable
    lines: frozenset[int]
    percent_off: Fraction | None = None
    amount_off: int | None = None
    is_of_item: bool = False


@dataclass(slots=True)
class TaxedAmount:
    """What a tax comes to on a line.

    :ivar taxable: what it is asked of, without the tax
    """

    tax: Tax
    taxable: int
    amount: int


@dataclass(slots=True)
class LineTotal:
    """What becomes of a line.

    :ivar discounts: what each took off, in the order that they were taken off
    :ivar left: the line's amount after all discounts and credit; inclusive taxes are within it
    """

    discounts: dict[Hashable, int] = field(default_factory=dict)
    taxes: list[TaxedAmount] = field(default_factory=list)
    left: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """
    :ivar subtotal: of the lines, after discounts of items, before those of the invoice and before exclusive taxes
    :ivar subtotal_inclusive_tax: taxes within the subtotal
    :ivar inclusive_tax: taxes within the total, and within what is left of the lines
    :ivar exclusive_tax: taxes that the total has on top of that
    """

    lines: Sequence[LineTotal]
    subtotal: int
    subtotal_inclusive_tax: int
    inclusive_tax: int
    exclusive_tax: int
    total: int


def total_up(amounts: Sequence[Amount], reductions: Sequence[Reduction] = ()) -> Totals:
    """Take discounts off lines, let credit pay, ask taxes of what is left, and add up.

    Discounts of items come first, then those of the invoice, each of what the ones before have left.

    Source: Stripe, "Coupons and promotion codes" (stacking: in order, each off the remainder) and "Tax rates" (inclusive
    and exclusive; tax is computed per line, after discounts).
    """
    lines = [LineTotal(left=one.amount) for one in amounts]
    for reduction in (one for one in reductions if one.is_of_item):
        _reduce(lines, reduction)
    subtotal = sum(line.left for line in lines)
    subtotal_inclusive_tax = sum(
        taxed.amount
        for one, line in zip(amounts, lines, strict=True)
        for taxed in _taxes(line.left, one.taxes)
        if taxed.tax.inclusive
    )
    for reduction in (one for one in reductions if not one.is_of_item):
        _reduce(lines, reduction)
    for one, line in zip(amounts, lines, strict=True):
        line.left -= one.credit
        line.taxes = _taxes(line.left, one.taxes)
    taxed = [taxed for line in lines for taxed in line.taxes]
    exclusive_tax = sum(one.amount for one in taxed if not one.tax.inclusive)
    return Totals(
        lines=lines,
        subtotal=subtotal,
        subtotal_inclusive_tax=subtotal_inclusive_tax,
        inclusive_tax=sum(one.amount for one in taxed if one.tax.inclusive),
        exclusive_tax=exclusive_tax,
        total=sum(line.left for line in lines) + exclusive_tax,
    )


def apportion(total: int, shares: Mapping[int, Fraction]) -> dict[int, int]:
    """Hand out a whole amount by largest remainder: each gets its share rounded down, or one more than that.

    :param shares: exact; their sum is less than one away from ``total``
    :returns: whole amounts that add up to ``total``; among equal remainders the first come first
    """
    handed = {key: share.numerator // share.denominator for key, share in shares.items()}
    rest = total - sum(handed.values())
    by_remainder = sorted(shares, key=lambda key: handed[key] - shares[key])
    for key in by_remainder[:rest]:
        handed[key] += 1
    return handed


def round_half_away(amount: Fraction) -> int:
    """The nearest whole amount, halves away from zero."""
    doubled = 2 * abs(amount) + 1
    whole = doubled.numerator // (2 * doubled.denominator)
    return whole if amount >= 0 else -whole


def _reduce(lines: Sequence[LineTotal], reduction: Reduction) -> None:
    shares = _shares(lines, reduction)
    total = round_half_away(sum(shares.values(), Fraction(0)))
    for position, amount in apportion(total, shares).items():
        lines[position].discounts[reduction.key] = amount
        lines[position].left -= amount


def _shares(lines: Sequence[LineTotal], reduction: Reduction) -> dict[int, Fraction]:
    """What a discount would take off each of its lines, had money no smallest unit."""
    mine = sorted(reduction.lines)
    if reduction.percent_off is not None:
        return {position: lines[position].left * reduction.percent_off / _WHOLE for position in mine}
    left = {position: lines[position].left for position in mine if lines[position].left > 0}
    there = sum(left.values())
    taken = min(reduction.amount_off or 0, there)
    return {position: Fraction(taken * amount, there) for position, amount in left.items()}


def _taxes(left: int, taxes: Sequence[Tax]) -> list[TaxedAmount]:
    """What taxes come to on what is left of a line: those within it share it with the rest, the others are added to that."""
    within = sum((Fraction(tax.percentage) for tax in taxes if tax.inclusive), Fraction(0))
    inclusive = {
        position: round_half_away(left * Fraction(tax.percentage) / (_WHOLE + within))
        for position, tax in enumerate(taxes)
        if tax.inclusive
    }
    taxable = left - sum(inclusive.values())
    return [
        TaxedAmount(
            tax,
            taxable,
            inclusive[position] if tax.inclusive else round_half_away(taxable * Fraction(tax.percentage) / _WHOLE),
        )
        for position, tax in enumerate(taxes)
    ]
