"""What holds for every call, whatever it is about: the shell around all resources."""

import base64
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError
from django.utils import timezone
from psycopg.errors import ReadOnlySqlTransaction
from pytest_django import Settings

from accounts import services
from accounts.models import ApiKey, Customer, Scope
from accounts.tests.factories import create_key
from billing_project.api.stripe.tests.caller import FORM, Caller, break_after_writing, error_of
from billing_project.api.stripe.tests.sdk import Account

# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_key_opens_as_bearer_and_as_basic(account: Account, call: Caller) -> None:
    user = base64.b64encode(f"{account.secret}:".encode()).decode()
    bare = base64.b64encode(account.secret.encode()).decode()
    for value in (f"Bearer {account.secret}", f"bearer  {account.secret} ", f"Basic {user}", f"basic {bare}"):
        assert call("GET", "/v1/customers", headers={"Authorization": value}).status_code == 200


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "You did not provide an API key."),
        ("Bearer", "You did not provide an API key."),
        ("Bearer ", "You did not provide an API key."),
        ("Basic Og==", "You did not provide an API key."),
        ("Basic not base 64", "cannot be decoded"),
        ("Basic /w==", "cannot be decoded"),
        ("Digest x", "not supported"),
        ("Bearer sk_test_nope", "Invalid API Key provided: ************"),
        ("Bearer é", "Invalid API Key provided: *"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/customers", "/v1/billing/meter_events"])
def test_without_a_key_nothing_opens(call: Caller, path: str, value: str, words: str) -> None:
    response = call("POST", path, headers={"Authorization": value})
    error = error_of(response)
    assert response.status_code == 401
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert Customer.objects.count() == 0


def test_revoked_expired_and_misplaced_keys_open_nothing(account: Account, call: Caller) -> None:
    now = timezone.now()
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"revoked_at": now}, 401, ""),
        ({"expires_at": now - timedelta(seconds=1)}, 401, "api_key_expired"),
        ({"allowed_ips": ["192.0.2.1"]}, 403, ""),
    ]
    for fields, status, code in cases:
        _, secret = create_key(account.environment, **fields)
        response = call("GET", "/v1/customers", headers={"Authorization": f"Bearer {secret}"})
        error = error_of(response)
        assert (response.status_code, error.get("code", "")) == (status, code)
        assert secret not in error["message"]


def test_behind_a_proxy_only_its_own_word_counts(account: Account, call: Caller, settings: Settings) -> None:
    _, secret = create_key(account.environment, allowed_ips=["192.0.2.1"])
    headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": "10.9.9.9, 192.0.2.1"}
    assert call("GET", "/v1/customers", headers=headers).status_code == 403

    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert call("GET", "/v1/customers", headers=headers).status_code == 200
    claimed = headers | {"X-Forwarded-For": "192.0.2.1, 10.9.9.9"}
    assert call("GET", "/v1/customers", headers=claimed).status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/customers", Scope.CUSTOMERS_READ),
        ("POST", "/v1/customers", Scope.CUSTOMERS_WRITE),
        ("DELETE", "/v1/customers/cus_x", Scope.CUSTOMERS_WRITE),
        ("GET", "/v1/billing/meters", Scope.METERS_READ),
        ("POST", "/v1/billing/meters", Scope.METERS_WRITE),
        ("POST", "/v1/billing/meters/mtr_x/deactivate", Scope.METERS_WRITE),
        ("GET", "/v1/billing/meters/mtr_x/event_summaries", Scope.USAGE_READ),
        ("POST", "/v1/billing/meter_events", Scope.METER_REPORT),
        ("GET", "/v1/billing/meter_events", Scope.USAGE_READ),
        ("POST", "/v1/billing/meter_events/bulk", Scope.METER_REPORT),
        ("POST", "/v1/billing/meter_event_adjustments", Scope.METER_REPORT),
        ("GET", "/v1/billing/analytics/meter_usage", Scope.USAGE_READ),
        ("GET", "/v1/products", Scope.PRODUCTS_READ),
        ("POST", "/v1/products", Scope.PRODUCTS_WRITE),
        ("GET", "/v1/prices", Scope.PRODUCTS_READ),
        ("POST", "/v1/prices", Scope.PRODUCTS_WRITE),
        ("GET", "/v1/subscriptions", Scope.SUBSCRIPTIONS_READ),
        ("POST", "/v1/subscriptions", Scope.SUBSCRIPTIONS_WRITE),
        ("DELETE", "/v1/subscriptions/sub_x", Scope.SUBSCRIPTIONS_WRITE),
        ("GET", "/v1/subscription_items", Scope.SUBSCRIPTIONS_READ),
        ("GET", "/v1/invoices", Scope.INVOICES_READ),
        ("POST", "/v1/invoices/create_preview", Scope.INVOICES_READ),
        ("POST", "/v1/invoices/in_x/pay", Scope.INVOICES_WRITE),
    ],
)
def test_each_call_needs_its_own_scope(account: Account, call: Caller, method: str, path: str, scope: Scope) -> None:
    _, without = create_key(account.environment, *(other for other in Scope.values if other != scope))
    _, alone = create_key(account.environment, scope)

    refused = call(method, path, headers={"Authorization": f"Bearer {without}"})
    assert refused.status_code == 403
    assert scope.value in error_of(refused)["message"]
    assert Customer.objects.count() == 0
    # With the scope it gets as far as the parameters or the id, or all the way.
    assert call(method, path, headers={"Authorization": f"Bearer {alone}"}).status_code in {200, 400, 404}


