"""From what waits for an invoice to the lines of one. Like drafting, it stores nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.money import EXACT, plain
from invoices.drafting import whole_amount
from invoices.explaining import described, price_basis, rated_words, units_at_price
from invoices.models import InvoiceItem, InvoiceLine
from subscriptions.models import Price
from subscriptions.pricing import rate


@dataclass(frozen=True, slots=True)
class ItemCost:
    """What an invoice item costs, and how that came about; amounts in minor units."""

    quantity: Decimal
    unit_amount: Decimal | None
    exact_amount: Decimal
    basis: Mapping[str, Any]

    @property
    def amount(self) -> int:
        """
        :raises AmountTooLarge: if it is beyond what an invoice can hold
        """
        return whole_amount(self.exact_amount)

    @classmethod
    def of_amount(cls, amount: int) -> "ItemCost":
        """A sum as it is; below zero it is given back."""
        return cls(Decimal(1), Decimal(amount), Decimal(amount), {})

    @classmethod
    def of_units(cls, quantity: Decimal, unit_amount: Decimal) -> "ItemCost":
        """So many units at so much each; below zero they are given back."""
        basis = {"quantity": plain(quantity), "unit_amount": plain(unit_amount)}
        return cls(quantity, unit_amount, EXACT.multiply(quantity, unit_amount), basis)

    @classmethod
    def of_price(cls, price: Price, quantity: Decimal) -> "ItemCost":
        rating = rate(price.terms, quantity)
        return cls(quantity, price.unit_amount, rating.amount, price_basis(price, rating))


def describe_price(price: Price, quantity: Decimal) -> str:
    return described(price, rated_words(price, rate(price.terms, quantity)), units_at_price(price, quantity))


def make_item_lines(items: Iterable[InvoiceItem], *, start: int) -> list[InvoiceLine]:
    """The lines that put items onto an invoice, which they do not know yet.

    :param start: the position of the first one
    """
    return [_item_line(item, position) for position, item in enumerate(items, start=start)]


def copy_to_line(item: InvoiceItem, line: InvoiceLine) -> None:
    """Have the line say what its item says."""
    line.price_id = item.price_id
    line.description = item.description
    line.quantity = item.quantity
    # A sum is one unit of itself. A price with tiers has no unit's amount.
    line.unit_amount = Decimal(item.amount) if item.price_id is None and item.unit_amount is None else item.unit_amount
    line.exact_amount, line.amount = item.exact_amount, item.amount
    line.period_start, line.period_end = item.period_start, item.period_end
    line.is_discountable = item.is_discountable
    line.basis = item.basis


def _item_line(item: InvoiceItem, position: int) -> InvoiceLine:
    line = InvoiceLine(
        environment_id=item.environment_id,
        position=position,
        subscription_item_id=item.subscription_item_id,
        invoice_item=item,
    )
    copy_to_line(item, line)
    return line
