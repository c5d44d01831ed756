"""``make bench``: figures beside the raw limits of the same PostgreSQL, taken in the same run.

A bar that is missed is printed and fails nothing: it is for people to judge, on a machine that they know.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks import billing, credit, dataset, previews, reads, rollup, writes, wrk
from benchmarks.delay import Probe
from benchmarks.instance import Instance, running_instance
from benchmarks.options import BenchOptions
from benchmarks.report import Report, machine

# Through the stream, in batches of a hundred.
DELAY_LOAD = 10_000
DELAY_SECONDS_PER_ROUND = 3


def main() -> None:
    options = BenchOptions.from_environment()
    wrk.require_wrk()
    report = Report()
    _say("Starting Tollbook in a folder of its own ...")
    with running_instance() as instance:
        described = machine(instance) | {"rounds": options.rounds, "seconds_per_turn": options.seconds}
        dataset.prepare(instance)
        if "reads" in options.only:
            _say(f"Loading {options.events:,} events of a month ...")
            dataset.load_history(instance, events=options.events)
            report.details["sizes"] = dataset.sizes(instance)
        if "rollup" in options.only:
            _say("The roll-up alone ...")
            rollup.measure(instance, options, report)
        _say("Ways in, in turns with the raw database ...")
        writes.measure(instance, options, report)
        if "delay" in options.only:
            _say("From event to summary ...")
            measure_delay(instance, options, report)
        if "credit" in options.only:
            _say("Credit ...")
            credit.measure(instance, options, report)
        if "reads" in options.only:
            _say("Reads ...")
            reads.measure(instance, options, report)
        if "billing" in options.only:
            _say("The billing run ...")
            billing.measure(instance, options, report)
            _say("Previews of what comes next ...")
            previews.measure(instance, report)
    report.write(options.output, described)
    _say("")
    for name, value in described.items():
        _say(f"{name.replace('_', ' ')}: {value}")
    _say("")
    _say(report.table())
    _say(f"\nAll of it is in {options.output}.")


def measure_delay(instance: Instance, options: BenchOptions, report: Report) -> None:
    """Event to summary, while 10,000 events a second come through the stream."""
    rounds, rates = [], []
    for _ in range(options.rounds):
        seconds = DELAY_SECONDS_PER_ROUND * options.seconds
        probe = Probe(instance)
        with ThreadPoolExecutor() as pool:
            streaming = pool.submit(
                wrk.run,
                "stream",
                instance,
                seconds=seconds + 2,
                connections=8,
                rate=DELAY_LOAD // 100,
                parameters=writes.parameters(instance, "stream"),
            )
            probe.run(seconds)
            rates.append(streaming.result().rate * 100)
        rounds.append(probe)
    report.add("event to summary, p50", "s", [probe.percentile(50) for probe in rounds])
    report.add("event to summary, p99", "s", [probe.percentile(99) for probe in rounds], below=2)
    report.add("  beside events through the stream", "events/s", rates)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
