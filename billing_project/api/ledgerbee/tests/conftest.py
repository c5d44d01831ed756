"""What the dialect's tests share."""

import pytest

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from billing_project.api.ledgerbee.tests.caller import Caller, new_caller
from meters.models import Meter
from meters.tests.factories import MeterFactory


@pytest.fixture
def call(db: None) -> Caller:
    return new_caller()


@pytest.fixture
def meter(call: Caller) -> Meter:
    return MeterFactory.create(environment=call.environment, event_name="api_calls")


@pytest.fixture
def customer(call: Caller) -> Customer:
    return CustomerFactory.create(environment=call.environment, name="Acme")
