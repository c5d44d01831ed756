"""Ways in, each taking turns with what the same PostgreSQL does without us."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import raw, wrk
from benchmarks.client import succeed
from benchmarks.cpu import CpuMeter
from benchmarks.instance import LIVE, Instance, settle
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from benchmarks.wrk import Load

BULK_LINES = 10_000
# Of what Stripe's single posts reach in the same run: the same work, said in another way.
REPORTS_TO_POSTS = 0.8


@dataclass(frozen=True, slots=True)
class Way:
    """A way in.

    :param batch: events in a request
    :param limit: the raw load that it is held against, in rows a second
    :param ratio_bar: the part of ``limit`` that it has to reach; None for no bar
    """

    name: str
    title: str
    script: str
    connections: int
    batch: int
    limit_title: str
    limit: Callable[[Instance, int], float]
    ratio_bar: float | None = None
    rate_bar: float | None = None
    p99_bar_ms: float | None = None


WAYS = (
    Way(
        name="single",
        title="single posts (v1)",
        script="single",
        connections=64,
        batch=1,
        limit_title=f"raw: one-row commits, {raw.COMMIT_CLIENTS} clients",
        limit=raw.commits,
        ratio_bar=0.25,
        rate_bar=2000,
        p99_bar_ms=50,
    ),
    Way(
        name="report",
        title="single reports (LedgerBee)",
        script="report",
        connections=64,
        batch=1,
        limit_title=f"raw: one-row commits, {raw.COMMIT_CLIENTS} clients",
        limit=raw.commits,
    ),
    Way(
        name="stream",
        title="stream, batches of 100",
        script="stream",
        connections=16,
        batch=100,
        limit_title=f"raw: inserts of {raw.INSERT_ROWS} rows, {raw.INSERT_CLIENTS} clients",
        limit=raw.inserted_rows,
        ratio_bar=0.25,
        rate_bar=20_000,
    ),
    Way(
        name="bulk",
        title=f"bulk, {BULK_LINES:,} lines",
        script="bulk",
        connections=2,
        batch=BULK_LINES,
        limit_title="raw: COPY, one connection",
        limit=raw.copied_rows,
    ),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a way in, and of its limit right after it.

    :param limit: rows a second
    :param cores: what each part of the stack used
    """

    load: Load
    limit: float
    cores: Mapping[str, float]


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Run every way in and its limit in turns: A B A B …"""
    ways = [way for way in WAYS if way.name in options.only]
    turns: dict[str, list[Turn]] = {way.name: [] for way in ways}
    raw.prepare(instance)
    for _ in range(options.rounds):
        for way in ways:
            load, cores = _run(instance, way, options.seconds)
            turns[way.name].append(Turn(load, way.limit(instance, options.seconds), cores))
            settle()
    for way in ways:
        _report(report, way, turns[way.name])
    if {"single", "report"} <= turns.keys():
        pairs = zip(turns["report"], turns["single"], strict=True)
        ratios = [reports.load.rate / posts.load.rate for reports, posts in pairs]
        report.add("single reports / single posts", "", ratios, at_least=REPORTS_TO_POSTS)


def _report(report: Report, way: Way, turns: Sequence[Turn]) -> None:
    rates = [turn.load.rate * way.batch for turn in turns]
    report.add(way.title, "events/s", rates, at_least=way.rate_bar)
    report.add(f"  {way.limit_title}", "rows/s", [turn.limit for turn in turns])
    ratios = [rate / turn.limit for rate, turn in zip(rates, turns, strict=True)]
    report.add(f"  {way.name} / raw", "", ratios, at_least=way.ratio_bar)
    report.add(f"  {way.name}: p50", "ms", [turn.load.p50_ms for turn in turns])
    report.add(f"  {way.name}: p99", "ms", [turn.load.p99_ms for turn in turns], below=way.p99_bar_ms)
    report.add(f"  {way.name}: refused", "requests", [turn.load.refused for turn in turns])
    for part in ("web", "postgres", "worker", "generator", "others"):
        report.add(f"  {way.name}: {part}", "cores", [turn.cores[part] for turn in turns])


def _run(instance: Instance, way: Way, seconds: int) -> tuple[Load, dict[str, float]]:
    """Load one way in, then see that every event answered with success was counted.

    :raises RuntimeError: if one was not, or if others were
    """
    before = instance.counted()
    given = parameters(instance, way.name)
    meter = CpuMeter(instance.stack)
    load = wrk.run(way.script, instance, seconds=seconds, connections=way.connections, parameters=given)
    cores = meter.cores(generator=load.generator_cores)
    counted, accepted = instance.counted_when_still() - before, load.requests * way.batch
    # wrk hangs up in the middle: what was in flight then was accepted without its seeing the answer.
    if not accepted <= counted <= accepted + way.connections * way.batch:
        raise RuntimeError(f"{way.title}: {accepted} events were accepted, but {counted} were counted")
    return load, cores


def parameters(instance: Instance, way: str) -> dict[str, str]:
    """What a load script needs to know beyond the key and the customers."""
    found = {"BENCH_EVENT_NAME": LIVE, "BENCH_LINES": str(BULK_LINES)}
    if way == "stream":
        with instance.client() as client:
            session = succeed(client.send("POST", "/v2/billing/meter_event_session", b"{}", "application/json"))
        found["BENCH_TOKEN"] = session["authentication_token"]
    return found
