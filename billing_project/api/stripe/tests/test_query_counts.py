"""However many objects a list has, and whatever of them is asked for in full, it takes the same number of queries."""

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_project.api.stripe.tests.builders import new_customer, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import Account
from billing_project.api.stripe.tests.test_terms import new_coupon, new_tax

SUBSCRIPTIONS = [
    [],
    ["data.schedule"],
    ["data.schedule.customer"],
    ["data.latest_invoice"],
    ["data.latest_invoice.discounts", "data.latest_invoice.customer", "data.latest_invoice.payments"],
    ["data.customer"],
    ["data.discounts", "data.discounts.customer"],
    ["data.items.data.discounts"],
]
INVOICES = [
    [],
    ["data.customer", "data.discounts", "data.parent.subscription_details.subscription"],
    ["data.lines.data.discounts"],
    ["data.total_discount_amounts.discount"],
    ["data.payments"],
]
ITEMS = [[], ["data.customer"], ["data.discounts", "data.invoice"], ["data.invoice.customer"]]


def test_lists_take_as_many_queries_however_long_they_are(account: Account) -> None:
    v1, price = account.v1, new_price(account).id
    coupon, tax = new_coupon(account), new_tax(account)

    def add() -> None:
        customer = new_customer(account, balance=-100, default_tax_rates=[tax]).id
        made = new_subscription(account, customer, price, discounts=[{"coupon": coupon}], default_tax_rates=[tax])
        v1.subscription_schedules.create({"from_subscription": made.id})
        terms = {"discounts": [{"coupon": coupon}], "tax_rates": [tax]}
        draft = v1.invoices.create({"customer": customer, "discounts": [{"coupon": coupon}], "subscription": made.id})
        v1.invoice_items.create({"customer": customer, "amount": 500, "currency": "usd", "invoice": draft.id, **terms})
        v1.invoices.pay(made.latest_invoice, {"paid_out_of_band": True})

    def counts() -> dict[str, int]:
        found = {}
        for name, resource, expansions in (
            ("subscriptions", v1.subscriptions, SUBSCRIPTIONS),
            ("invoices", v1.invoices, INVOICES),
            ("items", v1.invoice_items, ITEMS),
            ("customers", v1.customers, [[]]),
        ):
            for expand in expansions:
                with CaptureQueriesContext(connection) as queries:
                    resource.list({"limit": 100, **({"expand": expand} if expand else {})})
                found[f"{name} {expand}"] = len(queries)
        return found

    add()
    few = counts()
    for _ in range(9):
        add()
    many: Any = counts()

    assert many == few
