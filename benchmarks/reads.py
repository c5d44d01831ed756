"""Reads over a month of history: of one customer through the API, alone and beside posts, and of all customers."""

import json
import math
import statistics
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

from benchmarks import dataset, writes, wrk
from benchmarks.cpu import CpuMeter
from benchmarks.instance import HISTORY, Instance
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from benchmarks.wrk import Load

READERS = 2
POSTS_PER_SECOND = 1000
POST_CONNECTIONS = 64
REPEATS = 5
# Subscriptions begin at any second: so far apart are the periods of two customers.
SCATTERED_SECONDS = 37


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Take turns between the idle and the busy machine."""
    by_day = month_by_day(instance)
    # Starts and ends within an hour, so the edges come from the events.
    to_the_minute = _path(instance, minutes=7)
    idle, cores, edges, busy, posts, all_customers, scattered = [], [], [], [], [], [], []
    for _ in range(options.rounds):
        meter = CpuMeter(instance.stack)
        idle.append(_read(instance, by_day, options.seconds))
        cores.append(meter.cores(generator=idle[-1].generator_cores))
        edges.append(_read(instance, to_the_minute, options.seconds))
        with ThreadPoolExecutor() as pool:
            posting = pool.submit(
                wrk.run,
                "single",
                instance,
                seconds=options.seconds + 1,
                connections=POST_CONNECTIONS,
                rate=POSTS_PER_SECOND,
                parameters=writes.parameters(instance, "single"),
            )
            busy.append(_read(instance, by_day, options.seconds))
            posts.append(posting.result())
        instance.wait_until_rolled_up()
        all_customers.append(meter_month(instance, REPEATS))
        scattered.append(meter_month(instance, REPEATS, offset=SCATTERED_SECONDS))

    report.add("one customer's month by day, idle: p50", "ms", [load.p50_ms for load in idle])
    report.add("one customer's month by day, idle: p99", "ms", [load.p99_ms for load in idle], below=25)
    report.add("  reads a second, idle", "reads/s", [load.rate for load in idle])
    for part in ("web", "postgres", "generator", "others"):
        report.add(f"  {part}", "cores", [used[part] for used in cores])
    report.add("one customer's month to the minute, idle: p99", "ms", [load.p99_ms for load in edges])
    report.add("one customer's month by day, beside posts: p99", "ms", [load.p99_ms for load in busy], below=60)
    report.add("  posts beside it", "events/s", [load.rate for load in posts])
    report.add("  p99 of these posts", "ms", [load.p99_ms for load in posts])
    report.add("one meter's month over all customers", "ms", all_customers, below=200)
    report.add("  each from a second of their own", "ms", scattered)


def month_by_day(instance: Instance) -> str:
    """The address of one customer's month by day, but for the customer."""
    return _path(instance, minutes=0)


def meter_month(instance: Instance, repeats: int, *, offset: int = 0) -> float:
    """Milliseconds for one meter's month of every customer, as a billing run asks it: the median of some.

    :param offset: by how many seconds the customers' periods differ
    """
    span = dataset.month()
    arguments = (
        str(instance.meter_id(HISTORY)),
        span.start.isoformat(),
        span.end.isoformat(),
        str(repeats),
        str(offset),
    )
    answer = json.loads(instance.run_inside("meter_month", *arguments))
    return float(statistics.median(answer["seconds"])) * 1000


def _path(instance: Instance, *, minutes: int) -> str:
    span = dataset.month()
    query = {"start_time": math.floor(span.start.timestamp()) + 60 * minutes, "limit": 100}
    query["end_time"] = math.floor(span.end.timestamp()) - 60 * minutes
    window = {} if minutes else {"value_grouping_window": "day"}
    return f"/v1/billing/meters/{instance.meters[HISTORY]}/event_summaries?{urlencode({**query, **window})}"


def _read(instance: Instance, path: str, seconds: int) -> Load:
    """:raises RuntimeError: if a read was refused"""
    load = wrk.run("read", instance, seconds=seconds, connections=READERS, parameters={"BENCH_PATH": path})
    if load.refused:
        raise RuntimeError(f"{load.refused} reads failed: {path}")
    return load
