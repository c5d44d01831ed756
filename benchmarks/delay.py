"""From an event's acceptance to its being in a summary, and to its having burned credit."""

import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from benchmarks.client import succeed
from benchmarks.instance import PROBE, Instance
from core.ids import unspell

Connection = psycopg.Connection[tuple[Any, ...]]

INTERVAL = 0.05
POLL_INTERVAL = 0.01
# The last ones are given this long to arrive.
PATIENCE = 30.0


@dataclass
class Probe:
    """Posts numbered events one after the other, and looks when the summary has counted each.

    They are committed one after the other, and the roll-up takes transactions in their order: a summary of n events
    holds the first n of them.

    :param customer: whose events they are; the first of the instance's unless said
    :param delays: seconds from the moment before the request to the summary's commit being seen, per event
    """

    instance: Instance
    event_name: str = PROBE
    customer: str = ""
    delays: list[float] = field(default_factory=list)
    _sent: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        """:raises RuntimeError: if an event never arrives"""
        with self.instance.connect() as connection:
            self._run(seconds, connection)

    def _run(self, seconds: float, connection: Connection) -> None:
        stop = threading.Event()
        failures: list[Exception] = []

        def post() -> None:
            try:
                self._post(stop)
            except Exception as error:  # noqa: BLE001 (raised below, in the thread that waits)
                failures.append(error)

        poster = threading.Thread(target=post)
        deadline = time.monotonic() + seconds
        before = self._counted(connection)
        poster.start()
        try:
            self._watch(connection, before, deadline, stop, poster)
        finally:
            stop.set()
            poster.join()
        if failures:
            raise failures[0]

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.delays, n=100, method="inclusive")[percent - 1]

    def _post(self, stop: threading.Event) -> None:
        event = {
            "event_name": self.event_name,
            "payload[stripe_customer_id]": self.customer or self.instance.customers[0],
            "payload[value]": "1",
            # One hour for all of them, so that one summary row counts them.
            "timestamp": str(int(time.time()) // 3600 * 3600),
        }
        with self.instance.client() as client:
            while not stop.is_set():
                began = time.monotonic()
                succeed(client.post("/v1/billing/meter_events", event))
                self._sent.append(began)
                stop.wait(max(0.0, INTERVAL - (time.monotonic() - began)))

    def _watch(
        self, connection: Connection, before: int, deadline: float, stop: threading.Event, poster: threading.Thread
    ) -> None:
        while True:
            arrived = self._counted(connection) - before
            now = time.monotonic()
            # An answer may come after its event was counted, so only what was answered can be told.
            while len(self.delays) < min(arrived, len(self._sent)):
                self.delays.append(now - self._sent[len(self.delays)])
            if now >= deadline:
                stop.set()
                poster.join()
                if len(self.delays) >= len(self._sent):
                    return
                if now >= deadline + PATIENCE:
                    raise RuntimeError(f"{len(self._sent) - len(self.delays)} events did not arrive")
            time.sleep(POLL_INTERVAL)

    def _counted(self, connection: Connection) -> int:
        row = connection.execute(
            "SELECT coalesce(sum(event_count), 0)::bigint FROM usage_usagesummary WHERE environment_id = %s"
            " AND meter_id = %s",
            [self.instance.environment_id, self.instance.meter_id(self.event_name)],
        ).fetchone()
        return int(row[0]) if row else 0


@dataclass
class BurnProbe(Probe):
    """The same, up to the moment at which credit has paid for each: charges are made and paid in the events' order."""

    def _counted(self, connection: Connection) -> int:
        row = connection.execute(
            "SELECT count(*) FROM credits_eventcharge WHERE environment_id = %s AND customer_id = %s AND pending = 0",
            [self.instance.environment_id, unspell("cus", self.customer)],
        ).fetchone()
        return int(row[0]) if row else 0
