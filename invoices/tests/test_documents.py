"""What an invoice says in print: every amount, how it came about, and the same for as long as it stands."""

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from accounts.errors import LogoRefused
from accounts.logos import remove_logo, set_logo
from accounts.models import CompanyLogo, Customer
from accounts.services import update_company, update_customer
from accounts.tests.factories import NOW, CustomerFactory
from core.money import exponent
from core.tests.test_typesetting import PNG
from credits.tests.factories import grant_credit
from invoices import services
from invoices.documents import Document, Line, Step, document_of, print_invoice
from invoices.models import Invoice
from invoices.services import GRACE
from invoices.services.balances import adjust_balance
from invoices.tests.factories import FIRST_END, open_invoice, subscribe, use, utc
from subscriptions.models import Product
from subscriptions.services import NewDiscount, NewItem, create_coupon, create_tax_rate, set_discounts, set_tax_rates
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, tiered

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(
        name="شركة الفواتير", email="pay@example.com", address={"line1": "1 Nile St", "country": "EG"}
    )


def rich_draft(customer: Customer) -> Invoice:
    """Tiers, packages and seats, with a discount, two taxes, credit and a balance."""
    environment = customer.environment
    tiers = tiered(
        MeteredPriceFactory.create(
            environment=environment, tiers_mode="graduated", unit_amount=None, product__name="API: calls"
        ),
        (1000, "1", "0"),
        (None, "0.5", "200"),
    )
    packages = MeteredPriceFactory.create(
        environment=environment, unit_amount=Decimal(500), divide_by=100, rounding="up", product__name="Mails"
    )
    seats = PriceFactory.create(environment=environment, unit_amount=Decimal(1000), product__name="Seats")
    subscription = subscribe(customer, tiers, packages, NewItem(seats, 3))
    coupon = create_coupon(environment=environment, now=NOW, name="Spring", percent_off=Decimal(10), duration="forever")
    set_discounts(customer=customer, subscription=subscription, given=[NewDiscount(coupon=coupon)], now=NOW)
    rates = [
        create_tax_rate(
            environment=environment, percentage=Decimal(percentage), inclusive=inclusive, now=NOW, display_name=name
        )
        for name, percentage, inclusive in (("VAT", "19", False), ("City tax", "2.5", True))
    ]
    set_tax_rates(subscription=subscription, tax_rates=rates)
    use(tiers, customer, 1501, NOW)
    use(packages, customer, 250, NOW)
    grant_credit(customer, 400)
    adjust_balance(customer=customer, amount=-150, currency="usd", now=NOW)
    services.close_due_periods(now=FIRST_END)
    return Invoice.objects.get(subscription=subscription, status="draft")


def rich_invoice(customer: Customer) -> Invoice:
    return services.finalize_invoice(invoice=rich_draft(customer), now=FIRST_END + GRACE)


def minor(words: str) -> int:
    """An amount as printed, in minor units again."""
    number, currency = words.replace("\N{MINUS SIGN}", "-").replace(",", "").split()
    amount = Fraction(number) * 10 ** exponent(currency.lower())
    assert amount.denominator == 1
    return int(amount)


def line_named(document: Document, title: str) -> Line:
    return next(line for line in document.lines if line.title == title)


