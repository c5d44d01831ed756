"""Products and prices: what they take, and what they refuse."""

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError

from accounts.models import Environment
from accounts.tests.factories import NOW, EnvironmentFactory
from core.errors import BillingError, NotFound
from core.metadata import MetadataChange, TooManyMetadataKeys
from core.tests.walls import bend
from meters.services import deactivate_meter
from meters.tests.factories import MeterFactory
from subscriptions import services
from subscriptions.errors import (
    CurrencyUnknown,
    IntervalInvalid,
    LookupKeyTaken,
    MeteredPriceNotRecurring,
    MeterInactive,
    MeterMissing,
    MeterNotAllowed,
    ProductHasPrices,
    ProductIdTaken,
    UnitAmountInvalid,
)
from subscriptions.models import Price, Product, UsageType
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, ProductFactory

pytestmark = pytest.mark.django_db

LATER = NOW.replace(hour=13)


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


def create_price(environment: Environment, **fields: Any) -> Price:
    given: dict[str, Any] = {"product": None, "currency": "usd", "unit_amount": Decimal(5), "now": NOW, **fields}
    given["product"] = given["product"] or ProductFactory.create(environment=environment)
    return services.create_price(environment=environment, **given)


def test_a_product_is_made_changed_and_deleted(environment: Environment) -> None:
    metadata = MetadataChange({"a": "1", "b": "2"})
    product = services.create_product(environment=environment, now=NOW, name="Tokens", slug="tok", metadata=metadata)

    change = MetadataChange({"a": None, "c": "3"})
    changed = services.update_product(product=product, now=LATER, name="Tokens, many", active=False, metadata=change)

    assert (changed.name, changed.active, changed.metadata) == ("Tokens, many", False, {"b": "2", "c": "3"})
    assert (changed.created_at, changed.updated_at) == (NOW, LATER)
    services.delete_product(product=product, now=NOW)
    assert not Product.objects.exists()
    with pytest.raises(NotFound):
        services.update_product(product=product, now=LATER, name="Ghost")
    with pytest.raises(NotFound):
        services.delete_product(product=product, now=NOW)


def test_an_own_id_is_taken_once_per_environment(environment: Environment) -> None:
    services.create_product(environment=environment, now=NOW, name="One", slug="mine")

    with pytest.raises(ProductIdTaken):
        services.create_product(environment=environment, now=NOW, name="Two", slug="mine")

    services.create_product(environment=EnvironmentFactory.create(), now=NOW, name="Elsewhere", slug="mine")
    assert Product.objects.of(environment).count() == 1


def test_a_product_with_a_price_stays(environment: Environment) -> None:
    price = PriceFactory.create(environment=environment, active=False)

    with pytest.raises(ProductHasPrices):
        services.delete_product(product=price.product, now=NOW)

    assert Product.objects.filter(pk=price.product_id).exists()


def test_a_metered_price_is_made_with_its_meter(environment: Environment) -> None:
    meter = MeterFactory.create(environment=environment)

    price = create_price(
        environment,
        unit_amount=Decimal("0.000000000001"),
        usage_type=UsageType.METERED,
        meter=meter,
        interval="month",
        interval_count=3,
        nickname="By the token",
    )

    price.refresh_from_db()
    assert price.is_metered
    assert (price.meter, price.unit_amount, price.interval_count) == (meter, Decimal("0.000000000001"), 3)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"currency": "USD"}, CurrencyUnknown),
        ({"currency": "xxx"}, CurrencyUnknown),
        ({"unit_amount": Decimal("-0.01")}, UnitAmountInvalid),
        ({"unit_amount": Decimal("0.0000000000001")}, UnitAmountInvalid),
        ({"unit_amount": Decimal(10) ** 18}, UnitAmountInvalid),
        ({"unit_amount": Decimal("NaN")}, UnitAmountInvalid),
        ({"unit_amount": Decimal("Infinity")}, UnitAmountInvalid),
        ({"interval": "decade"}, IntervalInvalid),
        ({"interval": "month", "interval_count": 0}, IntervalInvalid),
        ({"interval": "month", "interval_count": 37}, IntervalInvalid),
        ({"interval": "year", "interval_count": 4}, IntervalInvalid),
        ({"interval_count": 2}, IntervalInvalid),
        ({"usage_type": "metered", "interval": "month"}, MeterMissing),
        ({"metadata": MetadataChange({str(number): "" for number in range(51)})}, TooManyMetadataKeys),
    ],
)
def test_a_price_that_makes_no_sense_is_refused(
    environment: Environment, fields: dict[str, Any], refusal: type[BillingError]
) -> None:
    with pytest.raises(refusal):
        create_price(environment, **fields)

    assert not Price.objects.exists()


