"""Taking in single events: those that are reported side by side share a commit.

A commit costs far more than an event. So what reports single events - the views of the requests that arrived while the
last commit was under way - is run side by side in one thread by :func:`side_by_side`: each until it has an event to hand
over to :func:`accept_event`, and waits there. When all of them wait or have ended, what they handed over is stored with
one call of :func:`accept_events`, and each goes on with the outcome of its own event. They are greenlets: code that
reports an event reads, and is written, as if it were alone.

What a caller may rely on:

- An answer comes after the commit, and is that of the caller's own event.
- A refusal means that nothing was stored.
- A database error means that the event was stored or not: the connection may have died with the commit under way. Sent
  again, it counts once all the same, by its identifier or its request's key. (An event that has neither is as safe as in
  any other system: not.)
- What makes the database refuse a batch fails alone. The batch was rolled back then, and is stored row by row.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import local
from typing import Any, TypeGuard, TypeVar
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection
from greenlet import getcurrent, greenlet

from accounts.models import Environment
from core.db import spare_the_health_check
from usage.events import AcceptedEvent, EventDraft
from usage.services.acceptance import Outcome, UnknownCustomer, accept_events

T = TypeVar("T")

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
    """Store one event, in one commit with those that are reported side by side with it.

    Inside a transaction of the caller's it is stored with that.

    :param now: the wall's time; a batch is taken in at the latest of its events' times
    :raises EventRefused: with the first rule that the event breaks; nothing was stored
    :raises DatabaseError: if it is not known whether it was stored; sent again, it counts once
    """
    waiting = _Waiting(environment, draft, source, now, unknown_customer)
    task = getcurrent()
    # Nobody else's event may depend on whether a transaction of the caller's is committed.
    if isinstance(task, _Runner) and not connection.in_atomic_block:
        task.wait_with(waiting)
    else:
        _store([waiting])
    outcome = waiting.outcome
    if isinstance(outcome, AcceptedEvent):
        return outcome
    if outcome is None:
        raise RuntimeError("an event was worked on without an outcome")
    raise outcome


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T | Exception]:
    """Run tasks in this thread so that the single events that they report share commits.

    :returns: what each of them returned or raised, in order
    """
    running = _runners.take(len(tasks))
    going = [runner for runner, task in zip(running, tasks, strict=True) if runner.begin(task)]
    while going:
        _store([runner.event for runner in going])
        going = [runner for runner in going if runner.go_on()]
    # Not after an error: they would wait for ever.
    _runners.give_back(running)
    return [runner.outcome for runner in running]


class _Waiting:
    """An event that waits for its outcome."""

    __slots__ = ("draft", "environment", "now", "outcome", "source", "unknown_customer")

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

    @property
    def kind(self) -> tuple[UUID, str, UnknownCustomer]:
        """What events must have in common to go into one call."""
        return self.environment.pk, self.source, self.unknown_customer


class _Runner(greenlet):
    """Does one task after the other, each until it is done or waits: its stack costs more to make than a task to do."""

    event: _Waiting
    outcome: Any
    _hub: greenlet

    def begin(self, task: Callable[[], Any]) -> bool:
        """Run a task until it is done, or waits for an event: whether it waits."""
        self._hub = getcurrent()
        # Nothing that the task before this one set is to be seen.
        self.gr_context = None
        return bool(self.switch(task))

    def go_on(self) -> bool:
        """Let a task that waited run on: whether it waits again."""
        return bool(self.switch())

    def wait_with(self, event: _Waiting) -> None:
        """Called by the task itself: let the others go on until the event has its outcome."""
        self.event = event
        self._hub.switch(True)

    def run(self, task: Callable[[], Any]) -> None:
        while True:
            try:
                self.outcome = task()
            except Exception as error:  # noqa: BLE001 (it is this task's outcome)
                self.outcome = error
            task = self._hub.switch(False)


class _Runners(local):
    """Those of each thread that have nothing to do."""

    def __init__(self) -> None:
        self._idle: list[_Runner] = []

    def take(self, count: int) -> list[_Runner]:
        """So many, made as they are needed."""
        taken, self._idle = self._idle[:count], self._idle[count:]
        return taken + [_Runner() for _ in range(count - len(taken))]

    def give_back(self, runners: Sequence[_Runner]) -> None:
        self._idle += runners


_runners = _Runners()


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
