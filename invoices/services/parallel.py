"""A billing run, or its forecast, in several processes, for as many processors."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from multiprocessing.context import ForkProcess
from multiprocessing.queues import Queue
from queue import Empty
from typing import Any, TypeAlias, TypeVar

from django.db import connections

from core.processes import die_with_parent, settle_memory
from invoices.services.running import BillingRun, Forecasts, forecast_billing, run_billing
from invoices.services.sweeping import CHUNK, quietly

Done = TypeVar("Done")
# What a process does. It is called with ``on_progress``, and calls that with how many rows it has done since the last time.
Work: TypeAlias = Callable[..., Done]

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
    work = partial(run_billing, now=now, until=until, chunk=chunk)
    return sum(_side_by_side([work] * processes, on_progress), BillingRun())


def forecast_billing_side_by_side(
    processes: int, *, now: datetime, until: datetime | None = None, on_progress: Callable[[int], object] = quietly
) -> Forecasts:
    """What :func:`forecast_billing` foretells, in processes that each take a part of it.

    :raises WorkerLost: if one of them was killed, or failed as a whole
    """
    parts = [partial(forecast_billing, now=now, until=until, part=(number, processes)) for number in range(processes)]
    found: Forecasts = {}
    for part in _side_by_side(parts, on_progress):
        for environment_id, forecast in part.items():
            if environment_id in found:
                found[environment_id].take_in(forecast)
            else:
                found[environment_id] = forecast
    return found


def _side_by_side(works: Sequence[Work[Done]], on_progress: Callable[[int], object]) -> list[Done]:
    """Do each work in a process of its own.

    :returns: what each of them gave, in no order
    """
    # Of a connection there must not be two ends in two processes.
    connections.close_all()
    context = multiprocessing.get_context("fork")
    # Rows that were done, or what came of a work as a whole.
    said: Queue[Any] = context.Queue()
    workers = [context.Process(target=_work, args=(os.getpid(), work, said), daemon=True) for work in works]
    for worker in workers:
        worker.start()
    done: list[Done] = list(_listen(workers, said, on_progress))
    if len(done) < len(works):
        raise WorkerLost
    return done


def _work(parent: int, work: Work[object], said: "Queue[Any]") -> None:
    # Nobody would hear what it does, and what it holds would be left out by the next run.
    die_with_parent(parent=parent)
    settle_memory()
    said.put(work(on_progress=said.put))


def _listen(workers: Sequence[ForkProcess], said: "Queue[Any]", on_progress: Callable[[int], object]) -> Iterator[Any]:
    """What came of each process's work, until all have ended."""
    while True:
        # Asked first: what the last of them said before it ended is still read.
        going = any(worker.is_alive() for worker in workers)
        try:
            while True:
                word = said.get(timeout=_LOOK if going else 0)
                if isinstance(word, int):
                    on_progress(word)
                else:
                    yield word
        except Empty:
            if not going:
                return
