"""What the dialect's tests share."""

import pytest

from billing_project.api.stripe.tests.caller import Caller
from billing_project.api.stripe.tests.sdk import Account, new_account


@pytest.fixture
def account(db: None) -> Account:
    return new_account()


@pytest.fixture
def call(account: Account) -> Caller:
    return Caller(account)
