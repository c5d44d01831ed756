"""Prices by tiers and packages, plans, and a product's default price: what is kept, and what is refused."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.models import Company, Environment
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.errors import BillingError, NotFound
from core.tests.walls import bend
from subscriptions import services
from subscriptions.errors import (
    DefaultPriceInUse,
    DefaultPriceUnusable,
    PackageInvalid,
    PackageNotAllowed,
    PlanNotRecurring,
    PriceIdTaken,
    ProductHasPrices,
    TaxBehaviorFixed,
    TierInvalid,
    TiersMissing,
    TiersModeMissing,
    TooManyTiers,
    UnitAmountInvalid,
    UnitAmountMissing,
    UnitAmountNotAllowed,
)
from subscriptions.models import Price, PriceTier, Product
from subscriptions.pricing import Scheme, rate
from subscriptions.services import NewItem, NewTier
from subscriptions.tests.factories import PriceFactory, ProductFactory, TierFactory

pytestmark = pytest.mark.django_db

ONE = Decimal(1)
LAST = NewTier(None, ONE)


@pytest.fixture
def product() -> Product:
    return ProductFactory.create(environment=EnvironmentFactory.create())


def create(product: Product, **fields: Any) -> Price:
    given: dict[str, Any] = {"currency": "usd", "interval": "month", "now": NOW, **fields}
    return services.create_price(environment=product.environment, product=product, **given)


def test_tiers_are_kept_in_order_and_rated(product: Product) -> None:
    tiers = [NewTier(Decimal(5), Decimal(7), Decimal(3)), NewTier(Decimal(10), None, Decimal("0.5")), LAST]
    price = create(product, tiers_mode="graduated", tiers=tiers)

    stored = Price.objects.get(pk=price.pk)
    assert (stored.unit_amount, stored.scheme) == (None, Scheme.GRADUATED)
    assert [(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in stored.tiers.all()] == [
        (5, 7, 3),
        (10, None, Decimal("0.5")),
        (None, 1, None),
    ]
    # 5 x 7 + 3, then 0.5 for the second tier and nothing for its units, then 2 x 1.
    assert rate(stored.terms, Decimal(12)).amount == Decimal("40.5")


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({}, UnitAmountMissing),
        ({"unit_amount": ONE, "tiers": [LAST]}, TiersModeMissing),
        ({"unit_amount": ONE, "tiers_mode": "volume", "tiers": [LAST]}, UnitAmountNotAllowed),
        ({"tiers_mode": "volume"}, TiersMissing),
        ({"tiers_mode": "volume", "tiers": [NewTier(Decimal(n), ONE) for n in range(1, 101)] + [LAST]}, TooManyTiers),
        ({"tiers_mode": "volume", "tiers": [NewTier(None)]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(ONE, ONE)]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [LAST, LAST]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(Decimal(0), ONE), LAST]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(Decimal(2), ONE), NewTier(ONE, ONE), LAST]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(Decimal(10) ** 18, ONE), LAST]}, TierInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(None, Decimal(-1))]}, UnitAmountInvalid),
        ({"tiers_mode": "volume", "tiers": [NewTier(None, None, Decimal("0.0000000000001"))]}, UnitAmountInvalid),
        ({"tiers_mode": "volume", "tiers": [LAST], "divide_by": 2, "rounding": "up"}, PackageNotAllowed),
        ({"unit_amount": ONE, "divide_by": 2}, PackageInvalid),
        ({"unit_amount": ONE, "rounding": "up"}, PackageInvalid),
        ({"unit_amount": ONE, "divide_by": 0, "rounding": "up"}, PackageInvalid),
        ({"unit_amount": ONE, "divide_by": 2**63, "rounding": "up"}, PackageInvalid),
        ({"unit_amount": ONE, "divide_by": 2, "rounding": "half"}, PackageInvalid),
        ({"unit_amount": ONE, "is_plan": True, "interval": ""}, PlanNotRecurring),
    ],
)
def test_what_makes_no_price(product: Product, fields: dict[str, Any], refusal: type[BillingError]) -> None:
    with pytest.raises(refusal):
        create(product, **fields)
    assert not Price.objects.exists()
    assert not PriceTier.objects.exists()


def test_the_company_s_setting_is_kept_with_each_price(product: Product) -> None:
    before = create(product, tiers_mode="volume", tiers=[LAST])
    Company.objects.update(flat_fee_at_zero=False)
    after = create(product, tiers_mode="volume", tiers=[LAST])

    before.refresh_from_db()
    assert (before.terms.flat_fee_at_zero, after.terms.flat_fee_at_zero) == (True, False)


def test_the_database_refuses_tiers_beyond_the_wall_and_twice(product: Product) -> None:
    price = create(product, tiers_mode="volume", tiers=[LAST])
    with pytest.raises(IntegrityError, match="price_tier_one_per_end"), transaction.atomic():
        TierFactory.create(price=price, position=1)
    with pytest.raises(IntegrityError, match="subscriptions_pricetier_price_id_wall"):
        bend(price.tiers.get(), price=PriceFactory.create())
    with pytest.raises(IntegrityError, match="subscriptions_product_default_price_id_wall"):
        bend(product, default_price=PriceFactory.create())


def test_a_plan_has_an_id_of_its_own_while_it_is_there(product: Product) -> None:
    plan = create(product, unit_amount=ONE, is_plan=True, slug="gold")
    with pytest.raises(PriceIdTaken):
        create(product, unit_amount=ONE, is_plan=True, slug="gold")
    assert Price.objects.get() == plan

    services.delete_price(price=plan, now=NOW)
    plan.refresh_from_db()
    assert (plan.active, plan.deleted_at) == (False, NOW)
    with pytest.raises(NotFound):
        services.delete_price(price=plan, now=NOW)
    with pytest.raises(NotFound):
        services.update_price(price=plan, now=NOW, active=True)
    assert create(product, unit_amount=ONE, is_plan=True, slug="gold") != plan


def test_a_product_goes_with_its_deleted_plans_unless_they_were_used(product: Product) -> None:
    plan = create(product, unit_amount=ONE, is_plan=True)
    with pytest.raises(ProductHasPrices):
        services.delete_product(product=product, now=NOW)
    subscribed(product.environment, plan)
    services.delete_price(price=plan, now=NOW)

    with pytest.raises(ProductHasPrices):
        services.delete_product(product=product, now=NOW)
    assert Price.objects.get() == plan

    other = ProductFactory.create(environment=product.environment)
    unused = create(other, tiers_mode="volume", tiers=[LAST], is_plan=True)
    services.delete_price(price=unused, now=NOW)
    services.delete_product(product=other, now=NOW)
    assert Product.objects.get() == product
    assert Price.objects.get() == plan


def subscribed(environment: Environment, price: Price) -> None:
    customer = CustomerFactory.create(environment=environment)
    services.create_subscription(environment=environment, customer=customer, items=[NewItem(price)], now=NOW)


def test_a_default_price_is_one_of_the_product_s_own_and_stays_open(product: Product) -> None:
    price, closed = create(product, unit_amount=ONE), create(product, unit_amount=ONE, active=False)
    stranger = PriceFactory.create(environment=product.environment)
    for unusable in (closed, stranger):
        with pytest.raises(DefaultPriceUnusable):
            services.update_product(product=product, now=NOW, default_price=unusable)
    changed = services.update_product(product=product, now=NOW, default_price=price)
    assert changed.default_price == price

    with pytest.raises(DefaultPriceInUse):
        services.update_price(price=price, now=NOW, active=False)
    with pytest.raises(DefaultPriceInUse):
        services.delete_price(price=price, now=NOW)
    price.refresh_from_db()
    assert price.active
    services.update_product(product=product, now=NOW, default_price=None)
    assert not services.update_price(price=price, now=NOW, active=False).active


def test_taxes_are_said_to_be_in_a_price_once(product: Product) -> None:
    price = create(product, unit_amount=ONE)
    assert services.update_price(price=price, now=NOW, tax_behavior="exclusive").tax_behavior == "exclusive"
    with pytest.raises(TaxBehaviorFixed):
        services.update_price(price=price, now=NOW, tax_behavior="inclusive", nickname="N")
    price.refresh_from_db()
    assert (price.tax_behavior, price.nickname) == ("exclusive", "")
