"""What invoices come to after discounts and taxes: worked cases, and an oracle."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invoices.totals import Amount, Reduction, Tax, apportion, round_half_away, total_up

ALL = frozenset(range(100))


def off(percent: str = "", amount: int | None = None, *, lines: frozenset[int] = ALL, count: int = 0) -> Reduction:
    """A discount by its key, which is what it says; ``count`` tells equal ones apart."""
    fraction = Fraction(percent) if percent else None
    return Reduction(f"{percent or amount}/{count}", lines, percent_off=fraction, amount_off=amount)


def vat(percentage: str, *, inclusive: bool = False) -> Tax:
    return Tax(f"{percentage}{'i' if inclusive else 'e'}", Decimal(percentage), inclusive)


def limited(reduction: Reduction, count: int) -> Reduction:
    return Reduction(
        reduction.key,
        reduction.lines & frozenset(range(count)),
        reduction.percent_off,
        reduction.amount_off,
        reduction.is_of_item,
    )


# amounts, discounts, then what each line is left with and the total
DISCOUNTED = [
    # Stripe, "Coupons": 25 % off 100.00 is 75.00; 20.00 off 100.00 is 80.00.
    ([10000], [off("25")], [7500], 7500),
    ([10000], [off(amount=2000)], [8000], 8000),
    # Stripe, "Coupons and promotion codes", stacking: 20 % and then 10.00 off 100.00: 80.00, then 70.00; the other way
    # round: 90.00, then 72.00.
    ([10000], [off("20"), off(amount=1000)], [7000], 7000),
    ([10000], [off(amount=1000), off("20")], [7200], 7200),
    # Two of 10 %: 100.00 - 10.00 = 90.00, - 9.00 = 81.00.
    ([10000], [off("10"), off("10", count=1)], [8100], 8100),
    # An amount off more than there is leaves nothing, and nothing below it.
    ([300, 200], [off(amount=1000)], [0, 0], 0),
    ([10000], [off("100")], [0], 0),
    # 10 % of 5 + 5 + 5 cents is 1.5, rounded once: 2, which the first two lines have the largest remainders for.
    ([5, 5, 5], [off("10")], [4, 4, 5], 13),
    # 1.00 off three lines of 1.00: 33.3, 33.3 and 33.3; the first gets the cent that is left.
    ([100, 100, 100], [off(amount=100)], [66, 67, 67], 200),
    # 12.5 % of 0.03 is 0.375 cents: nothing.
    ([3], [off("12.5")], [3], 3),
    # Half a cent is rounded up: 50 % of 0.01.
    ([1], [off("50")], [0], 0),
    # A discount of one product's lines leaves the others.
    ([1000, 500], [off("50", lines=frozenset({1}))], [1000, 250], 1250),
    ([1000, 500], [off(amount=700, lines=frozenset({1}))], [1000, 0], 1000),
    # What is given back had been discounted by the same part: 10 % of -2.00.
    ([1000, -200], [off("10")], [900, -180], 720),
    # An amount off is taken from what is charged, not from what is given back.
    ([1000, -200], [off(amount=500)], [500, -200], 300),
    ([-200], [off(amount=500)], [-200], -200),
    ([], [off(amount=500)], [], 0),
]


@pytest.mark.parametrize(("amounts", "reductions", "left", "total"), DISCOUNTED)
def test_discounts_are_taken_off_lines(
    amounts: list[int], reductions: list[Reduction], left: list[int], total: int
) -> None:
    totals = total_up([Amount(one) for one in amounts], [limited(one, len(amounts)) for one in reductions])

    assert [line.left for line in totals.lines] == left
    assert (totals.subtotal, totals.total) == (sum(amounts), total)
    assert totals.inclusive_tax == totals.exclusive_tax == 0


# amount, taxes, then what each comes to, and what is taxable
TAXED = [
    # 19 % on top of 100.00.
    (10000, [vat("19")], [1900], 10000),
    # Stripe, "Tax rates": 20 % within 100.00 is 16.67 of it: 83.33 and 20 % of that.
    (10000, [vat("20", inclusive=True)], [1667], 8333),
    # 8.875 % (New York City) of 19.99 is 1.7741...
    (1999, [vat("8.875")], [177], 1999),
    # 5 % of 0.10 is half a cent: rounded away from zero, also where it is given back.
    (10, [vat("5")], [1], 10),
    (-10, [vat("5")], [-1], -10),
    # Two at once (Canada's GST 5 % and QST 9.975 %) are each of the same amount.
    (10000, [vat("5"), vat("9.975")], [500, 998], 10000),
    # Two within an amount share it: 100.00 is 1.15 times 86.9565...; 10 % of that is 8.70, and 5 % 4.35.
    (10000, [vat("10", inclusive=True), vat("5", inclusive=True)], [870, 435], 8695),
    # One within, one on top: 110.00 holds 10.00, and 5 % of the other 100.00 come on top.
    (11000, [vat("10", inclusive=True), vat("5")], [1000, 500], 10000),
    (10000, [vat("0")], [0], 10000),
    (0, [vat("19"), vat("7", inclusive=True)], [0, 0], 0),
]


@pytest.mark.parametrize(("amount", "taxes", "due", "taxable"), TAXED)
def test_taxes_are_asked_of_a_line(amount: int, taxes: list[Tax], due: list[int], taxable: int) -> None:
    totals = total_up([Amount(amount, taxes)])

    [line] = totals.lines
    assert [taxed.amount for taxed in line.taxes] == due
    assert {taxed.taxable for taxed in line.taxes} == {taxable}
    inclusive = sum(one for one, tax in zip(due, taxes, strict=True) if tax.inclusive)
    assert totals.total == amount + sum(due) - inclusive
    assert totals.total - totals.inclusive_tax - totals.exclusive_tax == taxable


def test_taxes_are_rounded_by_the_line_and_asked_after_discounts() -> None:
    # 10 % off 0.55 + 0.55 is 0.11 in all: 0.06 and 0.05; 10 % of 0.49 and of 0.50 are 0.05 each.
    lines = [Amount(55, [vat("10")]), Amount(55, [vat("10")])]
    totals = total_up(lines, [limited(off("10"), 2)])

    assert [line.left for line in totals.lines] == [49, 50]
    assert [line.taxes[0].amount for line in totals.lines] == [5, 5]
    assert (totals.subtotal, totals.exclusive_tax, totals.total) == (110, 10, 109)


def test_discounts_of_items_come_first_and_are_within_the_subtotal() -> None:
    """Stripe, "The invoice object": item discounts are incorporated in the subtotal already."""
    of_item = Reduction("item", frozenset({0}), percent_off=Fraction(50), is_of_item=True)
    totals = total_up([Amount(1000), Amount(1000)], [Reduction("all", frozenset({0, 1}), amount_off=300), of_item])

    assert [line.discounts for line in totals.lines] == [{"item": 500, "all": 100}, {"all": 200}]
    assert (totals.subtotal, totals.total) == (1500, 1200)


def test_the_tax_within_a_subtotal_is_of_what_it_was_before_discounts() -> None:
    totals = total_up([Amount(12000, [vat("20", inclusive=True)])], [limited(off("50"), 1)])

    assert (totals.subtotal, totals.subtotal_inclusive_tax) == (12000, 2000)
    assert (totals.total, totals.inclusive_tax) == (6000, 1000)


def test_credit_pays_after_discounts_and_before_taxes() -> None:
    # 10 % off 110.00 leaves 99.00; 49.00 of it are paid, and 20 % are asked of the other 50.00: within it 8.33.
    for inclusive, tax, total in ((False, 1000, 6000), (True, 833, 5000)):
        totals = total_up([Amount(11000, [vat("20", inclusive=inclusive)], credit=4900)], [limited(off("10"), 1)])

        [line] = totals.lines
        assert (line.left, line.taxes[0].amount) == (5000, tax)
        assert (totals.subtotal, totals.total) == (11000, total)


def test_what_credit_pays_in_full_is_not_taxed() -> None:
    totals = total_up([Amount(1000, [vat("20")], credit=1000), Amount(1000, [vat("20")])])

    assert [line.taxes[0].amount for line in totals.lines] == [0, 200]
    assert totals.total == 1200


# --- properties -------------------------------------------------------------------------------------------------------

_TAXES = st.builds(
    lambda percentage, inclusive, key: Tax(key, percentage, inclusive),
    st.decimals(min_value=0, max_value=100, places=4),
    st.booleans(),
    st.integers(),
)


@st.composite
def _invoices(draw: st.DrawFn) -> tuple[list[Amount], list[Reduction]]:
    amounts = draw(st.lists(st.integers(-(10**9), 10**12), min_size=1, max_size=8))
    lines = [Amount(amount, draw(st.lists(_TAXES, max_size=3))) for amount in amounts]
    reductions = []
    for key in range(draw(st.integers(0, 4))):
        mine = frozenset(draw(st.sets(st.integers(0, len(lines) - 1))))
        is_of_item = draw(st.booleans())
        if draw(st.booleans()):
            percent = Fraction(draw(st.decimals(min_value="0.0001", max_value=100, places=4)))
            reductions.append(Reduction(key, mine, percent_off=percent, is_of_item=is_of_item))
        else:
            off_all = draw(st.integers(1, 10**12))
            reductions.append(Reduction(key, mine, amount_off=off_all, is_of_item=is_of_item))
    return lines, reductions


@given(invoice=_invoices())
def test_everything_adds_up_and_no_line_changes_its_sign(invoice: tuple[list[Amount], list[Reduction]]) -> None:
    lines, reductions = invoice
    totals = total_up(lines, reductions)

    for one, line in zip(lines, totals.lines, strict=True):
        assert one.amount - sum(line.discounts.values()) == line.left
        assert min(one.amount, 0) <= line.left <= max(one.amount, 0)
        inside = sum(taxed.amount for taxed in line.taxes if taxed.tax.inclusive)
        assert all(taxed.taxable == line.left - inside for taxed in line.taxes)
    item_discounts = sum(
        line.discounts.get(one.key, 0) for line in totals.lines for one in reductions if one.is_of_item
    )
    assert totals.subtotal == sum(one.amount for one in lines) - item_discounts
    assert totals.total == sum(line.left for line in totals.lines) + totals.exclusive_tax


@given(invoice=_invoices(), parts=st.lists(st.fractions(0, 1), min_size=8, max_size=8))
def test_whatever_credit_pays_comes_off_the_total_and_nothing_else_but_tax(
    invoice: tuple[list[Amount], list[Reduction]], parts: list[Fraction]
) -> None:
    lines, reductions = invoice
    before = total_up(lines, reductions)
    credit = {
        position: int(line.left * part)
        for position, (line, part) in enumerate(zip(before.lines, parts, strict=False))
        if line.left > 0
    }

    paid = [replace(one, credit=credit.get(position, 0)) for position, one in enumerate(lines)]
    after = total_up(paid, reductions)

    assert (after.subtotal, after.subtotal_inclusive_tax) == (before.subtotal, before.subtotal_inclusive_tax)
    assert [line.discounts for line in after.lines] == [line.discounts for line in before.lines]
    # Subtotal - discounts - credit + tax = total.
    discounts = sum(one.amount for one in lines) - sum(line.left for line in before.lines)
    of_lines = sum(one.amount for one in lines) - discounts - sum(credit.values())
    assert after.total == of_lines + after.exclusive_tax
    # Tax of a line that is left less of is no more than it was.
    for less, more in zip(after.lines, before.lines, strict=True):
        assert all(abs(a.amount) <= abs(b.amount) for a, b in zip(less.taxes, more.taxes, strict=True))


@given(invoice=_invoices())
def test_a_discount_is_rounded_once_whatever_its_lines(invoice: tuple[list[Amount], list[Reduction]]) -> None:
    """The oracle takes each discount off the sum of what is left, and never looks at how lines share it."""
    lines, reductions = invoice
    totals = total_up(lines, reductions)
    left = [one.amount for one in lines]
    for one in sorted(reductions, key=lambda one: not one.is_of_item):
        if one.percent_off is not None:
            expected = round_half_away(sum((left[i] for i in one.lines), Fraction(0)) * one.percent_off / 100)
        else:
            expected = min(one.amount_off or 0, sum(max(left[i], 0) for i in one.lines))
        taken = [line.discounts.get(one.key, 0) for line in totals.lines]
        assert sum(taken) == expected
        left = [amount - part for amount, part in zip(left, taken, strict=True)]


@given(
    total=st.integers(-(10**6), 10**6),
    weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=20),
)
def test_largest_remainder_is_never_a_unit_away(total: int, weights: list[int]) -> None:
    shares = {key: Fraction(total * weight, sum(weights)) for key, weight in enumerate(weights)}
    handed = apportion(total, shares)

    assert sum(handed.values()) == total
    assert all(abs(handed[key] - share) < 1 for key, share in shares.items())


@pytest.mark.parametrize(
    ("amount", "whole"), [("1/2", 1), ("-1/2", -1), ("3/2", 2), ("49/100", 0), ("-151/100", -2), ("0", 0)]
)
def test_halves_go_away_from_zero(amount: str, whole: int) -> None:
    assert round_half_away(Fraction(amount)) == whole
