"""HEAD is answered as GET is, but for the body."""

import pytest
from django.test import Client

from billing_project.api.stripe.tests.builders import new_customer
from billing_project.api.stripe.tests.sdk import Account


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/customers", 200),
        ("/v1/customers/CUSTOMER", 200),
        ("/v1/customers/cus_nobody", 404),
        ("/v1/billing/meter_events", 200),
        ("/v1/billing/analytics/meter_usage", 400),
        ("/v2/core/events", 200),
        ("/v1/nothing", 404),
        ("/v1/billing/meter_events/bulk", 404),
    ],
)
def test_head_says_what_get_says_without_the_body(account: Account, path: str, status: int) -> None:
    path = path.replace("CUSTOMER", new_customer(account).id)
    client = Client(headers={"Authorization": f"Bearer {account.secret}"})

    got, head = client.get(path), client.head(path)

    assert got.status_code == head.status_code == status
    assert head.content == b""
    told = {name: value for name, value in got.headers.items() if name != "Request-Id"}
    assert {name: value for name, value in head.headers.items() if name != "Request-Id"} == told
    assert head.headers["Request-Id"].startswith("req_")


def test_head_needs_the_key_that_get_needs(account: Account) -> None:
    assert Client().head("/v1/customers").status_code == 401
