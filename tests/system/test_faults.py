"""Accepted means counted, once: whatever is killed in the middle."""

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import httpx
import psutil
import stripe

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

WRITERS = 8
SECONDS = 20.0
# Between an answer and a writer's next event. With none, eight writers are all the machine does.
PAUSE = 0.02
HOUR = 3600
# What a client may see while a part is down. Anything else of the 4xx would make it drop its event.
TRY_AGAIN = {429, 500, 502, 503, 504}


def kill(stack: RunningStack, title: str) -> None:
    """Kill -9 the oldest process of ``up``'s family with these words in its command line."""
    for process in stack.processes():
        with suppress(psutil.NoSuchProcess):
            if title in " ".join(process.cmdline()) and "manage.py up" not in " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                return
    raise AssertionError(f"nothing called {title!r} is running")


def report_until_answered(client: httpx.Client, event: dict[str, str]) -> str:
    """Send one event until it is answered for good, as a careful client does.

    :returns: "accepted", or "known" where an earlier answer was lost on the way
    """
    for _ in range(600):
        with suppress(httpx.TransportError):
            answer = client.post("/v1/billing/meter_events", data=event)
            if answer.status_code == 200:
                return "accepted"
            if answer.status_code not in TRY_AGAIN:
                assert answer.status_code == 400, answer.text
                assert "already exists" in answer.json()["error"]["message"]
                return "known"
        time.sleep(0.1)
    raise AssertionError("no answer within a minute")


def test_given_web_worker_and_database_are_killed_while_eight_writers_report_then_each_event_counts_once(
    running_stack: RunningStack,
) -> None:
    key = new_key(running_stack, new_company(running_stack))
    client = client_of(running_stack, key)
    customer = client.v1.customers.create({"name": "Under fire"})
    meter = client.v1.billing.meters.create(
        {"display_name": "Calls", "event_name": "calls", "default_aggregation": {"formula": "sum"}}
    )
    start = int(time.time()) // HOUR * HOUR - HOUR
    stop = threading.Event()

    def write(seed: int) -> int:
        chance = random.Random(seed)
        total, number = 0, 0
        while not stop.wait(PAUSE):
            value = chance.randint(1, 1000)
            number += 1
            event = {
                "event_name": "calls",
                "identifier": f"{seed}-{number}",
                "timestamp": str(start + chance.randint(0, HOUR)),
                "payload[stripe_customer_id]": customer.id,
                "payload[value]": str(value),
            }
            report_until_answered(sender, event)
            if chance.random() < 0.2:
                # A client that is not sure sends it again.
                assert report_until_answered(sender, event) == "known"
            total += value
        return total

    with (
        httpx.Client(base_url=running_stack.base_url, auth=(key, ""), timeout=10) as sender,
        ThreadPoolExecutor(WRITERS) as pool,
    ):
        writers = [pool.submit(partial(write, seed)) for seed in range(WRITERS)]
        try:
            for title in ("granian", "worker", "postgres", "granian", "postgres"):
                time.sleep(SECONDS / 6)
                kill(running_stack, title)
            running_stack.wait_until_healthy(timeout=60)
            time.sleep(1)
        finally:
            stop.set()
        expected = sum(writer.result() for writer in writers)

    assert expected > 0
    assert total_of(client, meter, customer, start) == expected
    # The same from summaries alone, once the roll-up has passed by.
    time.sleep(3)
    by_hour = client.v1.billing.meters.event_summaries.list(
        meter.id,
        {
            "customer": customer.id,
            "start_time": start,
            "end_time": start + 2 * HOUR,
            "value_grouping_window": "hour",
        },
    )
    assert sum(row.aggregated_value for row in by_hour.data) == expected


def total_of(client: stripe.StripeClient, meter: stripe.billing.Meter, customer: stripe.Customer, start: int) -> float:
    (whole,) = client.v1.billing.meters.event_summaries.list(
        meter.id, {"customer": customer.id, "start_time": start, "end_time": start + 2 * HOUR}
    ).data
    return whole.aggregated_value
