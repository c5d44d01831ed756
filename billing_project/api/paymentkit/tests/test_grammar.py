"""What holds for every call, whatever it is about: keys, modes, methods, the shape of refusals, bodies."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import ApiKey, Mode, Scope
from billing_project.api.paymentkit.tests.caller import Caller, error_of
from billing_project.api.paymentkit.tests.test_meters import API_CALLS
from core.ids import spell
from meters.models import Meter

SOME_ID = "0" * 26
# Every address, with a method that it takes.
ROUTES = {
    "paymentkit-meters": ("GET", "/meters"),
    "paymentkit-meter": ("GET", f"/meters/mtr_{SOME_ID}"),
    "paymentkit-meter-activate": ("PUT", f"/meters/mtr_{SOME_ID}/activate"),
    "paymentkit-meter-deactivate": ("PUT", f"/meters/mtr_{SOME_ID}/deactivate"),
    "paymentkit-meter-events": ("GET", "/meter-events"),
    "paymentkit-meter-event": ("GET", f"/meter-events/mevt_{SOME_ID}"),
    "paymentkit-meter-event-stats": ("GET", "/meter-events/stats"),
    "paymentkit-pending-amount": ("GET", "/meter-events/pending-amount"),
    "paymentkit-grants": ("GET", "/credit-grants"),
    "paymentkit-grant": ("GET", f"/credit-grants/credgr_{SOME_ID}"),
    "paymentkit-grant-summary": ("GET", "/credit-grants/summary"),
    "paymentkit-grant-stats": ("GET", "/credit-grants/stats"),
    "paymentkit-availability": ("GET", "/credit-grants/verify-availability"),
    "paymentkit-holders": ("GET", "/credit-grants/holders"),
    "paymentkit-credit-transactions": ("GET", "/credit-transactions"),
    "paymentkit-credit-transaction": ("GET", f"/credit-transactions/cbtxn_{SOME_ID}"),
    "paymentkit-credit-transaction-summary": ("GET", "/credit-transactions/summary"),
    "paymentkit-customers": ("GET", "/customers"),
    "paymentkit-customer": ("GET", f"/customers/cus_{SOME_ID}"),
    "paymentkit-customer-search": ("GET", "/customers/search"),
    "paymentkit-currencies": ("GET", "/payment-currencies"),
    "paymentkit-currency": ("GET", f"/payment-currencies/pcur_{SOME_ID}"),
    "paymentkit-recharge-config": ("GET", f"/payment-currencies/pcur_{SOME_ID}/recharge-config"),
    "paymentkit-recurring-support": ("POST", "/payment-currencies/check-recurring-support"),
    "paymentkit-customer-overdue": ("GET", f"/customers/cus_{SOME_ID}/overdue/invoices"),
    "paymentkit-products": ("GET", "/products"),
    "paymentkit-product": ("GET", f"/products/prod_{SOME_ID}"),
    "paymentkit-product-search": ("GET", "/products/search"),
    "paymentkit-product-archive": ("PUT", f"/products/prod_{SOME_ID}/archive"),
    "paymentkit-prices": ("GET", "/prices"),
    "paymentkit-price": ("GET", f"/prices/price_{SOME_ID}"),
    "paymentkit-price-search": ("GET", "/prices/search"),
    "paymentkit-price-archive": ("PUT", f"/prices/price_{SOME_ID}/archive"),
    "paymentkit-subscriptions": ("GET", "/subscriptions"),
    "paymentkit-subscription": ("GET", f"/subscriptions/sub_{SOME_ID}"),
    "paymentkit-subscription-search": ("GET", "/subscriptions/search"),
    "paymentkit-subscription-cancel": ("PUT", f"/subscriptions/sub_{SOME_ID}/cancel"),
    "paymentkit-subscription-recover": ("PUT", f"/subscriptions/sub_{SOME_ID}/recover"),
    "paymentkit-subscription-pause": ("PUT", f"/subscriptions/sub_{SOME_ID}/pause"),
    "paymentkit-subscription-resume": ("PUT", f"/subscriptions/sub_{SOME_ID}/resume"),
    "paymentkit-subscription-overdue": ("GET", f"/subscriptions/sub_{SOME_ID}/overdue/invoices"),
    "paymentkit-subscription-items": ("GET", "/subscription-items"),
    "paymentkit-subscription-item": ("GET", f"/subscription-items/si_{SOME_ID}"),
    "paymentkit-usage-records": ("GET", "/usage-records"),
    "paymentkit-usage-summary": ("GET", "/usage-records/summary"),
    "paymentkit-invoices": ("GET", "/invoices"),
    "paymentkit-invoice": ("GET", f"/invoices/in_{SOME_ID}"),
    "paymentkit-invoice-search": ("GET", "/invoices/search"),
    "paymentkit-recharge": ("GET", f"/auto-recharge-configs/retrieve/arc_{SOME_ID}"),
    "paymentkit-recharge-of-customer": ("GET", f"/auto-recharge-configs/customer/cus_{SOME_ID}"),
    "paymentkit-recharge-submit": ("POST", "/auto-recharge-configs/submit"),
    "paymentkit-invoice-void": ("POST", f"/invoices/in_{SOME_ID}/void"),
}

TAKING_DELETE = ("paymentkit-product", "paymentkit-price", "paymentkit-subscription-item")


def addresses(patterns: list[Any], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.startswith("api/") and not path.startswith("api/v1/"):
            yield str(pattern.name)


def test_every_address_is_called_here() -> None:
    assert set(addresses(get_resolver().url_patterns)) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "credentials", ["", "Basic c2tfdGVzdF9ub3BlOg==", "Bearer sk_test_nope", "Basic ???", "Digest x", "{secret}"]
)
def test_without_a_key_of_ours_nothing_opens(call: Caller, route: str, credentials: str) -> None:
    method, path = ROUTES[route]
    headers = {"Authorization": credentials.format(secret=call.secret)}

    response = call(method, path, headers=headers)
    assert error_of(response) == (401, "Invalid API key")
    assert response.headers["WWW-Authenticate"] == 'Basic realm="Tollbook"'


def test_a_key_opens_as_bearer_token_too_and_from_its_own_addresses_only(call: Caller) -> None:
    assert call("GET", "/meters", headers={"Authorization": f"Bearer {call.secret}"}).status_code == 200
    ApiKey.objects.filter(pk=call.key.pk).update(allowed_ips=["10.0.0.7"])
    assert error_of(call("GET", "/meters", REMOTE_ADDR="10.0.0.8"))[0] == 401


@pytest.mark.parametrize("route", ROUTES)
def test_a_key_without_the_scope_is_told_which(call: Caller, route: str) -> None:
    method, path = ROUTES[route]
    poor = Caller(call.environment.company, Mode.TEST, Scope.EVENTS_READ)

    status, text = error_of(poor(method, path))
    assert status == 403
    assert text.startswith("The API key does not have the scope ")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "NONSENSE", "DELETE"])
def test_no_address_takes_other_methods(call: Caller, route: str, method: str) -> None:
    _, path = ROUTES[route]
    if (method, route) in {("DELETE", taking) for taking in TAKING_DELETE}:
        assert error_of(call(method, path))[1].partition(":")[0].endswith(" not found")
    else:
        assert error_of(call(method, path)) == (404, f"Cannot {method} /api{path}")


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/meters/", "/meters/a/b/c", "/v2/x", "/meters/%00%ff/activate/x"]
)
def test_what_is_not_there_is_said_in_the_shape(call: Caller, path: str) -> None:
    assert error_of(call("GET", path))[0] == 404


def test_the_other_dialects_addresses_below_are_its_own(call: Caller) -> None:
    assert b'"statusCode":404' in call("GET", "/v1/nothing").content


def test_reads_of_the_other_mode_find_nothing_and_writes_are_refused(call: Caller) -> None:
    meter = call.post("/meters", API_CALLS)
    live = "livemode=true"

    empty = call("GET", "/meters", query=live)
    assert empty.content == b'{"count":0,"list":[],"paging":{"page":1,"pageSize":20}}'
    assert error_of(call("GET", f"/meters/{meter['id']}", query=live))[0] == 404
    assert call("GET", "/payment-currencies", query=live).content == b"[]"
    for method, path in (("POST", "/meters"), ("PUT", f"/meters/{meter['id']}/deactivate")):
        status, text = error_of(call(method, path, {**API_CALLS, "event_name": "other"}, query=live))
        assert (status, "live mode" in text, "test mode" in text) == (400, True, True)
    assert error_of(call("GET", "/meters", query="livemode=perhaps")) == (400, '"livemode" must be a boolean')
    assert list(Meter.objects.values_list("event_name", "status")) == [("api.calls.v1", "active")]
    # Without a word, the key's mode is meant.
    assert call("GET", f"/meters/{meter['id']}", query="").status_code == 200


def test_a_live_key_lives_in_live_mode(call: Caller) -> None:
    call.post("/meters", API_CALLS)
    live = Caller(call.environment.company, Mode.LIVE)

    assert live.get("/meters")["count"] == 0
    assert live.post("/meters", API_CALLS)["livemode"] is True
    assert call.get("/meters")["count"] == 1


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"{", "application/json", "The body must be valid JSON."),
        (b"[]", "application/json", "The body must be a JSON object."),
        (b'{"name": "\\ud800"}', "application/json", "The body must be valid JSON."),
        (b"name=x", "application/x-www-form-urlencoded", "The request's content type must be application/json."),
        (b" " * (1024 * 1024 + 1), "application/json", "The request's body is too large: at most 1048576 bytes are accepted."),
    ],
)  # fmt: skip
def test_bodies_that_cannot_be_read_are_refused(call: Caller, body: bytes, content_type: str, said: str) -> None:
    assert error_of(call("POST", "/meters", body, content_type=content_type)) == (400, said)


@pytest.mark.parametrize("query", ["page=0", "page=x", "pageSize=0", "page=1.5", "page=99999999"])
def test_pages_that_are_none_are_refused(call: Caller, query: str) -> None:
    assert error_of(call("GET", "/meters", query=query))[0] == 400


def test_what_django_refuses_is_said_in_the_shape(call: Caller) -> None:
    assert error_of(call("GET", "/meters", HTTP_HOST="evil.example")) == (400, "Bad Request")
    with override_settings(SECURE_SSL_REDIRECT=True):
        response = Client().get("/api/meters")
    assert error_of(response) == (403, "This API is served over HTTPS only.")  # type: ignore[arg-type]


def test_an_absent_database_asks_to_come_again_and_a_fault_says_nothing(
    call: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> None:
        def raise_it(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr("billing_project.api.paymentkit.meters.shape_of_meter", raise_it)

    call.post("/meters", API_CALLS)
    fail(OperationalError("server closed the connection"))
    response = call("GET", "/meters")
    assert error_of(response) == (503, "The service is not available for the moment.")
    assert response.headers["Retry-After"] == "1"
    fail(ValueError("secret"))
    assert error_of(call("GET", "/meters")) == (500, "Internal server error")
    assert "secret" in caplog.text


def test_a_head_is_answered_as_its_get(call: Caller) -> None:
    response = call("HEAD", "/meters")
    assert (response.status_code, response.content) == (200, b"")


def test_ids_of_another_kind_find_nothing(call: Caller) -> None:
    meter = call.post("/meters", API_CALLS)
    pk = Meter.objects.get().pk

    assert call.get(f"/meters/{pk}")["id"] == meter["id"]
    assert error_of(call("GET", f"/meters/{spell('cus', pk)}"))[0] == 404
    assert error_of(call("GET", f"/customers/{meter['id']}"))[0] == 404
