"""Whether memory stays flat: what each process has for itself alone, sampled over time."""

import statistics
import threading
from collections import defaultdict
from contextlib import suppress

import psutil

from benchmarks.cpu import parts
from tests.stack import RunningStack

INTERVAL = 5.0
MEBIBYTE = 1 << 20
# Growth between the second quarter and the last that is no leak: caches that are still filling, an arena more.
ALLOWED_GROWTH = 1.10
ALLOWED_MEBIBYTES = 16


class MemorySampler(threading.Thread):
    """Samples every few seconds until told to stop.

    Memory that processes share, as PostgreSQL's buffers are, counts for none of them.

    :param samples: mebibytes by part of the stack, a list for each sample: the sum over the part's processes
    """

    def __init__(self, stack: RunningStack, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.samples: dict[str, list[float]] = defaultdict(list)
        self.largest: dict[str, list[float]] = defaultdict(list)
        self._stack = stack
        self._stop_asked = stop

    def run(self) -> None:
        while not self._stop_asked.wait(INTERVAL):
            for part, sizes in self._private().items():
                self.samples[part].append(sum(sizes))
                self.largest[part].append(max(sizes))

    def _private(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for part, process in parts(self._stack):
            with suppress(psutil.NoSuchProcess):
                found[part].append(process.memory_full_info().uss / MEBIBYTE)
        return found

    def growth(self) -> dict[str, tuple[float, float]]:
        """The median of the second quarter and of the last, by part, in mebibytes: the first is the warming up."""
        found = {}
        for part, samples in sorted(self.samples.items()):
            quarter = max(1, len(samples) // 4)
            found[part] = (
                round(statistics.median(samples[quarter : 2 * quarter] or samples), 1),
                round(statistics.median(samples[-quarter:]), 1),
            )
        return found


def is_flat(before: float, after: float) -> bool:
    """Whether memory that went from one figure to the other, in mebibytes, has not grown to speak of."""
    return after <= before * ALLOWED_GROWTH or after - before <= ALLOWED_MEBIBYTES
