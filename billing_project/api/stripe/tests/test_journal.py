"""The record of requests: who asked for what and how it ended, without secrets, and without holding anybody up."""

import json
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import stripe
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError
from django.utils import timezone

from accounts.models import ApiRequest
from accounts.services import prune_requests
from billing_project.api.common import journal as module
from billing_project.api.common import middleware
from billing_project.api.common.journal import Journal
from billing_project.api.common.requests import is_hot, mark_hot
from billing_project.api.stripe.tests.sdk import Account, DjangoTransport, new_account
from core.ids import first_id, unspell

pytestmark = pytest.mark.django_db


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Of this test alone: the process's own holds what others asked."""
    own = Journal()
    monkeypatch.setattr(middleware, "journal", own)
    return own


@pytest.fixture
def account(journal: Journal) -> Account:
    return new_account()


def noted(journal: Journal) -> list[ApiRequest]:
    journal.write()
    return list(ApiRequest.objects.order_by("pk"))


def test_requests_are_on_record_with_their_outcome_and_customer_and_without_secrets(
    journal: Journal, account: Account
) -> None:
    customer = account.v1.customers.create({"name": "Riverbank", "metadata": {"token": "hush"}})
    account.v1.customers.retrieve(customer.id)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        account.v1.customers.retrieve("cus_00000000000000000000000000", {"expand": ["hush"]})

    made, read, refused = noted(journal)

    assert (made.method, made.path, made.status, made.error_code) == ("POST", "/v1/customers", 200, "")
    assert made.customer_id == read.customer_id == unspell("cus", customer.id)
    assert (read.method, read.path) == ("GET", f"/v1/customers/{customer.id}")
    assert (refused.status, refused.error_code) == (404, "resource_missing")
    assert refused.error == refusal.value.user_message
    assert refused.pk == unspell("req", str(refusal.value.request_id))
    assert {row.environment for row in (made, read, refused)} == {account.environment}
    everything = json.dumps(list(ApiRequest.objects.values()), cls=DjangoJSONEncoder)
    assert account.secret not in everything
    assert "hush" not in everything
    assert "Riverbank" not in everything


def test_whoever_is_not_let_in_leaves_no_trace(journal: Journal, account: Account) -> None:
    with pytest.raises(stripe.AuthenticationError):
        stripe.StripeClient("sk_test_wrong", http_client=DjangoTransport()).v1.customers.list()
    assert noted(journal) == []


def test_of_the_hottest_addresses_only_refusals_are_noted(
    journal: Journal, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = account.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    customer = account.v1.customers.create({"name": "Riverbank"})
    before = len(noted(journal))

    def marked(request: Any) -> bool:
        # As the short way does.
        mark_hot(request)
        return is_hot(request)

    monkeypatch.setattr(module, "is_hot", marked)
    payload = {"stripe_customer_id": customer.id, "value": "1"}
    account.v1.billing.meter_events.create({"event_name": meter.event_name, "payload": payload})
    assert len(noted(journal)) == before
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.billing.meter_events.create({"event_name": "unheard", "payload": payload})
    refused = noted(journal)[before:]
    assert [(row.path, row.status) for row in refused] == [("/v1/billing/meter_events", 400)]


def test_what_cannot_be_written_now_waits_and_what_is_too_much_is_left_out(
    journal: Journal, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.v1.customers.list()
    with monkeypatch.context() as patch:
        patch.setattr(module, "keep_requests", mock.Mock(side_effect=OperationalError("gone")))
        with pytest.raises(OperationalError):
            journal.write()
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    account.v1.customers.list()
    account.v1.customers.list()
    assert len(noted(journal)) == 2
    assert journal.write() == 0


def test_old_requests_are_deleted(journal: Journal, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.services._PRUNE_BATCH", 2)
    account.v1.customers.list()
    (row,) = noted(journal)
    now = timezone.now()
    for days in (29, 31, 32, 33):
        row.pk = first_id(now - timedelta(days=days))
        row.save(force_insert=True)

    assert prune_requests(now=now) == 3

    assert ApiRequest.objects.count() == 2
