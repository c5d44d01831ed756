"""Where the processor's time goes, by part of the stack."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import psutil

from tests.stack import RunningStack

# By what ps shows; the first that is found in a title names the part.
_TITLES = {"postgres": "postgres", "granian": "web", "beat": "beat", "celeryd": "worker", "valkey": "broker"}


def parts(stack: RunningStack) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of the stack with the name of its part."""
    for process in stack.processes():
        with suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline()[:1])
            yield next((part for word, part in _TITLES.items() if word in title), "up"), process


def cpu_seconds(stack: RunningStack) -> dict[str, float]:
    """What each part has used since it began, with its children that ended meanwhile."""
    used: dict[str, float] = defaultdict(float)
    for part, process in parts(stack):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used[part] += times.user + times.system
            # Its living children are counted for themselves; these are the dead ones.
            used[part] += times.children_user + times.children_system
    return used


class CpuMeter:
    """The cores that each part keeps busy between two moments: 1.0 is one whole core."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._began = time.monotonic()
        self._machine = _busy_seconds()
        self._before = cpu_seconds(stack)

    def cores(self, *, generator: float = 0.0) -> dict[str, float]:
        """What each part has used since this was made.

        :param generator: cores that the load's generator used in the same time
        :returns: by part; ``generator``, and ``others`` for what does not belong to the measurement
        """
        seconds = time.monotonic() - self._began
        after = cpu_seconds(self._stack)
        # A process that ended between two looks leaves its time to its parent only when that has waited for it.
        used = {part: max(0.0, spent - self._before.get(part, 0.0)) / seconds for part, spent in sorted(after.items())}
        machine = (_busy_seconds() - self._machine) / seconds
        used |= {"generator": generator, "others": max(0.0, machine - sum(used.values()) - generator)}
        return {part: round(cores, 2) for part, cores in used.items()}


def _busy_seconds() -> float:
    """The processor time of the whole machine; what a hypervisor took away counts, for it is not ours."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
