"""Money: integer minor units beside a currency, and the one rounding.

Unit prices and everything computed from them are ``Decimal`` minor units with their fraction kept, until
:func:`to_minor_units` writes an invoice line.
"""

from decimal import ROUND_HALF_UP, Decimal

_ZERO_DECIMALS = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split())
_THREE_DECIMALS = frozenset("bhd jod kwd omr tnd".split())
_TWO_DECIMALS = frozenset(
    """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc cve
    czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr isk jmd kes kgs khr kyd kzt
    lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln
    qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer
    zar zmw
    """.split()
)
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

    Called once per invoice line, and nowhere else.
    """
    # ROUND_HALF_UP is decimal's name for half away from zero.
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def format_amount(amount: int, currency: str) -> str:
    """Write minor units for a reader: ``4761, "usd"`` becomes ``47.61 USD``."""
    places = exponent(currency)
    value = Decimal(amount).scaleb(-places)
    return f"{value:,.{places}f} {currency.upper()}"
