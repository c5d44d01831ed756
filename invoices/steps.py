"""How a line's amount came about, step by step, and why it differs from another's. Pure: it reads what the line has kept.

Steps add up: the amounts of all of them make the line's amount, to the last digit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from core.money import EXACT, format_amount, format_unit_amount, plain, to_minor_units
from invoices.models import InvoiceLine
from subscriptions.models import Price
from subscriptions.pricing import Scheme, rate

_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Step:
    """
    :ivar how: the arithmetic, for a reader
    :ivar amount: minor units, unrounded, that it adds to the line
    """

    what: str
    how: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Change:
    """Why a line's amount is not that of another line of the same item.

    :ivar by_usage: minor units that it would differ by if the other line's price had been kept; None where the two
        cannot be told apart
    :ivar by_price: the rest of the difference
    """

    quantity: Decimal
    amount: int
    by_usage: int | None
    by_price: int | None


def steps_of(line: InvoiceLine, currency: str) -> list[Step]:
    """From quantity and price to the line's whole amount."""
    steps = list(_charges(line, currency))
    exact = _total(steps)
    if line.trues_up_id is None:
        if exact != line.exact_amount:
            steps.append(_part(line.basis, EXACT.subtract(line.exact_amount, exact)))
        exact = line.exact_amount
        rounded = to_minor_units(exact)
        steps += _rounding(exact, rounded, currency)
    else:
        # The whole period's cost is rounded once, and what was billed for it is taken off that.
        rounded = to_minor_units(exact)
        steps += _rounding(exact, rounded, currency)
        billed = int(line.basis["billed_amount"])
        steps.append(Step("Billed before", "for the same period, by earlier invoices", Decimal(-billed)))
        rounded -= billed
    if left := line.amount - rounded:
        steps.append(Step("Left for later", "an invoice gives back no more than its other lines take", Decimal(left)))
    return steps


def change_between(before: InvoiceLine, line: InvoiceLine) -> Change:
    """How a line differs from an earlier one of the same item. Both have their prices with them."""
    quantity = EXACT.subtract(line.quantity, before.quantity)
    amount = line.amount - before.amount
    if not (_is_plain(before) and _is_plain(line)) or before.price is None or line.quantity < 0:
        return Change(quantity, amount, None, None)
    at_old_price = to_minor_units(rate(before.price.terms, line.quantity).amount)
    return Change(quantity, amount, at_old_price - before.amount, line.amount - at_old_price)


def _is_plain(line: InvoiceLine) -> bool:
    """Whether its amount is a whole period's quantity at its price and nothing else."""
    return "scheme" in line.basis and line.trues_up_id is None and line.basis.get("full_periods", "1") == "1"


def _charges(line: InvoiceLine, currency: str) -> Iterator[Step]:
    basis = line.basis
    scheme = basis.get("scheme")
    if "trial" in basis:
        yield Step("Trial", "nothing is asked for it", Decimal(0))
    elif "revises" in basis:
        yield Step("Taken over", "from the line of the invoice that was voided and reissued", line.exact_amount)
    elif basis.get("tiers"):
        whole = scheme == Scheme.VOLUME
        for tier in basis["tiers"]:
            yield _tier(tier, currency, whole=whole)
    elif scheme == Scheme.PACKAGE:
        packages, each = Decimal(basis["packages"]), Decimal(basis["unit_amount"])
        how = (
            f"{_number(Decimal(basis['quantity']))} in packages of {int(basis['divide_by']):,}, rounded "
            f"{basis['rounding']}, are {_number(packages)} {_TIMES} {format_unit_amount(each, currency)}"
        )
        yield Step("Packages", how, EXACT.multiply(packages, each))
    elif "unit_amount" in basis:
        # A true-up's own quantity is a difference; what was rated is in its basis.
        quantity, each = Decimal(basis.get("quantity", line.quantity)), Decimal(basis["unit_amount"])
        yield _units(quantity, each, currency)
    elif line.unit_amount is not None:
        yield _units(line.quantity, line.unit_amount, currency)
    else:
        yield Step("Amount", "as it was set", line.exact_amount)


def _units(quantity: Decimal, each: Decimal, currency: str) -> Step:
    how = f"{_number(quantity)} {_TIMES} {format_unit_amount(each, currency)}"
    return Step("Units at their price", how, EXACT.multiply(quantity, each))


def _tier(tier: Mapping[str, str], currency: str, *, whole: bool) -> Step:
    end = "and above" if tier["up_to"] == "inf" else f"up to {_number(Decimal(tier['up_to']))}"
    parts = [
        f"{_number(Decimal(tier['quantity']))} {_TIMES} {format_unit_amount(Decimal(tier['unit_amount']), currency)}"
    ]
    if flat := Decimal(tier["flat_amount"]):
        parts.append(f"{format_unit_amount(flat, currency)} flat")
    return Step(
        f"Tier {tier['tier']}, {end}" + (", for all units" if whole else ""),
        " + ".join(parts),
        Decimal(tier["amount"]),
    )


def _part(basis: Mapping[str, Any], rest: Decimal) -> Step:
    if (periods := basis.get("full_periods")) is not None:
        off = basis.get("after_discounts", "1")
        discounted = "" if off == "1" else f", of which discounts leave {off}"
        return Step("Part of a period", f"{_TIMES} {periods} of a full one{discounted}", rest)
    return Step("Set by hand", "what the line was given beyond that", rest)


def _rounding(exact: Decimal, rounded: int, currency: str) -> Iterator[Step]:
    if exact == rounded:
        how = "nothing to round"
    else:
        how = f"{format_unit_amount(exact, currency)} to {format_amount(rounded, currency)}, half away from zero"
    yield Step("Rounded once", how, EXACT.subtract(Decimal(rounded), exact))


def _total(steps: list[Step]) -> Decimal:
    total = Decimal(0)
    for step in steps:
        total = EXACT.add(total, step.amount)
    return total


def _number(quantity: Decimal) -> str:
    return f"{Decimal(plain(quantity)):,f}"


def price_words(price: Price) -> str:
    """What kind of price it is."""
    return {
        Scheme.PER_UNIT: "every unit at one price",
        Scheme.PACKAGE: "whole packages at one price each",
        Scheme.GRADUATED: "graduated: each tier prices the units that fall into it",
        Scheme.VOLUME: "volume: the tier of the whole quantity prices all of it",
    }[price.scheme]
