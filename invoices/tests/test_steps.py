"""The steps of a line's arithmetic add up to its amount, whatever its price; a difference falls into usage and price."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from core.money import EXACT, to_minor_units
from invoices.explaining import price_basis
from invoices.models import InvoiceLine
from invoices.steps import Change, change_between, steps_of
from subscriptions.pricing import PriceTerms, Rounding, Scheme, Tier, rate

amounts = st.decimals(min_value=0, max_value=10**6, places=6)
quantities = st.decimals(min_value=0, max_value=10**9, places=3)


@st.composite
def terms(draw: st.DrawFn) -> PriceTerms:
    scheme = draw(st.sampled_from(Scheme))
    if scheme in (Scheme.GRADUATED, Scheme.VOLUME):
        ends = sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))
        tiers = [Tier(end, draw(amounts), draw(amounts)) for end in (*map(Decimal, ends), None)]
        return PriceTerms(scheme=scheme, tiers=tiers, flat_fee_at_zero=draw(st.booleans()))
    return PriceTerms(
        draw(amounts), scheme, divide_by=draw(st.integers(1, 1000)), rounding=draw(st.sampled_from(Rounding))
    )


def line_at(terms: PriceTerms, quantity: Decimal) -> Any:
    """A line as drafting makes it, with a price that has the terms."""
    tiered = terms.scheme in (Scheme.GRADUATED, Scheme.VOLUME)
    price: Any = SimpleNamespace(
        pk="price",
        scheme=terms.scheme,
        unit_amount=None if tiered else terms.unit_amount,
        tiers_mode=terms.scheme.value if tiered else "",
        divide_by=terms.divide_by,
        rounding=terms.rounding.value,
        terms=terms,
    )
    rating = rate(terms, quantity)
    return SimpleNamespace(
        price=price,
        basis=price_basis(price, rating),
        quantity=quantity,
        unit_amount=price.unit_amount,
        exact_amount=rating.amount,
        amount=to_minor_units(rating.amount),
        trues_up_id=None,
    )


def total(line: Any) -> Decimal:
    found = Decimal(0)
    for step in steps_of(line, "usd"):
        found = EXACT.add(found, step.amount)
    return found


@given(terms(), quantities)
def test_steps_add_up_to_the_amount(terms: PriceTerms, quantity: Decimal) -> None:
    line = line_at(terms, quantity)
    assert total(line) == line.amount


@given(terms(), quantities, st.integers(-(10**6), 10**6), st.integers(0, 10**6))
def test_steps_of_late_usage_add_up(terms: PriceTerms, quantity: Decimal, billed: int, left_over: int) -> None:
    line = line_at(terms, quantity)
    line.basis |= {"billed_amount": str(billed), "left_over": str(left_over)}
    line.exact_amount = EXACT.subtract(line.exact_amount, Decimal(billed))
    line.amount += left_over - billed
    line.trues_up_id = UUID(int=1)
    assert total(line) == line.amount


@given(terms(), terms(), quantities, quantities)
def test_usage_and_price_make_up_the_whole_difference(
    old: PriceTerms, new: PriceTerms, before: Decimal, after: Decimal
) -> None:
    change = change_between(line_at(old, before), line_at(new, after))
    assert change.by_usage is not None
    assert change.by_price is not None
    assert change.by_usage + change.by_price == change.amount
    if old == new:
        assert change.by_price == 0
    if before == after:
        assert change.by_usage == 0


def test_each_tier_is_told_with_its_arithmetic() -> None:
    tiers = (Tier(Decimal(1000), Decimal(2), Decimal(500)), Tier(None, Decimal("0.7")))
    steps = steps_of(line_at(PriceTerms(scheme=Scheme.GRADUATED, tiers=tiers), Decimal("1500.5")), "usd")

    assert [(step.what, step.how, step.amount) for step in steps] == [
        ("Tier 1, up to 1,000", "1,000 \N{MULTIPLICATION SIGN} 0.02 USD + 5.00 USD flat", Decimal(2500)),
        ("Tier 2, and above", "500.5 \N{MULTIPLICATION SIGN} 0.007 USD", Decimal("350.35")),
        ("Rounded once", "28.5035 USD to 28.50 USD, half away from zero", Decimal("-0.35")),
    ]


def test_lines_that_are_no_whole_period_at_a_price_are_not_taken_apart() -> None:
    line = line_at(PriceTerms(Decimal(1000)), Decimal(3))
    part = line_at(PriceTerms(Decimal(1000)), Decimal(3))
    part.basis |= {"full_periods": "1/2"}
    part.exact_amount, part.amount = Decimal(1500), 1500

    assert total(part) == 1500
    assert steps_of(part, "usd")[1].how == "\N{MULTIPLICATION SIGN} 1/2 of a full one"
    assert change_between(part, line) == Change(Decimal(0), 1500, None, None)


def test_what_has_no_price_is_told_as_it_was_set() -> None:
    by_hand = InvoiceLine(quantity=Decimal(1), exact_amount=Decimal(700), amount=700)
    assert [(step.what, step.amount) for step in steps_of(by_hand, "usd")] == [
        ("Amount", Decimal(700)),
        ("Rounded once", Decimal(0)),
    ]
    negative = InvoiceLine(
        quantity=Decimal(3), unit_amount=Decimal("-33.5"), exact_amount=Decimal("-100.5"), amount=-101
    )
    assert [step.amount for step in steps_of(negative, "usd")] == [Decimal("-100.5"), Decimal("-0.5")]