@pytest.mark.parametrize(("interval", "count"), [("day", 1095), ("week", 156), ("month", 36), ("year", 3)])
def test_three_years_are_the_longest_period(environment: Environment, interval: str, count: int) -> None:
    assert create_price(environment, interval=interval, interval_count=count).interval_count == count


def test_a_meter_must_fit_its_price(environment: Environment) -> None:
    meter = MeterFactory.create(environment=environment)
    with pytest.raises(MeterNotAllowed):
        create_price(environment, meter=meter, interval="month")
    with pytest.raises(MeteredPriceNotRecurring):
        create_price(environment, meter=meter, usage_type=UsageType.METERED)
    with pytest.raises(NotFound):
        create_price(environment, meter=MeterFactory.create(), usage_type=UsageType.METERED, interval="month")
    deactivate_meter(meter=meter, now=NOW)
    # The object in hand still says "active"; the row decides.
    with pytest.raises(MeterInactive):
        create_price(environment, meter=meter, usage_type=UsageType.METERED, interval="month")
    assert not Price.objects.exists()


def test_another_environment_s_product_is_not_found(environment: Environment) -> None:
    with pytest.raises(NotFound):
        create_price(environment, product=ProductFactory.create())

    assert not Price.objects.exists()


def test_a_lookup_key_belongs_to_one_price_and_can_be_handed_over(environment: Environment) -> None:
    first = create_price(environment, lookup_key="standard")
    with pytest.raises(LookupKeyTaken):
        create_price(environment, lookup_key="standard")
    assert Price.objects.get() == first

    second = create_price(environment, lookup_key="standard", transfer_lookup_key=True)
    first.refresh_from_db()
    assert (first.lookup_key, second.lookup_key) == ("", "standard")

    with pytest.raises(LookupKeyTaken):
        services.update_price(price=first, now=NOW, lookup_key="standard", nickname="lost")
    first.refresh_from_db()
    assert (first.lookup_key, first.nickname) == ("", "")

    services.update_price(price=first, now=NOW, lookup_key="standard", transfer_lookup_key=True)
    second.refresh_from_db()
    assert second.lookup_key == ""
    # Keeping one's own key is no transfer, and other environments have their own.
    services.update_price(price=first, now=NOW, lookup_key="standard", transfer_lookup_key=True)
    create_price(EnvironmentFactory.create(), lookup_key="standard")
    first.refresh_from_db()
    assert first.lookup_key == "standard"


def test_only_the_labels_of_a_price_change(environment: Environment) -> None:
    price = create_price(environment, lookup_key="old", metadata=MetadataChange({"a": "1"}))

    changed = services.update_price(
        now=NOW,
        price=price,
        nickname="New",
        active=False,
        lookup_key="",
        metadata=MetadataChange({"b": "2"}, clear=True),
    )

    changed.refresh_from_db()
    assert (changed.nickname, changed.active, changed.lookup_key) == ("New", False, "")
    assert changed.metadata == {"b": "2"}
    assert changed.unit_amount == 5


def test_the_database_keeps_prices_within_their_environment(environment: Environment) -> None:
    metered = MeteredPriceFactory.create(environment=environment)
    foreign = {"product_id": ProductFactory.create().pk, "meter_id": MeterFactory.create().pk}

    for column, value in foreign.items():
        with pytest.raises(IntegrityError, match=f"subscriptions_price_{column}_wall"):
            bend(metered, **{column: value})
