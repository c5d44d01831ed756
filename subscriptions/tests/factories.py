"""Products and prices for tests."""

from decimal import Decimal

import factory
from factory.django import DjangoModelFactory

from accounts.tests.factories import NOW, EnvironmentFactory
from meters.tests.factories import MeterFactory
from subscriptions.models import Interval, Price, PriceTier, Product, UsageType


class ProductFactory(DjangoModelFactory[Product]):
    class Meta:
        model = Product

    environment = factory.SubFactory(EnvironmentFactory)
    name = factory.Sequence(lambda number: f"Product {number}")
    created_at = NOW
    updated_at = NOW


class PriceFactory(DjangoModelFactory[Price]):
    """A licensed price by the month."""

    class Meta:
        model = Price

    environment = factory.SubFactory(EnvironmentFactory)
    product = factory.SubFactory(ProductFactory, environment=factory.SelfAttribute("..environment"))
    currency = "usd"
    unit_amount = Decimal(1000)
    interval = Interval.MONTH
    created_at = NOW


class MeteredPriceFactory(PriceFactory):
    """A price by the month of what a meter of the same environment counts."""

    unit_amount = Decimal("0.5")
    usage_type = UsageType.METERED
    meter = factory.SubFactory(MeterFactory, environment=factory.SelfAttribute("..environment"))


class TierFactory(DjangoModelFactory[PriceTier]):
    """The one tier of a price, without end."""

    class Meta:
        model = PriceTier

    environment = factory.SelfAttribute("price.environment")
    position = 0
    unit_amount = Decimal(1)


def tiered(price: Price, *tiers: tuple[int | None, str, str]) -> Price:
    """Give a price that was made with a ``tiers_mode`` and no ``unit_amount`` its tiers: up to, per unit, flat."""
    for position, (up_to, unit_amount, flat_amount) in enumerate(tiers):
        TierFactory.create(
            price=price,
            position=position,
            up_to=up_to,
            unit_amount=Decimal(unit_amount),
            flat_amount=Decimal(flat_amount),
        )
    return price
