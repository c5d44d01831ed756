"""A subscription ends now, with usage of its period and a change that waits: all four ways to settle that."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.worked.book import Billed, Case, Item, Lived
from tests.worked.changes import TEN, resize

CANCEL = "Stripe API, 'Cancel a subscription': "
# 40 calls at 0.05 are metered; on 16 June one unit becomes two, and on 22 June nine of 30 days are left.
SUMS = "40 x 5 = 200; -1000 / 2 = -500; 2000 / 2 = 1000; -2000 x 9 / 30 = -600; "
ITEMS = [Item(TEN), Item({"unit_amount": 5}, uses=[("2027-06-10", "40")])]
FIRST = Billed("2027-06-01", 1000, [1000])


def cancel(**params: bool) -> Mapping[str, Callable[[Any, str], object]]:
    return {"2027-06-16": resize(2), "2027-06-22": lambda v1, one: v1.subscriptions.cancel(one, params)}


def waiting(*amounts: int) -> Callable[[Lived], None]:
    """Expects what waits for the customer's next invoice."""

    def sees(lived: Lived) -> None:
        found = lived.v1.invoice_items.list({"customer": lived.customer, "pending": True}).data
        assert sorted(item.amount for item in found) == sorted(amounts)

    return sees


CASES = [
    Case(
        "an end that settles nothing",
        f"{CANCEL}with neither prorate nor invoice_now, pending prorations are removed and usage is not invoiced",
        f"{SUMS}nothing of it is billed",
        ITEMS,
        [FIRST],
        changes=cancel(),
        sees=waiting(),
    ),
    Case(
        "an end that is invoiced and not prorated",
        f"{CANCEL}invoice_now invoices metered usage and pending prorations",
        f"{SUMS}200 - 500 + 1000 = 700",
        ITEMS,
        [FIRST, Billed("2027-06-22", 700, [200, -500, 1000])],
        changes=cancel(invoice_now=True),
        sees=waiting(),
    ),
    Case(
        "an end that is prorated and not invoiced",
        f"{CANCEL}prorate credits the unused time by an invoice item; pending ones stay",
        f"{SUMS}-500, 1000 and -600 wait for the next invoice",
        ITEMS,
        [FIRST],
        changes=cancel(prorate=True),
        sees=waiting(-500, 1000, -600),
    ),
    Case(
        "an end that is prorated and invoiced",
        f"{CANCEL}both: one last invoice of metered usage, pending prorations and the credit",
        f"{SUMS}200 - 500 + 1000 - 600 = 100",
        ITEMS,
        [FIRST, Billed("2027-06-22", 100, [200, -500, 1000, -600])],
        changes=cancel(prorate=True, invoice_now=True),
        sees=waiting(),
    ),
]
