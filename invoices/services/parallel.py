"""A billing run in several processes, for as many processors."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from multiprocessing.context import ForkProcess
from multiprocessing.queues import Queue
from queue import Empty
from typing import TypeAlias

from django.db import connections

from core.processes import die_with_parent, settle_memory
from invoices.services.running import BillingRun, run_billing
from invoices.services.sweeping import CHUNK, quietly

# The run of a process, or how many rows it has done since it last said so.
_Said: TypeAlias = BillingRun | int
# Seconds between two looks at whether the processes live.
_LOOK = 0.2


class WorkerLost(Exception):
    """A process ended before its work did. Nothing is half done, but something may be left."""

    def __init__(self) -> None:
        super().__init__("A process was ended before its work was done.")


def run_billing_side_by_side(
    processes: int,
    *,
    now: datetime,
    until: datetime | None = None,
    chunk: int = CHUNK,
    on_progress: Callable[[int], object] = quietly,
) -> BillingRun:
    """What :func:`run_billing` does, in processes that leave to each other what they hold.

    :returns: what all of them did
    :raises WorkerLost: if one of them was killed, or failed as a whole
    """
    # Of a connection there must not be two ends in two processes.
    connections.close_all()
    context = multiprocessing.get_context("fork")
    said: Queue[_Said] = context.Queue()
    workers = [
        context.Process(target=_work, args=(os.getpid(), now, until, chunk, said), daemon=True)
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    runs = list(_listen(workers, said, on_progress))
    if len(runs) < processes:
        raise WorkerLost
    return sum(runs, BillingRun())


def _work(parent: int, now: datetime, until: datetime | None, chunk: int, said: "Queue[_Said]") -> None:
    # Nobody would hear what it does, and what it holds would be left out by the next run.
    die_with_parent(parent=parent)
    settle_memory()
    said.put(run_billing(now=now, until=until, chunk=chunk, on_progress=said.put))


def _listen(
    workers: Sequence[ForkProcess], said: "Queue[_Said]", on_progress: Callable[[int], object]
) -> Iterator[BillingRun]:
    """What each process did, until all have ended."""
    while True:
        # Asked first: what the last of them said before it ended is still read.
        going = any(worker.is_alive() for worker in workers)
        try:
            while True:
                word = said.get(timeout=_LOOK if going else 0)
                if isinstance(word, BillingRun):
                    yield word
                else:
                    on_progress(word)
        except Empty:
            if not going:
                return
