"""Subscriptions and invoices for tests: all of them through the services, as they come in real life."""

from datetime import UTC, datetime
from typing import Any

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import Invoice
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.tests.factories import report


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# Where the first period of a monthly subscription ends that begins at NOW, and the ones after it.
FIRST_END = utc("2026-07-10T12:30")
SECOND_END = utc("2026-08-10T12:30")
THIRD_END = utc("2026-09-10T12:30")


def subscribe(customer: Customer, *items: Price | NewItem, now: datetime = NOW, **terms: Any) -> Subscription:
    """Begin a subscription to prices, each once, or to items as given."""
    return services.start_subscription(
        environment=customer.environment,
        customer=customer,
        items=[item if isinstance(item, NewItem) else NewItem(item) for item in items],
        now=now,
        **terms,
    )


def use(price: Price, customer: Customer, value: str | int, at: datetime) -> None:
    """Report usage of a metered price's meter, at the moment that it takes place."""
    assert price.meter is not None
    report(price.meter, customer, value, timestamp=at, now=at)


def draft_invoice(customer: Customer | None = None, *, value: str | int = 10, **terms: Any) -> Invoice:
    """A draft over a metered month, 50 cents for every 100 units used; its grace ends one hour after its period."""
    customer = customer or CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    subscription = subscribe(customer, price, **terms)
    use(price, customer, value, NOW)
    services.close_due_periods(now=FIRST_END)
    return Invoice.objects.get(subscription=subscription)


def open_invoice(customer: Customer | None = None, *, quantity: int = 1) -> Invoice:
    """An open invoice over 10.00 USD for each unit."""
    customer = customer or CustomerFactory.create()
    subscription = subscribe(customer, NewItem(PriceFactory.create(environment=customer.environment), quantity))
    return Invoice.objects.get(subscription=subscription)
