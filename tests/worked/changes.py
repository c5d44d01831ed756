"""Changes in the middle of a period: what is given back and what is charged, by the second."""

from collections.abc import Callable
from typing import Any

from tests.worked.book import Billed, Case, Item, Lived
from tests.worked.periods import period
from tests.worked.pricing import PROJECTS, tiers

PRORATION = "Stripe, 'Prorations': "
CREDIT = f"{PRORATION}what is left of the old price is credited, and of the new one charged, by the second; "
TEN = {"unit_amount": 1000}
Change = Callable[[Any, str], object]


def reprice(unit_amount: int, **more: Any) -> Change:
    """Have the first item cost so much from now on."""

    def change(v1: Any, subscription: str) -> None:
        item = v1.subscriptions.retrieve(subscription)["items"].data[0]
        price = item.price
        recurring = {"interval": "month"}
        if price.recurring.meter:
            recurring |= {"usage_type": "metered", "meter": price.recurring.meter}
        new = v1.prices.create(
            {"currency": "usd", "product": price.product, "unit_amount": unit_amount, "recurring": recurring}
        )
        v1.subscriptions.update(subscription, {"items": [{"id": item.id, "price": new.id}], **more})

    return change


def resize(quantity: int, **more: Any) -> Change:
    """Have so many of the first item from now on."""

    def change(v1: Any, subscription: str) -> None:
        item = v1.subscriptions.retrieve(subscription)["items"].data[0]
        v1.subscriptions.update(subscription, {"items": [{"id": item.id, "quantity": quantity}], **more})

    return change


def remove_second(v1: Any, subscription: str) -> None:
    v1.subscription_items.delete(v1.subscriptions.retrieve(subscription)["items"].data[1].id)


def add_another(v1: Any, subscription: str) -> None:
    price = v1.prices.create(
        {"currency": "usd", "product_data": {"name": "B"}, "unit_amount": 600, "recurring": {"interval": "month"}}
    )
    v1.subscription_items.create({"subscription": subscription, "price": price.id})


def balance(expected: int) -> Callable[[Lived], None]:
    def sees(lived: Lived) -> None:
        assert lived.v1.customers.retrieve(lived.customer).balance == expected

    return sees


def paid_by_balance(lived: Lived) -> None:
    last = lived.invoices[-1]
    assert (last.total, last.amount_due, last.starting_balance, last.ending_balance) == (1000, 0, -4500, -3500)
    balance(-3500)(lived)


