"""Answers that are trusted for half a second."""

import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction

from core.caches import TRUSTED_FOR, BriefCache


class Table:
    """Rows that change behind the cache's back, and a clock that is set by hand."""

    def __init__(self, **rows: int) -> None:
        self.rows = rows
        self.now = 100.0
        self.reads: list[list[str]] = []

    def read(self, keys: Collection[str]) -> dict[str, int]:
        self.reads.append(sorted(keys))
        return {key: self.rows[key] for key in keys if key in self.rows}

    def cache(self, most: int = 10) -> BriefCache[str, int]:
        return BriefCache(self.read, most=most, clock=lambda: self.now)


@pytest.mark.django_db(transaction=True)
def test_given_a_row_was_read_when_asked_again_within_its_time_then_nothing_is_read() -> None:
    table = Table(a=1)
    cache = table.cache()

    assert cache.get("a") == cache.get("a") == 1
    assert table.reads == [["a"]]


@pytest.mark.django_db(transaction=True)
def test_given_a_row_changed_when_its_time_is_over_then_the_change_is_seen() -> None:
    table = Table(a=1)
    cache = table.cache()
    cache.get("a")
    table.rows["a"] = 2

    table.now += TRUSTED_FOR

    assert cache.get("a") == 2


@pytest.mark.django_db(transaction=True)
def test_given_a_row_did_not_exist_when_its_time_is_over_then_it_is_found() -> None:
    table = Table()
    cache = table.cache()
    assert cache.get("a") is None
    table.rows["a"] = 1
    assert cache.get("a") is None

    table.now += TRUSTED_FOR

    assert cache.get("a") == 1


@pytest.mark.django_db(transaction=True)
def test_given_many_keys_when_some_are_known_then_the_others_are_read_together() -> None:
    table = Table(a=1, b=2, c=3)
    cache = table.cache()
    cache.get("a")

    assert cache.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": 2, "c": 3}
    assert table.reads == [["a"], ["b", "c", "d"]]


@pytest.mark.django_db(transaction=True)
def test_given_a_row_grows_old_when_many_ask_then_one_reads_and_the_others_do_not_wait() -> None:
    table = Table(a=1)
    begun, go_on = threading.Event(), threading.Event()

    def read(keys: Collection[str]) -> dict[str, int]:
        if table.reads:
            begun.set()
            assert go_on.wait(10)
        return table.read(keys)

    cache = BriefCache(read, most=10, clock=lambda: table.now)
    cache.get("a")
    table.rows["a"] = 2
    table.now += TRUSTED_FOR * 0.6
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(cache.get, "a")
        assert begun.wait(10)
        assert cache.get("a") == 1
        go_on.set()
        assert renewing.result(10) == 2
    assert cache.get("a") == 2
    assert len(table.reads) == 2


@pytest.mark.django_db(transaction=True)
def test_given_a_row_was_forgotten_when_asked_then_it_is_read_at_once() -> None:
    table = Table(a=1)
    cache = table.cache()
    cache.get("a")
    table.rows["a"] = 2

    cache.forget("a")

    assert cache.get("a") == 2


@pytest.mark.django_db(transaction=True)
def test_given_a_change_while_the_old_row_is_being_read_then_the_old_row_is_not_kept() -> None:
    table = Table(a=1)

    def read(keys: Collection[str]) -> dict[str, int]:
        rows = table.read(keys)
        if table.rows["a"] == 1:
            # The other thread's commit, between this one's read and its being remembered.
            table.rows["a"] = 2
            cache.forget("a")
        return rows

    cache = BriefCache(read, most=10, clock=lambda: table.now)
    cache.get("a")

    assert cache.get("a") == 2


@pytest.mark.django_db(transaction=True)
def test_given_more_keys_than_may_be_kept_then_memory_stays_bounded() -> None:
    table = Table()
    cache = table.cache(most=10)

    for number in range(95):
        cache.get(f"k{number}")

    assert len(cache._entries) <= 10


@pytest.mark.django_db(transaction=True)
def test_given_a_transaction_when_it_reads_then_nothing_of_it_is_kept() -> None:
    table = Table(a=1)
    cache = table.cache()
    with transaction.atomic():
        assert cache.get("a") == 1
        table.rows["a"] = 2
        assert cache.get("a") == 2
    table.rows["a"] = 3

    assert cache.get("a") == 3


@pytest.mark.django_db(transaction=True)
def test_given_a_row_grows_old_when_a_transaction_asks_then_the_renewing_is_left_to_others() -> None:
    table = Table(a=1)
    cache = table.cache()
    cache.get("a")
    table.rows["a"] = 2
    table.now += TRUSTED_FOR * 0.6

    with transaction.atomic():
        assert cache.get("a") == 1

    assert cache.get("a") == 2
