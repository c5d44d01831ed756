"""A wrong invoice is voided, and a draft takes its place that says the same until it is corrected."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction

from accounts.models import Company, Customer
from accounts.tests.factories import NOW, CustomerFactory
from credits.tests.factories import check_ledger, grant_credit
from invoices import services
from invoices.errors import InvoiceNotOpen, InvoicePartlySettled, InvoiceRevisedAlready, RevisedInvoiceSettled
from invoices.models import DraftEdit, Invoice, InvoiceItem
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, draft_invoice, open_invoice, subscribe, use
from invoices.tests.test_noting import reduced_invoice
from subscriptions.models import Discount
from subscriptions.services import NewDiscount, create_coupon, set_customer_discount
from subscriptions.tests.factories import MeteredPriceFactory

pytestmark = pytest.mark.django_db

LATER = FIRST_END + timedelta(days=1)
TOTALS = ("subtotal", "exclusive_tax", "inclusive_tax", "total", "amount_due", "currency", "period_start", "period_end")


def totals(invoice: Invoice) -> list[object]:
    invoice.refresh_from_db()
    return [getattr(invoice, name) for name in TOTALS]


def test_the_draft_says_what_the_invoice_said_with_its_discounts_and_taxes() -> None:
    invoice = reduced_invoice()

    draft = services.reissue_invoice(invoice=invoice, now=LATER)

    assert totals(draft) == totals(invoice)
    assert (invoice.status, draft.status, draft.revises, draft.subscription) == ("void", "draft", invoice, None)
    assert list(draft.lines.values_list("description", "amount")) == list(
        invoice.lines.values_list("description", "amount")
    )
    services.update_invoice_item(item=draft.items.order_by("pk")[0], now=LATER, amount=500)
    final = services.finalize_invoice(invoice=draft, now=LATER)
    assert (final.total, final.status) == (2700, "open")
    assert services.verify_invoice(invoice=final, now=LATER).is_equal


def test_credit_comes_back_and_pays_again() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 600)
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
    subscription = subscribe(customer, price)
    use(price, customer, 1000, NOW)
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    invoice = Invoice.objects.get(subscription=subscription)
    assert invoice.total == 400

    draft = services.reissue_invoice(invoice=invoice, now=LATER)
    grant.refresh_from_db()
    assert (draft.total, grant.balance) == (1000, 600)
    final = services.finalize_invoice(invoice=draft, now=LATER)

    assert (final.total, final.credit_applied, final.amount_due) == (400, 600, 400)
    check_ledger()


def test_what_is_settled_in_part_is_not_reissued() -> None:
    invoice = open_invoice()
    services.record_payment(invoice=invoice, amount=1, now=LATER)
    counts = Invoice.objects.count(), InvoiceItem.objects.count()

    with pytest.raises(InvoicePartlySettled):
        services.reissue_invoice(invoice=invoice, now=LATER)
    paid = services.pay_invoice_out_of_band(invoice=open_invoice(invoice.customer), now=LATER)
    with pytest.raises(InvoiceNotOpen):
        services.reissue_invoice(invoice=paid, now=LATER)

    assert (Invoice.objects.count() - 1, InvoiceItem.objects.count()) == counts


@pytest.mark.parametrize(
    ("of_company", "of_customer", "minutes"), [(60, None, 60), (15, None, 15), (15, 0, 0), (0, 2880, 2880)]
)
def test_the_grace_is_the_customers_or_the_companys(of_company: int, of_customer: int | None, minutes: int) -> None:
    customer: Customer = CustomerFactory.create(grace_minutes=of_customer)
    Company.objects.filter(environments=customer.environment_id).update(grace_minutes=of_company)

    draft = draft_invoice(customer)

    assert draft.finalizes_at == FIRST_END + timedelta(minutes=minutes)


def test_a_revision_takes_the_place_of_an_open_invoice_once_it_is_final() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 600)
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
    subscription = subscribe(customer, price)
    use(price, customer, 1000, NOW)
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    invoice = Invoice.objects.get(subscription=subscription)

    draft = services.revise_invoice(invoice=invoice, now=LATER, description="Corrected")
    invoice.refresh_from_db()
    assert (invoice.status, invoice.total, draft.revises, draft.description) == ("open", 400, invoice, "Corrected")
    for again in (services.revise_invoice, services.reissue_invoice):
        with pytest.raises(InvoiceRevisedAlready):
            again(invoice=invoice, now=LATER)
    services.create_invoice_item(
        environment=customer.environment, customer=customer, currency="usd", now=LATER, invoice=draft, amount=-100
    )

    final = services.finalize_invoice(invoice=draft, now=LATER)
    invoice.refresh_from_db()
    grant.refresh_from_db()
    # The old one's credit was back in time.
    assert (invoice.status, invoice.voided_at, final.total, final.credit_applied, grant.balance) == (
        "void",
        LATER,
        300,
        600,
        0,
    )
    check_ledger()


def test_a_revision_that_is_deleted_leaves_the_invoice_and_nothing_waits() -> None:
    invoice = reduced_invoice()
    before = totals(invoice), list(Discount.objects.order_by("pk").values("pk", "used_at", "removed_at"))
    draft = services.revise_invoice(invoice=invoice, now=LATER)

    services.delete_draft(invoice=draft, now=LATER)

    assert (totals(invoice), list(Discount.objects.order_by("pk").values("pk", "used_at", "removed_at"))) == before
    assert invoice.status == "open"
    assert not InvoiceItem.objects.waiting().filter(customer=invoice.customer).exists()
    # It can be revised anew.
    assert totals(services.revise_invoice(invoice=invoice, now=LATER)) == before[0]


@pytest.fixture
def once() -> Invoice:
    """An open invoice of 9.00 whose customer has used up a discount that is for once."""
    customer = CustomerFactory.create()
    coupon = create_coupon(environment=customer.environment, now=NOW, percent_off=Decimal(10), duration="once")
    set_customer_discount(customer=customer, given=NewDiscount(coupon=coupon), now=NOW)
    invoice = open_invoice(customer)
    assert (invoice.total, Discount.objects.get().used_at) == (900, NOW)
    return invoice


def total_of_next(customer: Customer) -> int:
    """What the customer's next invoice over 10.00 would come to; there will be none."""
    services.create_invoice_item(
        environment=customer.environment, customer=customer, currency="usd", now=LATER, amount=1000
    )
    with transaction.atomic():
        draft = services.create_invoice(
            environment=customer.environment, customer=customer, currency="usd", now=LATER, takes_waiting_items=True
        )
        transaction.set_rollback(True)
    return draft.total