@pytest.mark.parametrize("header", ["Stripe-Account", "Stripe-Context"])
def test_a_call_on_behalf_of_another_account_is_refused(call: Caller, header: str) -> None:
    response = call("POST", "/v1/customers", headers={header: "acct_1"})
    assert response.status_code == 403
    assert error_of(response)["code"] == "account_invalid"
    assert Customer.objects.count() == 0


# --- addresses and shapes of answers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/nothing/at/all"),
        ("GET", "/v1/customers/"),
        ("POST", "/v1/customers/"),
        ("GET", "/v1//customers"),
        ("DELETE", "/v1/billing/meter_events"),
        ("POST", "/v1/billing/meter_events/x"),
        ("PUT", "/v1/customers"),
        ("PATCH", "/v1/customers/cus_x"),
        ("DELETE", "/v1/customers"),
        ("OPTIONS", "/v1/customers"),
        ("TRACE", "/v1/customers"),
        ("PUT", "/v1/billing/meter_events"),
        ("DELETE", "/v1/invoices"),
        ("POST", "/v1/events"),
        ("GET", "/v1/customers/a/b"),
        ("GET", "/v1/x%0Ay"),
        ("GET", "/v1/%00"),
        ("GET", "/v1/%ff"),
    ],
)
def test_unknown_addresses_and_methods_are_said_in_json(call: Caller, method: str, path: str) -> None:
    response = call(method, path)
    error = error_of(response)
    assert response.status_code == 404
    assert error["message"].startswith(f"Unrecognized request URL ({method}: /v1")


def test_a_debugging_server_shows_no_pages_either(call: Caller, settings: Settings) -> None:
    settings.DEBUG = True
    assert error_of(call("GET", "/v1/nothing"))
    assert error_of(call("GET", "/v1/customers", HTTP_HOST="evil.example"))


def test_a_foreign_host_and_plain_http_are_said_in_json(account: Account, call: Caller, settings: Settings) -> None:
    response = call("GET", "/v1/customers", HTTP_HOST="evil.example")
    assert response.status_code == 400
    assert error_of(response)

    settings.SECURE_SSL_REDIRECT = True
    # A new client, since the middleware reads its settings once.
    response = Caller(account)("POST", "/v1/customers")
    assert response.status_code == 403
    assert "HTTPS" in error_of(response)["message"]


def test_other_addresses_are_left_alone(call: Caller) -> None:
    assert "Request-Id" not in call("GET", "/v10/customers").headers
    assert "Request-Id" not in call("GET", "/admin/login/").headers


