"""Credit notes: in full, by line, by amount, before and after payment, and never beyond what was charged."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.metadata import MetadataChange
from credits.models import CreditGrant
from credits.tests.factories import check_ledger, grant_credit, ledger
from invoices import services
from invoices.errors import (
    CreditExceedsInvoice,
    CreditExceedsLine,
    CreditLineForeign,
    CreditNoteEmpty,
    CreditNoteNotVoidable,
    CreditNoteSplitWrong,
    InvoiceNotOpen,
    InvoicePartlySettled,
)
from invoices.models import CreditNote, CreditNoteLine, CustomerBalance, Invoice, InvoiceLine, LineTax, Payment
from invoices.services import GRACE, LineCredit
from invoices.tests.factories import FIRST_END, draft_invoice, open_invoice, subscribe, use
from invoices.tests.test_paying import fire_deferred_checks, kinds_since, standing
from subscriptions.models import Subscription
from subscriptions.services import NewDiscount, NewItem, create_coupon, create_tax_rate
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

LATER = FIRST_END + timedelta(days=1)


def line_of(invoice: Invoice, position: int = 0) -> InvoiceLine:
    return invoice.lines.get(position=position)


def issue(invoice: Invoice, **terms: Any) -> CreditNote:
    note = services.issue_credit_note(invoice=invoice, now=LATER, **terms)
    fire_deferred_checks()
    note.refresh_from_db()
    return note


def where(note: CreditNote) -> tuple[int, int, int, int, int]:
    return note.total, note.pre_payment_amount, note.refund_amount, note.balance_amount, note.out_of_band_amount


def reduced_invoice(*, inclusive: bool = False) -> Invoice:
    """Two lines of 10.00 and 20.00, 10 % off, 20 % tax: 27.00 and 5.40 on top, or 4.50 within."""
    customer = CustomerFactory.create()
    environment = customer.environment
    coupon = create_coupon(environment=environment, now=NOW, percent_off=Decimal(10), duration="forever")
    rate = create_tax_rate(
        environment=environment, now=NOW, display_name="VAT", percentage=Decimal(20), inclusive=inclusive
    )
    price = PriceFactory.create(environment=environment)
    subscription = subscribe(
        customer, NewItem(price, 1), NewItem(PriceFactory.create(environment=environment), 2),
        discounts=[NewDiscount(coupon=coupon)], tax_rates=[rate],
    )  # fmt: skip
    return Invoice.objects.get(subscription=subscription)


def everything() -> list[Any]:
    models = (Invoice, CreditNote, CreditNoteLine, Payment, Event, CustomerBalance, Subscription)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def test_an_open_invoice_is_credited_in_full() -> None:
    invoice = open_invoice()
    before = Event.objects.count()

    note = issue(invoice, reason="duplicate", memo="Sorry", recorded_by="Ada", metadata=MetadataChange({"a": "b"}))

    assert standing(invoice) == ("paid", 0, 0)
    assert (invoice.pre_payment_credited, invoice.post_payment_credited, invoice.amount_due) == (1000, 0, 1000)
    assert note.number == f"{invoice.number}-CN-01"
    assert (note.status, note.reason, note.memo, note.recorded_by, note.metadata) == (
        "issued", "duplicate", "Sorry", "Ada", {"a": "b"},
    )  # fmt: skip
    assert where(note) == (1000, 1000, 0, 0, 0)
    assert (note.effective_at, note.created_at, note.currency) == (LATER, LATER, "usd")
    line = note.lines.get()
    assert (line.invoice_line, line.amount, line.quantity) == (line_of(invoice), 1000, None)
    assert [kind for kind in kinds_since(before) if kind != "subscription.updated"] == [
        "credit_note.created",
        "invoice.paid",
        "invoice.updated",
    ]


def test_a_paid_invoice_is_credited_to_where_it_is_said() -> None:
    invoice = services.pay_invoice_out_of_band(invoice=open_invoice(), now=LATER)

    note = issue(invoice, total=600, refund_amount=100, balance_amount=200, out_of_band_amount=300)

    assert where(note) == (600, 0, 100, 200, 300)
    assert standing(invoice) == ("paid", 1000, 0)
    assert (invoice.pre_payment_credited, invoice.post_payment_credited, invoice.amount_creditable) == (0, 600, 400)
    entry = note.balance_transaction
    assert entry is not None
    assert (entry.kind, entry.amount, entry.ending_balance, entry.invoice) == ("credit_note", -200, -200, invoice)


def test_a_note_may_fall_on_both_sides_of_a_payment() -> None:
    invoice = open_invoice()
    services.record_payment(invoice=invoice, amount=700, now=LATER)

    with pytest.raises(CreditNoteSplitWrong, match=r"2\.00 USD of it"):
        issue(invoice, total=500)
    note = issue(invoice, total=500, refund_amount=200)

    assert where(note) == (500, 300, 200, 0, 0)
    assert standing(invoice) == ("paid", 700, 0)


def test_what_the_balance_had_paid_goes_back_like_a_payment() -> None:
    customer = CustomerFactory.create()
    services.adjust_balance(customer=customer, amount=-400, currency="usd", now=NOW)
    invoice = open_invoice(customer)
    assert (invoice.total, invoice.amount_due) == (1000, 600)

    note = issue(invoice, balance_amount=400)

    assert where(note) == (1000, 600, 0, 400, 0)
    assert customer.balances.get().amount == -400


def test_discounts_and_taxes_are_credited_in_proportion() -> None:
    invoice = reduced_invoice()
    assert (invoice.total, invoice.exclusive_tax) == (3240, 540)

    first = issue(invoice, lines=[LineCredit(line_of(invoice).pk, amount=500)])
    assert (first.subtotal, first.discount_amount, first.exclusive_tax, first.total) == (500, 50, 90, 540)
    second = issue(invoice, total=1000)
    assert (second.subtotal, second.discount_amount, second.exclusive_tax, second.total) == (926, 92, 166, 1000)
    last = issue(invoice)

    assert [note.number[-6:] for note in (first, second, last)] == ["-CN-01", "-CN-02", "-CN-03"]
    assert first.total + second.total + last.total == 3240
    assert standing(invoice) == ("paid", 0, 0)
    taxed = sum(row.amount for note in (first, second, last) for line in note.lines.all() for row in line.taxes.all())
    assert taxed == sum(LineTax.objects.filter(line__invoice=invoice).values_list("amount", flat=True)) == 540
    with pytest.raises(CreditNoteEmpty):
        issue(invoice)


def test_inclusive_taxes_stay_within() -> None:
    invoice = reduced_invoice(inclusive=True)
    assert (invoice.total, invoice.inclusive_tax) == (2700, 450)

    note = issue(invoice, lines=[LineCredit(line_of(invoice).pk)])

    assert (note.subtotal, note.discount_amount, note.inclusive_tax, note.exclusive_tax) == (1000, 100, 150, 0)
    assert note.total == 900


def test_units_come_to_the_whole_line() -> None:
    customer = CustomerFactory.create()
    price = PriceFactory.create(environment=customer.environment, unit_amount=Decimal("33.4"))
    invoice = Invoice.objects.get(subscription=subscribe(customer, NewItem(price, 3)))
    assert invoice.total == 100
    line = line_of(invoice).pk

    notes = [issue(invoice, lines=[LineCredit(line, quantity=Decimal(1))]) for _ in range(3)]

    assert [note.total for note in notes] == [33, 34, 33]
    assert [note.lines.get().quantity for note in notes] == [1, 1, 1]
    with pytest.raises(CreditExceedsLine):
        issue(invoice, lines=[LineCredit(line, quantity=Decimal(1))])


@pytest.mark.parametrize(
    ("terms", "refusal"),
    [
        ({"total": 1001}, CreditExceedsInvoice),
        ({"total": 0}, CreditExceedsInvoice),
        ({"refund_amount": 1}, CreditNoteSplitWrong),
        ({"total": 10, "balance_amount": -1, "refund_amount": 1}, CreditNoteSplitWrong),
        ({"lines": []}, CreditNoteEmpty),
    ],
)
def test_a_note_that_cannot_be_is_refused(terms: dict[str, Any], refusal: type[Exception]) -> None:
    invoice = open_invoice()
    before = everything()

    with pytest.raises(refusal):
        services.issue_credit_note(invoice=invoice, now=LATER, **terms)

    assert everything() == before


def test_lines_are_the_invoices_and_not_credited_beyond_themselves() -> None:
    invoice, other = open_invoice(), open_invoice()
    line = line_of(invoice).pk
    before = everything()

    def refused(refusal: type[Exception], *lines: LineCredit) -> None:
        with pytest.raises(refusal):
            services.issue_credit_note(invoice=invoice, now=LATER, lines=lines)
        assert everything() == before

    refused(CreditLineForeign, LineCredit(line_of(other).pk))
    refused(CreditLineForeign, LineCredit(line, amount=1), LineCredit(line, amount=1))
    refused(CreditExceedsLine, LineCredit(line, amount=1001))
    refused(CreditExceedsLine, LineCredit(line, amount=-1))
    refused(CreditExceedsLine, LineCredit(line, quantity=Decimal(2)))
    refused(CreditExceedsLine, LineCredit(line, quantity=Decimal(0)))


def test_drafts_and_void_invoices_are_not_credited() -> None:
    void = services.void_invoice(invoice=open_invoice(), now=LATER)

    for invoice in (draft_invoice(), void):
        for service in (services.issue_credit_note, services.preview_credit_note):
            with pytest.raises(InvoiceNotOpen):
                service(invoice=invoice, now=LATER)
    assert not CreditNote.objects.exists()


def test_lines_that_gave_something_back_are_credited_with_the_rest_of_all() -> None:
    customer = CustomerFactory.create()
    invoice = services.create_invoice(environment=customer.environment, customer=customer, currency="usd", now=NOW)
    for amount in (1000, -400):
        services.create_invoice_item(
            environment=customer.environment, customer=customer, invoice=invoice, amount=amount, currency="usd", now=NOW
        )
    invoice = services.finalize_invoice(invoice=invoice, now=NOW)
    assert invoice.total == 600

    with pytest.raises(CreditExceedsInvoice):
        issue(invoice, lines=[LineCredit(line_of(invoice).pk)])
    part = issue(invoice, total=100)
    rest = issue(invoice)

    assert list(part.lines.values_list("amount", flat=True)) == [100]
    assert list(rest.lines.values_list("amount", flat=True)) == [900, -400]
    assert standing(invoice) == ("paid", 0, 0)


def test_a_preview_says_the_same_and_keeps_nothing() -> None:
    invoice = reduced_invoice()
    before = everything()

    drafted = services.preview_credit_note(invoice=invoice, now=LATER, total=1000, memo="so")

    assert everything() == before
    note = issue(invoice, total=1000, memo="so")
    for name in ("number", "subtotal", "discount_amount", "exclusive_tax", "total", "pre_payment_amount", "memo"):
        assert getattr(drafted.note, name) == getattr(note, name)
    assert [line.amount for line in drafted.lines] == [line.amount for line in note.lines.all()]


def test_a_void_note_is_to_be_paid_again_and_keeps_its_number() -> None:
    invoice = open_invoice()
    note = issue(invoice, total=300)
    assert standing(invoice) == ("open", 0, 700)
    with pytest.raises(InvoicePartlySettled):
        services.void_invoice(invoice=invoice, now=LATER)

    before = Event.objects.count()
    services.void_credit_note(note=note, now=LATER)
    fire_deferred_checks()

    note.refresh_from_db()
    assert (note.status, note.voided_at, standing(invoice)) == ("void", LATER, ("open", 0, 1000))
    assert kinds_since(before) == ["credit_note.voided", "invoice.updated"]
    with pytest.raises(CreditNoteNotVoidable):
        services.void_credit_note(note=note, now=LATER)
    again = issue(invoice)
    assert (again.number[-6:], again.total) == ("-CN-02", 1000)


def test_once_its_invoice_is_paid_a_note_stands() -> None:
    invoice = open_invoice()
    note = issue(invoice, total=300)
    services.pay_invoice_out_of_band(invoice=invoice, now=LATER)
    before = everything()

    with pytest.raises(CreditNoteNotVoidable):
        services.void_credit_note(note=note, now=LATER)

    assert everything() == before


def test_words_change_and_nothing_else() -> None:
    note = issue(open_invoice(), total=300)

    services.update_credit_note(note=note, now=LATER, memo="New", metadata=MetadataChange({"k": "v"}))

    note.refresh_from_db()
    assert (note.memo, note.metadata) == ("New", {"k": "v"})
    for change in ({"total": 1}, {"refund_amount": 300}, {"number": "x"}, {"reason": "fraudulent"}):
        with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
            CreditNote.objects.filter(pk=note.pk).update(**change)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        CreditNoteLine.objects.filter(credit_note=note).update(amount=1)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        CreditNoteLine.objects.filter(credit_note=note)._raw_delete("default")


class TestCredit:
    @pytest.fixture
    def customer(self) -> Customer:
        return CustomerFactory.create()

    @pytest.fixture
    def grant(self, customer: Customer) -> CreditGrant:
        return grant_credit(customer, 600)

    @pytest.fixture
    def invoice(self, customer: Customer, grant: CreditGrant) -> Invoice:
        price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
        subscription = subscribe(customer, price)
        use(price, customer, 1000, NOW)
        services.close_due_periods(now=FIRST_END)
        services.finalize_due_drafts(now=FIRST_END + GRACE)
        return Invoice.objects.get(subscription=subscription)

    def test_what_credit_had_paid_comes_back_with_the_last_of_its_line(
        self, invoice: Invoice, grant: CreditGrant
    ) -> None:
        assert (invoice.total, invoice.credit_applied) == (400, 600)

        half = issue(invoice, lines=[LineCredit(line_of(invoice).pk, amount=500)])
        assert (half.subtotal, half.credit_amount, half.total) == (500, 300, 200)
        assert ledger(grant)[-1][0] == "applied"
        rest = issue(invoice)

        assert (rest.subtotal, rest.credit_amount, rest.total) == (500, 300, 200)
        assert ledger(grant)[-1] == ("given_back", 600, 600)
        assert standing(invoice) == ("paid", 0, 0)
        check_ledger()

    def test_an_invoice_that_credit_paid_as_a_whole_can_still_be_taken_back(self, customer: Customer) -> None:
        grant = grant_credit(customer, 5000)
        price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(1))
        subscription = subscribe(customer, price)
        use(price, customer, 1000, NOW)
        services.close_due_periods(now=FIRST_END)
        services.finalize_due_drafts(now=FIRST_END + GRACE)
        invoice = Invoice.objects.get(subscription=subscription)
        assert (invoice.total, invoice.status) == (0, "paid")

        note = issue(invoice)

        assert (note.subtotal, note.credit_amount, note.total) == (1000, 1000, 0)
        assert ledger(grant)[-1][0] == "given_back"
        check_ledger()


def test_the_database_lets_no_line_be_credited_beyond_itself() -> None:
    invoice = open_invoice()
    line = line_of(invoice)
    note = issue(invoice, total=300)
    of_note = {"environment": note.environment, "customer": note.customer, "invoice": invoice, "currency": "usd"}

    def note_over(amount: int, of_line: int, **more: Any) -> None:
        forged = CreditNote.objects.create(
            **of_note, sequence=9, number="x", subtotal=amount, total=amount, pre_payment_amount=amount,
            effective_at=NOW, created_at=NOW, **more,
        )  # fmt: skip
        CreditNoteLine.objects.create(
            environment=note.environment, credit_note=forged, invoice_line=line, position=0, amount=of_line
        )
        Invoice.objects.filter(pk=invoice.pk).update(pre_payment_credited=300 + amount)
        fire_deferred_checks()

    with pytest.raises(IntegrityError, match="would be credited of a line"), transaction.atomic():
        note_over(600, 701)
    with pytest.raises(IntegrityError, match="sum of its lines"), transaction.atomic():
        note_over(600, 599)
    with pytest.raises(IntegrityError, match="invoice_"), transaction.atomic():
        note_over(701, 701)
    with pytest.raises(IntegrityError, match="credit_note_total_goes_somewhere"), transaction.atomic():
        note_over(600, 600, refund_amount=1)