def test_what_a_revision_lets_go_is_used_up_while_the_invoice_stands(once: Invoice) -> None:
    draft = services.revise_invoice(invoice=once, now=LATER, terms={"discounts": []})
    assert (draft.total, total_of_next(once.customer)) == (1000, 1000)

    services.delete_draft(invoice=draft, now=LATER)

    assert Discount.objects.get().used_at == NOW
    assert (totals(once)[3], total_of_next(once.customer)) == (900, 2000)


def test_what_a_revision_lets_go_is_had_by_the_next_once_the_invoice_is_void(once: Invoice) -> None:
    draft = services.revise_invoice(invoice=once, now=LATER, terms={"discounts": []})

    services.finalize_invoice(invoice=draft, now=LATER)

    assert total_of_next(once.customer) == 900


def test_what_a_revision_takes_back_is_its_own_when_it_is_final(once: Invoice) -> None:
    draft = services.revise_invoice(invoice=once, now=LATER)
    [discount] = services.discounts_of_draft(draft)
    services.take_discount_off_draft(invoice=draft, discount=discount, now=LATER, recorded_by="someone")
    services.undo_edit(edit=DraftEdit.objects.get(), now=LATER, recorded_by="someone")

    final = services.finalize_invoice(invoice=draft, now=LATER)

    assert (final.total, total_of_next(once.customer)) == (900, 1000)


def test_what_another_invoice_has_by_now_is_not_given_back_again(once: Invoice) -> None:
    draft = services.reissue_invoice(invoice=once, now=LATER)
    services.update_invoice(invoice=draft, now=LATER, terms={"discounts": []})
    services.create_invoice_item(
        environment=once.environment, customer=once.customer, currency="usd", now=LATER, amount=1000
    )
    next_one = services.create_invoice(
        environment=once.environment, customer=once.customer, currency="usd", now=LATER, takes_waiting_items=True
    )
    assert next_one.total == 900

    services.finalize_invoice(invoice=draft, now=LATER)

    assert total_of_next(once.customer) == 1000


def test_what_was_paid_meanwhile_is_not_revised_away() -> None:
    invoice = open_invoice()
    draft = services.revise_invoice(invoice=invoice, now=LATER)
    services.record_payment(invoice=invoice, amount=1, now=LATER)

    with pytest.raises(RevisedInvoiceSettled):
        services.finalize_invoice(invoice=draft, now=LATER)

    draft.refresh_from_db()
    invoice.refresh_from_db()
    assert (draft.status, draft.number, invoice.status) == ("draft", "", "open")
    with pytest.raises(InvoicePartlySettled):
        services.revise_invoice(invoice=invoice, now=LATER)
    services.pay_invoice_out_of_band(invoice=invoice, now=LATER)
    with pytest.raises(RevisedInvoiceSettled):
        services.finalize_invoice(invoice=draft, now=LATER)
    with pytest.raises(InvoiceNotOpen):
        services.revise_invoice(invoice=invoice, now=LATER)
