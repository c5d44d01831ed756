"""``make growth``: what reads, the roll-up and storage cost as one month gets denser, from a million events to twenty.

It takes half an hour and about 15 GB of disk. ``GROWTH_MILLIONS=1,2`` measures at other sizes.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import dataset, reads, rollup, wrk
from benchmarks.instance import Instance, running_instance
from benchmarks.report import machine

MILLION = 1_000_000
READ_SECONDS = 10


def main() -> None:
    wrk.require_wrk()
    steps = [int(text) * MILLION for text in os.environ.get("GROWTH_MILLIONS", "1,5,10,20").split(",")]
    output = Path(os.environ.get("GROWTH_OUTPUT", "growth.json"))
    with running_instance() as instance:
        described = machine(instance)
        dataset.prepare(instance)
        rows = []
        present = 0
        for events in steps:
            dataset.load_history(instance, events=events - present)
            present = events
            rows.append(_measure(instance, events))
            sys.stdout.write(f"{json.dumps(rows[-1])}\n")
            sys.stdout.flush()
    output.write_text(json.dumps({"machine": described, "steps": rows}, indent=2) + "\n")


def _measure(instance: Instance, events: int) -> dict[str, Any]:
    sizes = dataset.sizes(instance)
    path = {"BENCH_PATH": reads.month_by_day(instance)}
    load = wrk.run("read", instance, seconds=READ_SECONDS, connections=reads.READERS, parameters=path)
    return {
        "events": events,
        "sizes": sizes,
        "bytes_per_event": sum(size["table_bytes"] + size["index_bytes"] for size in sizes.values())
        / sizes["usage_meterevent"]["rows"],
        "customer_month_p50_ms": load.p50_ms,
        "customer_month_p99_ms": load.p99_ms,
        "meter_month_ms": reads.meter_month(instance, reads.REPEATS),
        "scattered_month_ms": reads.meter_month(instance, reads.REPEATS, offset=reads.SCATTERED_SECONDS),
        "roll_up_events_per_second": rollup.rate_of_live(instance),
    }


if __name__ == "__main__":
    main()
