"""What the billing run tells from memory is what it would have read."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Environment
from accounts.tests.factories import CustomerFactory
from invoices import services
from invoices.models import Invoice
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, open_invoice, subscribe, use
from invoices.tests.test_documents import rich_draft
from subscriptions.models import Subscription
from subscriptions.services import AddedItem, NewDiscount, NewItem, create_coupon, create_tax_rate, set_discounts
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from webhooks import snapshots
from webhooks.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The nouns of rows that were told from memory, each of them as the database tells it at the same moment."""
    nouns: list[str] = []

    def comparing(teller: snapshots.Teller) -> snapshots.Teller:
        def tell(environment: Environment, rows: Sequence[Any]) -> snapshots.Snapshots:
            told = teller.tell(environment, rows)
            read = teller.take(environment, [row.pk for row in rows])
            assert {pk: snapshots.encode(one) for pk, one in told.items()} == {
                pk: snapshots.encode(one) for pk, one in read.items()
            }
            nouns.extend(teller.noun for _ in told)
            return told

        return replace(teller, tell=tell)

    tellers = {model: [comparing(one) for one in some] for model, some in snapshots._TELLERS.items()}
    monkeypatch.setattr(snapshots, "_TELLERS", tellers)
    yield nouns
    assert nouns, "nothing was told from memory"


def test_a_rich_book_is_told_from_memory_as_it_is_stored(compared: list[str]) -> None:
    customer = CustomerFactory.create(email="pay@example.com", address={"country": "DE"})
    environment = customer.environment
    # A balance, credit, taxes, tiers and a discount; another that is used up by this very run; what waits; a trial; an end.
    rich_draft(customer)
    metered = MeteredPriceFactory.create(environment=environment, unit_amount=Decimal("2.5"))
    many = [PriceFactory.create(environment=environment, unit_amount=Decimal(10 + number)) for number in range(11)]
    crowd = subscribe(CustomerFactory.create(environment=environment), metered, *many)
    once = create_coupon(environment=environment, now=crowd.start_at, percent_off=Decimal(10), duration="once")
    set_discounts(customer=crowd.customer, subscription=crowd, given=[NewDiscount(coupon=once)], now=crowd.start_at)
    use(metered, crowd.customer, 7, crowd.start_at)
    item = services.create_invoice_item(
        environment=environment, customer=crowd.customer, amount=300, currency="usd", now=crowd.start_at
    )
    subscribe(
        CustomerFactory.create(environment=environment), many[0], metered, trial_end_at=FIRST_END - timedelta(days=1)
    )
    ending = subscribe(CustomerFactory.create(environment=environment), metered)
    services.cancel_later(subscription=ending, at=FIRST_END, now=ending.start_at)
    open_invoice(customer)

    for now in (FIRST_END, FIRST_END + GRACE, SECOND_END, SECOND_END + GRACE):
        services.run_billing(now=now)

    assert {"invoice", "customer.subscription"} <= set(compared)
    assert Subscription.objects.get(pk=ending.pk).is_over
    assert item.pk in Invoice.objects.get(subscription=crowd, lines__invoice_item=item).lines.values_list(
        "invoice_item", flat=True
    )
    assert Event.objects.filter(type="invoice.finalized").count() >= 6


def test_a_subscription_that_begins_with_terms_of_its_own_is_told_from_memory_as_it_is_stored(
    compared: list[str],
) -> None:
    customer = CustomerFactory.create()
    environment = customer.environment
    metered = MeteredPriceFactory.create(environment=environment, unit_amount=Decimal("2.5"))
    licensed = PriceFactory.create(environment=environment, metadata={"tier": "gold"})
    half = create_coupon(environment=environment, now=FIRST_END, percent_off=Decimal(50), duration="once")
    rest = create_coupon(environment=environment, now=FIRST_END, percent_off=Decimal(5), duration="forever")
    vat = create_tax_rate(
        environment=environment, display_name="VAT", percentage=Decimal(19), inclusive=False, now=FIRST_END
    )

    begun = subscribe(
        customer,
        NewItem(licensed, 3, discounts=[NewDiscount(coupon=rest)], tax_rates=[vat]),
        metered,
        now=FIRST_END,
        discounts=[NewDiscount(coupon=half)],
        tax_rates=[vat],
        added=[AddedItem(PriceFactory.create(environment=environment, interval=""))],
        collection_method="send_invoice",
        days_until_due=14,
    )
    waiting = subscribe(customer, licensed, now=FIRST_END, incomplete=True)
    trying = subscribe(customer, licensed, now=FIRST_END, trial_days=5, cancel_at_period_end=True)

    assert compared.count("customer.subscription") >= 3
    assert [one.status for one in (begun, waiting, trying)] == ["active", "incomplete", "trialing"]
