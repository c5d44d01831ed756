"""``make lists``: how fast the console's pages answer over a million rows in each table.

The start page comes first, on the demo with a million events of a month; then every list, with its searches and filters.
``LISTS_ROWS=100000`` measures over fewer.
"""

import json
import os
import sys
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from uuid import UUID

from benchmarks import dataset
from benchmarks.instance import CUSTOMERS, HISTORY, Instance, database_url
from benchmarks.report import Report, machine
from benchmarks.rollup import paused
from core.ids import spell
from tests.stack import RunningStack, free_port, new_folder, remove, wait_for

BAR_MS = 300
# Seconds; on a machine that has other things to do.
DEMO_TAKES = 300.0
# Of the demo's meters that of its last months.
_EVENT_NAME = "api_calls"
# Of hundreds of pages the terminal shows the slowest; the file has all.
_SHOWN = 30


def main() -> None:
    rows = int(os.environ.get("LISTS_ROWS", "1000000"))
    output = Path(os.environ.get("LISTS_OUTPUT", "lists.json"))
    report = Report()
    # Whatever is no option against it has the demo.
    stack = RunningStack(port=free_port(), data_dir=new_folder() / "data", options=())
    try:
        stack.start()
        # It answers before it has loaded the demo.
        wait_for((stack.data_dir / "demo.loaded").exists, timeout=DEMO_TAKES, what="the demo is loaded")
        instance = _demo_of(stack)
        described = machine(instance) | {"rows": rows}
        dataset.prepare(instance)
        dataset.load_history(instance, events=rows)
        # The timetable stands still, or it would bill what is made up here.
        with paused(instance):
            _measure(instance, report, "time_start_page", suffix=", on the demo with as many events")
            instance.run_inside("fill_lists", str(rows))
            _measure(instance, report, "time_pages")
    finally:
        remove(stack)
        stack.data_dir.parent.rmdir()
    report.figures.sort(key=lambda figure: figure.median, reverse=True)
    report.write(output, described)
    lines = report.table().splitlines()
    sys.stdout.write("\n".join(lines[: _SHOWN + 1]) + f"\n\nAll {len(lines) - 1} are in {output}.\n")


def _demo_of(stack: RunningStack) -> Instance:
    """The demo's test environment, with more customers for its third meter."""
    url = database_url(stack)
    key = json.loads((stack.data_dir / "demo.json").read_text())["api_key"]
    instance = Instance(stack, key, url, UUID(int=0), {}, [])
    with instance.connect() as connection:
        row = connection.execute(
            "SELECT environment_id, id FROM meters_meter WHERE event_name = %s", [_EVENT_NAME]
        ).fetchone()
    if row is None:
        raise RuntimeError("the demo was not loaded")
    environment_id, meter = row
    made = json.loads(instance.run_inside("make_customers", str(meter), str(CUSTOMERS)))
    meters = {HISTORY: spell("mtr", meter)}
    return replace(instance, environment_id=environment_id, meters=meters, customers=made["customers"])


def _measure(instance: Instance, report: Report, what: str, *, suffix: str = "") -> None:
    """Each page's figure is that of the slower of its viewers."""
    pages = json.loads(instance.run_inside(what))["pages"]
    for page in {page["path"]: page for page in sorted(pages, key=itemgetter("milliseconds"))}.values():
        name = f"{page['path']}{suffix}"
        report.add(name, "ms", [page["milliseconds"]], below=BAR_MS)
        report.details[name] = page


if __name__ == "__main__":
    main()
