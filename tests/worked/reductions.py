"""What is taken off and what is added: coupons, credit and taxes, in their order."""

from collections.abc import Callable
from typing import Any

from tests.worked.book import Billed, Case, Item, Lived, Terms

COUPONS = "Stripe, 'Coupons and promotion codes': "
TAXES = "Stripe, 'Tax rates': "
START, END = "2027-06-01", "2027-07-01"
MakesTerms = Callable[[Any], Terms]


def off(*coupons: Terms) -> MakesTerms:
    return lambda v1: {"discounts": [{"coupon": v1.coupons.create(dict(one)).id} for one in coupons]}


def taxed(*percentages: float, inclusive: bool = False) -> MakesTerms:
    def terms(v1: Any) -> Terms:
        rates = [
            v1.tax_rates.create({"display_name": "Tax", "percentage": percentage, "inclusive": inclusive}).id
            for percentage in percentages
        ]
        return {"default_tax_rates": rates}

    return terms


def both(first: MakesTerms, second: MakesTerms) -> MakesTerms:
    return lambda v1: {**first(v1), **second(v1)}


def taxes(*amounts: int, without: int) -> Callable[[Lived], None]:
    """Expects what each tax came to on the first invoice, and its total without taxes."""

    def sees(lived: Lived) -> None:
        first = lived.invoices[0]
        assert [tax.amount for tax in first.total_taxes] == list(amounts)
        assert first.total_excluding_tax == without

    return sees


def shares(*amounts: int) -> Callable[[Lived], None]:
    """Expects what is taken off the first invoice's lines."""

    def sees(lived: Lived) -> None:
        lines = lived.invoices[0].lines.data
        assert [sum(one.amount for one in line.discount_amounts) for line in lines] == list(amounts)

    return sees


def give_credit(v1: Any, subscription: str) -> None:
    v1.billing.credit_grants.create(
        {
            "customer": v1.subscriptions.retrieve(subscription).customer,
            "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": 300}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        }
    )


CASES = [
    Case(
        "a quarter off, once",
        f"{COUPONS}duration once: of the first invoice",
        "2000 x 75 % = 1500; then 2000",
        [Item({"unit_amount": 2000})],
        [Billed(START, 1500, [2000]), Billed(END, 2000, [2000])],
        terms=off({"percent_off": 25, "duration": "once"}),
    ),
    Case(
        "half off for two months",
        f"{COUPONS}duration repeating: for so many months",
        "1000 x 50 % = 500 in June and in July; 1000 in August",
        [Item({"unit_amount": 1000})],
        [Billed(START, 500, [1000]), Billed(END, 500, [1000]), Billed("2027-08-01", 1000, [1000])],
        until="2027-08-01",
        terms=off({"percent_off": 50, "duration": "repeating", "duration_in_months": 2}),
    ),
    Case(
        "an amount off two lines",
        f"{COUPONS}an amount off is taken off the invoice. Ours: its lines share it, to the cent",
        "500 x 1000 / 3000 = 166.67 -> 167, 500 x 2000 / 3000 = 333.33 -> 333; 3000 - 500 = 2500",
        [Item({"unit_amount": 1000}), Item({"unit_amount": 2000})],
        [Billed(START, 2500, [1000, 2000]), Billed(END, 2500, [1000, 2000])],
        terms=off({"amount_off": 500, "currency": "usd", "duration": "forever"}),
        sees=shares(167, 333),
    ),
    Case(
        "ten percent, and then an amount",
        f"{COUPONS}several are taken off in order, each off what is left",
        "2000 x 90 % = 1800; 1800 - 500 = 1300",
        [Item({"unit_amount": 2000})],
        [Billed(START, 1300, [2000]), Billed(END, 1300, [2000])],
        terms=off(
            {"percent_off": 10, "duration": "forever"}, {"amount_off": 500, "currency": "usd", "duration": "forever"}
        ),
    ),
    Case(
        "more off than there is",
        f"{COUPONS}an amount off never makes an invoice negative",
        "1000 - 1000 of 1500 = 0",
        [Item({"unit_amount": 1000})],
        [Billed(START, 0, [1000]), Billed(END, 1000, [1000])],
        terms=off({"amount_off": 1500, "currency": "usd", "duration": "once"}),
    ),
    Case(
        "a tax on top",
        f"{TAXES}exclusive rates are added",
        "999 x 20 % = 199.8 -> 200; 999 + 200 = 1199",
        [Item({"unit_amount": 999})],
        [Billed(START, 1199, [999]), Billed(END, 1199, [999])],
        terms=taxed(20),
        sees=taxes(200, without=999),
    ),
    Case(
        "a tax within",
        f"{TAXES}inclusive rates are part of the amount",
        "1200 x 20 / 120 = 200; 1200 - 200 = 1000",
        [Item({"unit_amount": 1200})],
        [Billed(START, 1200, [1200]), Billed(END, 1200, [1200])],
        terms=taxed(20, inclusive=True),
        sees=taxes(200, without=1000),
    ),
    Case(
        "two taxes on top",
        f"{TAXES}each is asked of the same amount, and rounded by itself",
        "1999 x 5 % = 99.95 -> 100; 1999 x 7 % = 139.93 -> 140; 1999 + 240 = 2239",
        [Item({"unit_amount": 1999})],
        [Billed(START, 2239, [1999]), Billed(END, 2239, [1999])],
        terms=taxed(5, 7),
        sees=taxes(100, 140, without=1999),
    ),
    Case(
        "a tax that is rounded line by line",
        f"{TAXES}tax is computed per line",
        "33 x 19 % = 6.27 -> 6, twice: 12, and not 66 x 19 % = 12.54 -> 13; 66 + 12 = 78",
        [Item({"unit_amount": 33}), Item({"unit_amount": 33, "nickname": "another"})],
        [Billed(START, 78, [33, 33]), Billed(END, 78, [33, 33])],
        terms=taxed(19),
        sees=taxes(12, without=66),
    ),
    Case(
        "a discount before a tax",
        f"{TAXES}tax is asked of what discounts have left",
        "2000 x 75 % = 1500; 1500 x 20 % = 300; 1500 + 300 = 1800",
        [Item({"unit_amount": 2000})],
        [Billed(START, 1800, [2000]), Billed(END, 2400, [2000])],
        terms=both(off({"percent_off": 25, "duration": "once"}), taxed(20)),
        sees=taxes(300, without=1500),
    ),
    Case(
        "credit between discount and tax",
        "Stripe, 'Billing credits': applied to usage, after discounts and before taxes",
        "10 x 100 = 1000; 1000 - 300 = 700; 700 x 10 % = 70; 700 + 70 = 770",
        [Item({"unit_amount": 100}, uses=[(START, "10")])],
        [Billed(END, 770, [1000])],
        until="2027-07-01T02:00",
        terms=taxed(10),
        changes={"2027-06-02": give_credit},
        sees=taxes(70, without=700),
    ),
]
