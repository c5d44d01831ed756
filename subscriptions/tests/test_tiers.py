"""What quantities cost in tiers and packages: worked cases of the vendors' own, and an oracle that counts in fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.pricing import Charge, PriceTerms, Rounding, Scheme, Tier, rate


def tiers(*rows: tuple[str | None, str, str]) -> tuple[Tier, ...]:
    """Rows of (up to, per unit, flat)."""
    return tuple(Tier(None if end is None else Decimal(end), Decimal(unit), Decimal(flat)) for end, unit, flat in rows)


def graduated(*rows: tuple[str | None, str, str], flat_fee_at_zero: bool = True) -> PriceTerms:
    return PriceTerms(scheme=Scheme.GRADUATED, tiers=tiers(*rows), flat_fee_at_zero=flat_fee_at_zero)


def volume(*rows: tuple[str | None, str, str], flat_fee_at_zero: bool = True) -> PriceTerms:
    return PriceTerms(scheme=Scheme.VOLUME, tiers=tiers(*rows), flat_fee_at_zero=flat_fee_at_zero)


def package(unit_amount: str, divide_by: int, rounding: Rounding = Rounding.UP) -> PriceTerms:
    return PriceTerms(Decimal(unit_amount), Scheme.PACKAGE, divide_by=divide_by, rounding=rounding)


# Stripe, "Tiered pricing" (docs.stripe.com/products-prices/pricing-models, volume and graduated examples): 1-5 units at
# 7.00 each, 6-10 at 6.50, 11 and more at 6.00.
STRIPE = (("5", "700", "0"), ("10", "650", "0"), (None, "600", "0"))
# The same page, "Flat fee in tiers": a flat fee beside the price of a unit: 10.00 to begin with, then 20.00, then 30.00.
STRIPE_FLAT = (("5", "500", "1000"), ("10", "400", "2000"), (None, "300", "3000"))
# Units that are free to begin with.
FREE_FIRST = (("1000", "0", "0"), (None, "0.15", "0"))
# A flat fee for what is included, then by unit: Stripe, "Flat rate with overages" (200.00 for 100,000 tokens, then 0.001).
OVERAGE = (("100000", "0", "20000"), (None, "0.1", "0"))

CASES = [
    # Volume: 5 x 7.00 = 35.00; the sixth unit makes all of them cheaper: 6 x 6.50 = 39.00; 20 x 6.00 = 120.00.
    (volume(*STRIPE), "1", "700"),
    (volume(*STRIPE), "5", "3500"),
    (volume(*STRIPE), "6", "3900"),
    (volume(*STRIPE), "10", "6500"),
    # The cliff: 11 x 6.00 = 66.00, ten cents a unit more than 10 x 6.50.
    (volume(*STRIPE), "11", "6600"),
    (volume(*STRIPE), "20", "12000"),
    (volume(*STRIPE), "0", "0"),
    # Graduated: 5 x 7.00 = 35.00; 35.00 + 1 x 6.50 = 41.50; 35.00 + 5 x 6.50 = 67.50; 67.50 + 10 x 6.00 = 127.50.
    (graduated(*STRIPE), "5", "3500"),
    (graduated(*STRIPE), "6", "4150"),
    (graduated(*STRIPE), "10", "6750"),
    (graduated(*STRIPE), "20", "12750"),
    (graduated(*STRIPE), "0", "0"),
    # Between two whole units both tiers have their part: 5 x 7.00 + 0.5 x 6.50 = 38.25.
    (graduated(*STRIPE), "5.5", "3825"),
    # ... and just beyond a bound the whole volume is the next tier's: 5.5 x 6.50 = 35.75.
    (volume(*STRIPE), "5.5", "3575"),
    # Flat fees, volume: 12 x 3.00 + 30.00 = 66.00; only the tier that was reached has one.
    (volume(*STRIPE_FLAT), "12", "6600"),
    (volume(*STRIPE_FLAT), "5", "3500"),
    # Flat fees, graduated: 10.00 + 25.00 + 20.00 + 20.00 + 30.00 + 2 x 3.00 = 111.00; each tier reached has one.
    (graduated(*STRIPE_FLAT), "12", "11100"),
    (graduated(*STRIPE_FLAT), "5", "3500"),
    # The first unit of the second tier brings its flat fee: 35.00 + 20.00 + 4.00 = 59.00.
    (graduated(*STRIPE_FLAT), "6", "5900"),
    # Nothing used: the first tier is the one a subscription is in, and its flat fee is due.
    (graduated(*STRIPE_FLAT), "0", "1000"),
    (volume(*STRIPE_FLAT), "0", "1000"),
    (graduated(*STRIPE_FLAT, flat_fee_at_zero=False), "0", "0"),
    (volume(*STRIPE_FLAT, flat_fee_at_zero=False), "0", "0"),
    # The setting speaks of nothing at all: the smallest usage brings the fee, 10.00 + 0.000001 x 5.00.
    (graduated(*STRIPE_FLAT, flat_fee_at_zero=False), "0.000001", "1000.0005"),
    (graduated(*FREE_FIRST), "1000", "0"),
    (graduated(*FREE_FIRST), "1001", "0.15"),
    (graduated(*FREE_FIRST), "251000", "37500"),
    (volume(*FREE_FIRST), "1001", "150.15"),
    (graduated(*OVERAGE), "100000", "20000"),
    # 200.00 + 50,000 x 0.001 = 250.00.
    (graduated(*OVERAGE), "150000", "25000"),
    # One tier without end is a price per unit with a base fee: 7 x 0.02 + 9.99.
    (graduated((None, "2", "999")), "7", "1013"),
    # Packages (Stripe, "Transform quantities"): 5.00 per 1,000; 1,001 units are two packages rounded up, one rounded down.
    (package("500", 1000), "1000", "500"),
    (package("500", 1000), "1001", "1000"),
    (package("500", 1000, Rounding.DOWN), "1001", "500"),
    (package("500", 1000, Rounding.DOWN), "999", "0"),
    (package("500", 1000), "1", "500"),
    (package("500", 1000), "0.000001", "500"),
    (package("500", 1000), "0", "0"),
    (package("500", 1), "2.5", "1500"),
    # Huge: 10^30 + 1 units in packages of 3 are (10^30 + 2) / 3 of them, rounded up; at 0.000000000001 each.
    (package("0.000000000001", 3), "1" + "0" * 29 + "1", "333333333333333333.333333333334"),
    (graduated(*STRIPE), "1" + "0" * 30, "6" + "0" * 29 + "750"),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "quantity", "amount"), CASES)
def test_a_worked_case(terms: PriceTerms, quantity: str, amount: str) -> None:
    assert rate(terms, Decimal(quantity)).amount == Decimal(amount)


def test_a_breakdown_has_a_step_for_each_tier_that_was_entered() -> None:
    assert rate(graduated(*STRIPE_FLAT), Decimal(12)).charges == (
        Charge(Decimal(5), Decimal(500), Decimal(3500), flat_amount=Decimal(1000), tier=1),
        Charge(Decimal(5), Decimal(400), Decimal(4000), flat_amount=Decimal(2000), tier=2),
        Charge(Decimal(2), Decimal(300), Decimal(3600), flat_amount=Decimal(3000), tier=3),
    )
    assert rate(volume(*STRIPE_FLAT), Decimal(10)).charges == (
        Charge(Decimal(10), Decimal(400), Decimal(6000), flat_amount=Decimal(2000), tier=2),
    )
    assert rate(package("500", 1000), Decimal(1001)).charges == (Charge(Decimal(2), Decimal(500), Decimal(1000)),)


@pytest.mark.parametrize("make", [graduated, volume])
def test_tiers_that_end_too_early_price_nothing_beyond(make: type) -> None:
    terms = make(("5", "1", "0"))
    assert rate(terms, Decimal(5)).amount == 5
    with pytest.raises(ValueError, match="last tier"):
        rate(terms, Decimal("5.000001"))


# --- against an oracle ------------------------------------------------------------------------------------------------

_AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=12)
_QUANTITIES = st.one_of(
    st.integers(0, 400).map(Decimal),
    st.decimals(min_value=0, max_value=400, places=6),
    st.decimals(min_value=0, max_value=10**24, places=12),
)


@st.composite
def _tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 300), max_size=6)))
    bounds: list[Decimal | None] = [*map(Decimal, ends), None]
    return tuple(Tier(end, draw(_AMOUNTS), draw(st.one_of(st.just(Decimal(0)), _AMOUNTS))) for end in bounds)


def oracle(scheme: Scheme, rows: tuple[Tier, ...], quantity: Fraction, *, fee_at_zero: bool) -> Fraction:
    """The price of each sliver of the quantity, one slice between two neighbouring bounds at a time."""
    bounds = [
        Fraction(0),
        *(Fraction(row.up_to) for row in rows if row.up_to is not None),
        max(quantity, Fraction(10**30)),
    ]
    total = Fraction(0)
    if scheme == Scheme.VOLUME:
        index = next(i for i in range(len(rows)) if bounds[i] < quantity <= bounds[i + 1] or (i == 0 and quantity == 0))
        row = rows[index]
        flat = Fraction(row.flat_amount) if quantity > 0 or fee_at_zero else Fraction(0)
        return quantity * Fraction(row.unit_amount) + flat
    for index, row in enumerate(rows):
        overlap = min(quantity, bounds[index + 1]) - bounds[index]
        if overlap > 0 or (index == 0 and fee_at_zero):
            total += Fraction(row.flat_amount)
        total += max(overlap, Fraction(0)) * Fraction(row.unit_amount)
    return total


@given(
    rows=_tiers(),
    quantity=_QUANTITIES,
    scheme=st.sampled_from([Scheme.GRADUATED, Scheme.VOLUME]),
    fee_at_zero=st.booleans(),
)
def test_tiers_agree_with_the_oracle(
    rows: tuple[Tier, ...], quantity: Decimal, scheme: Scheme, *, fee_at_zero: bool
) -> None:
    rating = rate(PriceTerms(scheme=scheme, tiers=rows, flat_fee_at_zero=fee_at_zero), quantity)

    assert Fraction(rating.amount) == oracle(scheme, rows, Fraction(quantity), fee_at_zero=fee_at_zero)
    assert sum(Fraction(charge.quantity) for charge in rating.charges) == Fraction(quantity)
    assert sum(Fraction(charge.amount) for charge in rating.charges) == Fraction(rating.amount)


@given(rows=_tiers(), quantity=st.integers(0, 320))
def test_graduated_is_the_sum_over_the_units(rows: tuple[Tier, ...], quantity: int) -> None:
    """Each unit alone, at the rate of the first tier that reaches up to it: ``up_to`` is inclusive."""
    expected = Fraction(rows[0].flat_amount)
    entered = {0}
    for unit in range(1, quantity + 1):
        index = next(i for i, row in enumerate(rows) if row.up_to is None or unit <= row.up_to)
        expected += Fraction(rows[index].unit_amount)
        if index not in entered:
            entered.add(index)
            expected += Fraction(rows[index].flat_amount)

    assert Fraction(rate(PriceTerms(scheme=Scheme.GRADUATED, tiers=rows), Decimal(quantity)).amount) == expected


@given(rows=_tiers(), data=st.data())
def test_volume_changes_its_rate_just_beyond_each_bound(rows: tuple[Tier, ...], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(rows) - 1))
    end = rows[index].up_to
    if end is None:
        return
    terms = PriceTerms(scheme=Scheme.VOLUME, tiers=rows)
    beyond = end + Decimal("0.000001")

    assert rate(terms, end).amount == end * rows[index].unit_amount + rows[index].flat_amount
    assert rate(terms, beyond).amount == beyond * rows[index + 1].unit_amount + rows[index + 1].flat_amount


@given(
    quantity=_QUANTITIES,
    divide_by=st.one_of(st.integers(1, 1000), st.integers(1, 2**63 - 1)),
    unit_amount=_AMOUNTS,
    rounding=st.sampled_from(Rounding),
)
def test_packages_are_whole(quantity: Decimal, divide_by: int, unit_amount: Decimal, rounding: Rounding) -> None:
    rating = rate(PriceTerms(unit_amount, Scheme.PACKAGE, divide_by=divide_by, rounding=rounding), quantity)
    [charge] = rating.charges
    count = Fraction(charge.quantity)

    assert count.denominator == 1
    if rounding == Rounding.UP:
        assert (count - 1) * divide_by < Fraction(quantity) <= count * divide_by
    else:
        assert count * divide_by <= Fraction(quantity) < (count + 1) * divide_by
    assert Fraction(rating.amount) == count * Fraction(unit_amount)
