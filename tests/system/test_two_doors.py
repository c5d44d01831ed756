"""One house, two doors: made and priced through Stripe's SDK, reported through LedgerBee's, the same numbers in both."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, takewhile
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from core.ids import unspell
from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key
from tests.system.test_faults import kill


@dataclass(frozen=True)
class Tenant:
    """A company with a key for each door."""

    v1: Any
    ledgerbee: httpx.Client

    def report(self, body: dict[str, Any], key: str | None = None) -> httpx.Response:
        headers = {"x-api-idempotency-key": key or str(uuid4())}
        return self.ledgerbee.post("/meters/report", json=body, headers=headers)


@pytest.fixture(scope="module")
def tenant(running_stack: RunningStack) -> Iterator[Tenant]:
    company = new_company(running_stack)
    created = running_stack.command("create_api_key", company, "--mode", "test", "--scope", "meter-report")
    with httpx.Client(
        base_url=f"{running_stack.base_url}/api/v1", headers={"x-api-key": created.strip()}, timeout=30
    ) as ledgerbee:
        yield Tenant(client_of(running_stack, new_key(running_stack, company)).v1, ledgerbee)


def new_meter(tenant: Tenant) -> Any:
    return tenant.v1.billing.meters.create(
        {
            "display_name": "API calls",
            "event_name": f"api_calls_{uuid4()}",
            "default_aggregation": {"formula": "sum"},
            "dimension_payload_keys": ["model"],
        }
    )


def summed(tenant: Tenant, meter: Any, customer: Any) -> Decimal:
    minute = int(time.time()) // 60 * 60
    asked = {"customer": customer.id, "start_time": minute - 7200, "end_time": minute + 120}
    rows = tenant.v1.billing.meters.event_summaries.list(meter.id, asked).data
    return sum((Decimal(str(row.aggregated_value)) for row in rows), Decimal(0))


def test_what_one_door_makes_the_other_fills_and_both_show_the_same(tenant: Tenant) -> None:
    meter, customer = new_meter(tenant), tenant.v1.customers.create({"name": "Ada"})
    price = tenant.v1.prices.create(
        {
            "currency": "usd",
            "product_data": {"name": "API calls"},
            "unit_amount_decimal": "0.5",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )
    subscription = tenant.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})

    # What LedgerBee shows leads back to Stripe's ids, and is enough to report with.
    listed = tenant.ledgerbee.get("/meters/subscriptions", params={"meterName": meter.event_name}).json()
    assert tenant.ledgerbee.get(f"/meters/{meter.id}/subscriptions").json() == listed
    assert UUID(listed["meterId"]) == unspell("mtr", meter.id)
    (entry,) = listed["subscriptions"]
    assert (entry["customerName"], entry["status"]) == ("Ada", "active")
    for name, prefix, object_id in (
        ("subscriptionId", "sub", subscription.id),
        ("customerId", "cus", customer.id),
        ("priceId", "price", price.id),
        ("productId", "prod", price.product),
    ):
        product = entry["products"][0]
        assert UUID({**entry, **product, **product["prices"][0]}[name]) == unspell(prefix, object_id)

    answers = [
        tenant.report({"value": value, "meterId": listed["meterId"], "customerId": entry["customerId"], **more})
        for value, more in ((100, {}), (0.5, {"metadata": {"model": "m", "cached": True}}), (200.5, {}))
    ]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(202, "queued")] * 3
    payload = {"stripe_customer_id": customer.id, "value": "-1"}
    tenant.v1.billing.meter_events.create({"event_name": meter.event_name, "payload": payload})

    deadline = time.monotonic() + 30
    while summed(tenant, meter, customer) != 300:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert tenant.v1.invoices.create_preview({"subscription": subscription.id}).total == 150

    # A report is an event like any other, and is canceled by the id that LedgerBee was given.
    canceled = answers[0].json()["requestId"]
    tenant.v1.billing.meter_event_adjustments.create(
        {"event_name": meter.event_name, "type": "cancel", "cancel": {"identifier": canceled}}
    )
    assert summed(tenant, meter, customer) == 200


def test_of_the_same_key_at_the_same_moment_one_is_counted(tenant: Tenant) -> None:
    meter, customer = new_meter(tenant), tenant.v1.customers.create({"name": "Ada"})

    def send(value: int) -> httpx.Response:
        body = {"value": value, "meterName": meter.event_name, "customerId": customer.id}
        return tenant.report(body, "the same for all")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(1, 17)))

    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [202]
    winner = next(value for value, answer in enumerate(answers, 1) if answer.status_code == 202)
    assert summed(tenant, meter, customer) == winner
    assert {answer.json()["status"] for answer in answers} == {"queued", "duplicate"}


def test_refusals_come_in_the_envelope_through_the_whole_stack(tenant: Tenant) -> None:
    meter = new_meter(tenant)
    body = {"value": 1, "meterName": meter.event_name, "customerId": str(uuid4())}
    cases = [
        (tenant.report(body), 404, "CUSTOMER_NOT_FOUND"),
        (tenant.report({**body, "value": "1"}), 400, "SHARED_VALIDATION_FAILED"),
        (tenant.ledgerbee.post("/meters/report", json=body), 400, "IDEMPOTENCY_KEY_REQUIRED"),
        (tenant.ledgerbee.post("/meters/report", data=body, headers={"Idempotency-Key": "k"}), 415, None),
        (tenant.ledgerbee.get("/meters/report"), 405, "METHOD_NOT_ALLOWED"),
        (tenant.ledgerbee.get("/nothing"), 404, "NOT_FOUND"),
        (tenant.ledgerbee.get("/a%00b%ff"), 404, "NOT_FOUND"),
        (tenant.ledgerbee.get("/api-key", headers={"x-api-key": "no"}), 401, "UNAUTHORIZED"),
        (tenant.ledgerbee.get("/api-key", headers={"x-api-key": "", "Authorization": "Bearer x"}), 401, "UNAUTHORIZED"),
    ]
    for answer, status, code in cases:
        assert answer.headers["Content-Type"] == "application/json"
        assert (answer.status_code, answer.json()["statusCode"]) == (status, status)
        assert code in {None, answer.json()["code"]}
    head = tenant.ledgerbee.head("/api-key")
    assert (head.status_code, head.content) == (200, b"")


def test_a_chunked_report_is_read_to_its_end(tenant: Tenant) -> None:
    meter, customer = new_meter(tenant), tenant.v1.customers.create({"name": "Ada"})

    def pieces() -> Iterator[bytes]:
        yield b'{"value": 1.5, "meterName": "'
        yield f'{meter.event_name}", "customerId": "{customer.id}"}}'.encode()

    headers = {"Content-Type": "application/json", "x-api-idempotency-key": "chunks"}
    assert tenant.ledgerbee.post("/meters/report", content=pieces(), headers=headers).status_code == 202
    assert summed(tenant, meter, customer) == Decimal("1.5")


def test_given_the_database_is_killed_while_reports_come_in_then_each_key_counts_once(
    running_stack: RunningStack, tenant: Tenant
) -> None:
    meter, customer = new_meter(tenant), tenant.v1.customers.create({"name": "Under fire"})
    refused: set[str] = set()

    def report_until_answered(value: int) -> int:
        body = {"value": value, "meterName": meter.event_name, "customerId": customer.id}
        for _ in range(600):
            with suppress(httpx.TransportError):
                answer = tenant.report(body, f"fire {value}")
                if answer.status_code in {200, 202}:
                    return value
                # Nothing but what asks to come again, and that in the envelope.
                assert answer.status_code in {429, 503}, answer.text
                assert answer.headers["Retry-After"] == "1"
                refused.add(answer.json()["code"])
            time.sleep(0.05)
        raise AssertionError("no answer within half a minute")

    stop = threading.Event()

    def write(seed: int) -> list[int]:
        values = takewhile(lambda _: not stop.is_set(), count(seed + 1, 8))
        return [report_until_answered(value) for value in values]

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write, seed) for seed in range(8)]
        try:
            for _ in range(2):
                time.sleep(1.5)
                kill(running_stack, "postgres")
                running_stack.wait_until_healthy(timeout=60)
        finally:
            stop.set()
        reported = [value for writer in writers for value in writer.result()]

    assert "SERVICE_UNAVAILABLE" in refused
    # A client that is not sure sends it again.
    assert report_until_answered(reported[0]) == reported[0]
    assert summed(tenant, meter, customer) == sum(reported)
