"""The queue by itself, with tasks that do nothing but say their name."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError

from billing_project.serving.gathering import Gathering, Task
from usage.errors import TooManyEventsWaiting


class Runner:
    """Does batches in a thread, and holds them back until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.batches: list[list[str]] = []
        self.failure: Exception | None = None
        self.pool = ThreadPoolExecutor(4)

    def __call__(self, tasks: Sequence[Task[str]]) -> list[str | Exception]:
        names = [task() for task in tasks]
        self.batches.append(names)
        assert self.opened.wait(30)
        if self.failure:
            raise self.failure
        return [ValueError(name) if name == "bad" else name for name in names]

    async def until(self, batches: int) -> None:
        for _ in range(5000):
            if len(self.batches) >= batches:
                return
            await asyncio.sleep(0.002)
        raise TimeoutError


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.opened.set()
    runner.pool.shutdown()


def gathering(runner: Runner, **limits: Any) -> Gathering[str]:
    return Gathering(runner, runner.pool, **limits)


def task(name: str) -> Task[str]:
    return partial(str, name)


def test_given_tasks_come_while_a_batch_is_under_way_then_they_are_the_next_one(runner: Runner) -> None:
    async def work() -> list[Any]:
        queue = gathering(runner)
        first = [queue.do(task("a")), queue.do(task("b"))]
        await runner.until(1)
        others = [queue.do(task(name)) for name in ("c", "bad", "d")]
        runner.opened.set()
        return await asyncio.gather(*first, *others, return_exceptions=True)

    a, b, c, bad, d = asyncio.run(work())

    assert [a, b, c, d] == ["a", "b", "c", "d"]
    assert isinstance(bad, ValueError)
    assert runner.batches == [["a", "b"], ["c", "bad", "d"]]


def test_given_a_full_queue_then_one_more_is_refused_at_once_and_the_others_are_done(runner: Runner) -> None:
    async def work() -> list[str]:
        queue = gathering(runner, most_waiting=3, wait=30)
        first = queue.do(task("first"))
        await runner.until(1)
        others = [queue.do(task(f"{number}")) for number in range(3)]
        with pytest.raises(TooManyEventsWaiting):
            queue.do(task("one too many"))
        runner.opened.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(work()) == ["first", "0", "1", "2"]


def test_given_the_queue_does_not_move_then_what_waits_is_refused_and_never_begun(runner: Runner) -> None:
    async def work() -> list[str]:
        queue = gathering(runner, wait=0.05)
        first = queue.do(task("first"))
        await runner.until(1)
        with pytest.raises(TooManyEventsWaiting):
            await asyncio.wait_for(queue.do(task("late")), 10)
        runner.opened.set()
        return [await first, await queue.do(task("next"))]

    assert asyncio.run(work()) == ["first", "next"]
    assert runner.batches == [["first"], ["next"]]


def test_given_a_batch_that_takes_too_long_then_its_callers_are_told_that_nobody_knows(runner: Runner) -> None:
    async def work() -> str:
        queue = gathering(runner, patience=0.05)
        with pytest.raises(OperationalError, match="has not said yet"):
            await asyncio.wait_for(queue.do(task("slow")), 10)
        runner.opened.set()
        return await queue.do(task("next"))

    assert asyncio.run(work()) == "next"


def test_given_a_batch_that_breaks_down_then_its_callers_hear_it_and_the_next_is_done(runner: Runner) -> None:
    async def work() -> str:
        queue = gathering(runner)
        runner.opened.set()
        runner.failure = MemoryError("none left")
        with pytest.raises(MemoryError):
            await queue.do(task("first"))
        runner.failure = None
        return await queue.do(task("next"))

    assert asyncio.run(work()) == "next"


def test_given_a_caller_who_leaves_then_the_others_of_the_batch_are_answered(runner: Runner) -> None:
    async def work() -> str:
        queue = gathering(runner)
        left, stays = queue.do(task("left")), queue.do(task("stays"))
        await runner.until(1)
        left.cancel()
        runner.opened.set()
        return await stays

    assert asyncio.run(work()) == "stays"


@pytest.mark.parametrize("side_by_side", [1, 2])
def test_given_a_storm_then_nobody_is_lost_and_nobody_waits_for_company(runner: Runner, side_by_side: int) -> None:
    names = [f"{number}" for number in range(3000)]

    async def work() -> list[str]:
        queue = gathering(runner, side_by_side=side_by_side, most_waiting=3000)
        runner.opened.set()

        async def one(position: int) -> str:
            await asyncio.sleep(position % 7 / 1000)
            return await queue.do(task(names[position]))

        return await asyncio.gather(*(one(position) for position in range(3000)))

    assert asyncio.run(work()) == names
    assert sorted(name for batch in runner.batches for name in batch) == sorted(names)
