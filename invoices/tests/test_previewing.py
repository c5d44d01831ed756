"""The upcoming invoice: what it shows, and that it leaves nothing behind."""

from datetime import timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.errors import NotFound
from invoices import services
from invoices.errors import NoUpcomingInvoice
from invoices.models import Invoice, InvoiceLine
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from subscriptions.models import Price
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment)


@pytest.fixture
def licensed(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment)


def test_it_has_the_usage_of_this_period_and_the_licenses_of_the_next(
    customer: Customer, metered: Price, licensed: Price
) -> None:
    subscription = subscribe(customer, metered, NewItem(licensed, 2))
    use(metered, customer, 10, NOW)
    before = (Invoice.objects.count(), InvoiceLine.objects.count())

    preview = services.preview_invoice(
        environment=customer.environment, now=NOW + timedelta(days=1), subscription=subscription
    )

    invoice = preview.invoice
    assert (invoice.status, invoice.number, invoice.total, invoice.subtotal) == ("draft", "", 2005, 2005)
    assert (invoice.period_start, invoice.period_end) == (NOW, FIRST_END)
    assert (invoice.customer, invoice.subscription) == (customer, subscription)
    assert [(line.price, line.amount, line.period_end) for line in preview.lines] == [
        (metered, 5, FIRST_END),
        (licensed, 2000, SECOND_END),
    ]
    assert (Invoice.objects.count(), InvoiceLine.objects.count()) == before


def test_it_is_what_the_billing_run_then_bills(customer: Customer, metered: Price, licensed: Price) -> None:
    subscription = subscribe(customer, metered, licensed, cancel_at=FIRST_END + timedelta(days=3))
    use(metered, customer, "3.3333", NOW)
    for wall in (FIRST_END, FIRST_END + timedelta(days=3)):
        preview = services.preview_invoice(environment=customer.environment, now=wall, subscription=subscription)
        services.close_due_periods(now=wall)

        invoice = Invoice.objects.get(period_end=preview.invoice.period_end, billing_reason="subscription_cycle")
        assert invoice.total == preview.invoice.total
        fields = ("position", "price", "quantity", "exact_amount", "amount", "description", "basis")
        assert [tuple(row) for row in invoice.lines.values_list(*fields)] == [
            (line.position, line.price_id, line.quantity, line.exact_amount, line.amount, line.description, line.basis)
            for line in preview.lines
        ]


def test_a_customer_s_next_invoice_is_the_one_that_comes_first(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    yearly = PriceFactory.create(environment=customer.environment, interval="year")
    subscribe(customer, yearly, now=NOW - timedelta(days=1))

    preview = services.preview_invoice(environment=customer.environment, now=NOW, customer=customer)

    assert preview.invoice.period_end == FIRST_END


def test_where_nothing_will_be_billed_it_says_so(customer: Customer, metered: Price, licensed: Price) -> None:
    environment = customer.environment
    with pytest.raises(NoUpcomingInvoice):
        services.preview_invoice(environment=environment, now=NOW)
    with pytest.raises(NoUpcomingInvoice):
        services.preview_invoice(environment=environment, now=NOW, customer=customer)
    paid_up = subscribe(customer, licensed, cancel_at_period_end=True)
    with pytest.raises(NoUpcomingInvoice):
        services.preview_invoice(environment=environment, now=NOW, subscription=paid_up)
    over = services.cancel_subscription(subscription=subscribe(customer, metered), now=NOW)
    with pytest.raises(NoUpcomingInvoice) as caught:
        services.preview_invoice(environment=environment, now=NOW, subscription=over)
    assert caught.value.subscription_id == over.pk


def test_nothing_of_others_is_found(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    other = CustomerFactory.create(environment=customer.environment)
    with pytest.raises(NotFound):
        services.preview_invoice(environment=EnvironmentFactory.create(), now=NOW, subscription=subscription)
    with pytest.raises(NotFound):
        services.preview_invoice(environment=customer.environment, now=NOW, subscription=subscription, customer=other)
