"""Meters for tests."""

import factory
from factory.django import DjangoModelFactory

from accounts.tests.factories import NOW, EnvironmentFactory
from meters.models import Formula, Meter


class MeterFactory(DjangoModelFactory[Meter]):
    class Meta:
        model = Meter

    environment = factory.SubFactory(EnvironmentFactory)
    event_name = factory.Sequence(lambda number: f"event_{number}")
    display_name = factory.LazyAttribute(lambda meter: meter.event_name.replace("_", " ").capitalize())
    formula = Formula.SUM
    created_at = NOW
    updated_at = NOW
