"""How a price's part in a line is told: in full for whoever computes it again, and in words for whoever pays it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from core.money import format_unit_amount, plain
from subscriptions.models import Price
from subscriptions.pricing import Charge, Rating, Scheme

DESCRIPTION_LENGTH = 500
_TIMES = "\N{MULTIPLICATION SIGN}"


def price_basis(price: Price, rating: Rating) -> dict[str, Any]:
    """The price that a quantity was rated by, and each step of the rating. All as text, as every basis is."""
    basis: dict[str, Any] = {
        "price": str(price.pk),
        "scheme": price.scheme.value,
        "quantity": plain(rating.quantity),
    }
    if price.unit_amount is not None:
        basis["unit_amount"] = plain(price.unit_amount)
    if price.scheme == Scheme.PACKAGE:
        basis |= {
            "divide_by": str(price.divide_by),
            "rounding": price.rounding,
            "packages": plain(rating.charges[0].quantity),
        }
    if price.tiers_mode:
        ends = [tier.up_to for tier in price.terms.tiers]
        basis["tiers"] = [_tier_basis(charge, ends) for charge in rating.charges]
    return basis


def _tier_basis(charge: Charge, ends: Sequence[Decimal | None]) -> dict[str, str]:
    number = charge.tier or 1
    end = ends[number - 1]
    return {
        "tier": str(number),
        "up_to": "inf" if end is None else plain(end),
        "quantity": plain(charge.quantity),
        "unit_amount": plain(charge.unit_amount),
        "flat_amount": plain(charge.flat_amount),
        "amount": plain(charge.amount),
    }


def rated_words(price: Price, rating: Rating) -> str:
    """As a payer reads it.

    ``18,059,974 (times) 0.0000025 USD per token``; in packages ``1,050 = 2 packages of 1,000 (times) 5.00 USD``; in tiers
    ``1,500 = 1,000 (times) 0.01 USD + 500 (times) 0.005 USD + 2.00 USD``, or ``500 (times) 0.01 USD`` in the first.
    """
    units = _number(rating.quantity)
    if price.scheme == Scheme.PER_UNIT:
        return units_at_price(price, rating.quantity)
    if price.scheme == Scheme.PACKAGE:
        [charge] = rating.charges
        packages = f"{_number(charge.quantity)} package{'' if charge.quantity == 1 else 's'} of {price.divide_by:,}"
        return f"{units} = {packages} {_TIMES} {format_unit_amount(charge.unit_amount, price.currency)}"
    steps = [words for charge in rating.charges for words in _tier_words(price, charge)]
    only_units = len(steps) == 1 and not rating.charges[0].flat_amount
    return steps[0] if only_units else f"{units} = {' + '.join(steps)}"


def units_at_price(price: Price, quantity: Decimal) -> str:
    """Only the quantity, where a unit's price depends on the others: in tiers and packages."""
    if price.unit_amount is None or price.scheme == Scheme.PACKAGE:
        return _number(quantity)
    per_unit = f" per {price.product.unit_label}" if price.product.unit_label else ""
    return f"{_number(quantity)} {_TIMES} {format_unit_amount(price.unit_amount, price.currency)}{per_unit}"


def described(price: Price, words: str, alternative: str = "") -> str:
    """A line's description, as long as there is room for it: else the alternative, and at last its beginning."""
    description = f"{price.product.name}: {words}"
    if len(description) > DESCRIPTION_LENGTH and alternative:
        description = f"{price.product.name}: {alternative}"
    if len(description) > DESCRIPTION_LENGTH:
        description = description[: DESCRIPTION_LENGTH - 1] + "…"
    return description


def _tier_words(price: Price, charge: Charge) -> list[str]:
    words = []
    # A tier may consist of its flat fee alone.
    if charge.unit_amount or not charge.flat_amount:
        words.append(f"{_number(charge.quantity)} {_TIMES} {format_unit_amount(charge.unit_amount, price.currency)}")
    if charge.flat_amount:
        words.append(format_unit_amount(charge.flat_amount, price.currency))
    return words


def _number(quantity: Decimal) -> str:
    return f"{Decimal(plain(quantity)):,f}"
