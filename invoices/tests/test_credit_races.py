"""Credit at the same moment: on connections of their own, whoever comes second finds what the first one left."""

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.db import connection

from accounts.models import Customer
from accounts.services import delete_customer
from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from credits.errors import CreditGrantEnded, CreditGrantInUse
from credits.models import CreditAccount, CreditGrant, LedgerEntry
from credits.services import expire_due_grants, expire_grant, void_grant
from credits.tests.factories import grant_credit, ledger
from invoices import services
from invoices.models import Invoice
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, subscribe, use
from invoices.tests.test_races import at_once, kinds
from subscriptions.tests.factories import MeteredPriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

FINAL = FIRST_END + GRACE


def drafts(customer: Customer, *values: int) -> list[Invoice]:
    """Drafts of a customer's subscriptions, a cent for each unit used."""
    subscriptions = []
    for value in values:
        price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
        subscriptions.append(subscribe(customer, price))
        use(price, customer, value, NOW)
    services.close_due_periods(now=FIRST_END)
    return [Invoice.objects.get(subscription=subscription) for subscription in subscriptions]


def finalize(invoice: Invoice) -> Invoice:
    return services.finalize_invoice(invoice=invoice, now=FINAL)


def check_sums() -> None:
    """The database has held each commit to this; here it is added up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM credits_creditgrant g WHERE balance < 0 OR (balance, entry_count) <> "
            "(SELECT sum(amount), count(*) FROM credits_ledgerentry WHERE grant_id = g.id)"
        )
        assert cursor.fetchone() == (0,)
    for invoice in Invoice.objects.exclude(status="draft"):
        applied = LedgerEntry.objects.filter(invoice_id=invoice.pk, kind="applied")
        assert -sum(applied.values_list("amount", flat=True)) == invoice.credit_applied
        assert invoice.total == invoice.subtotal - invoice.credit_applied


def test_of_eight_finalizations_on_one_grant_none_takes_what_another_took() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 2500)
    invoices = drafts(customer, *[700] * 8)

    at_once(*[partial(finalize, invoice) for invoice in invoices])

    check_sums()
    taken = sorted(Invoice.objects.values_list("credit_applied", flat=True))
    assert taken == [0, 0, 0, 0, 400, 700, 700, 700]
    assert CreditGrant.objects.get(pk=grant.pk).balance == 0
    assert [entry.number for entry in grant.entries.order_by("pk")] == [1, 2, 3, 4, 5]


def test_a_run_beside_finalizations_by_hand_spends_each_cent_once() -> None:
    environment = CustomerFactory.create().environment
    customers = CustomerFactory.create_batch(4, environment=environment)
    for customer in customers:
        grant_credit(customer, 1000)
    by_hand = [drafts(customer, 600, 600)[0] for customer in customers]

    at_once(
        lambda: services.finalize_due_drafts(now=FINAL, chunk=3),
        lambda: services.finalize_due_drafts(now=FINAL, chunk=2),
        *[partial(finalize, invoice) for invoice in by_hand],
    )
    services.finalize_due_drafts(now=FINAL)

    check_sums()
    for customer in customers:
        assert sorted(customer.invoices.values_list("credit_applied", flat=True)) == [400, 600]


def test_expiry_against_application_one_of_them_has_it_all() -> None:
    for _ in range(5):
        customer = CustomerFactory.create()
        grant = grant_credit(customer, 1000)
        (invoice,) = drafts(customer, 600)

        at_once(partial(expire_grant, grant=grant, now=FINAL), partial(finalize, invoice))

        entries = ledger(grant)
        assert entries in (
            [("granted", 1000, 1000), ("applied", -600, 400), ("expired", -400, 0)],
            [("granted", 1000, 1000), ("expired", -1000, 0)],
        )
    check_sums()


def test_void_against_application_either_the_grant_was_used_or_it_is_void() -> None:
    for _ in range(5):
        customer = CustomerFactory.create()
        grant = grant_credit(customer, 1000)
        (invoice,) = drafts(customer, 600)

        voided, _ = at_once(partial(void_grant, grant=grant, now=FINAL), partial(finalize, invoice))

        invoice.refresh_from_db()
        if isinstance(voided, CreditGrantInUse):
            assert (ledger(grant)[-1], invoice.credit_applied) == (("applied", -600, 400), 600)
        else:
            assert (ledger(grant)[-1], invoice.credit_applied) == (("voided", -1000, 0), 0)
    check_sums()


def test_void_and_expiry_at_once_end_a_grant_once() -> None:
    grant = grant_credit(CustomerFactory.create(), 1000)

    outcomes = at_once(
        *[lambda: void_grant(grant=grant, now=NOW)] * 3, *[lambda: expire_grant(grant=grant, now=NOW)] * 3
    )

    assert sum(isinstance(outcome, CreditGrantEnded) for outcome in outcomes) == 5
    assert len(ledger(grant)) == 2
    check_sums()


def test_the_sweep_against_itself_and_against_void_invoices_loses_nothing() -> None:
    ends = FINAL + timedelta(days=1)
    customer = CustomerFactory.create()
    invoices = drafts(customer, 600, 600, 600)
    # Each pays for one of them, and for not all of it: what is paid in full cannot be void.
    prices = [invoice.lines.get().price for invoice in invoices]
    grants = [grant_credit(customer, 500, expires_at=ends, prices=[price]) for price in prices]
    for invoice in invoices:
        finalize(invoice)

    outcomes = at_once(
        *[partial(expire_due_grants, now=ends)] * 3,
        *[partial(services.void_invoice, invoice=invoice, now=ends) for invoice in invoices],
    )
    expire_due_grants(now=ends)
    assert not [outcome for outcome in outcomes if isinstance(outcome, BillingError)]

    check_sums()
    for grant in grants:
        # Applied, given back and expired, in whichever order the latter two came; the last one leaves nothing.
        moved = sorted((kind, amount) for kind, amount, _ in ledger(grant) if kind != "expired")
        assert moved == [("applied", -500), ("given_back", 500), ("granted", 500)]
        assert ledger(grant)[-1] == ("expired", -500, 0)


def test_grants_that_come_at_once_are_all_kept_and_share_one_account() -> None:
    customer = CustomerFactory.create()
    (invoice,) = drafts(customer, 10_000)

    at_once(*[lambda: grant_credit(customer, 100)] * 8, lambda: finalize(invoice))

    check_sums()
    assert CreditAccount.objects.count() == 1
    left = sum(CreditGrant.objects.values_list("balance", flat=True))
    invoice.refresh_from_db()
    assert left + invoice.credit_applied == 800
    # Never a part of one that was not there yet.
    assert invoice.credit_applied % 100 == 0


def test_of_two_void_calls_one_gives_back() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 300)
    (invoice,) = drafts(customer, 600)
    finalize(invoice)

    outcomes = at_once(*[lambda: services.void_invoice(invoice=invoice, now=FINAL)] * 2)

    assert kinds(outcomes) == ["Invoice", "InvoiceNotOpen"]
    assert ledger(grant)[2:] == [("given_back", 300, 300)]
    check_sums()


def test_a_grant_against_the_deletion_of_its_customer() -> None:
    for _ in range(5):
        customer = CustomerFactory.create()

        granted, _ = at_once(partial(grant_credit, customer, 100), partial(delete_customer, customer=customer, now=NOW))

        assert CreditGrant.objects.filter(customer=customer).exists() is not isinstance(granted, BillingError)
    check_sums()
