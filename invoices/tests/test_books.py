"""Random books: whatever is charged, discounted, taxed, credited and paid, in whatever order, the sums hold."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from core.tests.examples import costly
from credits.tests.factories import check_ledger, grant_credit
from invoices import services
from invoices.models import CreditNote, CustomerBalance, Invoice, LineDiscount, LineTax, Payment
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, subscribe, use
from invoices.tests.test_paying import fire_deferred_checks
from subscriptions.services import NewDiscount, NewItem, create_coupon, create_tax_rate
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

LATER = FIRST_END + timedelta(days=1)
AMOUNTS = st.integers(1, 2000)
STEPS = st.lists(
    st.tuples(st.sampled_from(["pay", "elsewhere", "reverse", "credit", "void note"]), AMOUNTS), max_size=8
)


@st.composite
def books(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "currency": draw(st.sampled_from(["usd", "jpy", "kwd"])),
        "licensed": draw(st.lists(st.tuples(st.decimals(0, 999, places=2), st.integers(0, 5)), max_size=2)),
        "metered": draw(st.tuples(st.decimals(0, 9, places=4), st.integers(0, 300))),
        "percent_off": draw(st.one_of(st.none(), st.decimals("0.01", 100, places=2))),
        "taxes": draw(st.lists(st.tuples(st.decimals(0, 30, places=2), st.booleans()), max_size=2)),
        "credit": draw(st.integers(0, 1000)),
        "balance": draw(st.integers(-800, 800)),
    }


def bill(customer: Customer, book: dict[str, Any]) -> None:
    environment, currency = customer.environment, book["currency"]
    if book["credit"]:
        grant_credit(customer, book["credit"], currency=currency)
    if book["balance"]:
        services.adjust_balance(customer=customer, amount=book["balance"], currency=currency, now=NOW)
    terms: dict[str, Any] = {}
    if book["percent_off"] is not None:
        coupon = create_coupon(environment=environment, now=NOW, percent_off=book["percent_off"], duration="forever")
        terms["discounts"] = [NewDiscount(coupon=coupon)]
    if book["taxes"]:
        terms["tax_rates"] = [
            create_tax_rate(
                environment=environment, now=NOW, display_name="T", percentage=percentage, inclusive=inclusive
            )
            for percentage, inclusive in book["taxes"]
        ]
    unit, used = book["metered"]
    metered = MeteredPriceFactory.create(environment=environment, currency=currency, unit_amount=unit)
    items = [
        NewItem(PriceFactory.create(environment=environment, currency=currency, unit_amount=amount), quantity)
        for amount, quantity in book["licensed"]
    ]
    subscribe(customer, metered, *items, **terms)
    if used:
        use(metered, customer, used, NOW)
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)


def attempt(step: Callable[..., Any], **terms: Any) -> None:
    try:
        step(now=LATER, **terms)
    except BillingError:
        return


def settle(invoice: Invoice, kind: str, amount: int) -> None:
    invoice.refresh_from_db()
    if kind == "pay":
        attempt(services.record_payment, invoice=invoice, amount=amount)
    elif kind == "elsewhere":
        attempt(services.pay_invoice_out_of_band, invoice=invoice)
    elif kind == "reverse":
        for payment in invoice.payments.standing()[:1]:
            attempt(services.reverse_payment, payment=payment)
    elif kind == "credit":
        back = max(amount - invoice.amount_remaining, 0)
        attempt(services.issue_credit_note, invoice=invoice, total=amount, balance_amount=back)
    else:
        for note in invoice.credit_notes.standing()[:1]:
            attempt(services.void_credit_note, note=note)


def check(invoice: Invoice) -> None:
    invoice.refresh_from_db()
    lines = sum(line.amount for line in invoice.lines.all())
    discounts = sum(LineDiscount.objects.filter(line__invoice=invoice).values_list("amount", flat=True))
    on_top = LineTax.objects.filter(line__invoice=invoice, tax_rate__inclusive=False)
    assert invoice.subtotal == lines
    assert invoice.total == lines - discounts - invoice.credit_applied + sum(on_top.values_list("amount", flat=True))
    assert invoice.amount_due == max(invoice.starting_balance + invoice.total, 0)
    payments = sum(Payment.objects.filter(invoice=invoice).values_list("amount", flat=True))
    notes = list(CreditNote.objects.filter(invoice=invoice).standing())
    before = sum(note.pre_payment_amount for note in notes)
    assert payments + before + invoice.amount_remaining == invoice.amount_due
    assert sum(note.total for note in notes) <= max(invoice.total, 0)
    assert min(payments, before, invoice.amount_remaining, invoice.amount_due) >= 0
    assert (invoice.status == "paid") == (invoice.amount_remaining == 0)
    assert services.verify_invoice(invoice=invoice, now=LATER).differences == []


@settings(max_examples=costly(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(book=books(), steps=STEPS)
def test_the_sums_hold(book: dict[str, Any], steps: list[tuple[str, int]]) -> None:
    customer = CustomerFactory.create()
    bill(customer, book)
    for invoice in Invoice.objects.filter(customer=customer):
        check(invoice)
        for kind, amount in steps:
            settle(invoice, kind, amount)
            fire_deferred_checks()
            check(invoice)
    check_ledger()
    for balance in CustomerBalance.objects.filter(customer=customer):
        assert balance.amount == sum(balance.transactions.values_list("amount", flat=True))
