"""The journal balances, entry by entry and against the books that it was written from."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db.models import Sum
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.periods import Period
from credits.models import CreditGrant
from credits.services import void_grant
from credits.tests.factories import grant_credit
from invoices import services
from invoices.exports.bookings import journal_of, journal_rows
from invoices.journal import (
    Account,
    Billed,
    BilledLine,
    Credited,
    Entry,
    Settlement,
    entries_of_invoice,
    entry_of_adjustment,
    entry_of_grant,
    totals_of,
)
from invoices.models import CustomerBalance, Invoice, Payment
from invoices.tests.factories import FIRST_END, open_invoice, utc
from invoices.tests.test_documents import rich_invoice

FAR = NOW + timedelta(days=4000)
A = Account


def times(first: int = 1, last: int = 500) -> st.SearchStrategy[datetime]:
    return st.integers(first, last).map(lambda days: NOW + timedelta(days=days, hours=7))


@st.composite
def periods(draw: st.DrawFn) -> Period:
    start = NOW + timedelta(hours=draw(st.integers(-2000, 2000)))
    return Period(start, start + timedelta(hours=draw(st.integers(0, 9000))))


@st.composite
def invoices(draw: st.DrawFn) -> Billed:
    """Any invoice whose amounts add up, with whatever may have happened to it since."""
    amounts = st.integers(-5_000, 50_000)
    lines = [BilledLine(net, draw(periods())) for net in draw(st.lists(amounts, max_size=4))]
    net = sum(line.net for line in lines)
    tax = draw(st.integers(0, 5_000))
    credit = draw(st.integers(0, max(net, 0)))
    total = net + tax - credit
    due = max(total + draw(st.integers(-3_000, 3_000)), 0)
    given: dict[str, Any] = {}
    fate = draw(st.sampled_from(["settled", "void", "given up", "given up, void"]))
    if "given up" in fate:
        given["uncollectible_at"] = draw(times(1, 250))
    if "void" in fate:
        given["voided_at"] = draw(times(251, 500))
    else:
        left = due
        payments = []
        for at in draw(st.lists(times(), max_size=3)):
            paid = draw(st.integers(0, left))
            left -= paid
            payments.append(Settlement(at, "payment", paid))
        given["payments"] = payments
        pre = draw(st.integers(0, left))
        post = draw(st.tuples(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500)))
        used, back = draw(st.integers(0, 300)), draw(st.integers(0, 100))
        whole = pre + sum(post) + used
        note = Credited(draw(times(1, 250)), "note", whole - min(back, whole), min(back, whole), used, pre, *post)
        voided = draw(st.none() | times(251, 500))
        given["notes"] = [replace(note, voided_at=voided)]
    return Billed("I-1", "usd", NOW, lines, tax, credit, total, due, **given)


def balance(entries: list[Entry], account: Account, until: datetime = FAR) -> int:
    return totals_of(entry for entry in entries if entry.at < until).get(("usd", account), 0)


@given(invoices())
def test_each_entry_balances_and_nothing_is_left_over(billed: Billed) -> None:
    entries = list(entries_of_invoice(billed))
    standing = [note for note in billed.notes if note.voided_at is None]
    remaining = billed.due - sum(one.amount for one in billed.payments) - sum(note.pre_payment for note in standing)

    assert all(sum(entry.postings.values()) == 0 for entry in entries)
    assert all(0 not in entry.postings.values() for entry in entries)
    assert balance(entries, A.DEFERRED_REVENUE) == 0
    if billed.voided_at is not None:
        assert not any(totals_of(entries).values())
        return
    owed = balance(entries, A.RECEIVABLE) + balance(entries, A.WRITE_OFF)
    assert owed == remaining
    if billed.uncollectible_at is not None:
        assert balance(entries, A.RECEIVABLE) == 0
    net = sum(line.net for line in billed.lines) - sum(note.net for note in standing)
    assert balance(entries, A.REVENUE) == -net
    assert balance(entries, A.TAX_PAYABLE) == -billed.tax + sum(note.tax for note in standing)


@given(invoices(), st.integers(0, 800))
def test_what_is_deferred_is_what_the_days_to_come_earn(billed: Billed, days: int) -> None:
    """Against an oracle that counts days one by one, at the end of whatever month it is."""
    end = (NOW + timedelta(days=days)).replace(day=1, hour=0, minute=0) + timedelta(microseconds=1)
    if billed.voided_at is not None or end <= billed.at:
        return
    left = 0
    for line in billed.lines:
        if line.net <= 0 or line.period.end <= billed.at or line.period.end == line.period.start:
            continue
        day = line.period.start.replace(hour=0, minute=0, second=0, microsecond=0)
        to_come = all_days = 0
        while day < line.period.end:
            all_days += 1
            to_come += day >= end - timedelta(microseconds=1)
            day += timedelta(days=1)
        # One rounding, of what was earned so far.
        earned = line.net * (all_days - to_come)
        left += line.net - (2 * earned + all_days) // (2 * all_days)
    entries = list(entries_of_invoice(billed))

    assert -balance(entries, A.DEFERRED_REVENUE, end) == left


def test_a_prepaid_quarter_is_earned_by_its_days() -> None:
    quarter = Period(utc("2026-01-01"), utc("2026-04-01"))
    billed = Billed("I-1", "usd", utc("2026-01-01"), [BilledLine(9000, quarter)], 1710, 0, 10710, 10710)
    issue, *months = entries_of_invoice(billed)

    assert issue.postings == {A.RECEIVABLE: 10710, A.TAX_PAYABLE: -1710, A.DEFERRED_REVENUE: -9000}
    assert [(entry.at, entry.postings[A.REVENUE]) for entry in months] == [
        (utc("2026-02-01"), -3100),
        (utc("2026-03-01"), -2800),
        (utc("2026-04-01"), -3100),
    ]


def test_an_invoice_whose_amounts_do_not_add_up_is_no_entry() -> None:
    with pytest.raises(ValueError, match="does not balance"):
        list(entries_of_invoice(Billed("I-1", "usd", NOW, [], 5, 0, 1, 1)))


@pytest.mark.parametrize(
    ("kind", "amount", "is_paid", "against"),
    [
        ("granted", 500, True, A.CREDIT_SALES),
        ("granted", 500, False, A.PROMOTIONS),
        ("applied", -500, True, A.CREDIT_APPLIED),
        ("given_back", 500, False, A.CREDIT_APPLIED),
        ("expired", -500, True, A.BREAKAGE),
        ("expired", -500, False, A.PROMOTIONS),
        ("voided", -500, True, A.CREDIT_SALES),
    ],
)
def test_credit_stands_against_what_it_came_from_and_went_to(
    kind: str, amount: int, *, is_paid: bool, against: Account
) -> None:
    entry = entry_of_grant(at=NOW, kind=kind, amount=amount, is_paid=is_paid, document="c", currency="usd")

    assert entry.postings == {A.CREDIT_LIABILITY: -amount, against: amount}


def test_an_adjustment_to_a_customer_s_credit_is_owed_to_them() -> None:
    entry = entry_of_adjustment(at=NOW, amount=-150, document="b", currency="usd")

    assert entry.postings == {A.CUSTOMER_BALANCE: -150, A.BALANCE_ADJUSTMENTS: 150}


@pytest.fixture
def customer(db: None) -> Customer:
    return CustomerFactory.create()


def test_the_journal_says_what_the_books_say(customer: Customer) -> None:
    rich = rich_invoice(customer)
    late = rich.finalized_at
    assert late is not None
    services.record_payment(invoice=rich, amount=1000, now=late)
    services.issue_credit_note(invoice=rich, total=700, now=late)
    paid = services.pay_invoice_out_of_band(invoice=open_invoice(customer, quantity=2), now=NOW)
    services.issue_credit_note(invoice=paid, total=300, balance_amount=100, refund_amount=200, now=NOW)
    services.void_invoice(invoice=open_invoice(customer), now=NOW)
    services.mark_invoice_uncollectible(invoice=open_invoice(customer, quantity=5), now=NOW)
    void_grant(grant=grant_credit(customer, 250), now=NOW)
    environment = customer.environment
    entries = list(journal_of(environment))
    totals = {account: amount for (_, account), amount in totals_of(entries).items()}
    final = Invoice.objects.exclude(status="draft")

    assert sum(totals.values()) == 0
    assert totals[A.RECEIVABLE] == sum(one.amount_remaining for one in final.filter(status="open"))
    assert totals[A.WRITE_OFF] == sum(one.amount_remaining for one in final.filter(status="uncollectible"))
    assert totals[A.CUSTOMER_BALANCE] == CustomerBalance.objects.aggregate(all=Sum("amount"))["all"]
    assert totals[A.CREDIT_LIABILITY] == -sum(CreditGrant.objects.balances().values())
    assert totals[A.CASH] == Payment.objects.aggregate(all=Sum("amount"))["all"] - 200
    debit = sum(row[5] or 0 for row in journal_rows(environment, None, None))  # type: ignore[misc]
    credit = sum(row[6] or 0 for row in journal_rows(environment, None, None))  # type: ignore[misc]
    assert debit == credit > 0
    assert list(journal_of(CustomerFactory.create().environment)) == []


def test_a_span_has_those_entries_of_all_that_lie_in_it(customer: Customer) -> None:
    """Whatever was billed before it, and has been paid, credited, earned or given up since."""
    rich = rich_invoice(customer)
    later = FIRST_END + timedelta(days=2)
    paid, credited, void, lost = (open_invoice(customer, quantity=quantity) for quantity in (1, 2, 3, 4))
    services.record_payment(invoice=paid, amount=400, now=later)
    services.record_payment(invoice=paid, amount=100, received_at=NOW - timedelta(hours=1), now=later)
    note = services.issue_credit_note(invoice=credited, total=300, now=later)
    services.void_credit_note(note=note, now=later + timedelta(days=2))
    services.void_invoice(invoice=void, now=later + timedelta(days=1))
    services.mark_invoice_uncollectible(invoice=lost, now=later + timedelta(days=1))
    void_grant(grant=grant_credit(customer, 250), now=later)
    environment = rich.environment
    entries = list(journal_of(environment))
    bounds = sorted({entry.at for entry in entries} | {NOW - timedelta(days=1), FAR})

    spans = [*pairwise(bounds), *((bound, None) for bound in bounds), *((None, bound) for bound in bounds)]
    for since, until in spans:
        within = [
            entry for entry in entries if (since is None or since <= entry.at) and (until is None or entry.at < until)
        ]
        assert list(journal_of(environment, since, until)) == within
