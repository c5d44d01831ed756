"""Final invoices computed again: equal, whatever came later, and an alarm where something was bent."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.ids import spell
from credits.tests.factories import grant_credit
from invoices import services
from invoices.models import Invoice, InvoiceLine, InvoiceVerification
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, draft_invoice, subscribe, use
from subscriptions.models import Coupon, Price, TaxRate
from subscriptions.services import ItemChange, NewDiscount, NewItem, create_coupon, create_tax_rate
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, tiered
from usage.models import MeterEvent
from usage.services import cancel_event

pytestmark = pytest.mark.django_db

FINAL = FIRST_END + GRACE
LATER = FINAL + timedelta(days=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal("0.5"))


def bill(now: Any = FIRST_END) -> None:
    services.close_due_periods(now=now)
    services.finalize_due_drafts(now=now + GRACE)


def verified(invoice: Invoice) -> tuple[bool, list[str]]:
    found = services.verify_invoice(invoice=invoice, now=LATER)
    assert found.is_equal == (not found.differences)
    return found.is_equal, [one["what"] for one in found.differences]


def bend(line: InvoiceLine, **columns: Any) -> None:
    """Change a final line, as only somebody at the database could."""
    with connection.cursor() as cursor:
        # No table is altered with checks still to come.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE invoices_invoiceline DISABLE TRIGGER invoice_line_final_is_frozen")
        InvoiceLine.objects.filter(pk=line.pk).update(**columns)
        cursor.execute("ALTER TABLE invoices_invoiceline ENABLE TRIGGER invoice_line_final_is_frozen")


def test_lines_of_every_kind_come_out_equal(customer: Customer, metered: Price) -> None:
    environment = customer.environment
    tiers = tiered(MeteredPriceFactory.create(environment=environment), (10, "3", "5"), (None, "1.5", "0"))
    coupon = create_coupon(environment=environment, now=NOW, percent_off=Decimal(15), duration="forever")
    rate = create_tax_rate(
        environment=environment, now=NOW, display_name="VAT", percentage=Decimal("8.25"), inclusive=False
    )
    grant_credit(customer, 7)
    services.adjust_balance(customer=customer, amount=-3, currency="usd", now=NOW)
    subscribe(
        customer, metered, NewItem(PriceFactory.create(environment=environment), 3), tiers,
        discounts=[NewDiscount(coupon=coupon)], tax_rates=[rate],
    )  # fmt: skip
    use(metered, customer, "12.345", NOW)
    use(tiers, customer, 25, NOW)
    bill()

    for invoice in Invoice.objects.all():
        assert verified(invoice) == (True, [])
    assert InvoiceVerification.objects.filter(is_equal=True).count() == 2


def test_what_comes_or_is_canceled_later_is_no_difference(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    bill()
    invoice = Invoice.objects.get()

    use(metered, customer, 40, NOW + timedelta(hours=1))
    assert verified(invoice) == (True, [])
    event = MeterEvent.objects.order_by("pk")[0]
    cancel_event(environment=event.environment, identifier=event.identifier, now=LATER, reason="a mistake")
    assert verified(invoice) == (True, [])


def test_true_ups_come_out_equal(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    bill()
    use(metered, customer, 41, NOW)
    bill(SECOND_END)
    trued_up = InvoiceLine.objects.get(trues_up__isnull=False)

    assert trued_up.amount == 21
    assert verified(trued_up.invoice) == (True, [])


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"amount": 51}, ["subtotal", "total", "amount due", "amount"]),
        ({"exact_amount": Decimal("49.9")}, ["exact amount"]),
    ],
)
def test_a_line_that_was_bent_is_found(
    customer: Customer, metered: Price, columns: dict[str, Any], what: list[str]
) -> None:
    subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    bill()
    line = InvoiceLine.objects.get()

    bend(line, **columns)

    assert verified(line.invoice) == (False, what)


def lines_that_no_meter_counts(customer: Customer) -> dict[str, InvoiceLine]:
    """A final invoice with one of each: a licensed period, both kinds of prorations, one-time prices, amounts."""
    environment = customer.environment
    setup = PriceFactory.create(environment=environment, unit_amount=Decimal("33.3"), interval="")
    coupon = create_coupon(environment=environment, now=NOW, percent_off=Decimal(10), duration="forever")
    licensed = PriceFactory.create(environment=environment, unit_amount=Decimal(1000))
    subscription = subscribe(customer, licensed, discounts=[NewDiscount(coupon=coupon)])
    services.update_subscription(
        subscription=subscription,
        now=NOW + timedelta(days=7, hours=5),
        items=[ItemChange(item=subscription.items.get(), quantity=3)],
    )
    for terms in ({"price": setup, "quantity": Decimal(5)}, {"unit_amount": Decimal("0.7"), "quantity": Decimal(3)}, {"amount": -40}):  # fmt: skip
        services.create_invoice_item(
            environment=environment, customer=customer, currency="usd", now=NOW, subscription=subscription, **terms
        )
    bill()
    lines = InvoiceLine.objects.filter(invoice=Invoice.objects.latest("created_at"))
    licensed_line, unused, remaining, once, units, amount = lines.order_by("position")
    return {"licensed": licensed_line, "unused": unused, "remaining": remaining, "once": once, "units": units, "amount": amount}  # fmt: skip


def test_lines_that_no_meter_counts_are_rated_again(customer: Customer) -> None:
    lines = lines_that_no_meter_counts(customer)
    invoice = lines["licensed"].invoice
    assert (lines["unused"].amount < 0, lines["remaining"].amount > 0, lines["once"].amount) == (True, True, 167)
    assert verified(invoice) == (True, [])
    # It is found whether it was bent to a cent more or within the cent.
    for which in ("licensed", "unused", "remaining", "once", "units"):
        line = lines[which]
        bend(line, exact_amount=line.exact_amount + Decimal("0.001"))
        assert verified(invoice) == (False, ["exact amount"]), which
        bend(line, exact_amount=line.exact_amount)
    bend(lines["unused"], basis=lines["unused"].basis | {"full_periods": "1"})
    assert verified(invoice) == (False, ["exact amount", "amount"])


def test_discounts_and_taxes_are_computed_again(customer: Customer, metered: Price) -> None:
    environment = customer.environment
    coupon = create_coupon(environment=environment, now=NOW, percent_off=Decimal(15), duration="forever")
    rate = create_tax_rate(environment=environment, now=NOW, display_name="VAT", percentage=Decimal(8), inclusive=False)
    grant_credit(customer, 7)
    subscribe(customer, metered, discounts=[NewDiscount(coupon=coupon)], tax_rates=[rate])
    use(metered, customer, 1000, NOW)
    bill()
    [invoice] = Invoice.objects.all()
    assert (verified(invoice), invoice.credit_applied) == ((True, []), 7)

    # Both sums are as they were: only the rates say otherwise.
    Coupon.objects.filter(pk=coupon.pk).update(percent_off=Decimal(16))
    assert verified(invoice) == (False, ["discount"])
    Coupon.objects.filter(pk=coupon.pk).update(percent_off=Decimal(15))
    TaxRate.objects.filter(pk=rate.pk).update(percentage=Decimal(9))
    assert verified(invoice) == (False, ["tax"])


def test_usage_that_was_billed_without_events_is_found_and_settled(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    bill()
    invoice = Invoice.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE usage_meterevent SET value = 99")

    assert services.verify_invoices(now=LATER) == 1

    [found] = InvoiceVerification.objects.alarming()
    assert found.differences == [
        {"line": str(invoice.lines.get().pk), "what": "used", "billed": "100", "computed": "99"}
    ]
    services.resolve_verification(verification=found, now=LATER)
    assert not InvoiceVerification.objects.alarming().exists()


def test_the_command_says_equal_or_what_is_different(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    bill()
    invoice = Invoice.objects.get()
    said = StringIO()

    call_command("verify_invoice", spell("in", invoice.pk), stdout=said)
    assert f"{invoice.number}: equal (1 line)." in said.getvalue()

    bend(invoice.lines.get(), amount=51)
    with pytest.raises(CommandError, match=r"different \(1 line\)"):
        call_command("verify_invoice", str(invoice.pk), stdout=said)
    assert "amount is 51, computed again 50" in said.getvalue()
    for unknown in ("in_nope", spell("in", draft_invoice().pk)):
        with pytest.raises(CommandError, match="no final invoice"):
            call_command("verify_invoice", unknown)
