"""What holds for every call, whatever it is about: keys, routes, methods, the envelope."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings

from accounts import services
from accounts.models import ApiKey, License, Mode, Scope
from accounts.tests.factories import create_key
from billing_project.api.ledgerbee.tests.caller import REPORT, Caller, error_of

API_KEY = "/api/v1/api-key"
METER = "/api/v1/meters/019392f0-0000-7000-8000-000000000000/subscriptions"
BY_NAME = "/api/v1/meters/subscriptions"
ROUTES = {
    "ledgerbee-meter-report": ("POST", REPORT),
    "ledgerbee-meter-subscriptions": ("GET", METER),
    "ledgerbee-meter-subscriptions-by-name": ("GET", BY_NAME),
    "ledgerbee-api-key": ("GET", API_KEY),
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE")


def addresses(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.startswith("api/v1/"):
            yield str(pattern.name)


def below(path: str) -> str:
    return path.removeprefix("/api")


def test_every_address_is_called_here() -> None:
    assert set(addresses(get_resolver().url_patterns)) == set(ROUTES)


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": "sk_test_nope"},
        {"x-api-key": "schlüssel"},
        {"Authorization": "Bearer {secret}"},
        {"Authorization": "Basic {secret}"},
        {"Authorization": "{secret}"},
    ],
)
def test_without_a_key_of_ours_nothing_opens(call: Caller, route: str, headers: dict[str, str]) -> None:
    method, path = ROUTES[route]
    sent = {name: value.format(secret=call.secret) for name, value in headers.items()}

    error = error_of(call(method, path, headers={"x-api-key": "", **sent}), path=below(path))
    assert (error["statusCode"], error["code"], error["message"]) == (401, "UNAUTHORIZED", "Invalid API key")
    assert "details" not in error


def test_the_key_may_stand_in_the_query_and_the_header_comes_first(call: Caller) -> None:
    other, secret = create_key(call.environment, Scope.METERS_READ)

    def scopes(header: str, query: str) -> list[str]:
        response = call("GET", API_KEY, headers={"x-api-key": header}, query=f"x-api-key={query}")
        found: list[str] = json.loads(response.content)["scopes"]
        return found

    assert scopes("", secret) == list(other.scopes)
    assert scopes(call.secret, secret) == ["meter-report"]
    # A Bearer token beside a key does not matter.
    assert call("GET", API_KEY, headers={"Authorization": "Bearer x"}).status_code == 200


@pytest.mark.parametrize("fields", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}])
def test_a_key_that_is_over_opens_nothing(call: Caller, fields: dict[str, Any]) -> None:
    ApiKey.objects.filter(pk=call.key.pk).update(**fields)

    response = call("GET", API_KEY)
    assert error_of(response, path="/v1/api-key")["code"] == "UNAUTHORIZED"
    assert "X-API-Key-Expires-At" not in response.headers


def test_a_key_opens_from_its_own_addresses_only(call: Caller) -> None:
    ApiKey.objects.filter(pk=call.key.pk).update(allowed_ips=["10.0.0.7"])

    error = error_of(call("GET", API_KEY, REMOTE_ADDR="10.0.0.8"), path="/v1/api-key")
    assert (error["statusCode"], error["code"]) == (401, "UNAUTHORIZED")
    assert error["details"] == {"reason": "ip_whitelist_mismatch"}
    assert call("GET", API_KEY, REMOTE_ADDR="10.0.0.7").status_code == 200


@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_to_a_key_with_an_end_says_when(call: Caller, route: str) -> None:
    method, path = ROUTES[route]
    end = timezone.now().replace(microsecond=123456) + timedelta(days=1)
    assert "X-API-Key-Expires-At" not in call(method, path).headers
    ApiKey.objects.filter(pk=call.key.pk).update(expires_at=end)

    for caller in (call, Caller(call.environment.company, Mode.TEST, Scope.METERS_READ)):
        ApiKey.objects.filter(pk=caller.key.pk).update(expires_at=end)
        # Refusals among them.
        assert caller(method, path).headers["X-API-Key-Expires-At"] == f"{end:%Y-%m-%dT%H:%M:%S}.123Z"


def test_a_key_describes_itself(call: Caller) -> None:
    License.objects.all().delete()
    assert json.loads(call("GET", API_KEY).content) == {
        "rateLimitTiers": [],
        "expiresAt": None,
        "ipWhitelist": [],
        "scopes": ["meter-report"],
    }
    end = timezone.now() + timedelta(days=1)
    ApiKey.objects.filter(pk=call.key.pk).update(expires_at=end, allowed_ips=["127.0.0.1", "10.0.0.7"])

    described = json.loads(call("GET", API_KEY).content)
    assert described["ipWhitelist"] == ["127.0.0.1", "10.0.0.7"]
    assert described["expiresAt"] == f"{end.isoformat(timespec='milliseconds')[:23]}Z"


# --- routes and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [
    "/api/v1", "/api/v1/", "/api/v1/nothing", "/api/v1/meters", "/api/v1/meters/", "/api/v1/meters/report/",
    "/api/v1/meters/x", "/api/v1/meters/x/y/subscriptions", "/api/v1/meters//subscriptions", "/api/v1/api-key/x",
    "/api/v1/%ff", "/api/v1/a%0Ab",
])  # fmt: skip
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_route_is_not_found_in_the_envelope(call: Caller, method: str, path: str) -> None:
    response = call(method, path)

    assert response.status_code == 404
    error = json.loads(response.content)
    assert (error["code"], error["message"].split()[:2]) == ("NOT_FOUND", ["Cannot", method])


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_another_method_is_refused_and_the_right_one_named(call: Caller, route: str, method: str) -> None:
    right, path = ROUTES[route]
    if method != right:
        response = call(method, path)

        assert error_of(response, path=below(path))["code"] == "METHOD_NOT_ALLOWED"
        allowed = "GET, HEAD" if right == "GET" else right
        assert (response.status_code, response.headers["Allow"]) == (405, allowed)


def test_the_path_is_without_its_query(call: Caller) -> None:
    assert error_of(call("GET", BY_NAME, query="meterName=x&y=1"), path="/v1/meters/subscriptions")


def test_answers_are_json_whatever_is_accepted(call: Caller) -> None:
    response = call("GET", API_KEY, headers={"Accept": "image/png"}, query="format=xml")

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.headers["Cache-Control"] == "no-cache, no-store"
    assert response.headers["Content-Length"] == str(len(response.content))
    assert not response.cookies


def test_neighbors_are_not_spoken_to_in_this_dialect() -> None:
    client = Client(raise_request_exception=False)

    assert b"statusCode" not in client.get("/api/v10").content
    assert b"statusCode" not in client.get("/v1/customers").content
    assert b"statusCode" not in client.get("/admin/login/").content


# --- what goes wrong below --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("error", [OperationalError("no connection"), InterfaceError("closed")])
def test_without_a_database_the_caller_comes_again(
    call: Caller, monkeypatch: pytest.MonkeyPatch, route: str, error: Exception
) -> None:
    method, path = ROUTES[route]

    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(services, "open_with_key", fail)
    response = call(method, path)

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert error_of(response, path=below(path))["code"] == "SERVICE_UNAVAILABLE"


@pytest.mark.parametrize("route", ROUTES)
def test_what_nobody_foresaw_is_an_envelope_and_nothing_more(
    call: Caller, monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    method, path = ROUTES[route]

    def fail(**_: Any) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(services, "open_with_key", fail)
    response = call(method, path)

    assert error_of(response, path=below(path))["code"] == "INTERNAL_SERVER_ERROR"
    assert response.status_code == 500
    assert b"secret" not in response.content


def test_an_unknown_host_is_refused_in_the_envelope(call: Caller) -> None:
    assert error_of(call("GET", API_KEY, SERVER_NAME="evil.example"), path="/v1/api-key")["statusCode"] == 400


def test_plain_http_is_refused_and_not_redirected(call: Caller, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    error = error_of(Caller(call.environment.company)("GET", API_KEY), path="/v1/api-key")

    assert (error["statusCode"], error["code"]) == (403, "HTTPS_REQUIRED")