def test_every_answer_has_an_id_and_the_version_that_was_asked_for(call: Caller) -> None:
    first = call("GET", "/v1/customers", headers={"Stripe-Version": "2026-08-26.dahlia"})
    second = call("GET", "/v1/customers", headers={"Stripe-Version": "bad\x7f"})
    assert first.headers["Stripe-Version"] == "2026-08-26.dahlia"
    assert second.headers["Stripe-Version"] == "2026-10-28.endive"
    assert first.headers["Request-Id"] != second.headers["Request-Id"]
    assert len(first.headers["Request-Id"]) <= 40


@pytest.mark.parametrize(
    "identifier", ["cus_x", "mtr_0000", "cus_" + "z" * 26, "x" * 5000, "%00", "%20", "é", "cus_%0A"]
)
@pytest.mark.parametrize("resource", ["customers", "products", "prices", "billing/meters", "subscriptions", "invoices"])
def test_an_id_that_names_nothing(call: Caller, resource: str, identifier: str) -> None:
    response = call("GET", f"/v1/{resource}/{identifier}")
    error = error_of(response)
    assert (response.status_code, error["code"]) == (404, "resource_missing")
    assert error["param"] == ("price" if resource == "prices" else "id")
    assert error["message"].startswith("No such ")
    assert len(response.content) < 500


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/billing/meter_events"])
@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"name": "x"}', "application/json", "content type"),
        (b"--x\r\n", "multipart/form-data; boundary=x", "content type"),
        (b"name=x", "text/plain", "content type"),
        (b"name=%ff", FORM, "UTF-8"),
        (b"name=\xff", FORM, "UTF-8"),
        (b"name=%00", FORM, "NUL"),
        (b"name=1&name[a]=2", FORM, "two shapes"),
        (b"name[=1", FORM, "Invalid parameter name"),
        (b"name=" + b"x" * 1_100_000, FORM, "too large"),
        (b"&".join(b"a%d=1" % number for number in range(1001)), FORM, "Too many"),
    ],
)
def test_bodies_that_cannot_be_read(call: Caller, path: str, body: bytes, kind: str, words: str) -> None:
    response = call("POST", path, body, kind=kind)
    assert response.status_code == 400
    assert words in error_of(response)["message"]
    assert Customer.objects.count() == 0


def test_a_chunked_body_is_refused_and_not_taken_for_none(call: Caller) -> None:
    response = call("POST", "/v1/customers", headers={"Transfer-Encoding": "chunked"})
    assert response.status_code == 400
    assert "Content-Length" in error_of(response)["message"]


def test_parameters_of_query_and_body_are_one(call: Caller) -> None:
    created = json.loads(call("POST", "/v1/customers", b"name=Ada", query="email=a%40b.c").content)
    assert (created["name"], created["email"]) == ("Ada", "a@b.c")
    assert call("POST", "/v1/customers", b"name=Ada", query="name=Eve").status_code == 400
    # curl -X DELETE -d ... puts them into the body.
    response = call("DELETE", f"/v1/customers/{created['id']}", b"unknown=1")
    assert error_of(response)["param"] == "unknown"
    # An empty body needs no content type.
    assert call("POST", "/v1/customers", b"", kind="application/json").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "param"),
    [
        ("GET", "/v1/customers", "nam"),
        ("GET", "/v1/customers/cus_x", "nam"),
        ("POST", "/v1/customers", "nam"),
        ("POST", "/v1/customers/cus_x", "nam"),
        ("DELETE", "/v1/customers/cus_x", "nam"),
        ("POST", "/v1/customers", "address[planet]"),
        ("POST", "/v1/prices", "recurring[planet]"),
        ("POST", "/v1/prices", "product_data[expand]"),
        ("POST", "/v1/subscriptions", "items[0][planet]"),
        ("POST", "/v1/billing/meters", "default_aggregation[planet]"),
        ("POST", "/v1/billing/meter_events", "value"),
        ("GET", "/v1/invoices", "created[since]"),
        ("POST", "/v1/billing/meters/mtr_x/deactivate", "now"),
        ("POST", "/v1/invoices/in_x/pay", "forgive"),
    ],
)
def test_unknown_parameters_are_refused_wherever_they_are(call: Caller, method: str, path: str, param: str) -> None:
    response = call(method, path, query=f"{param}=1")
    error = error_of(response)
    assert response.status_code == 400
    assert (error["code"], error["param"]) == ("parameter_unknown", param)


