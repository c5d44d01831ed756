"""The vendor's client sends again what was answered with 5xx: whatever fails on the way leaves nothing that a second try
would double.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django.live_server_helper import LiveServer

from accounts.models import License
from accounts.services import create_company
from accounts.tests.factories import CustomerFactory, create_key
from billing_project.api.paymentkit import auto_recharge_configs, credit_grants, meters, products, subscriptions
from invoices.models import AutoRecharge, Invoice
from meters.models import Currency, Meter
from subscriptions.models import Price, Product, Subscription
from tests.paymentkit.client import PaymentKit
from webhooks.models import Event

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node to run the client"),
    pytest.mark.django_db(transaction=True),
]
DID = "z1YfCZqwPzLWKWhBvpDPBQgPWAXxJg5nCTs"


@pytest.fixture
def payment(live_server: LiveServer) -> Iterator[PaymentKit]:
    company = create_company(name="Acme", licenses=[product.value for product in License.Product])
    environment = company.environments.get(mode="test")
    CustomerFactory.create(environment=environment, did=DID)
    _, secret = create_key(environment)
    with PaymentKit(live_server.url, secret) as client:
        yield client


@pytest.fixture
def fail_once(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a function do its work and lose the database then: the first time it is called, and never again."""

    def arrange(module: Any, name: str) -> list[str]:
        tries: list[str] = []
        work = getattr(module, name)

        def failing(*args: Any, **kwargs: Any) -> Any:
            done = work(*args, **kwargs)
            tries.append(name)
            if len(tries) == 1:
                raise OperationalError("server closed the connection unexpectedly")
            return done

        monkeypatch.setattr(module, name, failing)
        return tries

    return arrange


def test_what_is_sent_again_after_a_503_is_there_once(payment: PaymentKit, fail_once: Any) -> None:
    tries = fail_once(meters, "shape_of_meter")
    meter = payment.call("meters.create", {"name": "Calls", "event_name": "calls", "unit": "calls"})
    assert (len(tries), Meter.objects.count(), Currency.objects.count()) == (2, 1, 1)

    # After everything was written, and before it was committed.
    tries = fail_once(products, "shape_of_product")
    config = {"credit_amount": "5", "currency_id": meter["currency_id"]}
    made = payment.call(
        "products.create",
        {
            "name": "Pro",
            "prices": [
                {"currency_id": "usd", "unit_amount": "10", "recurring": {"interval": "month"}},
                {"currency_id": "usd", "unit_amount": "5", "metadata": {"credit_config": config}},
            ],
        },
    )
    assert (len(tries), Product.objects.count(), Price.objects.count()) == (2, 1, 2)

    tries = fail_once(subscriptions, "shape_of_subscription")
    seat, top_up = made["prices"]
    payment.call("subscriptions.create", None, {"customer_id": DID, "items": [{"price_id": seat["id"]}]})
    assert (len(tries), Subscription.objects.count(), Invoice.objects.count()) == (2, 1, 1)

    tries = fail_once(auto_recharge_configs, "shape_of_config")
    said = {"customer_id": DID, "currency_id": meter["currency_id"], "enabled": True, "price_id": top_up["id"]}
    payment.call("autoRechargeConfigs.submit", said)
    assert (len(tries), AutoRecharge.objects.count()) == (2, 1)

    tries = fail_once(credit_grants, "shape_of_grant")
    grant = {"customer_id": DID, "currency_id": meter["currency_id"], "amount": "5", "category": "paid"}
    payment.call("creditGrants.create", grant)
    assert len(tries) == 2
    # Nor was anything told twice.
    told = list(Event.objects.values_list("kind", flat=True))
    for kind in (
        "meter.created",
        "product.created",
        "subscription.created",
        "invoice.finalized",
        "credit_grant.created",
    ):
        assert told.count(kind) == 1, kind
