"""``make soak``: 10,000 events a second through the stream for ten minutes, with posts and reads beside it.

Then every accepted event must have been counted once, in the summaries, in the events and in the API's answers, to the
last unit; if not, the command fails. Memory and delays are printed for people to judge.
"""

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, LiteralString
from uuid import UUID

from benchmarks import dataset, reads
from benchmarks.client import succeed
from benchmarks.cpu import CpuMeter
from benchmarks.delay import Probe
from benchmarks.instance import LIVE, Instance, running_instance
from benchmarks.memory import MemorySampler, is_flat
from benchmarks.options import SoakOptions
from benchmarks.report import Report, machine
from benchmarks.traffic import BATCH, Ledger, ReadTraffic, SingleTraffic, StreamTraffic, Traffic

STREAM_CONNECTIONS = 4
POST_CONNECTIONS = 4
READS_PER_SECOND = 10
HISTORY_EVENTS = 500_000
# The API is asked for so many customers; the database for all of them.
ASKED_CUSTOMERS = 50


@dataclass(frozen=True, slots=True)
class Total:
    """One customer's events and what they amount to."""

    events: int
    amount: Decimal


def main() -> int:
    options = SoakOptions.from_environment()
    report = Report()
    _say("Starting Tollbook in a folder of its own, with a month of history ...")
    with running_instance() as instance:
        described = machine(instance) | {"seconds": options.seconds}
        dataset.prepare(instance)
        dataset.load_history(instance, events=HISTORY_EVENTS)
        _say(f"{options.stream_rate:,} events/s for {options.seconds} s ...")
        began = int(time.time()) // 3600 * 3600
        traffic = _run(instance, options, report)
        instance.wait_until_rolled_up()
        differences = check(instance, traffic, began)
    report.details["differences"] = differences
    report.write(options.output, described)
    _say(f"\n{report.table()}\n")
    for difference in differences[:20]:
        _say(difference)
    _say("Every accepted event was counted once." if not differences else f"{len(differences)} DIFFERENCES")
    _say(f"All of it is in {options.output}.")
    return 1 if differences else 0


def _run(instance: Instance, options: SoakOptions, report: Report) -> list[Traffic]:
    stop = threading.Event()
    batches = options.stream_rate / BATCH / STREAM_CONNECTIONS
    stream: list[Traffic] = [StreamTraffic(instance, batches, stop) for _ in range(STREAM_CONNECTIONS)]
    posts: list[Traffic] = [
        SingleTraffic(instance, options.post_rate / POST_CONNECTIONS, stop) for _ in range(POST_CONNECTIONS)
    ]
    readers: list[Traffic] = [ReadTraffic(instance, READS_PER_SECOND, stop, reads.month_by_day(instance))]
    memory = MemorySampler(instance.stack, stop)
    probe = Probe(instance)
    meter = CpuMeter(instance.stack)
    own, began = time.process_time(), time.monotonic()
    threads: list[threading.Thread] = [*stream, *posts, *readers, memory]
    for thread in threads:
        thread.start()
    try:
        probe.run(options.seconds)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    seconds = time.monotonic() - began
    for one in (*stream, *posts, *readers):
        if one.failure is not None:
            raise one.failure

    report.add("through the stream", "events/s", [_accepted(stream) / seconds])
    report.add("single posts beside it", "events/s", [_accepted(posts) / seconds])
    report.add("reads beside it", "reads/s", [sum(len(reader.ledger.latencies) for reader in readers) / seconds])
    for name, group in (("stream batch", stream), ("single post", posts), ("month by day", readers)):
        latencies = [latency for one in group for latency in one.ledger.latencies]
        for percent in (50, 99):
            report.add(f"{name}, p{percent}", "ms", [percentile(latencies, percent)])
    report.add("event to summary, p50", "s", [probe.percentile(50)])
    report.add("event to summary, p99", "s", [probe.percentile(99)], below=2)
    for part, cores in meter.cores(generator=(time.process_time() - own) / seconds).items():
        report.add(f"{part}: processor", "cores", [cores])
    for part, (before, after) in memory.growth().items():
        flat = "flat" if is_flat(before, after) else "GREW"
        report.add(f"{part}: memory of its own, {flat}", "MiB", [before, after])
    report.details |= {
        "memory_mib": memory.samples,
        "largest_process_mib": memory.largest,
        "accepted": {"stream": _accepted(stream), "single": _accepted(posts)},
        "retries": dict(_retries([*stream, *posts, *readers])),
    }
    return [*stream, *posts]


def check(instance: Instance, traffic: Sequence[Traffic], began: int) -> list[str]:
    """Compare what was accepted with what is counted, customer by customer, wherever it can be read.

    :param began: Unix seconds of an hour's start before the first event
    """
    accepted = _totals([one.ledger for one in traffic])
    differences = []
    for place, statement in (
        ("summaries", "SELECT customer_id, sum(event_count), sum(value_sum) FROM usage_usagesummary"),
        ("days", "SELECT customer_id, sum(event_count), sum(value_sum) FROM usage_dailysummary"),
        ("events", "SELECT customer_id, count(*), sum(value) FROM usage_meterevent"),
        ("identifiers", "SELECT customer_id, count(DISTINCT identifier), sum(value) FROM usage_meterevent"),
    ):
        found = _stored(instance, statement)
        for customer, spelled in zip(instance.customer_ids(), instance.customers, strict=True):
            want, have = accepted.get(spelled), found.get(customer)
            if want != have:
                differences.append(f"{place}, {spelled}: accepted {want}, counted {have}")
    with instance.client() as client:
        for spelled in instance.customers[:ASKED_CUSTOMERS]:
            query = {"customer": spelled, "start_time": str(began), "end_time": str(began + 7200)}
            path = f"/v1/billing/meters/{instance.meters[LIVE]}/event_summaries"
            (row,) = succeed(client.get(path, query))["data"]
            want_amount = accepted[spelled].amount if spelled in accepted else Decimal(0)
            if Decimal(str(row["aggregated_value"])) != want_amount:
                differences.append(f"API, {spelled}: accepted {want_amount}, answered {row['aggregated_value']}")
    return differences


def _stored(instance: Instance, statement: LiteralString) -> dict[UUID, Total]:
    with instance.connect() as connection:
        rows: list[Any] = connection.execute(
            f"{statement} WHERE environment_id = %s AND meter_id = %s GROUP BY customer_id",
            [instance.environment_id, instance.meter_id(LIVE)],
        ).fetchall()
    return {customer: Total(int(events), amount) for customer, events, amount in rows}


def _totals(ledgers: Sequence[Ledger]) -> dict[str, Total]:
    events, amounts = Counter[str](), Counter[str]()
    for ledger in ledgers:
        events.update(ledger.events)
        amounts.update(ledger.amounts)
    return {customer: Total(count, Decimal(amounts[customer])) for customer, count in events.items()}


def _accepted(traffic: Sequence[Traffic]) -> int:
    return sum(one.ledger.events.total() for one in traffic)


def _retries(traffic: Sequence[Traffic]) -> Counter[str]:
    return sum((one.ledger.retries for one in traffic), Counter[str]())


def percentile(values: Sequence[float], percent: int) -> float:
    """Of the values, inclusive: the hundredth percentile is the largest."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