# --- when something breaks --------------------------------------------------------------------------------------------


def readonly() -> IntegrityError:
    error = IntegrityError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = ReadOnlySqlTransaction()
    return error


@pytest.mark.parametrize("trouble", [OperationalError("gone"), InterfaceError("closed"), readonly()])
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/customers", "create_customer"),
        ("POST", "/v1/customers", "open_with_key"),
        ("GET", "/v1/customers", "open_with_key"),
        ("POST", "/v1/billing/meter_events", "open_with_key"),
    ],
)
def test_without_a_database_a_client_is_told_to_come_back(
    call: Caller, monkeypatch: pytest.MonkeyPatch, method: str, path: str, name: str, trouble: Exception
) -> None:
    def fail(**_: Any) -> None:
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(services, name, fail)
        response = call(method, path, headers={"Idempotency-Key": "k"})
    assert response.status_code == 503
    assert error_of(response)["type"] == "api_error"
    assert response.headers["Stripe-Should-Retry"] == "true"
    assert int(response.headers["Retry-After"]) >= 1
    # The key is as good as new.
    if path == "/v1/customers" and method == "POST":
        again = call(method, path, headers={"Idempotency-Key": "k"})
        assert again.status_code == 200
        assert "Idempotent-Replayed" not in again.headers


def test_an_accepted_event_needs_its_database_too(
    account: Account, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError("the connection was lost")

    monkeypatch.setattr("billing_project.api.stripe.meter_events.accept_event", fail)
    response = call("POST", "/v1/billing/meter_events", "event_name=a&payload[value]=1")
    assert response.status_code == 503
    assert response.headers["Stripe-Should-Retry"] == "true"


def test_a_bug_is_a_500_in_json_that_leaves_nothing(
    call: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(services, "create_customer", break_after_writing)
    with caplog.at_level(logging.ERROR, logger="billing_project"):
        response = call("POST", "/v1/customers")
    assert response.status_code == 500
    error = error_of(response)
    assert error["type"] == "api_error"
    assert "bug" not in error["message"]
    assert response.headers["Request-Id"] in caplog.text
    assert Customer.objects.count() == 0


def test_a_bug_in_the_hot_path_is_a_500_in_json(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("billing_project.api.stripe.meter_events.accept_event", fail)
    response = call("POST", "/v1/billing/meter_events", "event_name=a&payload[value]=1")
    assert response.status_code == 500
    assert error_of(response)["type"] == "api_error"


# --- expand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "paths",
    [
        ["id"],
        ["metadata"],
        ["metadata.x"],
        ["nothing"],
        [""],
        ["."],
        ["address"],
        ["a.b.c.d.e"],
    ],
)
def test_what_cannot_be_expanded_is_refused_and_nothing_is_made(call: Caller, paths: list[str]) -> None:
    query = "&".join(f"expand[]={path}" for path in paths)
    for method, address in (("POST", "/v1/customers"), ("GET", "/v1/customers")):
        response = call(method, address, "name=Ada&metadata[x]=1" if method == "POST" else b"", query=query)
        error = error_of(response)
        assert response.status_code == 400
        assert error["param"].startswith("expand")
        assert Customer.objects.count() == 0


def test_last_use_of_the_key_is_noted(account: Account, call: Caller) -> None:
    before: Callable[[], Any] = lambda: ApiKey.objects.get(pk=account.key.pk).last_used_at  # noqa: E731
    assert before() is None
    call("GET", "/v1/customers")
    assert before() is not None


@pytest.mark.parametrize(("accept", "query"), [("image/png", ""), ("text/html", ""), ("nonsense", "format=xml")])
def test_answers_are_json_whatever_is_accepted(call: Caller, accept: str, query: str) -> None:
    response = call("GET", "/v1/customers", query=query, headers={"Accept": accept})

    # The query's word is no parameter of ours.
    assert response.status_code == (400 if query else 200)
    assert response.headers["Content-Type"] == "application/json"