CASES = [
    Case(
        "up in the middle of the month",
        f"{CREDIT}both wait for the next invoice",
        "15 of 30 days are left: -1000 / 2 + 2000 / 2 = 500; 2000 + 500 = 2500",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 2500, [-500, 1000, 2000])],
        changes={"2027-06-16": reprice(2000)},
    ),
    Case(
        "down in the middle of the month",
        f"{CREDIT}nothing is paid out, and the next invoice is smaller",
        "-2000 / 2 + 1000 / 2 = -500; 1000 - 500 = 500",
        [Item({"unit_amount": 2000})],
        [Billed("2027-06-01", 2000, [2000]), Billed("2027-07-01", 500, [-1000, 500, 1000])],
        changes={"2027-06-16": reprice(1000)},
    ),
    Case(
        "more seats, invoiced at once",
        f"{PRORATION}always_invoice bills the difference immediately",
        "20 of 30 days: -3000 x 2/3 = -2000, 5000 x 2/3 = 3333.33 -> 3333; 3333 - 2000 = 1333",
        [Item(TEN, 3)],
        [
            Billed("2027-06-01", 3000, [3000]),
            Billed("2027-06-11", 1333, [-2000, 3333]),
            Billed("2027-07-01", 5000, [5000]),
        ],
        changes={"2027-06-11": resize(5, proration_behavior="always_invoice")},
    ),
    Case(
        "a change that nothing follows from",
        f"{PRORATION}none makes no prorations",
        "1000 as it was; 2000 from the next period on",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 2000, [2000])],
        changes={"2027-06-16": reprice(2000, proration_behavior="none")},
    ),
    Case(
        "an item that goes",
        f"{CREDIT}of an item that is removed only the credit",
        "-600 / 2 = -300; 1000 - 300 = 700",
        [Item(TEN), Item({"unit_amount": 600})],
        [Billed("2027-06-01", 1600, [600, 1000]), Billed("2027-07-01", 700, [-300, 1000])],
        changes={"2027-06-16": remove_second},
    ),
    Case(
        "an item that comes",
        f"{CREDIT}of an item that is added only the charge",
        "600 / 2 = 300; 1000 + 600 + 300 = 1900",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 1900, [300, 600, 1000])],
        changes={"2027-06-16": add_another},
    ),
    Case(
        "up twice in a month",
        f"{CREDIT}each change from what a full period costs, never from an earlier proration",
        "-1000 x 2/3 = -667, 2000 x 2/3 = 1333; -2000 x 1/3 = -667, 3000 x 1/3 = 1000; 3000 + 999 = 3999",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 3999, [-667, -667, 1000, 1333, 3000])],
        changes={"2027-06-11": reprice(2000), "2027-06-21": reprice(3000)},
    ),
    Case(
        "in the last second",
        f"{CREDIT}which leaves nothing of a single second",
        "1000 / 2,592,000 = 0.0004 -> 0; 2000 / 2,592,000 = 0.0008 -> 0",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 2000, [0, 0, 2000])],
        changes={"2027-06-30T23:59:59": reprice(2000)},
    ),
    Case(
        "in the first second",
        f"{CREDIT}of the whole period, if nothing of it was used",
        "-1000 + 2000 = 1000; 2000 + 1000 = 3000",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-07-01", 3000, [-1000, 2000, 2000])],
        changes={"2027-06-01": reprice(2000)},
    ),
    Case(
        "half of February is fourteen days",
        f"{CREDIT}and a period is as long as it is",
        "14 of 28 days: -500 + 1000 = 500; 2000 + 500 = 2500",
        [Item(TEN)],
        [Billed("2027-02-01", 1000, [1000]), Billed("2027-03-01", 2500, [-500, 1000, 2000])],
        start="2027-02-01",
        until="2027-03-01T01:00",
        changes={"2027-02-15": reprice(2000)},
    ),
    Case(
        "more projects at graduated tiers",
        f"{CREDIT}of what each quantity costs over all its tiers",
        "-(5 x 700) / 2 = -1750; (5 x 700 + 5 x 650) / 2 = 3375; 6750 + 1625 = 8375",
        [Item(tiers("graduated", PROJECTS), 5)],
        [Billed("2027-06-01", 3500, [3500]), Billed("2027-07-01", 8375, [-1750, 3375, 6750])],
        changes={"2027-06-16": resize(10)},
    ),
    Case(
        "usage on both sides of a change of price",
        f"{PRORATION}usage is not prorated. Ours: each event is billed at the price of its second",
        "300 x 1 = 300 before, 20 x 10 = 200 after",
        [Item({"unit_amount": 1}, uses=[("2027-06-15T23:59:59", "300"), ("2027-06-16", "20")])],
        [Billed("2027-07-01", 500, [200, 300])],
        changes={"2027-06-16": reprice(10)},
    ),
    Case(
        "the end in the middle of the month, given back",
        "Stripe, 'Cancel subscriptions' (prorate, invoice_now): the unused time is credited, to the customer's balance",
        "-1000 / 2 = -500",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-06-16", -500, [-500])],
        changes={"2027-06-16": lambda v1, one: v1.subscriptions.cancel(one, {"invoice_now": True, "prorate": True})},
        sees=balance(-500),
    ),
    Case(
        "the end in the middle of the month, kept",
        "Stripe, 'Cancel subscriptions': without prorate, what was paid stays paid",
        "1000 - 0 = 1000",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000])],
        changes={"2027-06-16": lambda v1, one: v1.subscriptions.cancel(one)},
        sees=balance(0),
    ),
    Case(
        "an invoice below zero pays the next one",
        "Stripe, 'Customer credit balance': a negative total goes to the balance, which later invoices use",
        "-10000 / 2 + 1000 / 2 = -4500; 1000 - 1000 of it = 0, and 3500 are left",
        [Item({"unit_amount": 10000})],
        [
            Billed("2027-06-01", 10000, [10000]),
            Billed("2027-06-16", -4500, [-5000, 500]),
            Billed("2027-07-01", 1000, [1000]),
        ],
        changes={"2027-06-16": reprice(1000, proration_behavior="always_invoice")},
        sees=paid_by_balance,
    ),
    Case(
        "a new anchor",
        f"{PRORATION}billing_cycle_anchor=now bills a new period at once and credits the old one's rest",
        "1000 - 1000 / 2 = 500; the next period ends a month later, on 16 July",
        [Item(TEN)],
        [Billed("2027-06-01", 1000, [1000]), Billed("2027-06-16", 500, [-500, 1000])],
        changes={"2027-06-16": lambda v1, one: v1.subscriptions.update(one, {"billing_cycle_anchor": {"type": "now"}})},
        sees=period("2027-06-16", "2027-07-16"),
    ),
]
