"""What was measured: medians and spread, the bars, a table for the terminal and JSON for the record."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.instance import Instance
from tests.stack import PROJECT


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured several times.

    :param rounds: a value for each round, in order
    """

    name: str
    unit: str
    rounds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> str:
        return f"{_written(min(self.rounds))} to {_written(max(self.rounds))}"


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure's median has to reach.

    :param at_least: or else it is the most that is allowed
    """

    figure: Figure
    limit: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        median = self.figure.median
        return median >= self.limit if self.at_least else median < self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "<"
        return f"{sign} {_written(self.limit)}  {'met' if self.is_met else 'MISSED'}"


@dataclass
class Report:
    """Figures in the order of their measuring, and whatever else explains them."""

    figures: list[Figure] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(
        self,
        name: str,
        unit: str,
        rounds: Sequence[float],
        *,
        at_least: float | None = None,
        below: float | None = None,
    ) -> Figure:
        figure = Figure(name, unit, list(rounds))
        self.figures.append(figure)
        if at_least is not None:
            self.bars.append(Bar(figure, at_least, at_least=True))
        if below is not None:
            self.bars.append(Bar(figure, below, at_least=False))
        return figure

    def table(self) -> str:
        bars = {bar.figure.name: str(bar) for bar in self.bars}
        rows = [("", "median", "spread", "", "bar")]
        rows += [
            (figure.name, _written(figure.median), figure.spread, figure.unit, bars.get(figure.name, ""))
            for figure in self.figures
        ]
        widths = [max(len(row[place]) for row in rows) for place in range(5)]
        return "\n".join(
            f"{name:<{widths[0]}}  {median:>{widths[1]}}  {spread:>{widths[2]}}  {unit:<{widths[3]}}  {bar}".rstrip()
            for name, median, spread, unit, bar in rows
        )

    def write(self, path: Path, machine: Mapping[str, Any]) -> None:
        """Write all of it as JSON."""
        content = {
            "machine": machine,
            "figures": [asdict(figure) | {"median": figure.median} for figure in self.figures],
            "bars": [
                {"figure": bar.figure.name, "limit": bar.limit, "at_least": bar.at_least, "met": bar.is_met}
                for bar in self.bars
            ],
            "details": self.details,
        }
        path.write_text(json.dumps(content, indent=2) + "\n")


def machine(instance: Instance) -> dict[str, Any]:
    """What the figures were measured on, without its name and its paths."""
    with instance.connect() as connection:
        version = connection.info.server_version
        shared_buffers = (connection.execute("SHOW shared_buffers").fetchone() or ("",))[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+changes" if _git("status", "--porcelain") else ""),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "postgresql": f"{version // 10_000}.{version % 10_000}",
        "shared_buffers": shared_buffers,
        "load_average_at_start": os.getloadavg()[0],
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


def _written(value: float) -> str:
    if value >= 100:  # noqa: PLR2004 (three digits are enough to read)
        return f"{value:,.0f}"
    return f"{value:.3g}"
