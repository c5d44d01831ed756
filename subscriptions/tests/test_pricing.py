"""What quantities cost, exactly."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import to_minor_units
from subscriptions.pricing import Charge, PriceTerms, billable_quantity, rate


@pytest.mark.parametrize(
    ("unit_amount", "quantity", "exact", "rounded"),
    [
        ("0.00025", "18059974", "4514.9935", 4515),
        ("0.001", "245896", "245.896", 246),
        ("1000", "3", "3000", 3000),
        ("0.5", "1", "0.5", 1),
        ("0.5", "3", "1.5", 2),
        ("2.5", "0.999999999999999999999999999999", "2.4999999999999999999999999999975", 2),
        ("0", "123456789", "0", 0),
        ("19.99", "0", "0", 0),
        ("0.000000000001", "499999999999", "0.499999999999", 0),
        ("0.000000000001", "500000000000", "0.5", 1),
        ("2", "1" * 30 + "." + "1" * 30, "2" * 30 + "." + "2" * 30, int("2" * 30)),
        (
            "0.5",
            "2" * 30 + ".000000000000000000000000000001",
            "1" * 30 + ".0000000000000000000000000000005",
            int("1" * 30),
        ),
    ],
)
def test_a_quantity_at_a_unit_price_is_exact_and_rounded_once(
    unit_amount: str, quantity: str, exact: str, rounded: int
) -> None:
    rating = rate(PriceTerms(Decimal(unit_amount)), Decimal(quantity))

    assert rating.amount == Decimal(exact)
    assert to_minor_units(rating.amount) == rounded


def test_the_two_lines_of_the_real_hour_add_up_to_4761_cents() -> None:
    lines = [("0.00025", 18_059_974), ("0.001", 245_896)]

    assert sum(to_minor_units(rate(PriceTerms(Decimal(unit)), Decimal(used)).amount) for unit, used in lines) == 4761


def test_a_rating_says_how_it_came_about() -> None:
    rating = rate(PriceTerms(Decimal("0.25")), Decimal(10))

    assert rating.charges == (Charge(Decimal(10), Decimal("0.25"), Decimal("2.50")),)
    assert rating.quantity == 10


def test_a_negative_quantity_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        rate(PriceTerms(Decimal(1)), Decimal(-1))


@pytest.mark.parametrize(("used", "billed"), [("-5", "0"), ("-0.000001", "0"), ("0", "0"), ("7.25", "7.25")])
def test_a_total_below_zero_is_billed_as_nothing(used: str, billed: str) -> None:
    assert billable_quantity(Decimal(used)) == Decimal(billed)


@given(
    unit_amount=st.decimals(min_value=0, max_value=Decimal(10) ** 17, places=12),
    quantity=st.decimals(min_value=0, max_value=Decimal(10) ** 30, places=30),
)
def test_an_amount_is_the_exact_product_however_long(unit_amount: Decimal, quantity: Decimal) -> None:
    amount = rate(PriceTerms(unit_amount), quantity).amount

    assert Fraction(amount) == Fraction(unit_amount) * Fraction(quantity)
