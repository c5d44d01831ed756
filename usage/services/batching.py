"""Taking in single events: those that wait at the same moment share a commit.

Threads of a process that report one event each hand it over and wait. One of them leads: it stores what is waiting, its
own event among it, with one call of :func:`accept_events`, on its own database connection, and then hands the lead to
the first of those that came meanwhile. So a batch is what arrives while a commit is under way. Nothing waits for
company, and there is no thread of our own to start, watch, or stop: a process that lets its requests end has stored all.

What a caller may rely on:

- An answer comes after the commit, and is that of the caller's own event.
- A refusal, :class:`TooManyEventsWaiting` among them, means that nothing was stored.
- A database error means that the event was stored or not: the connection may have died with the commit under way, and a
  caller whose event is being stored waits for ten seconds and no more. Sent again, it counts once all the same, by its
  identifier or its request's key. (An event that has neither is as safe as in any other system: not.)
- What makes the database refuse a batch fails alone. The batch was rolled back then, and is stored row by row.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock
from typing import TypeGuard
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from accounts.models import Environment
from core.db import spare_the_health_check
from usage.errors import TooManyEventsWaiting
from usage.events import AcceptedEvent, EventDraft
from usage.services.acceptance import Outcome, UnknownCustomer, accept_events

# Seconds. How long an event may wait to be taken into a batch: by then the database has not kept up for long.
_WAIT = 2.0
# How long a caller waits for a batch that its event is in.
_PATIENCE = 10.0
# More than the threads of a process: what a longer queue holds is answered too late to be of use.
_MOST_WAITING = 512
_MOST_IN_BATCH = 100
# Commits under way at once in a process. Two make smaller batches and, on two cores, fewer events (measured: -10 %).
_LEADERS = 1

# SQLSTATE classes of a server that does no work at all now: no connection, no resources, shutdown, broken system.
_SERVER_TROUBLE = ("08", "53", "57", "58")


def accept_event(
    *,
    environment: Environment,
    draft: EventDraft,
    source: str,
    now: datetime,
    unknown_customer: UnknownCustomer = UnknownCustomer.REFUSE,
) -> AcceptedEvent:
    """Store one event, in one commit with those that others report at this moment.

    Inside a transaction of the caller's it is stored with that.

    :param now: the wall's time; a batch is taken in at the latest of its events' times
    :raises EventRefused: with the first rule that the event breaks; nothing was stored
    :raises TooManyEventsWaiting: if it could not be taken on; nothing was stored
    :raises DatabaseError: if it is not known whether it was stored; sent again, it counts once
    """
    waiting = _Waiting(environment, draft, source, now, unknown_customer)
    if connection.in_atomic_block:
        # Nobody else's event may depend on whether this transaction is committed.
        _store([waiting])
    else:
        _batcher.submit(waiting)
    outcome = waiting.outcome
    if isinstance(outcome, AcceptedEvent):
        return outcome
    if outcome is None:
        raise RuntimeError("an event was worked on without an outcome")
    raise outcome


class _Waiting:
    """An event that waits for its outcome, and the thread that waits with it."""

    __slots__ = ("_woken", "draft", "environment", "leads", "now", "outcome", "source", "unknown_customer")

    def __init__(
        self,
        environment: Environment,
        draft: EventDraft,
        source: str,
        now: datetime,
        unknown_customer: UnknownCustomer,
    ) -> None:
        self.environment = environment
        self.draft = draft
        self.source = source
        self.now = now
        self.unknown_customer = unknown_customer
        self.outcome: AcceptedEvent | Exception | None = None
        self.leads = False
        # A bare lock is the cheapest thing in Python to sleep on: taken now, released by whoever has news.
        self._woken = Lock()
        self._woken.acquire()

    def wait(self, seconds: float) -> bool:
        """Sleep until there are news, or the time is over: whether there are."""
        return self._woken.acquire(timeout=seconds)

    def wake(self) -> None:
        self._woken.release()

    @property
    def kind(self) -> tuple[UUID, str, UnknownCustomer]:
        """What events must have in common to go into one call."""
        return self.environment.pk, self.source, self.unknown_customer


class Batcher:
    """The queue of a process, and who leads.

    :param store: gives every event that it is handed an outcome; raises nothing
    """

    def __init__(
        self,
        store: Callable[[Sequence[_Waiting]], None],
        *,
        leaders: int = _LEADERS,
        most_waiting: int = _MOST_WAITING,
        wait: float = _WAIT,
        patience: float = _PATIENCE,
    ) -> None:
        self._store = store
        self._most_waiting = most_waiting
        self._wait = wait
        self._patience = patience
        self._lock = Lock()
        self._queue: deque[_Waiting] = deque()
        # Nobody is in the queue while the lead is free: who gives it up takes the queue's first as successor.
        self._free_leads = leaders

    def submit(self, event: _Waiting) -> None:
        """Have an event stored, by this thread or by another one, and return when it has its outcome.

        :raises TooManyEventsWaiting: if the queue is full, or moves too slowly; nothing was stored
        :raises OperationalError: if the database takes too long to say what became of it
        """
        with self._lock:
            if self._free_leads:
                self._free_leads -= 1
                batch = [event]
            elif len(self._queue) >= self._most_waiting:
                raise TooManyEventsWaiting
            else:
                self._queue.append(event)
                batch = []
        if not batch:
            if not event.wait(self._wait):
                self._wait_longer_or_withdraw(event)
            if not event.leads:
                return
            batch = self._take(event)
        try:
            self._store(batch)
        finally:
            self._hand_over(batch, event)

    def _wait_longer_or_withdraw(self, event: _Waiting) -> None:
        with self._lock:
            if event in self._queue:
                self._queue.remove(event)
                raise TooManyEventsWaiting
        # It is being stored, and cannot be called back.
        if not event.wait(self._patience):
            raise OperationalError("the database has not said yet whether the event was stored")

    def _take(self, leader: _Waiting) -> list[_Waiting]:
        with self._lock:
            others = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST_IN_BATCH - 1))]
        return [leader, *others]

    def _hand_over(self, batch: Sequence[_Waiting], leader: _Waiting) -> None:
        with self._lock:
            if self._queue:
                # Out of the queue from now on: it cannot be withdrawn any more, and others have to rely on it.
                successor = self._queue.popleft()
                successor.leads = True
            else:
                successor = None
                self._free_leads += 1
        if successor:
            # First, so that the database does not wait for the others' answers to be written.
            successor.wake()
        for event in batch:
            if event is not leader:
                event.wake()


def _store(batch: Sequence[_Waiting]) -> None:
    """Give every event of a batch its outcome: what it became, or the error that it failed with."""
    spare_the_health_check()
    kinds: dict[tuple[UUID, str, UnknownCustomer], list[_Waiting]] = {}
    for event in batch:
        kinds.setdefault(event.kind, []).append(event)
    trouble: DatabaseError | InterfaceError | None = None
    for events in kinds.values():
        # Each of them would wait for a dead server anew.
        trouble = _fail(events, trouble) if trouble else _store_together(events)


def _store_together(events: Sequence[_Waiting]) -> DatabaseError | InterfaceError | None:
    try:
        outcomes = _accept(events)
    except Exception as error:  # noqa: BLE001 (it reaches every caller whom it concerns)
        if _is_server_trouble(error):
            return _fail(events, error)
        if len(events) > 1:
            # One row is the cause, and the others are not to suffer: all were rolled back, so each is stored alone.
            return _store_apart(events)
        events[0].outcome = error
        return None
    for event, outcome in zip(events, outcomes, strict=True):
        event.outcome = outcome
    return None


def _store_apart(events: Sequence[_Waiting]) -> DatabaseError | InterfaceError | None:
    for position, event in enumerate(events):
        if trouble := _store_together([event]):
            return _fail(events[position:], trouble)
    return None


def _accept(events: Sequence[_Waiting]) -> list[Outcome]:
    first = events[0]
    return accept_events(
        environment=first.environment,
        drafts=[event.draft for event in events],
        source=first.source,
        now=max(event.now for event in events),
        unknown_customer=first.unknown_customer,
    )


def _fail(events: Sequence[_Waiting], error: DatabaseError | InterfaceError) -> DatabaseError | InterfaceError:
    for event in events:
        event.outcome = error
    return error


def _is_server_trouble(error: Exception) -> TypeGuard[DatabaseError | InterfaceError]:
    """Whether the server is gone or does nothing now, so that every other row would fail like this one."""
    if not isinstance(error, (DatabaseError, InterfaceError)):
        return False
    # Without a state, no server has answered.
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(_SERVER_TROUBLE)


_batcher = Batcher(_store)
