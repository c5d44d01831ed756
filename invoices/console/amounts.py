"""Amounts that people write in a currency's main unit, ``12.50``, as the minor units that services take."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.utils.safestring import SafeString

from core.console import cells
from core.money import EXACT, exponent, in_minor_units
from invoices.errors import AmountNotWhole


def minor_units(amount: Decimal, currency: str) -> int:
    """
    :raises AmountNotWhole: if it has a fraction of a minor unit
    """
    whole = in_minor_units(amount, currency)
    if whole is None:
        raise AmountNotWhole(currency)
    return whole


def unit_minor_units(amount: Decimal, currency: str) -> Decimal:
    """A price, which may have a fraction of a minor unit."""
    return EXACT.scaleb(amount, exponent(currency))


def in_main_units(unit_amount: Decimal, currency: str) -> Decimal:
    """A price as a reader writes it, without zeros at the end."""
    value = EXACT.normalize(EXACT.scaleb(unit_amount, -exponent(currency)))
    # No exponent: 10, not 1E+1.
    return value if int(value.as_tuple().exponent) <= 0 else EXACT.quantize(value, Decimal(1))


def basis_facts(basis: Mapping[str, Any], currency: str) -> str | SafeString:
    """What a line or an item was computed from; unit prices in the currency's main unit, as everywhere else."""
    # The price has a page of its own, and tiers are told apart.
    told = {name: value for name, value in basis.items() if isinstance(value, str) and name != "price"}
    if "unit_amount" in told:
        told["unit_amount"] = cells.exact_amount(Decimal(told["unit_amount"]), currency)
    if "scheme" in told:
        told["scheme"] = told["scheme"].replace("_", " ")
    return cells.facts(told)
