"""What becomes of invoices: credit that lasts for several, credit that comes back, and what is credited after all."""

from collections.abc import Callable
from typing import Any

from tests.worked.book import Billed, Case, Item, Lived
from tests.worked.reductions import both, off, taxed

CREDITS = "Stripe, 'Billing credits': "
NOTES = "Stripe, 'Credit notes': "
BALANCES = "Stripe, 'Customer credit balance': "
DECIMALS = "Stripe, 'Supported currencies': "
START, END, LATER, LAST = "2027-06-01", "2027-07-01", "2027-08-01", "2027-09-01"
# Ten units in each of three months.
THREE_MONTHS = [(START, "10"), ("2027-07-05", "10"), ("2027-08-05", "10")]
Change = Callable[[Any, str], object]


def grant(value: int, currency: str = "usd") -> Change:
    def change(v1: Any, subscription: str) -> None:
        v1.billing.credit_grants.create(
            {
                "customer": v1.subscriptions.retrieve(subscription).customer,
                "amount": {"type": "monetary", "monetary": {"currency": currency, "value": value}},
                "applicability_config": {"scope": {"price_type": "metered"}},
            }
        )

    return change


def first_invoice(v1: Any, subscription: str) -> Any:
    return v1.invoices.list({"subscription": subscription, "limit": 100}).data[-1]


def void(v1: Any, subscription: str) -> None:
    v1.invoices.void_invoice(first_invoice(v1, subscription).id)


def pay(v1: Any, subscription: str) -> None:
    v1.invoices.pay(first_invoice(v1, subscription).id, {"paid_out_of_band": True})


def credit(**terms: Any) -> Change:
    """Credits an amount of the first invoice."""

    def change(v1: Any, subscription: str) -> None:
        v1.credit_notes.create({"invoice": first_invoice(v1, subscription).id, **terms})

    return change


def credit_units(quantity: int) -> Change:
    """Credits so many units of the first invoice's line."""

    def change(v1: Any, subscription: str) -> None:
        invoice = first_invoice(v1, subscription)
        line = {"type": "invoice_line_item", "invoice_line_item": invoice.lines.data[0].id, "quantity": quantity}
        v1.credit_notes.create({"invoice": invoice.id, "lines": [line]})

    return change


