"""Idempotency keys: a request that is sent again is answered again, and done once."""

import json

import pytest

from accounts import services
from accounts.models import Customer
from billing_project.api.stripe.tests.caller import Caller, break_after_writing, error_of
from billing_project.api.stripe.tests.sdk import Account
from meters.models import Meter

KEY = {"Idempotency-Key": "order 1"}


def test_a_re_send_gets_the_first_answer_even_if_the_object_changed(call: Caller) -> None:
    first = call("POST", "/v1/customers", "name=Ada&email=a", headers=KEY)
    assert first.headers["Idempotency-Key"] == "order 1"
    assert "Idempotent-Replayed" not in first.headers
    identifier = json.loads(first.content)["id"]
    call("POST", f"/v1/customers/{identifier}", "name=Eve")

    # The same parameters in another order and another spelling.
    again = call("POST", "/v1/customers", "email=%61", query="name=Ada", headers=KEY)
    assert again.content == first.content
    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert Customer.objects.count() == 1


@pytest.mark.parametrize(("path", "body"), [("/v1/customers", "name=Eve"), ("/v1/products", "name=Ada")])
def test_a_key_is_for_one_request(call: Caller, path: str, body: str) -> None:
    call("POST", "/v1/customers", "name=Ada", headers=KEY)
    response = call("POST", path, body, headers=KEY)
    assert response.status_code == 400
    assert error_of(response)["type"] == "idempotency_error"
    assert Customer.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/billing/meters", "display_name=Calls&event_name=calls"),
        ("/v1/billing/meters", "unknown=1"),
        ("/v1/billing/meters", "a=%00"),
        ("/v1/billing/meters/mtr_x/deactivate", ""),
        ("/v1/prices", "currency=xyz&unit_amount=1&product_data[name]=A"),
        ("/v1/billing/meters", "display_name=C&event_name=c&default_aggregation[formula]=sum&expand[]=id"),
    ],
)
def test_failed_validation_does_not_use_up_a_key(call: Caller, path: str, body: str) -> None:
    refused = call("POST", path, body, headers=KEY)
    assert refused.status_code in {400, 404}
    good = "display_name=Calls&event_name=calls&default_aggregation[formula]=sum"
    response = call("POST", "/v1/billing/meters", good, headers=KEY)
    assert response.status_code == 200
    assert Meter.objects.count() == 1


def test_a_refusal_by_the_state_of_things_is_the_answer_from_then_on(call: Caller) -> None:
    meter = "display_name=Calls&event_name=calls&default_aggregation[formula]=sum"
    identifier = json.loads(call("POST", "/v1/billing/meters", meter).content)["id"]
    refused = call("POST", "/v1/billing/meters", meter, headers=KEY)
    assert (refused.status_code, error_of(refused)["code"]) == (400, "resource_already_exists")

    call("POST", f"/v1/billing/meters/{identifier}/deactivate")
    again = call("POST", "/v1/billing/meters", meter, headers=KEY)
    assert (again.status_code, again.content) == (400, refused.content)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_bug_is_answered_the_same_way_again(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(services, "create_customer", break_after_writing)
        first = call("POST", "/v1/customers", headers=KEY)
    again = call("POST", "/v1/customers", headers=KEY)
    assert first.status_code == again.status_code == 500
    assert again.headers["Stripe-Should-Retry"] == "false"
    assert again.headers["Idempotent-Replayed"] == "true"
    assert Customer.objects.count() == 0


def test_keys_are_ignored_where_nothing_is_posted(call: Caller) -> None:
    identifier = json.loads(call("POST", "/v1/customers").content)["id"]
    for method, path in (("GET", "/v1/customers"), ("GET", "/v1/products"), ("DELETE", f"/v1/customers/{identifier}")):
        response = call(method, path, headers=KEY)
        assert response.status_code == 200
        assert "Idempotency-Key" not in response.headers


@pytest.mark.parametrize("key", ["x" * 256, "a\x00b", "a\x1fb"])
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/billing/meter_events"])
def test_a_key_has_a_length_and_is_text(call: Caller, path: str, key: str) -> None:
    response = call(
        "POST", path, "event_name=a&payload[b]=c" if "meter" in path else "", headers={"Idempotency-Key": key}
    )
    assert response.status_code == 400
    assert "Idempotency-Key" in error_of(response)["message"]
    assert Customer.objects.count() == 0


def test_the_longest_key_and_one_beyond_ascii_work(call: Caller) -> None:
    for key in ("x" * 255, "clé"):
        for replayed in (False, True):
            response = call("POST", "/v1/customers", headers={"Idempotency-Key": key})
            assert response.status_code == 200
            assert ("Idempotent-Replayed" in response.headers) is replayed


def test_the_other_mode_and_other_companies_have_keys_of_their_own(account: Account, call: Caller) -> None:
    live = Account(account.environment.company, "live")
    first = json.loads(call("POST", "/v1/customers", "name=Ada", headers=KEY).content)
    response = call("POST", "/v1/customers", "name=Eve", headers=KEY | {"Authorization": f"Bearer {live.secret}"})
    assert response.status_code == 200
    assert json.loads(response.content)["livemode"] is True
    assert first["livemode"] is False
