"""Whatever is changed about keys, meters and customers bites within a second, in every web worker."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from stripe import StripeClient

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

# Enough that both workers hold some of them.
CONNECTIONS = 12
# What was sent later than this after the change must feel it.
SECONDS = 1.0


@dataclass
class Reporter:
    """Reports events over connections that stay open, each with one of the web workers."""

    stack: RunningStack
    key: str
    client: StripeClient
    connections: list[httpx.Client]
    meter: str
    customer: str

    def report(self, connection: httpx.Client, customer: str = "") -> httpx.Response:
        event = {
            "event_name": "calls",
            "identifier": str(uuid4()),
            "payload[stripe_customer_id]": customer or self.customer,
            "payload[value]": "1",
        }
        return connection.post("/v1/billing/meter_events", data=event, auth=(self.key, ""))

    def report_on_all(self, customer: str = "") -> list[httpx.Response]:
        return [self.report(connection, customer) for connection in self.connections]

    def all_feel(
        self, change: Callable[[], object], felt: Callable[[httpx.Response], bool], customer: str = ""
    ) -> None:
        """Make a change while every worker remembers what was before, and see all of them act on it in time."""
        assert not any(felt(answer) for answer in self.report_on_all(customer))
        change()
        changed = time.monotonic()
        rounds_that_felt_it = 0
        while rounds_that_felt_it < 3:
            sent = time.monotonic()
            answers = [felt(answer) for answer in self.report_on_all(customer)]
            rounds_that_felt_it = rounds_that_felt_it + 1 if all(answers) else 0
            assert all(answers) or sent - changed <= SECONDS, "a worker goes on as before"


@pytest.fixture
def reporter(running_stack: RunningStack) -> Iterator[Reporter]:
    key = new_key(running_stack, new_company(running_stack))
    client = client_of(running_stack, key)
    customer = client.v1.customers.create({"name": "Changing"})
    meter = client.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "count"}}
    )
    with ExitStack() as stack:
        connections = [
            stack.enter_context(httpx.Client(base_url=running_stack.base_url, timeout=30)) for _ in range(CONNECTIONS)
        ]
        yield Reporter(running_stack, key, client, connections, meter.id, customer.id)


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 400 and "No active meter" in answer.text


def test_given_a_meter_is_closed_and_opened_then_every_worker_knows_within_a_second(reporter: Reporter) -> None:
    meters = reporter.client.v1.billing.meters

    reporter.all_feel(lambda: meters.deactivate(reporter.meter), is_refused)
    reporter.all_feel(lambda: meters.reactivate(reporter.meter), lambda answer: answer.status_code == 200)


def test_given_a_meter_did_not_exist_when_it_is_made_then_every_worker_knows_within_a_second(
    reporter: Reporter,
) -> None:
    reporter.client.v1.billing.meters.deactivate(reporter.meter)
    time.sleep(SECONDS)

    reporter.all_feel(
        lambda: reporter.client.v1.billing.meters.create(
            {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "count"}}
        ),
        lambda answer: answer.status_code == 200,
    )


def test_given_a_key_is_revoked_then_it_opens_nothing_within_a_second(reporter: Reporter) -> None:
    revoke = (
        "from accounts.models import ApiKey; from accounts.services import revoke_api_key; "
        "from django.utils import timezone; "
        f"revoke_api_key(key=ApiKey.objects.with_secret({reporter.key!r}).get(), now=timezone.now())"
    )
    reporter.all_feel(lambda: reporter.stack.command("shell", "-c", revoke), lambda answer: answer.status_code == 401)


def test_given_a_test_clock_is_advanced_then_events_are_taken_at_its_time_within_a_second(reporter: Reporter) -> None:
    make = (
        "from accounts.models import *; from datetime import datetime, UTC; "
        f"environment = ApiKey.objects.with_secret({reporter.key!r}).get().environment; "
        "may = datetime(2031, 5, 1, tzinfo=UTC); "
        "clock = TestClock.objects.create(environment=environment, frozen_at=may, created_at=may, deletes_at=may); "
        "customer = Customer.objects.create(environment=environment, test_clock=clock, created_at=clock.frozen_at); "
        "from core.ids import spell; print(clock.pk, spell('cus', customer.pk))"
    )
    clock, customer = reporter.stack.command("shell", "-v", "0", "-c", make).split()[-2:]
    advance = (
        "from accounts.models import TestClock; from datetime import datetime, UTC; "
        f"TestClock.objects.filter(pk='{clock}').update(frozen_at=datetime(2031, 6, 1, tzinfo=UTC))"
    )
    june = 1_938_038_400

    reporter.all_feel(
        lambda: reporter.stack.command("shell", "-c", advance),
        lambda answer: bool(answer.json()["timestamp"] == june),
        customer,
    )


def test_given_a_customer_is_deleted_then_their_events_count_no_more_within_a_second(reporter: Reporter) -> None:
    reporter.report_on_all()
    reporter.client.v1.customers.delete(reporter.customer)
    time.sleep(SECONDS)
    assert all(answer.status_code == 200 for answer in reporter.report_on_all())

    count = (
        "from usage.models import *; from accounts.models import ApiKey; "
        f"environment = ApiKey.objects.with_secret({reporter.key!r}).get().environment; "
        "print(MeterEvent.objects.of(environment).count(), EventRejection.objects.filter(environment=environment).count())"
    )
    counted, rejected = reporter.stack.command("shell", "-v", "0", "-c", count).split()[-2:]
    assert (int(counted), int(rejected)) == (CONNECTIONS, CONNECTIONS)
