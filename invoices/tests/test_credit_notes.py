"""Parts of lines: whatever order they come in, they add up, never outgrow what was left, and end at exactly nothing."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from invoices.credit_notes import Piece, TaxPiece, part_of_amount, part_of_net, parts_of_total

NOTHING = Piece(0)


def line(amount: int, *, discounts: Sequence[int] = (), credit: int = 0, on_top: int = 0, within: int = 0) -> Piece:
    left = amount - sum(discounts) - credit
    return Piece(
        amount,
        dict(enumerate(discounts)),
        credit,
        {"on top": TaxPiece(on_top, left - within, inclusive=False), "within": TaxPiece(within, left - within, inclusive=True)},
    )  # fmt: skip


@st.composite
def lines(draw: st.DrawFn) -> Piece:
    amount = draw(st.integers(0, 5000))
    discount = draw(st.integers(0, amount))
    other = draw(st.integers(0, amount - discount))
    credit = draw(st.integers(0, amount - discount - other))
    left = amount - discount - other - credit
    # Two rates of up to 100 % are more than any country asks.
    return line(
        amount, discounts=[discount, other], credit=credit, on_top=draw(st.integers(0, left)),
        within=draw(st.integers(0, left // 2)),
    )  # fmt: skip


def all_of(piece: Piece) -> list[int]:
    return [
        piece.amount,
        *piece.discounts.values(),
        piece.credit,
        *(tax.amount for tax in piece.taxes.values()),
        *(tax.taxable for tax in piece.taxes.values()),
    ]


def check_part(whole: Piece, part: Piece) -> None:
    for of_part, of_whole in zip(all_of(part), all_of(whole), strict=True):
        assert 0 <= of_part <= of_whole
    assert 0 <= part.net <= whole.net


def test_a_part_takes_its_share_of_everything() -> None:
    whole = line(1000, discounts=[100], credit=300, on_top=120)

    half = part_of_amount(whole, 500)

    assert (half.amount, half.discount, half.credit, half.exclusive_tax, half.net) == (500, 50, 150, 60, 360)
    assert part_of_net(whole, 360) == half
    assert part_of_amount(whole.without(half), 500).net == 360


def test_odd_cents_go_to_the_largest_remainder() -> None:
    whole = line(10, on_top=1)

    parts = []
    left = whole
    for amount in (3, 3, 3, 1):
        part = part_of_amount(left, amount)
        parts.append(part.net)
        left = left.without(part)

    assert parts == [3, 3, 4, 1]
    assert sum(parts) == whole.net


def test_a_total_is_spread_over_what_is_left_to_be_paid() -> None:
    left = [line(100), line(200), line(0), line(-50)]

    spread = parts_of_total(left, 100)

    assert [part.net for part in spread] == [33, 67, 0, 0]
    rest = [piece.without(part) for piece, part in zip(left, spread, strict=True)]
    assert [part.net for part in parts_of_total(rest, 150)] == [67, 133, 0, -50]


@settings(deadline=None)
@given(lines(), st.lists(st.tuples(st.booleans(), st.fractions(0, 1)), max_size=8))
def test_parts_in_any_order_come_to_the_whole(whole: Piece, steps: list[tuple[bool, object]]) -> None:
    left, taken = whole, []
    for by_amount, fraction in steps:
        if by_amount:
            amount = int(left.amount * fraction)  # type: ignore[operator]
            part = part_of_amount(left, amount)
            assert part.amount == amount
        else:
            net = int(left.net * fraction)  # type: ignore[operator]
            part = part_of_net(left, net)
            assert part.net == net
        check_part(left, part)
        taken.append(part)
        left = left.without(part)
    taken.append(part_of_net(left, left.net))
    assert [sum(column) for column in zip(*map(all_of, taken), strict=True)] == all_of(whole)


@settings(deadline=None)
@given(st.lists(lines(), min_size=1, max_size=5), st.fractions(0, 1), st.fractions(0, 1))
def test_totals_are_met_to_the_cent(wholes: list[Piece], first: object, second: object) -> None:
    left = wholes
    for fraction in (first, second):
        wanted = int(sum(piece.net for piece in left) * fraction)  # type: ignore[operator]
        parts = parts_of_total(left, wanted)
        assert sum(part.net for part in parts) == wanted
        for piece, part in zip(left, parts, strict=True):
            if part != NOTHING:
                check_part(piece, part)
        left = [piece.without(part) for piece, part in zip(left, parts, strict=True)]
    rest = parts_of_total(left, sum(piece.net for piece in left))
    assert [piece.without(part).net for piece, part in zip(left, rest, strict=True)] == [0] * len(left)
