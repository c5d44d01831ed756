"""Companies, environments and customers for tests."""

from datetime import UTC, datetime

import factory
from factory.django import DjangoModelFactory

from accounts.models import Company, Customer, Environment, Mode, TestClock

NOW = datetime(2026, 6, 10, 12, 30, tzinfo=UTC)


class CompanyFactory(DjangoModelFactory[Company]):
    class Meta:
        model = Company

    name = factory.Sequence(lambda number: f"Company {number}")


class EnvironmentFactory(DjangoModelFactory[Environment]):
    class Meta:
        model = Environment

    company = factory.SubFactory(CompanyFactory)
    mode = Mode.TEST


class TestClockFactory(DjangoModelFactory[TestClock]):
    class Meta:
        model = TestClock

    environment = factory.SubFactory(EnvironmentFactory)
    frozen_at = NOW


class CustomerFactory(DjangoModelFactory[Customer]):
    class Meta:
        model = Customer

    environment = factory.SubFactory(EnvironmentFactory)
    name = factory.Sequence(lambda number: f"Customer {number}")
    created_at = NOW
