"""What waits to be answered in a batch. All of it happens on the thread of the event loop, so there is nothing to lock."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

from django.db import OperationalError

from usage.errors import TooManyEventsWaiting

T = TypeVar("T")
Task = Callable[[], T]

# Seconds. How long a task may wait to be taken into a batch: by then the database has not kept up for long.
_WAIT = 2.0
# How long a batch may take until those who wait for it are told that nobody knows.
_PATIENCE = 10.0
_MOST_WAITING = 512
_MOST_IN_BATCH = 100
# How often the clock is looked at.
_LOOK = 0.25


class Gathering(Generic[T]):
    """A queue, and the batches under way.

    A batch is what came while the one before it was under way. Nothing waits for company.

    :param run: does a batch, in a thread of ``executor``; what each task returned or raised
    :param side_by_side: batches under way at once
    """

    def __init__(
        self,
        run: Callable[[Sequence[Task[T]]], list[T | Exception]],
        executor: Executor,
        *,
        side_by_side: int = 1,
        most_waiting: int = _MOST_WAITING,
        wait: float = _WAIT,
        patience: float = _PATIENCE,
    ) -> None:
        self._run = run
        self._executor = executor
        self._most_waiting = most_waiting
        self._wait = wait
        self._patience = patience
        self._free = side_by_side
        # With the loop's time at which each came.
        self._queue: deque[tuple[float, Task[T], asyncio.Future[T]]] = deque()
        # With the time at which each was begun.
        self._batches: dict[Future[list[T | Exception]], tuple[float, list[asyncio.Future[T]]]] = {}
        self._looks = False

    def do(self, task: Task[T]) -> "asyncio.Future[T]":
        """The outcome of a task, to be awaited.

        :raises TooManyEventsWaiting: if the queue is full; awaited, if it moves too slowly. The task was not begun
        :raises OperationalError: awaited, if its batch takes too long. It may still be done
        """
        if len(self._queue) >= self._most_waiting:
            raise TooManyEventsWaiting
        loop = asyncio.get_running_loop()
        outcome = loop.create_future()
        self._queue.append((loop.time(), task, outcome))
        if self._free:
            # Not at once: others may have come in the same turn of the loop.
            self._free -= 1
            loop.call_soon(self._begin)
        if not self._looks:
            self._looks = True
            loop.call_later(_LOOK, self._look)
        return outcome

    def _begin(self) -> None:
        taken = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_IN_BATCH))]
        if not taken:
            self._free += 1
            return
        loop = asyncio.get_running_loop()
        batch = self._executor.submit(self._run, [task for _, task, _ in taken])
        self._batches[batch] = (loop.time(), [outcome for _, _, outcome in taken])
        batch.add_done_callback(lambda done: loop.call_soon_threadsafe(self._end, done))

    def _end(self, batch: "Future[list[T | Exception]]") -> None:
        # First, so that the database does not wait for answers to be written.
        self._begin()
        _, outcomes = self._batches.pop(batch)
        error = batch.exception()
        for position, outcome in enumerate(outcomes):
            result = error or batch.result()[position]
            if isinstance(result, BaseException):
                _fail(outcome, result)
            elif not outcome.done():
                outcome.set_result(result)

    def _look(self) -> None:
        """Tell those who waited for too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._queue and self._queue[0][0] < now - self._wait:
            _fail(self._queue.popleft()[2], TooManyEventsWaiting())
        for begun, outcomes in self._batches.values():
            if begun < now - self._patience:
                for outcome in outcomes:
                    _fail(outcome, OperationalError("the database has not said yet whether the event was stored"))
        self._looks = bool(self._queue or self._batches)
        if self._looks:
            loop.call_later(_LOOK, self._look)


def _fail(outcome: "asyncio.Future[T]", error: BaseException) -> None:
    if not outcome.done():
        outcome.set_exception(error)
