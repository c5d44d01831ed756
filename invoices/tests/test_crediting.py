"""Credit pays for the metered lines of invoices when they become final, and comes back when they are void."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from credits.models import CreditGrant, LedgerEntry
from credits.services import expire_due_grants
from credits.tests.factories import check_ledger, grant_credit, ledger
from invoices import services
from invoices.models import Invoice
from invoices.services import GRACE
from invoices.services.balances import adjust_balance
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe, use
from subscriptions.models import Price
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def price(customer: Customer) -> Price:
    """A cent for each unit."""
    return MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))


def draft(customer: Customer, price: Price, value: int) -> Invoice:
    """The draft of a month in which so many units were used."""
    subscription = subscribe(customer, price)
    use(price, customer, value, NOW)
    services.close_due_periods(now=FIRST_END)
    return Invoice.objects.get(subscription=subscription)


def final(invoice: Invoice) -> Invoice:
    services.finalize_invoice(invoice=invoice, now=FIRST_END + GRACE)
    check_ledger()
    invoice.refresh_from_db()
    return invoice


def amounts(invoice: Invoice) -> tuple[int, int, int, int, str]:
    return invoice.subtotal, invoice.credit_applied, invoice.total, invoice.amount_due, invoice.status


def test_credit_lowers_the_total_and_not_the_subtotal(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 300)
    invoice = final(draft(customer, price, 1000))

    assert amounts(invoice) == (1000, 300, 700, 700, "open")
    line = invoice.lines.get()
    entry = grant.entries.get(kind="applied")
    assert (entry.invoice_id, entry.invoice_line_id, entry.created_at) == (invoice.pk, line.pk, invoice.finalized_at)
    assert line.amount == 1000


def test_an_invoice_that_credit_pays_in_full_is_paid_at_once(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 5000)
    invoice = final(draft(customer, price, 1000))

    assert amounts(invoice) == (1000, 1000, 0, 0, "paid")
    assert invoice.paid_at == invoice.finalized_at
    assert ledger(grant)[-1] == ("applied", -1000, 4000)


def test_a_draft_and_a_preview_take_nothing(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 300)
    subscription = subscribe(customer, price)
    use(price, customer, 1000, NOW)

    preview = services.preview_invoice(environment=customer.environment, subscription=subscription, now=NOW + DAY)
    assert amounts(preview.invoice) == (1000, 300, 700, 700, "draft")
    assert [(share.line_id, share.amount) for share in preview.credit] == [(preview.lines[0].pk, 300)]

    services.close_due_periods(now=FIRST_END)
    assert amounts(Invoice.objects.get()) == (1000, 0, 1000, 1000, "draft")
    assert ledger(grant) == [("granted", 300, 300)]


def test_licensed_lines_are_not_paid_by_credit(customer: Customer, price: Price) -> None:
    grant_credit(customer, 5000)
    subscription = subscribe(customer, price, NewItem(PriceFactory.create(environment=customer.environment), 2))
    first = Invoice.objects.get(subscription=subscription)
    use(price, customer, 300, NOW)
    services.close_due_periods(now=FIRST_END)

    assert amounts(first) == (2000, 0, 2000, 2000, "open")
    assert amounts(final(Invoice.objects.get(status="draft"))) == (2300, 300, 2000, 2000, "open")


def test_usage_that_came_in_the_grace_is_paid_by_credit_too(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 5000)
    invoice = draft(customer, price, 1000)
    use(price, customer, 50, NOW + DAY)

    assert amounts(final(invoice)) == (1050, 1050, 0, 0, "paid")
    assert ledger(grant)[-1] == ("applied", -1050, 3950)


def test_credit_must_be_usable_when_the_invoice_becomes_final(customer: Customer, price: Price) -> None:
    becomes_final = FIRST_END + GRACE
    grant_credit(customer, 1, expires_at=becomes_final)
    usable = [
        grant_credit(customer, 10, expires_at=becomes_final + timedelta(microseconds=1)),
        grant_credit(customer, 100, effective_at=becomes_final),
    ]
    grant_credit(customer, 1000, effective_at=becomes_final + timedelta(microseconds=1))

    assert final(draft(customer, price, 5000)).credit_applied == 110
    assert set(LedgerEntry.objects.filter(kind="applied").values_list("grant", flat=True)) == {
        grant.pk for grant in usable
    }


def test_one_grant_lasts_for_several_invoices(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 2500)
    subscribe(customer, price)
    for month in (NOW, FIRST_END, SECOND_END):
        use(price, customer, 1000, month)
    # A long outage: three periods at once, and then their drafts.
    services.close_due_periods(now=THIRD_END)
    services.finalize_due_drafts(now=THIRD_END + GRACE)
    check_ledger()

    invoices = Invoice.objects.order_by("period_end")
    assert [amounts(invoice) for invoice in invoices] == [
        (1000, 1000, 0, 0, "paid"),
        (1000, 1000, 0, 0, "paid"),
        (1000, 500, 500, 500, "open"),
    ]
    assert ledger(grant)[1:] == [("applied", -1000, 1500), ("applied", -1000, 500), ("applied", -500, 0)]


def test_credit_comes_before_the_customers_balance(customer: Customer, price: Price) -> None:
    grant_credit(customer, 300)
    adjust_balance(customer=customer, amount=-800, currency="usd", now=NOW)

    invoice = final(draft(customer, price, 1000))

    assert amounts(invoice) == (1000, 300, 700, 0, "paid")
    assert (invoice.starting_balance, invoice.ending_balance) == (-800, -100)


def test_a_void_invoice_gives_its_credit_back(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 300)
    invoice = final(draft(customer, price, 1000))

    services.void_invoice(invoice=invoice, now=FIRST_END + DAY)
    check_ledger()

    invoice.refresh_from_db()
    # It keeps its amounts.
    assert amounts(invoice) == (1000, 300, 700, 700, "void")
    assert ledger(grant) == [("granted", 300, 300), ("applied", -300, 0), ("given_back", 300, 300)]


def test_a_void_invoice_gives_back_to_an_expired_grant_what_expires_at_once(customer: Customer, price: Price) -> None:
    grant = grant_credit(customer, 300, expires_at=FIRST_END + DAY)
    invoice = final(draft(customer, price, 1000))
    assert expire_due_grants(now=FIRST_END + 2 * DAY) == 0

    services.void_invoice(invoice=invoice, now=FIRST_END + 2 * DAY)
    check_ledger()

    assert ledger(grant)[2:] == [("given_back", 300, 300), ("expired", -300, 0)]


def test_a_correction_leaves_less_to_pay_by_credit(customer: Customer, price: Price) -> None:
    subscribe(customer, price)
    use(price, customer, 1000, NOW)
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    # After the first invoice was final: 400 fewer in its period, and 500 in the next one.
    use(price, customer, -400, NOW + DAY)
    use(price, customer, 500, FIRST_END + DAY)
    grant = grant_credit(customer, 2000, now=FIRST_END)
    services.close_due_periods(now=SECOND_END)
    services.finalize_due_drafts(now=SECOND_END + GRACE)

    second = Invoice.objects.order_by("period_end")[1]
    assert sorted(second.lines.values_list("amount", flat=True)) == [-400, 500]
    assert amounts(second) == (100, 100, 0, 0, "paid")
    assert CreditGrant.objects.get(pk=grant.pk).balance == 1900


@pytest.mark.parametrize("currency", ["jpy", "kwd"])
def test_currencies_without_cents_or_with_three_places_are_paid_in_their_smallest_units(
    customer: Customer, currency: str
) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1), currency=currency)
    grant_credit(customer, 1, currency=currency)
    grant_credit(customer, 5000)

    assert amounts(final(draft(customer, price, 1234))) == (1234, 1, 1233, 1233, "open")
