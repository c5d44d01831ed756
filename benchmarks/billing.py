"""The billing run: many subscriptions whose period ends at the same moment, with three metered items each.

Nothing else runs. Each invoice counts its usage twice, as in real life: when its draft is made and when it becomes final.
What was billed must be what the events say, to the unit.
"""

import json
from datetime import timedelta

from benchmarks import dataset
from benchmarks.instance import BILLED, CUSTOMERS, Instance
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from benchmarks.rollup import paused

WEEKS = 4

_BILLED = """
SELECT coalesce(sum(value), 0)::bigint FROM usage_meterevent
 WHERE environment_id = %s AND meter_id = ANY(%s) AND "timestamp" >= %s AND "timestamp" < %s
"""


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Once: a period can be billed but once."""
    start = dataset.month().start
    period = timedelta(weeks=WEEKS)
    meters = [instance.meter_id(name) for name in BILLED]
    customers = json.loads(instance.run_inside("make_customers", str(meters[0]), str(options.subscriptions)))
    dataset.number_customers(instance, customers["customers"], first=CUSTOMERS)
    drawn = range(CUSTOMERS, CUSTOMERS + options.subscriptions)
    events = options.events // len(BILLED)
    for name in BILLED:
        dataset.load_events(instance, meter=name, start=start, step=period / events, events=events, customers=drawn)
    dataset.settle_tables(instance)
    with paused(instance):
        instance.run_inside("subscribe", start.isoformat(), str(WEEKS), ",".join(map(str, meters)))
        run = json.loads(instance.run_inside("bill"))
    with instance.connect() as connection:
        row = connection.execute(_BILLED, [instance.environment_id, meters, start, start + period]).fetchone()
    if run["failed"] or run["finalized"] != options.subscriptions or row is None or run["billed_quantity"] != row[0]:
        raise RuntimeError(f"the run was to bill {options.subscriptions} subscriptions for {row} units: {run}")
    report.add("billing run, periods closed", "per s", [run["closed"] / run["closing_seconds"]])
    report.add("billing run, drafts finalized", "per s", [run["finalized"] / run["finalizing_seconds"]])
    seconds = run["closing_seconds"] + run["finalizing_seconds"]
    report.add("billing run, invoices in all", "per s", [run["finalized"] / seconds], at_least=500)
