"""Money: integer minor units beside a currency, and the one rounding.

Unit prices and everything computed from them are ``Decimal`` minor units with their fraction kept, until
:func:`to_minor_units` writes an invoice line.
"""

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, DivisionByZero, Inexact, InvalidOperation
from fractions import Fraction
from functools import lru_cache

# For everything between a quantity and a line's amount. Wide enough for any usage (30 digits before the point, 98
# behind) times any unit price, and a result that would not fit is an error, never a rounded one.
EXACT = Context(prec=400, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation, DivisionByZero])

_ZERO_DECIMALS = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())  # noqa: SIM905
_THREE_DECIMALS = frozenset("bhd jod kwd omr tnd".split())  # noqa: SIM905
_TWO_DECIMALS = frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve
    czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt
    lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln
    qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer
    zar zmw
    """.split()  # noqa: SIM905 - a word list is easier to read
)
_SHARE_PLACES = 60
CURRENCIES = _ZERO_DECIMALS | _TWO_DECIMALS | _THREE_DECIMALS


def exponent(currency: str) -> int:
    """How many decimal places the currency's minor unit stands for: JPY 0, USD 2, KWD 3."""
    if currency in _ZERO_DECIMALS:
        return 0
    if currency in _THREE_DECIMALS:
        return 3
    return 2


def to_minor_units(amount: Decimal) -> int:
    """Round an amount in minor units to a whole one, half away from zero, so that negative lines mirror positive ones.

    Called once per invoice line, and once per event that is paid in a currency of the company's own; nowhere else.
    """
    # ROUND_HALF_UP is decimal's name for half away from zero. Unlike quantize(), this is free of the context's precision.
    return int(amount.to_integral_value(rounding=ROUND_HALF_UP))


def in_minor_units(amount: Decimal, currency: str) -> int | None:
    """An amount that a reader wrote, ``12.5`` US dollars, in minor units; None if it has a fraction of one."""
    minor = EXACT.scaleb(amount, exponent(currency))
    return int(minor) if minor == minor.to_integral_value() else None


def share(amount: Decimal, fraction: Fraction) -> Decimal:
    """A fraction of an amount, to 60 decimal places.

    Not every fraction is a decimal. What is cut off here lies far below the distance that any fraction of a period (in
    microseconds) of any unit price (12 places) can have from a half, so it never moves the one rounding.
    """
    exact = Fraction(amount) * fraction
    scaled = exact * 10**_SHARE_PLACES
    # Toward zero: a remainder must not lift an amount onto a half.
    whole = abs(scaled.numerator) // scaled.denominator
    return EXACT.normalize(EXACT.scaleb(Decimal(whole if scaled >= 0 else -whole), -_SHARE_PLACES))


def plain(value: Decimal) -> str:
    """Write a decimal in full, without exponent and without zeros at the end: ``2.50`` becomes ``2.5``."""
    return f"{EXACT.normalize(value):f}"


def format_amount(amount: int, currency: str) -> str:
    """Write minor units for a reader: ``4761, "usd"`` becomes ``47.61 USD``."""
    places = exponent(currency)
    value = Decimal(amount).scaleb(-places)
    return f"{value:,.{places}f} {currency.upper()}"


def format_unit_amount(unit_amount: Decimal, currency: str) -> str:
    """Write a unit price for a reader, all of it: ``0.00025, "usd"`` becomes ``0.0000025 USD``."""
    return _unit_amount_in_full(unit_amount, currency)


# A billing run says few prices on many lines.
@lru_cache(maxsize=1024)
def _unit_amount_in_full(unit_amount: Decimal, currency: str) -> str:
    value = EXACT.normalize(EXACT.scaleb(unit_amount, -exponent(currency)))
    places = max(exponent(currency), -int(value.as_tuple().exponent))
    return f"{value:,.{places}f} {currency.upper()}"