def paid_by_credit(*amounts: int, left: int) -> Callable[[Lived], None]:
    """Expects what credit paid of each invoice, and what is left of it."""

    def sees(lived: Lived) -> None:
        paid = [sum(one.amount for one in invoice.total_pretax_credit_amounts) for invoice in lived.invoices]
        assert paid == list(amounts)
        summary = lived.v1.billing.credit_balance_summary.retrieve(
            {
                "customer": lived.customer,
                "filter": {"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}},
            }
        )
        assert sum(one.available_balance.monetary.value for one in summary.balances) == left

    return sees


def came_back(amount: int) -> Callable[[Lived], None]:
    """Expects that the first invoice is void, and the ledger to say that its credit came back and was used again."""

    def sees(lived: Lived) -> None:
        assert lived.invoices[0].status == "void"
        entries = lived.v1.billing.credit_balance_transactions.list({"customer": lived.customer}).data
        used = [entry.debit for entry in entries if entry.type == "debit"]
        given = [entry.credit for entry in entries if entry.type == "credit"]
        assert [debit.amount.monetary.value for debit in used] == [amount, amount]
        back = [one for one in given if one.type == "credits_application_invoice_voided"]
        assert [(one.amount.monetary.value, one.credits_application_invoice_voided.invoice) for one in back] == [
            (amount, lived.invoices[0].id)
        ]

    return sees


def credited(total: int, *, tax: int, remaining: int, status: str = "open") -> Callable[[Lived], None]:
    """Expects one credit note on the first invoice, and what is left to be paid of that."""

    def sees(lived: Lived) -> None:
        first = lived.invoices[0]
        [note] = lived.v1.credit_notes.list({"invoice": first.id}).data
        assert (note.total, sum(one.amount for one in note.total_taxes)) == (total, tax)
        assert (first.amount_remaining, first.status) == (remaining, status)

    return sees


def due(*amounts: int) -> Callable[[Lived], None]:
    """Expects what is due of each invoice, with the customer's balance."""

    def sees(lived: Lived) -> None:
        assert [invoice.amount_due for invoice in lived.invoices] == list(amounts)

    return sees


CASES = [
    Case(
        "credit that lasts for one invoice and a half",
        f"{CREDITS}what an invoice leaves of a grant pays for the next",
        "10 x 100 = 1000 each; 1000 - 1000 of 1500 = 0; 1000 - 500 = 500; 1000 - 0 = 1000",
        [Item({"unit_amount": 100}, uses=THREE_MONTHS)],
        [Billed(END, 0, [1000]), Billed(LATER, 500, [1000]), Billed(LAST, 1000, [1000])],
        until="2027-09-01T02:00",
        changes={"2027-06-02": grant(1500)},
        sees=paid_by_credit(1000, 500, 0, left=0),
    ),
    Case(
        "a void invoice gives its credit back, and the next one takes it",
        f"{CREDITS}voiding an invoice returns what was applied to it",
        "1000 - 600 = 400, void: 600 come back; 1000 - 600 = 400",
        [Item({"unit_amount": 100}, uses=THREE_MONTHS[:2])],
        [Billed(END, 400, [1000]), Billed(LATER, 400, [1000])],
        until="2027-08-01T02:00",
        changes={"2027-06-02": grant(600), "2027-07-02": void},
        sees=came_back(600),
    ),
    Case(
        "one of three seats is credited, with its tax",
        f"{NOTES}a line can be credited by quantity; taxes follow in proportion",
        "3 x 1000 = 3000, + 20 % = 3600; 1 x 1000 + 20 % = 1200; 3600 - 1200 = 2400",
        [Item({"unit_amount": 1000}, 3)],
        [Billed(START, 3600, [3000]), Billed(END, 3600, [3000])],
        terms=taxed(20),
        changes={"2027-06-02": credit_units(1)},
        sees=credited(1200, tax=200, remaining=2400),
    ),
    Case(
        "what was paid is credited to the balance, which pays the next invoice",
        f"{BALANCES}a credit lowers what is due of the next invoice, not its total",
        "1000 are paid, 400 of them credited; July: 1000 - 400 = 600",
        [Item({"unit_amount": 1000})],
        [Billed(START, 1000, [1000]), Billed(END, 1000, [1000])],
        until="2027-07-01T02:00",
        changes={"2027-06-02": pay, "2027-06-03": credit(amount=400, credit_amount=400)},
        sees=due(1000, 600),
    ),
    Case(
        "yen, with a discount, a tax and a credit note",
        f"{DECIMALS}the yen has no decimals. Ours: a credit note takes its share of tax, 500 x 90 / 989 = 45.5",
        "333 x 3 = 999; 10 % = 99.9 -> 100; 899 x 10 % = 89.9 -> 90; 899 + 90 = 989; 989 - 500 = 489",
        [Item({"unit_amount": 3, "currency": "jpy"}, 333)],
        [Billed(START, 989, [999]), Billed(END, 989, [999])],
        terms=both(off({"percent_off": 10, "duration": "forever"}), taxed(10)),
        changes={"2027-06-02": credit(amount=500)},
        sees=credited(500, tax=46, remaining=489),
    ),
    Case(
        "dinars to the fils, with credit and a tax",
        f"{DECIMALS}the Kuwaiti dinar has three decimals. Ours: all of them count",
        "3 x 1234.5 = 3703.5 -> 3704; 3704 - 1000 = 2704; 2704 x 5 % = 135.2 -> 135; 2704 + 135 = 2839",
        [Item({"unit_amount_decimal": "1234.5", "currency": "kwd"}, uses=[(START, "3")])],
        [Billed(END, 2839, [3704])],
        until="2027-07-01T02:00",
        terms=taxed(5),
        changes={"2027-06-02": grant(1000, "kwd")},
        sees=paid_by_credit(1000, left=0),
    ),
]
