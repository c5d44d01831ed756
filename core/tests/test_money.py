"""The one rounding, shares of amounts, and how money is written."""

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import (
    CURRENCIES,
    EXACT,
    exponent,
    format_amount,
    format_unit_amount,
    plain,
    share,
    to_minor_units,
)


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("4514.9935", 4515),
        ("245.896", 246),
        ("0.5", 1),
        ("1.5", 2),
        ("2.5", 3),
        ("0.49999999999999999999999999999999999999999", 0),
        ("-0.5", -1),
        ("-2.5", -3),
        ("-0.4999", 0),
        ("0", 0),
        ("0E+3", 0),
        ("1E+3", 1000),
        ("123456789012345678901234567890123456789.5", 123456789012345678901234567890123456790),
    ],
)
def test_an_amount_is_rounded_half_away_from_zero_whatever_its_length(amount: str, rounded: int) -> None:
    assert to_minor_units(Decimal(amount)) == rounded


@given(st.decimals(allow_nan=False, allow_infinity=False, places=15))
def test_a_negative_amount_mirrors_the_positive_one(amount: Decimal) -> None:
    assert to_minor_units(-amount) == -to_minor_units(amount)


def test_the_exact_context_refuses_to_round() -> None:
    assert EXACT.multiply(Decimal("1" * 200), Decimal("1" * 100)) == int("1" * 200) * int("1" * 100)
    with pytest.raises(decimal.Inexact):
        EXACT.divide(Decimal(1), Decimal(3))


@pytest.mark.parametrize(
    ("amount", "fraction", "expected"),
    [
        ("1000", Fraction(1), "1000"),
        ("1000", Fraction(15, 30), "500"),
        ("1000", Fraction(37), "37000"),
        ("1", Fraction(1, 3), "0." + "3" * 60),
        ("2", Fraction(1, 3), "0." + "6" * 60),
        ("-2", Fraction(1, 3), "-0." + "6" * 60),
        ("0.000000000001", Fraction(1, 8), "0.000000000000125"),
        ("0", Fraction(5, 7), "0"),
    ],
)
def test_a_share_is_exact_or_cut_off_after_sixty_places(amount: str, fraction: Fraction, expected: str) -> None:
    assert share(Decimal(amount), fraction) == Decimal(expected)


_YEAR = 366 * 24 * 3600 * 10**6


@given(
    unit=st.decimals(min_value=0, max_value=10**9, places=12),
    quantity=st.integers(0, 10**6),
    elapsed=st.integers(0, 3 * _YEAR),
    length=st.integers(24 * 3600 * 10**6, 3 * _YEAR),
)
def test_a_share_is_rounded_as_the_fraction_itself_would_be(
    unit: Decimal, quantity: int, elapsed: int, length: int
) -> None:
    amount = EXACT.multiply(unit, Decimal(quantity))
    exact = Fraction(amount) * Fraction(elapsed, length)

    assert to_minor_units(share(amount, Fraction(elapsed, length))) == (2 * exact + 1) // 2


@pytest.mark.parametrize(("currency", "places"), [("jpy", 0), ("usd", 2), ("kwd", 3), ("krw", 0), ("eur", 2)])
def test_the_exponent_is_the_currency_s_own(currency: str, places: int) -> None:
    assert exponent(currency) == places


def test_every_currency_is_three_lower_case_letters() -> None:
    assert all(len(currency) == 3 and currency.isalpha() and currency.islower() for currency in CURRENCIES)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (4761, "usd", "47.61 USD"),
        (-5, "usd", "-0.05 USD"),
        (1234567, "jpy", "1,234,567 JPY"),
        (1, "kwd", "0.001 KWD"),
        (2**63 - 1, "usd", "92,233,720,368,547,758.07 USD"),
    ],
)
def test_an_amount_is_written_in_major_units(amount: int, currency: str, text: str) -> None:
    assert format_amount(amount, currency) == text


@pytest.mark.parametrize(
    ("unit_amount", "currency", "text"),
    [
        ("0.00025", "usd", "0.0000025 USD"),
        ("1000", "usd", "10.00 USD"),
        ("1000.000000000000", "usd", "10.00 USD"),
        ("150000", "usd", "1,500.00 USD"),
        ("0.1", "jpy", "0.1 JPY"),
        ("0", "usd", "0.00 USD"),
        ("999999999999999999.999999999999", "usd", "9,999,999,999,999,999.99999999999999 USD"),
    ],
)
def test_a_unit_amount_is_written_with_all_its_places(unit_amount: str, currency: str, text: str) -> None:
    assert format_unit_amount(Decimal(unit_amount), currency) == text


@pytest.mark.parametrize(
    ("value", "text"), [("2.50", "2.5"), ("100", "100"), ("1E+3", "1000"), ("0.000", "0"), ("-0.10", "-0.1")]
)
def test_a_decimal_is_written_in_full(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text
