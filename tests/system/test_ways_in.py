"""Every further way in and out of usage, on the running system: what the SDK sends, workers and beat included."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

HOUR = 3600


class Tenant:
    """A company in one mode, with a meter and a customer of its own."""

    def __init__(self, stack: RunningStack, mode: str) -> None:
        self.stack = stack
        self.secret = new_key(stack, new_company(stack), mode)
        self.client = client_of(stack, self.secret)
        self.v1: Any = self.client.v1
        self.v2: Any = self.client.v2
        self.meter = self.v1.billing.meters.create(
            {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
        ).id
        self.customer = self.v1.customers.create({"name": "Ada"}).id

    def event(self, value: str = "1", /, **fields: Any) -> dict[str, Any]:
        return {"event_name": "calls", "payload": {"stripe_customer_id": self.customer, "value": value}, **fields}

    def streaming(self) -> Any:
        token = self.v2.billing.meter_event_session.create().authentication_token
        client: Any = client_of(self.stack, token)
        return client.v2.billing.meter_event_stream

    def get(self, path: str, **params: Any) -> Any:
        return json.loads(self.client.raw_request("get", path, **params).body)

    def usage(self, **params: Any) -> Any:
        end = int(time.time()) // HOUR * HOUR + HOUR
        usual = {"customer": self.customer, "starts_at": end - 48 * HOUR, "ends_at": end}
        return self.get("/v1/billing/analytics/meter_usage", **{**usual, **params})

    def total(self) -> int:
        value: int = self.usage()["data"][0]["value"]
        return value

    def post(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.secret}", **headers}
        return httpx.post(f"{self.stack.base_url}{path}", content=body, headers=sent, timeout=60)


@pytest.fixture(scope="module")
def tenants(running_stack: RunningStack) -> dict[str, Tenant]:
    return {mode: Tenant(running_stack, mode) for mode in ("test", "live")}


@pytest.fixture(scope="module", params=["test", "live"])
def tenant(tenants: dict[str, Tenant], request: pytest.FixtureRequest) -> Tenant:
    return tenants[request.param]


def until(ready: Callable[[], Any], patience: float) -> Any:
    deadline = time.monotonic() + patience
    while not (found := ready()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def test_many_senders_at_once_and_every_re_send_count_once(tenant: Tenant) -> None:
    before = tenant.total()
    stream = tenant.streaming()
    batches = [[tenant.event("2", identifier=f"{uuid4()}") for _ in range(100)] for _ in range(4)]
    nameless = [tenant.event("3") for _ in range(50)]
    key = str(uuid4())

    def send(batch: list[dict[str, Any]]) -> None:
        stream.create({"events": batch}, {"idempotency_key": key} if batch is nameless else {})

    with ThreadPoolExecutor(8) as senders:
        list(senders.map(send, [*batches, nameless] * 3))

    assert tenant.total() == before + 4 * 100 * 2 + 50 * 3


def test_v2_events_and_their_cancellation(tenant: Tenant) -> None:
    before = tenant.total()
    events, adjustments = tenant.v2.billing.meter_events, tenant.v2.billing.meter_event_adjustments
    identifier = str(uuid4())
    events.create(tenant.event("7", identifier=identifier))
    assert tenant.total() == before + 7
    with pytest.raises(stripe.InvalidRequestError) as caught:
        events.create(tenant.event("7", identifier=identifier))
    assert caught.value.code == "duplicate_meter_event"
    adjustments.create({"event_name": "calls", "type": "cancel", "cancel": {"identifier": identifier}})
    assert tenant.total() == before
    (row,) = tenant.get("/v1/billing/meter_events", identifier=identifier)["data"]
    assert row["state"] == "canceled"


def test_a_backfill_of_ten_thousand_lines_and_its_second_run(tenant: Tenant) -> None:
    customer = tenant.v1.customers.create({"name": "Grace"}).id
    start = 1_600_000_000 // HOUR * HOUR
    lines = [
        json.dumps(
            {
                "event_name": "calls",
                "payload": {"stripe_customer_id": customer, "value": "0.5"},
                "identifier": f"{tenant.secret[-6:]}-{number}",
                "timestamp": start + number,
            }
        )
        for number in range(10_000)
    ]
    kind = {"Content-Type": "application/x-ndjson"}
    body = "\n".join(lines).encode()
    first = tenant.post("/v1/billing/meter_events/bulk", body, **kind).json()
    again = tenant.post("/v1/billing/meter_events/bulk", body, **kind).json()
    assert (first["accepted"], again["duplicate"]) == (10_000, 10_000)
    rows = tenant.usage(customer=customer, starts_at=start, ends_at=start + 3 * HOUR, value_grouping_window="hour")
    assert [row["value"] for row in rows["data"]] == [1800, 1800, 1400]


def test_the_time_of_the_last_refresh_is_near(tenant: Tenant) -> None:
    until(lambda: time.time() - tenant.usage()["refreshed_at"] < 10, patience=30)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v2/billing/meter_events", "application/json"), ("/v1/billing/meter_events/bulk", "application/x-ndjson")],
)
def test_chunked_bodies_are_read_and_oversized_ones_are_not(tenant: Tenant, path: str, kind: str) -> None:
    headers = {"Authorization": f"Bearer {tenant.secret}", "Content-Type": kind}
    url = f"{tenant.stack.base_url}{path}"
    text = json.dumps(tenant.event(identifier=str(uuid4()), timestamp=int(time.time()))).encode()
    with httpx.Client(timeout=60) as client:
        chunked = client.post(url, content=iter([text[:9], text[9:]]), headers=headers)
        oversized = client.post(url, content=b"x" * 10_000_000, headers=headers)
    assert (chunked.status_code, chunked.json().get("accepted", 1)) == (200, 1)
    assert oversized.status_code == 400
    assert "too large" in oversized.json()["error"]["message"]


@pytest.mark.timeout(240)
def test_what_cannot_be_counted_is_told_within_two_minutes(tenants: dict[str, Tenant]) -> None:
    # Reported once a minute, so both modes wait for the same report.
    identifiers = {mode: str(uuid4()) for mode in tenants}
    for mode, tenant in tenants.items():
        bad = tenant.event("many", identifier=identifiers[mode])
        tenant.streaming().create({"events": [bad, tenant.event(event_name=f"{uuid4()}")]})
    for mode, tenant in tenants.items():
        events = tenant.v2.core.events

        def told(kind: str, events: Any = events) -> Any:
            return until(lambda: events.list({"types": [kind]}).data, patience=120)

        report = events.retrieve(told("v1.billing.meter.error_report_triggered")[0].id)
        assert isinstance(report, stripe.events.V1BillingMeterErrorReportTriggeredEvent)
        assert report.related_object.id == tenant.meter
        samples = report.data.reason.error_types[0].sample_errors
        assert [sample.request.identifier for sample in samples] == [identifiers[mode]]
        assert told("v1.billing.meter.no_meter_found")
