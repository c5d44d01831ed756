"""What is left of invoice lines to be credited, and parts of that. Pure arithmetic, in whole minor units.

A part takes its share of everything that is within the line: of discounts, of what credit grants paid, of each tax. Shares
are handed out by largest remainder, so that a part is what its pieces add up to, no piece is ever larger than what was left
of it, and parts that credit a line in the end come to exactly the line.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from invoices.totals import apportion, round_half_away


@dataclass(frozen=True, slots=True)
class TaxPiece:
    """
    :ivar taxable: what it is asked of, without the tax
    """

    amount: int
    taxable: int
    inclusive: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a line: what was charged, what discounts had taken off and credit grants had paid, and taxes. All of one sign.

    :ivar amount: before discounts, credit and exclusive taxes
    """

    amount: int
    discounts: Mapping[Hashable, int] = field(default_factory=dict)
    credit: int = 0
    taxes: Mapping[Hashable, TaxPiece] = field(default_factory=dict)

    @property
    def discount(self) -> int:
        return sum(self.discounts.values())

    @property
    def inclusive_tax(self) -> int:
        return sum(tax.amount for tax in self.taxes.values() if tax.inclusive)

    @property
    def exclusive_tax(self) -> int:
        return sum(tax.amount for tax in self.taxes.values() if not tax.inclusive)

    @property
    def net(self) -> int:
        """What it comes to: what the customer had to pay for it."""
        return self.amount - self.discount - self.credit + self.exclusive_tax

    def without(self, other: "Piece") -> "Piece":
        """What is left when another was taken out of it."""
        return Piece(
            self.amount - other.amount,
            {key: amount - other.discounts.get(key, 0) for key, amount in self.discounts.items()},
            self.credit - other.credit,
            {key: _without(tax, other.taxes.get(key)) for key, tax in self.taxes.items()},
        )


def part_of_amount(left: Piece, amount: int) -> Piece:
    """The part that was charged an amount, before discounts, credit and exclusive taxes.

    :param left: of a line, to be credited
    :param amount: between nothing and what is left of the line
    """
    if amount == left.amount:
        return left
    share = Fraction(amount, left.amount)
    # What is left after discounts and credit takes part in the sharing, or pieces could outgrow their whole.
    pieces = [*left.discounts.values(), left.credit, left.amount - left.discount - left.credit]
    *discounts, credit, _ = _shared(amount, pieces, share)
    return Piece(amount, dict(zip(left.discounts, discounts, strict=True)), credit, _taxes(left, share))


def part_of_net(left: Piece, net: int) -> Piece:
    """The part that the customer had to pay an amount for, with all discounts, credit and taxes.

    :param left: of a line, to be credited
    :param net: between nothing and what is left of the line
    """
    if net == left.net:
        return left
    share = Fraction(net, left.net)
    exclusive = [key for key, tax in left.taxes.items() if not tax.inclusive]
    pieces = [left.amount, *(-amount for amount in left.discounts.values()), -left.credit]
    pieces += [left.taxes[key].amount for key in exclusive]
    amount, *rest = _shared(net, pieces, share)
    discounts, credit, added = rest[: len(left.discounts)], rest[len(left.discounts)], rest[len(left.discounts) + 1 :]
    taxes = dict(_taxes(left, share))
    for key, tax in zip(exclusive, added, strict=True):
        taxes[key] = TaxPiece(tax, taxes[key].taxable, inclusive=False)
    return Piece(amount, {key: -one for key, one in zip(left.discounts, discounts, strict=True)}, -credit, taxes)


def parts_of_total(left: Sequence[Piece], total: int) -> list[Piece]:
    """Spread an amount over lines, by what the customer had to pay for what is left of each.

    Lines below zero are touched only when all of them are credited to the end.

    :param total: between nothing and what is left of all lines together
    """
    if total == sum(piece.net for piece in left):
        return list(left)
    payable = {position: piece.net for position, piece in enumerate(left) if piece.net > 0}
    there = sum(payable.values())
    shares = apportion(total, {position: Fraction(total * net, there) for position, net in payable.items()})
    return [
        part_of_net(piece, shares[position]) if shares.get(position) else Piece(0)
        for position, piece in enumerate(left)
    ]


def _shared(total: int, pieces: Sequence[int], share: Fraction) -> list[int]:
    handed = apportion(total, {position: piece * share for position, piece in enumerate(pieces)})
    return [handed[position] for position in range(len(pieces))]


def _taxes(left: Piece, share: Fraction) -> Mapping[Hashable, TaxPiece]:
    return {
        key: TaxPiece(round_half_away(tax.amount * share), round_half_away(tax.taxable * share), tax.inclusive)
        for key, tax in left.taxes.items()
    }


def _without(tax: TaxPiece, other: TaxPiece | None) -> TaxPiece:
    if other is None:
        return tax
    return TaxPiece(tax.amount - other.amount, tax.taxable - other.taxable, tax.inclusive)
