"""Companies, environments and customers for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import factory
from factory.django import DjangoModelFactory

from accounts import services
from accounts.models import ApiKey, Company, Customer, Environment, License, Mode, Scope, TestClock

LICENSED_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 10, 12, 30, tzinfo=UTC)


class CompanyFactory(DjangoModelFactory[Company]):
    class Meta:
        model = Company

    name = factory.Sequence(lambda number: f"Company {number}")

    @classmethod
    def _create(
        cls, model_class: type[Company], *args: Any, licenses: Sequence[str] = License.Product.values, **kwargs: Any
    ) -> Company:
        """With licenses for all products and for good, unless a test says otherwise."""
        company: Company = super()._create(model_class, *args, **kwargs)  # type: ignore[no-untyped-call]
        for product in licenses:
            License.objects.create(company=company, product=product, starts_at=LICENSED_SINCE)
        return company


class EnvironmentFactory(DjangoModelFactory[Environment]):
    class Meta:
        model = Environment

    company = factory.SubFactory(CompanyFactory)
    mode = Mode.TEST


class TestClockFactory(DjangoModelFactory[TestClock]):
    # Its name makes pytest take it for a test class.
    __test__ = False

    class Meta:
        model = TestClock

    environment = factory.SubFactory(EnvironmentFactory)
    frozen_at = NOW
    created_at = NOW
    deletes_at = NOW + timedelta(days=30)


class CustomerFactory(DjangoModelFactory[Customer]):
    class Meta:
        model = Customer

    environment = factory.SubFactory(EnvironmentFactory)
    name = factory.Sequence(lambda number: f"Customer {number}")
    created_at = NOW


def create_key(environment: Environment, *scopes: str, **fields: Any) -> tuple[ApiKey, str]:
    """A key with the given scopes, or with all of them, and its secret."""
    key, secret = services.create_api_key(
        company=environment.company, mode=environment.mode, scopes=scopes or Scope.values
    )
    if fields:
        ApiKey.objects.filter(pk=key.pk).update(**fields)
        key.refresh_from_db()
    return key, secret
