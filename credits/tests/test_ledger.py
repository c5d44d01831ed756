"""What the database itself refuses, whatever code runs above it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.tests.factories import NOW, CustomerFactory
from core.ids import new_id
from credits.models import CreditAccount, CreditGrant, GrantedPrice, LedgerEntry
from credits.tests.factories import check_ledger, grant_credit
from subscriptions.tests.factories import MeteredPriceFactory

pytestmark = pytest.mark.django_db


def refused(constraint: str, change: Callable[[], Any]) -> None:
    """The change fails on the constraint of that name, at once or at the commit."""

    def commit() -> None:
        with transaction.atomic():
            change()
            check_ledger()

    with pytest.raises(IntegrityError) as error:
        commit()
    assert error.value.__cause__.diag.constraint_name == constraint  # type: ignore[union-attr]


def entry(grant: CreditGrant, **fields: Any) -> LedgerEntry:
    """An entry that goes on where a fresh grant's ledger ends, but for what is given."""
    given: dict[str, Any] = {
        "environment_id": grant.environment_id,
        "customer_id": grant.customer_id,
        "grant": grant,
        "number": 2,
        "kind": "expired",
        "amount": -100,
        "balance": 900,
        "effective_at": NOW,
        "created_at": NOW,
        **fields,
    }
    return LedgerEntry(**given)


def save(grant: CreditGrant, **fields: Any) -> Callable[[], Any]:
    return lambda: entry(grant, **fields).save(force_insert=True)


@pytest.fixture
def grant() -> CreditGrant:
    return grant_credit(CustomerFactory.create(), 1000)


def test_an_entry_is_never_changed_or_deleted(grant: CreditGrant) -> None:
    entries = LedgerEntry.objects.filter(grant=grant)
    refused("ledger_is_append_only", lambda: entries.update(amount=1))
    refused("ledger_is_append_only", lambda: entries._raw_delete(entries.db))
    assert entries.get().amount == 1000


def test_a_balance_does_not_change_without_an_entry(grant: CreditGrant) -> None:
    row = CreditGrant.objects.filter(pk=grant.pk)
    refused("credit_grant_balance_is_the_ledger_s", lambda: row.update(balance=999))
    refused("credit_grant_balance_is_the_ledger_s", lambda: row.update(entry_count=2))
    # Forth and back in one transaction is no change.
    row.update(balance=999)
    row.update(balance=1000)
    check_ledger()


def test_an_entry_does_not_come_without_its_balance(grant: CreditGrant) -> None:
    refused("credit_grant_balance_is_the_ledger_s", save(grant))


def test_a_grant_does_not_come_without_its_entry(grant: CreditGrant) -> None:
    copy = CreditGrant.objects.get(pk=grant.pk)
    copy.pk, copy.balance, copy.entry_count = new_id(), 1000, 0
    refused("credit_grant_balance_is_the_ledger_s", lambda: copy.save(force_insert=True))


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"balance": 901}, "ledger_has_no_gap"),
        ({"number": 3}, "ledger_has_no_gap"),
        ({"amount": -1001, "balance": -1}, "ledger_entry_balance_not_negative"),
        ({"amount": 100, "balance": 1100}, "ledger_entry_amount_has_its_kind_s_sign"),
        ({"amount": 0, "balance": 1000}, "ledger_entry_amount_has_its_kind_s_sign"),
        ({"kind": "granted", "amount": 5, "balance": 1005}, "ledger_entry_begins_with_the_grant"),
        ({"kind": "applied"}, "ledger_entry_names_what_it_paid"),
        ({"invoice_id": new_id(), "invoice_line_id": new_id()}, "ledger_entry_names_what_it_paid"),
        ({"kind": "refunded"}, "ledger_entry_amount_has_its_kind_s_sign"),
        ({"number": 1}, "ledger_entry_begins_with_the_grant"),
    ],
)
def test_what_is_no_entry(grant: CreditGrant, fields: dict[str, Any], constraint: str) -> None:
    refused(constraint, save(grant, **fields))


def test_nothing_is_given_back_twice(grant: CreditGrant) -> None:
    invoice = {"invoice_id": new_id(), "invoice_line_id": new_id()}
    applied = entry(grant, kind="applied", **invoice)
    back = {"kind": "given_back", "amount": 100, "gives_back": applied, **invoice}

    def twice() -> None:
        applied.save(force_insert=True)
        entry(grant, number=3, balance=1000, **back).save(force_insert=True)
        entry(grant, number=4, balance=1100, **back).save(force_insert=True)

    refused("ledger_entry_given_back_once", twice)
    refused("ledger_entry_gives_back_another", save(grant, **{**back, "gives_back": None, "balance": 1100}))


def test_the_ledger_begins_with_what_was_granted(grant: CreditGrant) -> None:
    def begin_anew() -> None:
        copy = CreditGrant.objects.get(pk=grant.pk)
        copy.pk, copy.balance, copy.entry_count = new_id(), 900, 1
        copy.save(force_insert=True)
        entry(copy, number=1, kind="granted", amount=900).save(force_insert=True)

    refused("ledger_has_no_gap", begin_anew)


def test_what_was_granted_to_whom_is_kept(grant: CreditGrant) -> None:
    row = CreditGrant.objects.filter(pk=grant.pk)
    other = CustomerFactory.create(environment=grant.environment)
    changes: list[dict[str, Any]] = [
        {"amount": 2000},
        {"currency": "eur"},
        {"customer": other},
        {"scope": "prices"},
        {"priority": 1},
        {"category": "promotional"},
        {"effective_at": NOW.replace(year=2025)},
    ]
    for change in changes:
        refused("credit_grant_is_kept", partial(row.update, **change))
    refused("credit_grant_voided_has_nothing_left", lambda: row.update(voided_at=NOW))


def test_a_balance_stays_between_nothing_and_the_amount(grant: CreditGrant) -> None:
    row = CreditGrant.objects.filter(pk=grant.pk)
    refused("credit_grant_balance_within_amount", lambda: row.update(balance=-1))
    refused("credit_grant_balance_within_amount", lambda: row.update(balance=1001))


def test_nothing_refers_across_a_wall(grant: CreditGrant) -> None:
    stranger = CustomerFactory.create()
    neighbor = CustomerFactory.create(environment=grant.environment)
    price = MeteredPriceFactory.create(environment=stranger.environment)
    theirs = GrantedPrice(environment=grant.environment, grant=grant, price=price)
    refused("credits_grantedprice_price_id_wall", lambda: theirs.save(force_insert=True))
    account = CreditAccount(customer=stranger, environment=grant.environment)
    refused("credits_creditaccount_customer_id_wall", lambda: account.save(force_insert=True))

    def of_another(customer: Any) -> Callable[[], Any]:
        def write() -> None:
            entry(grant, customer_id=customer.pk).save(force_insert=True)
            CreditGrant.objects.filter(pk=grant.pk).update(balance=900, entry_count=F("entry_count") + 1)

        return write

    for customer in (stranger, neighbor):
        refused("credits_ledgerentry_grant_id_wall", of_another(customer))
