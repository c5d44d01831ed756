"""The official SDK against the whole running system, pointed at it as its users point it."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key


@dataclass(frozen=True)
class Tenant:
    stack: RunningStack
    company: str
    secret: str

    @property
    def v1(self) -> Any:
        return client_of(self.stack, self.secret).v1

    def post(self, path: str, body: str = "", **headers: str) -> httpx.Response:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return httpx.post(
            f"{self.stack.base_url}/v1/{path}", content=body, headers=kind | headers, auth=(self.secret, ""), timeout=30
        )


@pytest.fixture(scope="module")
def tenant(running_stack: RunningStack) -> Tenant:
    company = new_company(running_stack)
    return Tenant(running_stack, company, new_key(running_stack, company))


@pytest.fixture
def module_style(tenant: Tenant) -> Iterator[None]:
    """The SDK's older style, which is configured for the whole process."""
    before = stripe.api_key, stripe.api_base, stripe.meter_events_api_base
    stripe.api_key = tenant.secret
    stripe.api_base = stripe.meter_events_api_base = tenant.stack.base_url
    yield
    stripe.api_key, stripe.api_base, stripe.meter_events_api_base = before


def test_from_a_meter_to_a_preview_with_a_client(tenant: Tenant) -> None:
    v1, name = tenant.v1, f"tokens_{uuid4()}"
    meter = v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": name, "default_aggregation": {"formula": "sum"}}
    )
    customer = v1.customers.create({"name": "Ada", "metadata": {"a": "1"}})
    price = v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "Tokens"},
            "unit_amount_decimal": "0.5",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )
    subscription = v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    for value in ("100", "0.5", "200.5"):
        payload = {"stripe_customer_id": customer.id, "value": value}
        v1.billing.meter_events.create({"event_name": name, "payload": payload})

    minute = int(time.time()) // 60 * 60
    summaries = v1.billing.meters.event_summaries.list(
        meter.id, {"customer": customer.id, "start_time": minute - 600, "end_time": minute + 120}
    )
    assert [row.aggregated_value for row in summaries.data] == [301]
    preview = v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 151


@pytest.mark.usefixtures("module_style")
def test_the_module_style_works_the_same(tenant: Tenant) -> None:
    name = f"calls_{uuid4()}"
    meter = stripe.billing.Meter.create(display_name="Calls", event_name=name, default_aggregation={"formula": "count"})
    customers = [stripe.Customer.create(name=f"C{number}", email=f"{name}@x") for number in range(5)]
    event = stripe.billing.MeterEvent.create(
        event_name=name, payload={"stripe_customer_id": customers[0].id, "value": "1"}
    )
    assert event.event_name == name
    listed = stripe.Customer.list(email=f"{name}@x", limit=2)
    assert [customer.id for customer in listed.auto_paging_iter()] == [customer.id for customer in reversed(customers)]
    stripe.Customer.modify(customers[0].id, metadata={"k": "v"})
    metadata = stripe.Customer.retrieve(customers[0].id).metadata
    assert metadata is not None
    assert metadata.to_dict() == {"k": "v"}
    assert stripe.Customer.delete(customers[0].id).deleted is True
    assert stripe.billing.Meter.deactivate(meter.id).status == "inactive"


def test_a_search_goes_through_all_pages(tenant: Tenant) -> None:
    batch = str(uuid4())
    made = [tenant.v1.customers.create({"name": f"C{number}", "metadata": {"batch": batch}}) for number in range(5)]
    query = f"metadata['batch']:'{batch}' AND -name:'C2'"

    found = tenant.v1.customers.search({"query": query, "limit": 2, "expand": ["total_count"]})

    assert (found.total_count, found.has_more) == (4, True)
    assert [one.id for one in found.auto_paging_iter()] == [made[number].id for number in (4, 3, 1, 0)]


@pytest.mark.usefixtures("module_style")
def test_a_search_in_the_module_style_iterates(tenant: Tenant) -> None:
    email = f"{uuid4()}@example.com"
    made = [stripe.Customer.create(email=email) for _ in range(3)]
    found = stripe.Customer.search_auto_paging_iter(query=f"email:'{email.upper()}'", limit=1)
    assert [one.id for one in found] == [one.id for one in reversed(made)]


