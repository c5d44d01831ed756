"""/v1/invoices, through the SDK."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account, is_a
from billing_project.api.stripe.tests.test_meters import refused
from invoices.models import Invoice
from invoices.services import close_due_periods

DAY = 86400
REQUIRED = [
    "amount_due",
    "amount_overpaid",
    "amount_paid",
    "amount_remaining",
    "amount_shipping",
    "attempt_count",
    "attempted",
    "automatic_tax",
    "collection_method",
    "created",
    "currency",
    "default_tax_rates",
    "discounts",
    "id",
    "issuer",
    "lines",
    "livemode",
    "object",
    "payment_settings",
    "period_end",
    "period_start",
    "post_payment_credit_notes_amount",
    "pre_payment_credit_notes_amount",
    "starting_balance",
    "status_transitions",
    "subtotal",
    "total",
]
REQUIRED_OF_LINE = [
    "amount",
    "currency",
    "discountable",
    "discounts",
    "id",
    "livemode",
    "metadata",
    "object",
    "period",
    "subtotal",
]


@pytest.fixture
def drafted(account: Account) -> stripe.Invoice:
    """The draft of a past period: 2.5 metered units at 10.01 cents, and 2 licensed ones at 10 USD for the next."""
    meter, customer = new_meter(account), new_customer(account, email="ada@example.com")
    metered = new_price(account, meter=meter.id, unit_amount_decimal="10.01", product_data={"name": "Calls"})
    licensed = new_price(account, product_data={"name": "Seat"})
    now = int(time.time())
    subscription = account.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": metered.id, "metadata": {"i": "1"}}, {"price": licensed.id, "quantity": 2}],
            "backdate_start_date": now - 2 * DAY,
            "billing_cycle_anchor": now + DAY,
            "metadata": {"a": "1"},
        }
    )
    report(account, "calls", customer.id, "2.5", timestamp=now - DAY)
    close_due_periods(now=datetime.fromtimestamp(now + DAY, UTC))
    listed = account.v1.invoices.list({"subscription": subscription.id, "status": "draft"})
    invoice: stripe.Invoice = listed.data[0]
    return invoice


def test_an_invoice_has_all_that_the_reference_requires(account: Account, drafted: stripe.Invoice) -> None:
    invoice: Any = account.v1.invoices.retrieve(drafted.id)
    assert invoice == drafted
    assert is_a(invoice, stripe.Invoice)
    assert invoice.id.startswith("in_")
    assert [name for name in REQUIRED if name not in invoice] == []
    assert (invoice.status, invoice.number, invoice.currency) == ("draft", None, "usd")
    assert (invoice.subtotal, invoice.total, invoice.amount_due) == (2025, 2025, 2025)
    assert (invoice.amount_paid, invoice.amount_remaining) == (0, 2025)
    assert invoice.billing_reason == "subscription_cycle"
    assert (invoice.customer_name, invoice.customer_email) == ("Ada", "ada@example.com")
    assert invoice.account_name == "Acme"
    assert invoice.parent.type == "subscription_details"
    subscription = invoice.parent.subscription_details.subscription
    assert invoice.parent.subscription_details.metadata.to_dict() == {"a": "1"}
    assert "subscription" not in invoice

    assert invoice.lines.url == f"/v1/invoices/{invoice.id}/lines"
    metered, licensed = invoice.lines.data
    for line in (metered, licensed):
        assert is_a(line, stripe.InvoiceLineItem)
        assert [name for name in REQUIRED_OF_LINE if name not in line] == []
        assert line.parent.subscription_item_details.subscription == subscription
        assert line.parent.subscription_item_details.subscription_item.startswith("si_")
        assert line.subtotal == line.amount
        assert line.invoice == invoice.id
        assert "price" not in line
    assert (metered.amount, metered.quantity, metered.quantity_decimal) == (25, 2, Decimal("2.5"))
    assert metered.pricing.unit_amount_decimal == Decimal("10.01")
    assert metered.pricing.price_details.price.startswith("price_")
    assert metered.metadata.to_dict() == {"i": "1"}
    assert (licensed.amount, licensed.quantity, licensed.quantity_decimal) == (2000, 2, Decimal(2))
    assert metered.period.end == licensed.period.start


def test_lines_come_in_pages_and_expand(account: Account, drafted: stripe.Invoice) -> None:
    lines = account.v1.invoices.line_items
    every = list(lines.list(drafted.id, {"limit": 1}).auto_paging_iter())
    assert every == drafted.lines.data
    assert list(drafted.lines.auto_paging_iter()) == every
    before = lines.list(drafted.id, {"limit": 1, "ending_before": every[1].id})
    assert (before.data, before.has_more) == ([every[0]], False)
    path = "data.pricing.price_details.price"
    expanded = lines.list(drafted.id, {"expand": [path]}).data[0]
    assert expanded.pricing.price_details.price.unit_amount_decimal == Decimal("10.01")
    assert refused(lambda: lines.list(drafted.id, {"starting_after": "il_nope"})).param == "starting_after"
    assert refused(lambda: lines.list("in_nope")).code == "resource_missing"


def test_a_draft_is_finalized_and_paid(account: Account, drafted: stripe.Invoice) -> None:
    invoices = account.v1.invoices
    for early in (
        lambda: invoices.pay(drafted.id, {"paid_out_of_band": True}),
        lambda: invoices.void_invoice(drafted.id),
    ):
        error = refused(early)
        assert (error.http_status, error.code) == (400, "invoice_not_editable")
    assert invoices.retrieve(drafted.id) == drafted

    final = invoices.finalize_invoice(drafted.id)
    assert (final.status, final.amount_due, final.auto_advance) == ("open", 2025, False)
    assert final.number
    assert final.status_transitions.finalized_at is not None
    assert refused(lambda: invoices.finalize_invoice(drafted.id)).code == "invoice_not_editable"

    paid = invoices.pay(drafted.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 2025, 0)
    assert paid.status_transitions.paid_at is not None
    for late in (
        lambda: invoices.pay(drafted.id, {"paid_out_of_band": True}),
        lambda: invoices.void_invoice(drafted.id),
    ):
        assert refused(late).http_status == 400
    assert invoices.retrieve(drafted.id) == paid


def test_an_open_invoice_is_voided_and_keeps_its_amounts(account: Account, drafted: stripe.Invoice) -> None:
    account.v1.invoices.finalize_invoice(drafted.id)
    void = account.v1.invoices.void_invoice(drafted.id)
    assert (void.status, void.total, void.amount_due) == ("void", 2025, 2025)
    assert void.status_transitions.voided_at is not None


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({}, "paid_out_of_band", "parameter_missing"),
        ({"paid_out_of_band": False}, "paid_out_of_band", "parameter_unknown"),
        ({"paid_out_of_band": True, "payment_method": "pm_1"}, "payment_method", "parameter_unknown"),
        ({"paid_out_of_band": True, "forgive": True}, "forgive", "parameter_unknown"),
    ],
)
def test_money_is_not_collected_here(
    account: Account, drafted: stripe.Invoice, params: Any, param: str, code: str
) -> None:
    final = account.v1.invoices.finalize_invoice(drafted.id)
    error = refused(lambda: account.v1.invoices.pay(drafted.id, params))
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert account.v1.invoices.retrieve(drafted.id) == final


def test_invoices_are_listed(account: Account, drafted: stripe.Invoice) -> None:
    price = new_price(account).id
    customer = new_customer(account).id
    sent = new_subscription(account, customer, price, collection_method="send_invoice", days_until_due=5)

    def ids(**params: Any) -> list[str]:
        return [row.id for row in account.v1.invoices.list(params).data]

    assert set(ids()) >= {drafted.id, sent.latest_invoice}
    assert ids(customer=customer) == ids(subscription=sent.id) == [sent.latest_invoice]
    assert ids(status="draft") == [drafted.id]
    assert ids(status="uncollectible") == []
    assert ids(collection_method="send_invoice") == [sent.latest_invoice]
    due = account.v1.invoices.retrieve(sent.latest_invoice).due_date
    assert ids(due_date=due) == ids(due_date={"gte": due}) == [sent.latest_invoice]
    assert ids(due_date={"gt": due}) == []
    assert ids(created={"lt": 1}) == []


def test_a_preview_shows_what_is_coming_and_stores_nothing(account: Account) -> None:
    meter, customer = new_meter(account), new_customer(account)
    metered = new_price(account, meter=meter.id, unit_amount_decimal="0.5")
    subscription = new_subscription(account, customer.id, metered.id)
    report(account, "calls", customer.id, "301")
    options: Any = {"idempotency_key": "k"}

    for params in ({"subscription": subscription.id}, {"customer": customer.id}):
        preview = account.v1.invoices.create_preview(params)
        assert (preview.status, preview.number, preview.total) == ("draft", None, 151)
        (line,) = preview.lines.data
        assert (line.quantity, line.amount, line.pricing.unit_amount_decimal) == (301, 151, Decimal("0.5"))
        assert preview.lines.has_more is False
    account.v1.invoices.create_preview({"customer": customer.id}, options)
    assert Invoice.objects.count() == 0


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({}, "customer", "parameter_missing"),
        ({"customer": "cus_nope"}, "customer", "resource_missing"),
        ({"subscription": "sub_nope"}, "subscription", "resource_missing"),
        ({"customer": "CUSTOMER"}, None, "invoice_upcoming_none"),
        ({"customer": "CUSTOMER", "subscription": "SUBSCRIPTION"}, "subscription", "resource_missing"),
    ],
)
def test_what_cannot_be_previewed(account: Account, params: Any, param: str | None, code: str) -> None:
    other = new_subscription(account, new_customer(account).id, new_price(account).id)
    known = {"CUSTOMER": new_customer(account).id, "SUBSCRIPTION": other.id}
    params = {name: known.get(value, value) if isinstance(value, str) else value for name, value in params.items()}
    error = refused(lambda: account.v1.invoices.create_preview(params))
    assert (error.http_status, error.param, error.code) == (400, param, code)


def test_a_page_costs_little_more_the_longer_it_is(
    account: Account, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    price = new_price(account).id
    for _ in range(4):
        new_subscription(account, new_customer(account).id, price)
    account.v1.invoices.list({"limit": 1})
    with django_assert_max_num_queries(8):
        assert len(account.v1.invoices.list({"limit": 4}).data) == 4
