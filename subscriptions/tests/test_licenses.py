"""What a company needs a license for, and what goes on without."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts import known
from accounts.errors import LicenseRequired
from accounts.models import Environment, License
from accounts.tests.factories import CompanyFactory, CustomerFactory, EnvironmentFactory
from meters.tests.factories import MeterFactory
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem, create_price, create_subscription
from subscriptions.tests.factories import PriceFactory, ProductFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db
METERED, SUBSCRIPTION = License.Product.METERED_PRODUCTS, License.Product.SUBSCRIPTION


def environment_with(licenses: Sequence[str]) -> Environment:
    return EnvironmentFactory.create(company=CompanyFactory.create(licenses=licenses))


def metered_price(environment: Environment) -> Price:
    return create_price(
        environment=environment,
        product=ProductFactory.create(environment=environment),
        currency="usd",
        unit_amount=Decimal(1),
        now=timezone.now(),
        usage_type="metered",
        meter=MeterFactory.create(environment=environment),
        interval="month",
    )


def begin(environment: Environment) -> Subscription:
    return create_subscription(
        environment=environment,
        customer=CustomerFactory.create(environment=environment),
        items=[NewItem(PriceFactory.create(environment=environment))],
        now=timezone.now(),
    )


@pytest.mark.parametrize("licenses", [[], [METERED], [SUBSCRIPTION]])
def test_a_metered_price_needs_both(licenses: list[str]) -> None:
    with pytest.raises(LicenseRequired):
        metered_price(environment_with(licenses))
    assert not Price.objects.exists()
    assert not Event.objects.exists()


def test_with_both_it_is_made_and_a_licensed_price_needs_none() -> None:
    assert metered_price(environment_with([METERED, SUBSCRIPTION])).is_metered
    bare = environment_with([])
    product = ProductFactory.create(environment=bare)
    create_price(environment=bare, product=product, currency="usd", unit_amount=Decimal(1), now=timezone.now())


def test_a_subscription_needs_its_license() -> None:
    begin(environment_with([SUBSCRIPTION]))
    with pytest.raises(LicenseRequired):
        begin(environment_with([METERED]))
    assert Subscription.objects.count() == 1


def test_the_dates_decide_by_the_wall_and_grace_counts() -> None:
    environment = environment_with([SUBSCRIPTION])
    license_ = License.objects.get(company=environment.company)
    now = timezone.now()
    for ends_at, grace, opens in (
        (now - timedelta(days=1), timedelta(days=2), True),
        (now - timedelta(days=2), timedelta(days=1), False),
    ):
        License.objects.filter(pk=license_.pk).update(ends_at=ends_at, grace=grace)
        known.licenses.forget(environment.company_id)
        if opens:
            begin(environment)
        else:
            with pytest.raises(LicenseRequired):
                begin(environment)
