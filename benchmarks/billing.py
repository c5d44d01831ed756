"""The billing run: many subscriptions whose period ends at the same moment, with three metered items each.

Nothing else runs. Each invoice counts its usage twice, as in real life: when its draft is made and when it becomes final.
What was billed must be what the events say, to the unit.
"""

import json
from dataclasses import dataclass
from datetime import timedelta

from benchmarks import dataset
from benchmarks.cpu import cpu_seconds
from benchmarks.instance import BILLED, CUSTOMERS, Instance
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from benchmarks.rollup import paused

WEEKS = 4

_BILLED = """
SELECT coalesce(sum(value), 0)::bigint FROM usage_meterevent
 WHERE environment_id = %s AND meter_id = ANY(%s) AND "timestamp" >= %s AND "timestamp" < %s
"""


@dataclass(frozen=True, slots=True)
class BilledBook:
    """What a run over a book took.

    :ivar begun: subscriptions that the service began one by one, a second
    :ivar closed: periods a second
    :ivar finalized: drafts a second
    :ivar invoices: both, a second
    :ivar python_ms: of the processor for each invoice, in the run's processes
    :ivar postgres_ms: the same in the database's
    """

    begun: float
    closed: float
    finalized: float
    invoices: float
    python_ms: float
    postgres_ms: float


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Once: a period can be billed but once."""
    found = bill_book(instance, subscriptions=options.subscriptions, events=options.events)
    report.add("subscriptions begun, one after the other", "per s", [found.begun])
    report.add("billing run, periods closed", "per s", [found.closed])
    report.add("billing run, drafts finalized", "per s", [found.finalized])
    report.add("billing run, invoices in all", "per s", [found.invoices], at_least=500)
    report.add("  of Python's time", "ms each", [found.python_ms])
    report.add("  of PostgreSQL's", "ms each", [found.postgres_ms])


def bill_book(instance: Instance, *, subscriptions: int, events: int, first_customer: int = CUSTOMERS) -> BilledBook:
    """Make new customers with subscriptions and events of a period that is over, and bill them.

    :param first_customer: the number of the first of them; those before it have been billed
    """
    start = dataset.month().start
    period = timedelta(weeks=WEEKS)
    meters = [instance.meter_id(name) for name in BILLED]
    customers = json.loads(instance.run_inside("make_customers", str(meters[0]), str(subscriptions)))
    dataset.number_customers(instance, customers["customers"], first=first_customer)
    drawn = range(first_customer, first_customer + subscriptions)
    of_meter = events // len(BILLED)
    for name in BILLED:
        dataset.load_events(instance, meter=name, start=start, step=period / of_meter, events=of_meter, customers=drawn)
    dataset.settle_tables(instance)
    with paused(instance):
        book = json.loads(instance.run_inside("subscribe", start.isoformat(), str(WEEKS), ",".join(map(str, meters))))
        dataset.analyze(instance, "accounts_customer", "subscriptions_subscription", "subscriptions_subscriptionitem")
        before = cpu_seconds(instance.stack)
        run = json.loads(instance.run_inside("bill"))
        after = cpu_seconds(instance.stack)
    with instance.connect() as connection:
        row = connection.execute(_BILLED, [instance.environment_id, meters, start, start + period]).fetchone()
    if run["failed"] or run["finalized"] != subscriptions or row is None or run["billed_quantity"] != row[0]:
        raise RuntimeError(f"the run was to bill {subscriptions} subscriptions for {row} units: {run}")
    seconds = run["closing_seconds"] + run["finalizing_seconds"]
    return BilledBook(
        begun=book["begun"] / book["seconds"],
        closed=run["closed"] / run["closing_seconds"],
        finalized=run["finalized"] / run["finalizing_seconds"],
        invoices=run["finalized"] / seconds,
        python_ms=1000 * run["processor_seconds"] / run["finalized"],
        postgres_ms=1000 * (after["postgres"] - before["postgres"]) / run["finalized"],
    )