def test_each_refusal_is_the_sdks_own_exception(tenant: Tenant) -> None:
    v1, stack = tenant.v1, tenant.stack
    narrow = stack.command("create_api_key", tenant.company, "--mode", "test", "--scope", "meters-read").strip()
    options = {"idempotency_key": str(uuid4())}
    v1.customers.create({"name": "A"}, options)
    cases: list[tuple[Callable[[], object], type[stripe.StripeError], int, str | None]] = [
        (client_of(stack, "sk_test_nope").v1.customers.list, stripe.AuthenticationError, 401, None),
        (client_of(stack, narrow).v1.customers.list, stripe.PermissionError, 403, None),
        (lambda: v1.customers.retrieve("cus_nope"), stripe.InvalidRequestError, 404, "resource_missing"),
        (lambda: v1.customers.create({"nam": "A"}), stripe.InvalidRequestError, 400, "parameter_unknown"),
        (lambda: v1.customers.create({"name": "B"}, options), stripe.IdempotencyError, 400, None),
        (tenant.v1.charges.list, stripe.InvalidRequestError, 404, "url_invalid"),
    ]
    for call, kind, status, code in cases:
        with pytest.raises(stripe.StripeError) as caught:
            call()
        error = caught.value
        assert (type(error), error.http_status, error.code) == (kind, status, code)
        assert error.request_id is not None
        assert error.request_id.startswith("req_")


def test_of_the_same_post_at_the_same_moment_one_is_done(tenant: Tenant) -> None:
    email, key = f"{uuid4()}@x", str(uuid4())
    barrier = threading.Barrier(12)
    answers: list[httpx.Response] = []

    def send() -> None:
        barrier.wait(30)
        answers.append(tenant.post("customers", f"email={email}", **{"Idempotency-Key": key}))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    done = [answer for answer in answers if answer.status_code == 200]
    waiting = [answer for answer in answers if answer.status_code != 200]
    assert len(answers) == 12
    assert len({answer.text for answer in done}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
    for answer in waiting:
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["type"]) == (
            409,
            "idempotency_key_in_use",
            "idempotency_error",
        )
        # What tells the SDK to try again.
        assert answer.headers.get("Stripe-Should-Retry") != "false"
    assert len(tenant.v1.customers.list({"email": email}).data) == 1


def test_of_the_same_event_at_the_same_moment_one_is_counted(tenant: Tenant) -> None:
    name, key = f"calls_{uuid4()}", str(uuid4())
    v1 = tenant.v1
    meter = v1.billing.meters.create(
        {"display_name": "Calls", "event_name": name, "default_aggregation": {"formula": "sum"}}
    )
    customer = v1.customers.create({"name": "Ada"}).id
    body = f"event_name={name}&payload[stripe_customer_id]={customer}&payload[value]=7"
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(tenant.post("billing/meter_events", body, **{"Idempotency-Key": key}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1
    minute = int(time.time()) // 60 * 60
    asked = {"customer": customer, "start_time": minute - 600, "end_time": minute + 120}
    assert v1.billing.meters.event_summaries.list(meter.id, asked).data[0].aggregated_value == 7


def test_a_chunked_body_is_read_to_its_end(tenant: Tenant) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"name=Ada"
        yield b"&email=a%40b.c"

    answer = httpx.post(
        f"{tenant.stack.base_url}/v1/customers",
        content=pieces(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=(tenant.secret, ""),
    )
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["email"]) == ("Ada", "a@b.c")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/customers/", "/v1/a%2Fb", "/v1/%ff", "/v1/x%00"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_there_is_nothing_but_json_below_v1(tenant: Tenant, method: str, path: str) -> None:
    answer = httpx.request(method, tenant.stack.base_url + path, follow_redirects=False)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Request-Id"].startswith("req_")
    assert answer.json()["error"]["message"].startswith("Unrecognized request URL")
