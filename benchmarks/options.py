"""What can be chosen, by environment variables: ``make bench BENCH_ROUNDS=1``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WORKLOADS = ("single", "report", "stream", "bulk", "rollup", "delay", "credit", "reads", "billing")


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """
    :param rounds: how often product and raw database take turns
    :param seconds: how long each turn is
    :param events: how many events the reads have under them
    :param subscriptions: how many the billing run has before it
    :param only: the workloads to run
    """

    rounds: int
    seconds: int
    events: int
    subscriptions: int
    only: tuple[str, ...]
    output: Path

    @classmethod
    def from_environment(cls) -> Self:
        """:raises SystemExit: if ``BENCH_ONLY`` names what does not exist"""
        only = tuple(os.environ.get("BENCH_ONLY", ",".join(WORKLOADS)).split(","))
        if unknown := set(only) - set(WORKLOADS):
            raise SystemExit(f"BENCH_ONLY: no such workload: {', '.join(sorted(unknown))} (of {', '.join(WORKLOADS)})")
        return cls(
            rounds=int(os.environ.get("BENCH_ROUNDS", "5")),
            seconds=int(os.environ.get("BENCH_SECONDS", "8")),
            events=int(os.environ.get("BENCH_EVENTS", "5000000")),
            subscriptions=int(os.environ.get("BENCH_SUBSCRIPTIONS", "10000")),
            only=only,
            output=Path(os.environ.get("BENCH_OUTPUT", "bench.json")),
        )


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """
    :param seconds: how long it lasts
    :param stream_rate: events a second through the stream
    :param post_rate: single posts a second beside it
    """

    seconds: int
    stream_rate: int
    post_rate: int
    output: Path

    @classmethod
    def from_environment(cls) -> Self:
        return cls(
            seconds=int(os.environ.get("SOAK_SECONDS", "600")),
            stream_rate=int(os.environ.get("SOAK_STREAM_RATE", "10000")),
            post_rate=int(os.environ.get("SOAK_POST_RATE", "100")),
            output=Path(os.environ.get("SOAK_OUTPUT", "soak.json")),
        )
