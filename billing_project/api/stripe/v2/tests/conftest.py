"""What the tests of v2 share."""

from typing import Any

import pytest

from billing_project.api.stripe.tests.builders import new_customer, new_meter
from billing_project.api.stripe.tests.sdk import Account, new_account, sdk


@pytest.fixture
def account(db: None) -> Account:
    return new_account()


class Reporter:
    """An account with one meter ("calls") and one customer, and the ways in that v2 has."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.meter = new_meter(account)
        self.customer = new_customer(account).id
        self.v2: Any = account.sdk.v2

    def event(self, value: str = "1", /, **fields: Any) -> dict[str, Any]:
        payload = {"stripe_customer_id": self.customer, "value": value}
        return {"event_name": "calls", "payload": payload, **fields}

    def session(self) -> Any:
        return self.v2.billing.meter_event_session.create()

    def stream(self, *events: dict[str, Any], token: str | None = None, **options: Any) -> Any:
        client: Any = sdk(token or self.session().authentication_token)
        return client.v2.billing.meter_event_stream.create({"events": list(events)}, options)


@pytest.fixture
def reporter(account: Account) -> Reporter:
    return Reporter(account)
