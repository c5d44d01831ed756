"""How credit is spread: the order of grants, what they pay for, and never more than there is."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credits.applying import PayableInvoice, PayableLine, Share, Spendable, spread

AT = datetime(2026, 6, 10, tzinfo=UTC)
DAY = timedelta(days=1)
PRICES = [UUID(int=100 + number) for number in range(3)]


def spendable(number: int, balance: int = 100, **terms: Any) -> Spendable:
    plain = Spendable(
        grant_id=UUID(int=number),
        balance=balance,
        priority=50,
        expires_at=None,
        promotional=False,
        effective_at=AT - DAY,
        created_at=AT - DAY,
    )
    return replace(plain, **terms)


def invoice(*amounts: int, most: int | None = None, prices: Sequence[UUID] = (PRICES[0],) * 9) -> PayableInvoice:
    lines = [
        PayableLine(UUID(int=1000 + number), price, amount)
        for number, (amount, price) in enumerate(zip(amounts, prices, strict=False))
    ]
    total = sum(amounts) if most is None else most
    return PayableInvoice(UUID(int=1), UUID(int=2), "usd", lines, total, AT)


def paid(shares: list[Share]) -> list[tuple[int, int, int]]:
    """Number of the grant, number of the line, amount."""
    return [(share.grant_id.int, share.line_id.int - 1000, share.amount) for share in shares]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Each rule beats all that follow it.
        (
            {"priority": 0},
            {"priority": 1, "expires_at": AT + DAY, "promotional": True, "effective_at": AT - 9 * DAY},
        ),
        ({"expires_at": AT + DAY}, {"expires_at": AT + 2 * DAY, "promotional": True, "effective_at": AT - 9 * DAY}),
        ({"expires_at": AT + 900 * DAY}, {"expires_at": None, "promotional": True}),
        ({"promotional": True}, {"promotional": False, "effective_at": AT - 9 * DAY, "created_at": AT - 9 * DAY}),
        ({"effective_at": AT - 2 * DAY}, {"effective_at": AT - DAY, "created_at": AT - 9 * DAY}),
        ({"created_at": AT - 2 * DAY}, {"created_at": AT - DAY}),
    ],
)
def test_which_grant_is_used_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    # The ids, which decide last, speak for the other one.
    one, other = spendable(8, **first), spendable(7, **second)

    assert paid(spread([other, one], invoice(150))) == [(8, 0, 100), (7, 0, 50)]
    assert paid(spread([one, other], invoice(150))) == [(8, 0, 100), (7, 0, 50)]


def test_of_equals_the_one_made_first_is_used_first() -> None:
    assert paid(spread([spendable(2), spendable(1)], invoice(30))) == [(1, 0, 30)]


@pytest.mark.parametrize(
    ("terms", "usable"),
    [
        ({"effective_at": AT}, True),
        ({"effective_at": AT + timedelta(microseconds=1)}, False),
        ({"expires_at": AT + timedelta(microseconds=1)}, True),
        # Half-open: at its very end a grant is over.
        ({"expires_at": AT}, False),
    ],
)
def test_a_grant_is_usable_from_its_beginning_until_its_end(terms: dict[str, Any], *, usable: bool) -> None:
    assert bool(spread([spendable(1, **terms)], invoice(30))) is usable


def test_a_grant_pays_line_after_line_and_the_next_grant_goes_on() -> None:
    shares = spread([spendable(1, 50), spendable(2, 200)], invoice(30, 40, 50))

    assert paid(shares) == [(1, 0, 30), (1, 1, 20), (2, 1, 20), (2, 2, 50)]


def test_a_grant_for_certain_prices_leaves_the_others_alone() -> None:
    some = spendable(1, 100, prices=frozenset({PRICES[1]}))
    every = spendable(2, 10)

    assert paid(spread([some, every], invoice(30, 40, prices=PRICES[:2]))) == [(1, 1, 40), (2, 0, 10)]


def test_what_an_invoice_gives_back_is_not_paid_by_credit() -> None:
    # A correction of 30 on one line; elsewhere 20 are given back. Only 50 of the 100 are left to pay.
    assert paid(spread([spendable(1, 500)], invoice(100, -30, most=50))) == [(1, 0, 50)]
    assert spread([spendable(1, 500)], invoice(100, most=-20)) == []


def test_an_amount_beyond_64_bits_is_spread_as_it_is() -> None:
    huge = 10**30
    assert paid(spread([spendable(1, huge)], invoice(huge - 1))) == [(1, 0, huge - 1)]


# An oracle of the simplest kind: cent after cent goes to whoever is next by the published rules, told one by one.

INSTANTS = st.integers(-3, 3).map(lambda days: AT + days * DAY)
GRANTS = st.builds(
    spendable,
    number=st.integers(1, 9),
    balance=st.integers(0, 12),
    priority=st.integers(0, 2),
    expires_at=st.none() | INSTANTS,
    promotional=st.booleans(),
    effective_at=INSTANTS,
    created_at=INSTANTS,
    prices=st.none() | st.frozensets(st.sampled_from(PRICES)),
)


def comes_before(one: Spendable, other: Spendable) -> int:
    """The published rules, one by one; the first that tells two grants apart decides."""
    far = datetime(9999, 1, 1, tzinfo=UTC)
    rules: list[tuple[Any, Any]] = [
        (one.priority, other.priority),
        (one.expires_at or far, other.expires_at or far),
        ("a" if one.promotional else "b", "a" if other.promotional else "b"),
        (one.effective_at, other.effective_at),
        (one.created_at, other.created_at),
        (one.grant_id.int, other.grant_id.int),
    ]
    return next((-1 if mine < theirs else 1 for mine, theirs in rules if mine != theirs), 0)


def cent_by_cent(grants: list[Spendable], due: PayableInvoice) -> dict[tuple[UUID, UUID], int]:
    left = {grant.grant_id: grant.balance for grant in grants}
    unpaid = {line.line_id: line.amount for line in due.lines}
    paid_by: dict[tuple[UUID, UUID], int] = {}
    for _ in range(due.most):
        step = next(
            (
                (grant.grant_id, line.line_id)
                for grant in sorted(grants, key=cmp_to_key(comes_before))
                for line in due.lines
                if left[grant.grant_id] > 0
                and unpaid[line.line_id] > 0
                and grant.effective_at <= due.at
                and not (grant.expires_at is not None and grant.expires_at <= due.at)
                and (grant.prices is None or line.price_id in grant.prices)
            ),
            None,
        )
        if step is None:
            break
        left[step[0]] -= 1
        unpaid[step[1]] -= 1
        paid_by[step] = paid_by.get(step, 0) + 1
    return paid_by


@given(
    grants=st.lists(GRANTS, max_size=5, unique_by=lambda grant: grant.grant_id),
    amounts=st.lists(st.integers(-8, 15), max_size=4),
    prices=st.lists(st.sampled_from(PRICES), min_size=4, max_size=4),
    elsewhere=st.integers(-20, 20),
)
def test_any_credit_on_any_invoice_is_spread_as_cent_by_cent(
    grants: list[Spendable], amounts: list[int], prices: list[UUID], elsewhere: int
) -> None:
    due = invoice(*amounts, most=sum(amounts) + elsewhere, prices=prices)

    shares = spread(grants, due)

    assert {(share.grant_id, share.line_id): share.amount for share in shares} == cent_by_cent(grants, due)
    assert len({(share.grant_id, share.line_id) for share in shares}) == len(shares)
