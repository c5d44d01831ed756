"""Customers' balances: an append-only ledger that meets invoices when they become final."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.errors import CustomerDeleted
from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.metadata import MetadataChange
from core.tests.walls import bend
from invoices import services
from invoices.errors import AmountTooLarge
from invoices.models import CustomerBalance, CustomerBalanceTransaction, Invoice
from invoices.tests.factories import draft_invoice, open_invoice, subscribe
from subscriptions.services import NewItem
from subscriptions.tests.factories import PriceFactory

pytestmark = pytest.mark.django_db

LATER = NOW + timedelta(hours=1)
LARGEST = 2**63 - 1


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


def adjust(customer: Customer, amount: int, currency: str = "usd") -> CustomerBalanceTransaction:
    return services.adjust_balance(customer=customer, amount=amount, currency=currency, now=NOW)


def history(customer: Customer) -> list[tuple[str, int, int]]:
    return list(
        CustomerBalanceTransaction.objects.filter(customer=customer)
        .order_by("balance", "position")
        .values_list("kind", "amount", "ending_balance")
    )


def invoice_over(customer: Customer, amount: int) -> Invoice:
    price = PriceFactory.create(environment=customer.environment, unit_amount=1)
    return Invoice.objects.get(subscription=subscribe(customer, NewItem(price, amount)))


def test_adjustments_add_up(customer: Customer) -> None:
    adjust(customer, -500)
    adjust(customer, 200)
    services.set_balance(customer=customer, amount=-1000, currency="usd", now=NOW)
    services.set_balance(customer=customer, amount=-1000, currency="usd", now=NOW)

    assert history(customer) == [("adjustment", -500, -500), ("adjustment", 200, -300), ("adjustment", -700, -1000)]
    assert customer.balances.get().amount == -1000


def test_each_currency_has_a_balance_of_its_own(customer: Customer) -> None:
    adjust(customer, -500)
    adjust(customer, -300, "eur")

    assert invoice_over(customer, 400).amount_due == 0
    assert dict(customer.balances.values_list("currency", "amount")) == {"usd": -100, "eur": -300}


@pytest.mark.parametrize(
    ("balance", "total", "due", "ending", "status"),
    [
        # Nothing there, nothing done.
        (0, 1000, 1000, 0, "open"),
        # A credit of 3.00 pays a part of 10.00, then one of 10.00 all of it, and one of 25.00 leaves 15.00.
        (-300, 1000, 700, 0, "open"),
        (-1000, 1000, 0, 0, "paid"),
        (-2500, 1000, 0, -1500, "paid"),
        # 3.00 that are owed come on top, even where there is nothing else to pay.
        (300, 1000, 1300, 0, "open"),
        (300, 0, 300, 0, "open"),
        (-300, 0, 0, -300, "paid"),
    ],
)
def test_what_is_due_is_the_total_with_the_balance(
    customer: Customer, balance: int, total: int, due: int, ending: int, status: str
) -> None:
    if balance:
        adjust(customer, balance)

    invoice = invoice_over(customer, total)

    assert (invoice.subtotal, invoice.total, invoice.amount_due) == (total, total, due)
    assert (invoice.starting_balance, invoice.ending_balance, invoice.status) == (balance, ending, status)
    applied = [("applied_to_invoice", ending - balance, ending)] if ending != balance else []
    assert history(customer)[1:] == applied
    if applied:
        assert invoice.balance_transactions.get().created_at == invoice.finalized_at


def test_a_draft_leaves_the_balance_alone(customer: Customer) -> None:
    draft = draft_invoice(customer, value=1000)
    adjust(customer, -300)
    draft.refresh_from_db()
    assert (draft.amount_due, draft.ending_balance) == (500, None)

    final = services.finalize_invoice(invoice=draft, now=LATER)

    assert (final.amount_due, final.starting_balance, final.ending_balance) == (200, -300, 0)


def test_a_voided_invoice_gives_back_what_it_took(customer: Customer) -> None:
    adjust(customer, -300)
    invoice = open_invoice(customer)
    adjust(customer, -50)

    services.void_invoice(invoice=invoice, now=LATER)

    assert history(customer)[1:] == [
        ("applied_to_invoice", 300, 0),
        ("adjustment", -50, -50),
        ("unapplied_from_invoice", -300, -350),
    ]
    invoice.refresh_from_db()
    assert (invoice.starting_balance, invoice.ending_balance, invoice.amount_due) == (-300, 0, 700)


def test_voiding_what_took_nothing_gives_nothing(customer: Customer) -> None:
    services.void_invoice(invoice=open_invoice(customer), now=LATER)

    assert not CustomerBalance.objects.exists()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 2000), st.integers(-2000, 2000)), max_size=8))
def test_money_is_neither_made_nor_lost(steps: list[tuple[bool, int, int]]) -> None:
    customer = CustomerFactory.create()
    given_by_hand = billed = due = 0
    for is_invoice, total, amount in steps:
        if is_invoice:
            invoice = invoice_over(customer, total)
            billed, due = billed + total, due + invoice.amount_due
        else:
            adjust(customer, amount)
            given_by_hand += amount

    balance = sum(customer.balances.values_list("amount", flat=True))
    assert balance + due == given_by_hand + billed
    assert balance == sum(amount for _, amount, _ in history(customer))


def test_a_deleted_customer_has_no_more_balance(customer: Customer) -> None:
    services.delete_customer(customer=customer, now=NOW)

    with pytest.raises(CustomerDeleted):
        adjust(customer, -500)
    assert not CustomerBalance.objects.exists()


def test_a_balance_ends_where_it_cannot_be_kept(customer: Customer) -> None:
    adjust(customer, -LARGEST)
    with pytest.raises(AmountTooLarge):
        adjust(customer, -1)
    with pytest.raises(AmountTooLarge):
        services.set_balance(customer=customer, amount=LARGEST + 1, currency="usd", now=NOW)

    assert customer.balances.get().amount == -LARGEST
    assert len(history(customer)) == 1


def test_only_the_words_about_an_entry_change(customer: Customer) -> None:
    entry = adjust(customer, -500)

    changed = services.update_balance_transaction(
        entry=entry, description="Sorry", metadata=MetadataChange({"why": "outage"})
    )

    assert (changed.description, changed.metadata) == ("Sorry", {"why": "outage"})
    for attempt in (lambda: bend(entry, amount=-600), lambda: bend(entry, ending_balance=0), entry.delete):
        with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
            attempt()
    assert history(customer) == [("adjustment", -500, -500)]


def test_a_balance_stays_within_its_wall(customer: Customer) -> None:
    adjust(customer, -500)

    with pytest.raises(IntegrityError, match="customer_id_wall"):
        bend(customer.balances.get(), customer=CustomerFactory.create())
