"""The roll-up alone: nothing else runs, and all events are there before it begins."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from benchmarks import dataset
from benchmarks.cpu import parts
from benchmarks.instance import LIVE, Instance, settle
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from core.periods import floor_hour

LIVE_EVENTS = 500_000
BACKFILL_EVENTS = 200_000


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Once as live traffic is, all in one hour, and once as a backfill is, spread over a month."""
    live, backfill = [], []
    for _ in range(options.rounds):
        live.append(rate_of_live(instance))
        span = dataset.month()
        backfill.append(_rate(instance, span.start, (span.end - span.start) / BACKFILL_EVENTS, BACKFILL_EVENTS))
    report.add("roll-up alone, events of one hour", "events/s", live, at_least=100_000)
    report.add("roll-up alone, events of 30 days", "events/s", backfill)


def rate_of_live(instance: Instance) -> float:
    """Events a second, where all are of this hour."""
    return _rate(instance, floor_hour(datetime.now(UTC)), timedelta(hours=1) / LIVE_EVENTS, LIVE_EVENTS)


def _rate(instance: Instance, start: datetime, step: timedelta, events: int) -> float:
    instance.wait_until_rolled_up()
    with paused(instance):
        dataset.load_events(instance, meter=LIVE, start=start, step=step, events=events, quiet=True)
        before = instance.counted()
        seconds = json.loads(instance.run_inside("roll_up"))["seconds"]
        counted = instance.counted() - before
    if counted != events:
        raise RuntimeError(f"{events} events were to be rolled up, but {counted} were")
    return counted / float(seconds)


@contextmanager
def paused(instance: Instance) -> Iterator[None]:
    """Stop the timetable, so that no run begins but ours."""
    beats = [process for part, process in parts(instance.stack) if part == "beat"]
    for beat in beats:
        beat.suspend()
    # What had begun comes to its end.
    settle(2.0)
    try:
        yield
    finally:
        for beat in beats:
            beat.resume()
