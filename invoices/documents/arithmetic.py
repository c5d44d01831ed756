"""How a line's amount came about, step by step, from what the line keeps: whoever pays can compute it again."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from core.money import EXACT, format_amount, format_unit_amount
from core.periods import Period
from invoices.models import InvoiceLine

_TIMES = "\N{MULTIPLICATION SIGN}"
_MINUS = "\N{MINUS SIGN}"
_DAY = timedelta(days=1)
# What :func:`invoices.explaining.rated_words` writes after a product's name begins with a number.
_RATED = re.compile(r"(?P<name>.+): (?P<words>-?\d[\d,.]*(?: .*)?)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a computation: ``Tier 1, up to 1,000`` | ``1,000 (times) 0.01 USD`` | ``10.00 USD``."""

    label: str
    words: str
    amount: str = ""


def title_of(line: InvoiceLine) -> str:
    """What was sold, without the computation, which the steps tell better. It is kept on the line and never changes."""
    if "scheme" in line.basis and line.trues_up_id is None and line.invoice_item_id is None:
        rated = _RATED.fullmatch(line.description)
        if rated is not None:
            return rated["name"]
    return line.description


def steps_of(line: InvoiceLine, currency: str) -> list[Step]:
    """From the quantity to the amount."""
    return [*_counted(line.basis), *_priced(line.basis, currency), *_adjusted(line, currency)]


def number(value: Decimal) -> str:
    """A quantity in full, thousands separated."""
    return f"{EXACT.normalize(value):,f}".replace("-", _MINUS)


def money(amount: int, currency: str) -> str:
    return format_amount(amount, currency).replace("-", _MINUS)


def exact_money(amount: Decimal, currency: str) -> str:
    """Minor units with all their fraction."""
    return format_unit_amount(amount, currency).replace("-", _MINUS)


def span(period: Period, zone: ZoneInfo | None) -> str:
    """A period as people write it: whole days to the last one that is within it, else to the minute."""
    start, end = (instant.astimezone(zone or ZoneInfo("UTC")) for instant in (period.start, period.end))
    if start == end:
        return _day(start)
    if _is_midnight(start) and _is_midnight(end):
        last = end - timedelta(microseconds=1)
        return _day(start) if last.date() == start.date() else f"{_day(start)} \N{EN DASH} {_day(last)}"
    return f"{_day(start)} {start:%H:%M} \N{EN DASH} {_day(end)} {end:%H:%M} {end:%Z}"


def day(instant: datetime, zone: ZoneInfo | None) -> str:
    return _day(instant.astimezone(zone or ZoneInfo("UTC")))


def _day(local: datetime) -> str:
    return f"{local.day} {local:%b %Y}"


def _is_midnight(local: datetime) -> bool:
    return (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)


def _counted(basis: dict[str, Any]) -> Iterator[Step]:
    """Where a metered quantity comes from."""
    if "meter" not in basis:
        return
    events = int(basis["event_count"])
    read = datetime.fromisoformat(basis["read_at"])
    words = f"{basis['formula']} of {events:,} event{'' if events == 1 else 's'} named {basis['event_name']}, "
    used = Decimal(basis["used"])
    billed = "" if used >= 0 else "; less than nothing is billed as 0"
    yield Step("Usage", f"{words}read {_day(read)} {read:%H:%M:%S} UTC: {number(used)}{billed}")


def _priced(basis: dict[str, Any], currency: str) -> Iterator[Step]:
    """The quantity under the price: packages or tiers; a price per unit needs no step of its own."""
    if "packages" in basis:
        size, packages = Decimal(basis["divide_by"]), Decimal(basis["packages"])
        each = Decimal(basis["unit_amount"])
        yield Step(
            f"Packages of {number(size)}, rounded {basis['rounding']}",
            f"{number(Decimal(basis['quantity']))} \N{RIGHTWARDS ARROW} {number(packages)} {_TIMES} {exact_money(each, currency)}",
            exact_money(EXACT.multiply(packages, each), currency),
        )
    for tier in basis.get("tiers", ()):
        unit, flat = Decimal(tier["unit_amount"]), Decimal(tier["flat_amount"])
        reach = "and above" if tier["up_to"] == "inf" else f"up to {number(Decimal(tier['up_to']))}"
        words = f"{number(Decimal(tier['quantity']))} {_TIMES} {exact_money(unit, currency)}"
        if flat:
            words += f" + {exact_money(flat, currency)} flat"
        yield Step(f"Tier {tier['tier']}, {reach}", words, exact_money(Decimal(tier["amount"]), currency))


def _adjusted(line: InvoiceLine, currency: str) -> Iterator[Step]:
    """What became of the rated amount: a part of a period, late usage, and the one rounding."""
    basis = line.basis
    periods, paid = Fraction(basis.get("full_periods", 1)), Fraction(basis.get("after_discounts", 1))
    if "trues_up" in basis:
        cost, billed = Decimal(basis["amount"]), int(basis["billed_amount"])
        yield Step(
            "Late usage",
            f"{exact_money(cost, currency)} for the whole period, {money(billed, currency)} of it billed before",
            exact_money(EXACT.subtract(cost, Decimal(billed)), currency),
        )
        if "left_over" in basis:
            rest = exact_money(Decimal(basis["left_over"]), currency)
            yield Step("Left for a later invoice", "an invoice gives back no more than it takes", rest)
    elif periods != 1 or paid != 1:
        words = []
        if periods != 1:
            words.append(f"{_TIMES} {periods} of a billing period")
        if paid != 1:
            words.append(f"{_TIMES} {paid} left after discounts")
        full = f"{exact_money(Decimal(basis['full_amount']), currency)} " if "full_amount" in basis else ""
        yield Step("Part of a period", full + " ".join(words))
    if line.exact_amount != line.amount and "left_over" not in basis:
        yield Step("Rounded", f"{_brief(line.exact_amount, currency)} to", money(line.amount, currency))


def _brief(amount: Decimal, currency: str) -> str:
    """An exact amount that may have no end, to twelve places more than its currency has."""
    places = 12
    shown = Decimal(round(Fraction(amount) * 10**places)).scaleb(-places)
    dots = "" if shown == amount else "\N{HORIZONTAL ELLIPSIS}"
    return f"{exact_money(shown, currency)}{dots}"
