"""The stack under test: a company, its key, its meters and its customers, made through the API."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from benchmarks.client import Client, succeed
from core.ids import unspell
from tests.stack import FOREIGN_VARIABLES, PROJECT, RunningStack, new_folder, new_stack, remove, wait_for

CUSTOMERS = 1000
# Loaded history and live traffic have a meter each, so that what one adds does not change what the other reads.
HISTORY, LIVE, PROBE = "bench_history", "bench_live", "bench_probe"
BILLED = ("bench_calls", "bench_seconds", "bench_bytes")
# Its events burn credit; made by those who measure that.
BURNED = "bench_burned"
# The roll-up runs every second; a backlog after a burst takes a little longer.
ROLL_UP_PATIENCE = 120.0
# Longer than a transaction of a bulk request takes.
STILL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Instance:
    """
    :param customers: their ids as the API spells them
    :param meters: ids by event name, as the API spells them
    :param environment_id: the company's test environment
    """

    stack: RunningStack
    key: str
    database_url: str
    environment_id: UUID
    meters: dict[str, str]
    customers: list[str]

    def client(self) -> Client:
        return Client(self.stack.port, self.key)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of our own to the stack's database; it commits by itself."""
        return psycopg.connect(self.database_url, autocommit=True)

    def meter_id(self, event_name: str) -> UUID:
        return _id("mtr", self.meters[event_name])

    def customer_ids(self) -> list[UUID]:
        return [_id("cus", customer) for customer in self.customers]

    def counted(self) -> int:
        """How many events the summaries hold."""
        with self.connect() as connection:
            row = connection.execute(
                "SELECT coalesce(sum(event_count), 0)::bigint FROM usage_usagesummary WHERE environment_id = %s",
                [self.environment_id],
            ).fetchone()
        return int(row[0]) if row else 0

    def wait_until_rolled_up(self) -> None:
        """Wait until the watermark has passed everything that is stored at this moment."""
        with self.connect() as connection:

            def asked(statement: str) -> int:
                row = connection.execute(statement).fetchone()
                return int(row[0]) if row and row[0] is not None else 0

            target = asked("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            # Something must come after it, or the watermark of a quiet server stops just before it.
            asked("SELECT pg_current_xact_id()::text::bigint")
            wait_for(
                lambda: asked("SELECT xid FROM usage_watermark WHERE id = 1") >= target,
                timeout=ROLL_UP_PATIENCE,
                what="the watermark passes what is stored",
            )

    def counted_when_still(self) -> int:
        """How many events the summaries hold once nothing more comes: a server works off what a client hung up on."""
        count = -1
        while count != (count := self.counted()):
            time.sleep(STILL_SECONDS)
            self.wait_until_rolled_up()
        return count

    def run_inside(self, *arguments: str) -> str:
        """Run :mod:`benchmarks.inside` on the stack's own settings; what it printed."""
        own = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
        return subprocess.run(
            [sys.executable, "-m", "benchmarks.inside", *arguments],
            cwd=PROJECT,
            env=own | {"TOLLBOOK_DATA_DIR": str(self.stack.data_dir)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


@contextmanager
def running_instance() -> Iterator[Instance]:
    """Start a stack in a temporary folder, fill it with what every workload needs, and remove it at the end."""
    # Asked to end, a run leaves nothing behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    stack = new_stack(new_folder() / "data")
    try:
        stack.start()
        yield _prepare(stack)
    finally:
        remove(stack)
        stack.data_dir.parent.rmdir()


def _prepare(stack: RunningStack) -> Instance:
    stack.manage("create_company", "Bench", "--license", "metered_products", "--license", "subscription")
    key = stack.manage("create_api_key", "Bench", "--mode", "test", "--all-scopes").stdout.strip()
    with Client(stack.port, key) as client:
        meters = {name: _make_meter(client, name) for name in (HISTORY, LIVE, PROBE, *BILLED)}
        customers = [
            str(succeed(client.post("/v1/customers", {"name": f"Customer {number}"}))["id"])
            for number in range(CUSTOMERS)
        ]
    url = database_url(stack)
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT environment_id FROM meters_meter WHERE id = %s", [_id("mtr", meters[LIVE])]
        ).fetchone()
    if row is None:
        raise RuntimeError("the meter that was just made is not in the database")
    return Instance(stack, key, url, row[0], meters, customers)


def database_url(stack: RunningStack) -> str:
    """Where a started stack keeps its data."""
    values = (stack.data_dir / "instance.env").read_text().splitlines()
    return next(line.partition("=")[2] for line in values if line.startswith("DATABASE_URL="))


def _make_meter(client: Client, event_name: str) -> str:
    meter = {"display_name": event_name, "event_name": event_name, "default_aggregation[formula]": "sum"}
    return str(succeed(client.post("/v1/billing/meters", meter))["id"])


def _id(prefix: str, text: str) -> UUID:
    found = unspell(prefix, text)
    if found is None:
        raise ValueError(f"{text} is no id of {prefix}")
    return found


def settle(seconds: float = 1.0) -> None:
    """Let what the last load left behind, such as a roll-up in progress, come to its end."""
    time.sleep(seconds)
