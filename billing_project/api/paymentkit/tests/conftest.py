"""What the dialect's tests share."""

import pytest

from billing_project.api.paymentkit.tests.caller import Caller, new_caller


@pytest.fixture
def call(db: None) -> Caller:
    return new_caller()
