"""Credit of a company's own unit: reserved and committed, burned by events, and what is left of it read."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tqdm import tqdm

from benchmarks import wrk
from benchmarks.client import Client, succeed
from benchmarks.delay import BurnProbe
from benchmarks.instance import BURNED, Instance
from benchmarks.options import BenchOptions
from benchmarks.report import Report
from benchmarks.wrk import Load
from tests.stack import wait_for

CALLERS = 32
WRITERS = 16
EVENTS_PER_SECOND = 500
READERS = 2
# More than any run uses up.
GIVEN = 1_000_000_000
PATIENCE = 60.0
_BALANCE = (
    "/v1/billing/credit_balance_summary?filter[type]=applicability_scope"
    "&filter[applicability_scope][price_type]=metered"
)
_USED_AND_BURNED = """
    SELECT (SELECT sum(value) FROM usage_meterevent WHERE environment_id = %s AND meter_id = %s),
           (SELECT -sum(amount) FROM credits_ledgerentry WHERE environment_id = %s AND kind = 'burned')
"""


def measure(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Reservations by one caller and by many, of one customer and of all; the balance; and the way of an event to a grant."""
    currency, probed = give_credit(instance)
    of_one = {"BENCH_CURRENCY": currency, "BENCH_CUSTOMER": instance.customers[0]}
    of_all = {"BENCH_CURRENCY": currency}
    alone, together, apart, balances, probes, rates = [], [], [], [], [], []
    for _ in range(options.rounds):
        alone.append(_run(instance, "reserve", options.seconds, 1, of_one))
        together.append(_run(instance, "reserve", options.seconds, CALLERS, of_one))
        apart.append(_run(instance, "reserve", options.seconds, CALLERS, of_all))
        balances.append(_run(instance, "read", options.seconds, READERS, {"BENCH_PATH": _BALANCE}))
        probe, rate = _burn(instance, probed, options.seconds)
        probes.append(probe)
        rates.append(rate)

    for title, loads, bar in (
        ("reserve and commit, one caller", alone, 25),
        (f"  {CALLERS} callers, one customer's credit", together, None),
        (f"  {CALLERS} callers, everybody's", apart, None),
        ("balance of credit", balances, None),
    ):
        report.add(f"{title}: p50", "ms", [load.p50_ms for load in loads])
        report.add(f"{title}: p99", "ms", [load.p99_ms for load in loads], below=bar)
        report.add(f"{title}: rate", "calls/s", [load.rate for load in loads])
    report.add("event to burned, p50", "s", [probe.percentile(50) for probe in probes])
    report.add("event to burned, p99", "s", [probe.percentile(99) for probe in probes], below=2)
    report.add(f"  beside events of {WRITERS} writers", "events/s", rates)


def give_credit(instance: Instance) -> tuple[str, str]:
    """Make a meter whose events burn credit, and give every customer more of it than a run needs.

    :returns: the unit's id, and that of a customer who is none of the instance's
    """
    with instance.client() as client:
        meter = {"name": "Burned", "event_name": BURNED, "unit": "tokens"}
        made = succeed(client.send("POST", "/api/meters", json.dumps(meter).encode(), "application/json"))
        instance.meters[BURNED] = made["id"]
        currency = str(made["currency_id"])
        probed = str(succeed(client.post("/v1/customers", {"name": "Probe"}))["id"])
        for customer in tqdm([probed, *instance.customers], unit=" grants", disable=None):
            _grant(client, customer, currency)
    return currency, probed


def _grant(client: Client, customer: str, currency: str) -> None:
    grant = {"customer_id": customer, "currency_id": currency, "amount": str(GIVEN), "category": "paid"}
    succeed(client.send("POST", "/api/credit-grants", json.dumps(grant).encode(), "application/json"))


def _burn(instance: Instance, probed: str, seconds: int) -> tuple[BurnProbe, float]:
    """Events of many writers burn the credit of as many customers; those of one more are timed.

    :returns: how long these took from their post until their credit was burned, and how many the others were a second
    :raises RuntimeError: if what is burned in the end is not what all events come to
    """
    probe = BurnProbe(instance, event_name=BURNED, customer=probed)
    some = replace(instance, customers=instance.customers[:WRITERS])
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(
            wrk.run,
            "single",
            some,
            seconds=seconds + 1,
            connections=WRITERS,
            rate=EVENTS_PER_SECOND,
            parameters={"BENCH_EVENT_NAME": BURNED},
        )
        probe.run(seconds)
        rate = writing.result().rate
    with instance.connect() as connection:
        totals = [instance.environment_id, instance.meter_id(BURNED), instance.environment_id]

        def is_burned() -> bool:
            row = connection.execute(_USED_AND_BURNED, totals).fetchone()
            return row is not None and row[0] == row[1]

        wait_for(is_burned, timeout=PATIENCE, what="all events have burned their credit, and no more")
    return probe, rate


def _run(instance: Instance, script: str, seconds: int, connections: int, parameters: dict[str, str]) -> Load:
    """:raises RuntimeError: if a call was refused"""
    load = wrk.run(script, instance, seconds=seconds, connections=connections, parameters=parameters)
    if load.refused:
        raise RuntimeError(f"{load.refused} calls failed: {script}")
    return load
