"""The page that explains a line: arithmetic, the period before, events, and the line computed again."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from credits.tests.factories import grant_credit
from invoices import services
from invoices.models import InvoiceLine, InvoiceVerification
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from subscriptions.models import Price
from subscriptions.services import NewDiscount, NewItem, create_coupon, create_tax_rate, set_tax_rates
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, tiered
from usage.models import MeterEvent
from usage.services import cancel_event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
MOST_QUERIES = 24


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def price(customer: Customer) -> Price:
    made = MeteredPriceFactory.create(environment=customer.environment, tiers_mode="graduated", unit_amount=None)
    return tiered(made, (100, "2", "0"), (None, "0.5", "0"))


def bill(end: Any) -> None:
    services.close_due_periods(now=end)
    services.finalize_due_drafts(now=end + GRACE)


def line_of(end: Any, **which: Any) -> InvoiceLine:
    return InvoiceLine.objects.get(invoice__period_end=end, price__meter__isnull=False, trues_up__isnull=True, **which)


def address(line: InvoiceLine) -> str:
    return reverse("admin:invoices_invoiceline_explain", args=[line.pk])


def test_a_line_is_explained_down_to_its_events_and_against_the_period_before(
    customer: Customer, price: Price, admin_client: Client
) -> None:
    coupon = create_coupon(environment=customer.environment, now=NOW, percent_off=Decimal(10), duration="forever")
    subscription = subscribe(customer, price, discounts=[NewDiscount(coupon=coupon)])
    vat = create_tax_rate(
        environment=customer.environment, now=NOW, display_name="VAT", percentage=Decimal(20), inclusive=False
    )
    set_tax_rates(subscription=subscription, tax_rates=[vat])
    use(price, customer, 80, NOW + DAY)
    bill(FIRST_END)
    first = admin_client.get(address(line_of(FIRST_END))).context
    assert (first["comparison"], first["comes_to"]) == (None, 173)
    grant_credit(customer, 30)
    for number in range(30):
        use(price, customer, 10, FIRST_END + number * timedelta(hours=1))
    bill(SECOND_END)

    line = line_of(SECOND_END)
    with CaptureQueriesContext(connection) as queries:
        answer = admin_client.get(address(line))
    told = answer.context

    assert [(step.what, step.amount) for step in told["steps"]] == [
        ("Tier 1, up to 100", 200),
        ("Tier 2, and above", 100),
        ("Rounded once", 0),
    ]
    # 3.00, a tenth off, 30 cents by credit, and a fifth of what is left as tax.
    assert [amount for _, amount in told["discounts"]] == [-30]
    assert (told["credit"], told["comes_to"]) == (-30, 288)
    change = told["comparison"].change
    assert (change.quantity, change.amount, change.by_usage, change.by_price) == (220, 140, 140, 0)
    assert len(told["events"]) == 20
    listed = admin_client.get(told["events_link"])
    assert listed.context["cl"].result_count == 30
    assert len(queries) <= MOST_QUERIES, [query["sql"] for query in queries]
    assert all("COUNT(" not in query["sql"] for query in queries if "usage_meterevent" in query["sql"])
    assert address(line_of(FIRST_END)) in answer.content.decode()


def test_usage_and_price_are_told_apart(customer: Customer, price: Price, admin_client: Client) -> None:
    subscription = subscribe(customer, price)
    use(price, customer, 100, NOW + DAY)
    bill(FIRST_END)
    dearer = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(3), meter=price.meter)
    # As the period began with the other price.
    item = subscription.items.get()
    type(item).objects.filter(pk=item.pk).update(price=dearer, effective_at=FIRST_END)
    use(price, customer, 150, FIRST_END + DAY)
    bill(SECOND_END)

    change = admin_client.get(address(line_of(SECOND_END))).context["comparison"].change

    # 150 would have cost 2.25 at the price before, and cost 4.50.
    assert (change.amount, change.by_usage, change.by_price) == (250, 25, 225)


def test_it_is_computed_again_on_demand_and_what_came_late_is_told(
    customer: Customer, price: Price, admin_client: Client
) -> None:
    subscribe(customer, price, NewItem(PriceFactory.create(environment=customer.environment), 2))
    use(price, customer, 80, NOW + DAY)
    services.close_due_periods(now=FIRST_END)
    line = line_of(FIRST_END)
    draft = admin_client.get(address(line))
    assert not draft.context["may_verify"]
    assert admin_client.post(address(line)).status_code == 403
    bill(FIRST_END)
    use(price, customer, 5, FIRST_END - DAY)
    early = MeterEvent.objects.earliest("timestamp")
    cancel_event(environment=early.environment, identifier=early.identifier, now=FIRST_END + 2 * DAY, reason="twice")

    admin_client.post(address(line))
    answer = admin_client.get(address(line))

    assert (
        InvoiceVerification.objects.get(invoice=line.invoice_id).is_equal == answer.context["verification"]["is_equal"]
    )
    assert answer.context["late"].amount == 10 - 160
    assert "changed since" in answer.content.decode()
    assert [event.is_canceled for event in answer.context["events"]] == [False, True]
    # A licensed line of the same invoice has no events, and is explained as well.
    licensed = line.invoice.lines.get(price__meter__isnull=True)
    told = admin_client.get(address(licensed))
    assert [step.amount for step in told.context["steps"]] == [2000, 0]
    assert "Events behind it" not in told.content.decode()
