"""From what waits for an invoice to the lines of one. Like drafting, it stores nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from core.money import EXACT, plain
from invoices.drafting import whole_amount
from invoices.errors import AmountTooLarge
from invoices.explaining import described, price_basis, rated_words
from invoices.models import InvoiceItem, InvoiceLine
from subscriptions.models import Price
from subscriptions.pricing import rate

# Eighteen digits before the point.
_UNIT_AMOUNTS_END = 10**18


@dataclass(frozen=True, slots=True)
class Cost:
    """What an invoice item costs, and how that came about.

    :ivar unit_amount: minor units; None where a price has tiers
    :ivar exact_amount: minor units, unrounded; below zero it is given back
    :ivar words: what a payer is told, if nobody says otherwise
    """

    quantity: Decimal
    unit_amount: Decimal | None
    exact_amount: Decimal
    basis: Mapping[str, Any]
    words: str = ""

    @classmethod
    def of_amount(cls, amount: int) -> Self:
        return cls(Decimal(1), Decimal(amount), Decimal(amount), {})

    @classmethod
    def of_units(cls, unit_amount: Decimal, quantity: Decimal) -> Self:
        """
        :raises AmountTooLarge: if so much for one unit is beyond what can be kept
        """
        if abs(unit_amount) >= _UNIT_AMOUNTS_END:
            raise AmountTooLarge(unit_amount)
        basis = {"quantity": plain(quantity), "unit_amount": plain(unit_amount)}
        return cls(quantity, unit_amount, EXACT.multiply(quantity, unit_amount), basis)

    @classmethod
    def of_price(cls, price: Price, quantity: Decimal) -> Self:
        rating = rate(price.terms, quantity)
        words = described(price, rated_words(price, rating))
        return cls(quantity, price.unit_amount, rating.amount, price_basis(price, rating), words)

    def write_to(self, item: InvoiceItem) -> None:
        """
        :raises AmountTooLarge: if the amount is beyond what an invoice can hold
        """
        item.quantity, item.unit_amount = self.quantity, self.unit_amount
        item.exact_amount, item.amount = self.exact_amount, whole_amount(self.exact_amount)
        item.basis = dict(self.basis)


def make_item_lines(items: Iterable[InvoiceItem], *, start: int) -> list[InvoiceLine]:
    """The lines that put items onto an invoice; they belong to none yet.

    :param start: the position of the first one
    """
    return [_make_line(item, position) for position, item in enumerate(items, start=start)]


def copy_to_line(item: InvoiceItem, line: InvoiceLine) -> InvoiceLine:
    """Have a line say what its item says."""
    line.price_id = item.price_id
    line.description = item.description
    line.quantity, line.unit_amount = item.quantity, item.unit_amount
    line.exact_amount, line.amount = item.exact_amount, item.amount
    line.period_start, line.period_end = item.period_start, item.period_end
    line.is_discountable = item.is_discountable
    line.basis = item.basis
    return line


def _make_line(item: InvoiceItem, position: int) -> InvoiceLine:
    line = InvoiceLine(
        environment_id=item.environment_id,
        position=position,
        subscription_item_id=item.subscription_item_id,
        invoice_item=item,
    )
    return copy_to_line(item, line)