def test_the_sums_lead_from_the_lines_to_what_is_due(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    document = document_of(invoice)
    sums = {row.label: minor(row.amount) for row in document.sums}
    added = [row for row in document.sums if not row.is_part and not row.is_strong]
    before, after = added[:-1], added[-1]

    assert sums["Sum of lines"] == sum(minor(line.amount) for line in document.lines) == invoice.subtotal
    assert sum(minor(row.amount) for row in before) == sums["Total"] == invoice.total
    assert sums["Total"] + minor(after.amount) == sums["Amount due"] == invoice.amount_due
    assert (sums["Paid by credit"], sums["Paid from your balance"]) == (-400, -150)
    assert [row.label for row in document.sums if row.is_part] == [
        next(label for label in sums if label.startswith("City tax 2.5 %, included"))
    ]


def test_a_payer_can_compute_each_line_again(customer: Customer) -> None:
    document = document_of(rich_invoice(customer))

    calls = line_named(document, "API: calls")
    assert (calls.quantity, calls.unit_price, calls.amount) == ("1,501", "", "14.51 USD")
    assert calls.steps[1:] == [
        Step("Tier 1, up to 1,000", "1,000 \N{MULTIPLICATION SIGN} 0.01 USD", "10.00 USD"),
        Step("Tier 2, and above", "501 \N{MULTIPLICATION SIGN} 0.005 USD + 2.00 USD flat", "4.505 USD"),
        Step("Rounded", "14.505 USD to", "14.51 USD"),
    ]
    assert calls.steps[0].words.startswith("sum of 1 event named")
    assert calls.changes[0].label == "Spring (10 % off)"
    mails = line_named(document, "Mails")
    assert mails.steps[-1] == Step(
        "Packages of 100, rounded up", "250 → 3 \N{MULTIPLICATION SIGN} 5.00 USD", "15.00 USD"
    )
    seats = line_named(document, "Seats")
    assert (seats.quantity, seats.unit_price, seats.steps) == ("3", "10.00 USD", [])
    # Each line's own changes are those of the sums.
    for label in ("Spring (10 % off)", "Paid by credit"):
        parts = [minor(row.amount) for line in document.lines for row in line.changes if row.label == label]
        assert sum(parts) == minor(next(row.amount for row in document.sums if row.label == label))


def test_part_of_a_period_and_thirds_of_a_cent_say_how_they_came_about(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment, unit_amount=Decimal(1000), product__name="Plan")
    subscription = subscribe(customer, price, anchor_at=NOW + timedelta(days=10))
    [line] = document_of(Invoice.objects.get(subscription=subscription)).lines

    part, rounded = line.steps
    assert part.label == "Part of a period"
    share = Fraction(re.findall(r"[\d/]+", part.words)[0])
    assert minor(line.amount) == round(1000 * share)
    assert "…" in rounded.words


@pytest.mark.parametrize(("currency", "shown"), [("jpy", "1,000 JPY"), ("kwd", "1.000 KWD"), ("usd", "10.00 USD")])
def test_amounts_have_the_places_of_their_currency(customer: Customer, currency: str, shown: str) -> None:
    price = PriceFactory.create(environment=customer.environment, currency=currency, unit_amount=Decimal(1000))
    document = document_of(Invoice.objects.get(subscription=subscribe(customer, price)))

    assert document.sums[-1].amount == shown
    assert document.lines[0].unit_price == shown


def test_a_final_invoice_stays_as_it_was_whatever_its_parties_become(customer: Customer) -> None:
    company = customer.environment.company
    update_company(company=company, postal_address="1 Main Street\nVAT 123")
    invoice = rich_invoice(CustomerFactory.create(environment=customer.environment, name="Old name"))
    before = print_invoice(invoice)
    update_customer(customer=invoice.customer, now=NOW, name="New name")
    update_company(company=company, name="Another company", postal_address="")
    again = Invoice.objects.get(pk=invoice.pk)

    assert document_of(again).buyer.name == "Old name"
    assert document_of(again).seller.lines == ["1 Main Street", "VAT 123"]
    assert print_invoice(again) == before


def test_a_draft_says_so_and_who_it_is_for_by_now(customer: Customer) -> None:
    draft = rich_draft(customer)
    update_customer(customer=customer, now=NOW, name="New name")
    document = document_of(Invoice.objects.get(pk=draft.pk))

    assert (document.mark, document.number, document.buyer.name) == ("Draft", "", "New name")
    assert "not to be paid yet" in document.headline


def test_what_was_paid_and_what_is_void_is_said_in_the_headline(customer: Customer) -> None:
    paid, void = open_invoice(customer), open_invoice(customer, quantity=2)
    paid = services.pay_invoice_out_of_band(invoice=paid, now=NOW)
    void = services.void_invoice(invoice=void, now=NOW)

    assert document_of(paid).headline == "10.00 USD paid on 10 Jun 2026"
    assert document_of(paid).sums[-1].amount == "0.00 USD"
    assert (document_of(void).mark, document_of(void).headline) == ("Void", "Void: nothing is to be paid")


def test_payments_and_credit_notes_lead_to_what_remains(customer: Customer) -> None:
    invoice = open_invoice(customer, quantity=3)
    services.record_payment(invoice=invoice, amount=500, reference="bank", now=NOW)
    note = services.issue_credit_note(invoice=invoice, total=700, now=NOW)
    document = document_of(Invoice.objects.get(pk=invoice.pk))

    assert document.headline == "18.00 USD due"
    assert [(row.label, minor(row.amount)) for row in document.sums[2:]] == [
        (f"Credit note {note.number}", -700),
        ("Paid on 10 Jun 2026", -500),
        ("Amount due", 1800),
    ]


def test_a_period_of_local_midnights_is_told_in_whole_local_days(customer: Customer) -> None:
    update_company(company=customer.environment.company, billing_zone="Europe/Berlin")
    customer = Customer.objects.get(pk=customer.pk)
    price = PriceFactory.create(environment=customer.environment)
    subscription = subscribe(customer, price, now=utc("2026-06-09T22:00"))
    [line] = document_of(Invoice.objects.get(subscription=subscription)).lines

    assert line.period == "10 Jun 2026 \N{EN DASH} 9 Jul 2026"


def test_words_for_the_payer_are_printed_as_they_are(customer: Customer) -> None:
    invoice = open_invoice(customer)
    services.update_invoice(
        invoice=invoice, now=NOW, description="#memo", footer="$footer$", custom_fields=[{"name": "PO", "value": "*1*"}]
    )
    invoice.refresh_from_db()
    document = document_of(invoice)

    assert (document.memo, document.footer) == ("#memo", "$footer$")
    assert ("PO", "*1*") in document.facts
    assert document.buyer.lines == ["1 Nile St", "EG", "pay@example.com"]
    assert print_invoice(invoice).startswith(b"%PDF-")


def test_a_logo_is_kept_replaced_and_removed(customer: Customer) -> None:
    company, invoice = customer.environment.company, open_invoice(customer)
    bare = print_invoice(invoice)
    set_logo(company=company, image=PNG, now=NOW)
    set_logo(company=company, image=PNG, now=NOW + timedelta(days=1))

    assert print_invoice(invoice) != bare
    assert CompanyLogo.objects.get().set_at == NOW + timedelta(days=1)
    remove_logo(company=company)
    assert print_invoice(invoice) == bare


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", "PNG or a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG or a JPEG"),
        (PNG[:-30] + b"\0" * 20, "damaged"),
        (PNG[:16] + b"\0\0\xff\xff\0\0\xff\xff" + PNG[24:], "3,000 pixels"),
        (PNG + b"\0" * 200_000, "200 kB"),
    ],
)
def test_a_picture_that_no_document_can_carry_is_refused(customer: Customer, image: bytes, reason: str) -> None:
    with pytest.raises(LogoRefused, match=reason):
        set_logo(company=customer.environment.company, image=image, now=NOW)

    assert not CompanyLogo.objects.exists()


def test_lines_are_told_by_what_they_keep_and_not_by_what_prices_and_products_are_now(customer: Customer) -> None:
    invoice = rich_invoice(customer)
    before = document_of(invoice)
    Product.objects.update(name="Renamed", unit_label="thing")

    assert document_of(Invoice.objects.get(pk=invoice.pk)).lines == before.lines
