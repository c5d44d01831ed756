"""Answers of the database that a process trusts for half a second."""

import time
from collections.abc import Callable, Collection, Hashable, Mapping
from threading import Lock
from typing import Generic, TypeVar

from django.db import connection

# Seconds. What another process changed is seen here by then, and every reader may add the time of its own work.
TRUSTED_FOR = 0.5
_RENEWED_AFTER = TRUSTED_FOR / 2

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class _Entry(Generic[Value]):
    __slots__ = ("read_at", "renewing", "value")

    def __init__(self, value: Value | None, read_at: float) -> None:
        self.value = value
        self.read_at = read_at
        self.renewing = False


class BriefCache(Generic[Key, Value]):
    """Rows that are asked for again and again, each read anew once half a second has passed; many in one query.

    Why so, and not by LISTEN/NOTIFY or a version row? A listener needs a connection of its own per process, which poolers
    in transaction mode do not give; when it breaks, the process trusts what it should not until somebody notices; and
    every way of writing (a console action, a bulk update, SQL by hand) has to remember to notify. A version row makes all
    writers wait for each other. Here nothing can be missed or forgotten, a lost database turns into an error within half
    a second, and the price is a query per process, half second and kind of thing, and for customers one per batch.

    That a row does not exist is trusted no longer than that it does.

    What is read inside a transaction is not kept: it may be a row that nobody else will ever see.
    """

    def __init__(
        self,
        read: Callable[[Collection[Key]], Mapping[Key, Value]],
        *,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param read: reads rows from the database; what it leaves out does not exist
        :param most: how many are kept; beyond that all are forgotten, and those in use are back at once
        """
        self._read = read
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[Key, _Entry[Value]] = {}
        self._changes = 0

    def get(self, key: Key) -> Value | None:
        """The row of a key; None if there is none."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: Collection[Key]) -> dict[Key, Value]:
        """The rows of these keys, as far as they exist. What has to be read is read in one query."""
        now = self._clock()
        found: dict[Key, Value] = {}
        wanted: list[Key] = []
        for key in keys:
            entry = self._entries.get(key)
            if entry is None or entry.read_at + TRUSTED_FOR <= now:
                wanted.append(key)
                continue
            # The first who sees it grow old reads it, while the others go on: they never all stop for it at once.
            if entry.read_at + _RENEWED_AFTER <= now and not entry.renewing and not connection.in_atomic_block:
                entry.renewing = True
                wanted.append(key)
            elif entry.value is not None:
                found[key] = entry.value
        if wanted:
            found.update(self._renew(wanted, now))
        return found

    def forget(self, *keys: Key) -> None:
        """Have this process ask for them anew at once. Call it after the commit that changed them."""
        with self._lock:
            self._changes += 1
            for key in keys:
                self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._changes += 1
            self._entries.clear()

    def _renew(self, keys: Collection[Key], now: float) -> Mapping[Key, Value]:
        changes = self._changes
        rows = self._read(keys)
        if connection.in_atomic_block:
            return rows
        with self._lock:
            # What was read may be older than the change that somebody has reported meanwhile.
            if changes == self._changes:
                if len(self._entries) + len(keys) > self._most:
                    self._entries.clear()
                for key in keys:
                    # Its age counts from before it was read.
                    self._entries[key] = _Entry(rows.get(key), now)
        return rows
