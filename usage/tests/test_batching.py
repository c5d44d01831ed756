"""Single events that share a commit: each caller gets the answer to its own, after the commit, whatever befalls the others."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from django.db import DataError, IntegrityError, OperationalError, connection, transaction
from psycopg import errors as postgres

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import errors, services
from usage.events import AcceptedEvent, EventDraft
from usage.models import MeterEvent, Source
from usage.services import acceptance, batching
from usage.services.batching import Batcher, _Waiting
from usage.tests.factories import draft

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS = 12


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WRITERS) as pool:
        yield pool


def accept(meter: Meter, event: EventDraft) -> AcceptedEvent:
    try:
        return services.accept_event(environment=meter.environment, draft=event, source=Source.API, now=NOW)
    finally:
        if threading.current_thread() is not threading.main_thread():
            connection.close()


def outcome(future: "Future[Any]") -> Any:
    """What a caller got, or what was raised for it."""
    error = future.exception(timeout=30)
    return future.result() if error is None else error


class Gate:
    """Stands in for acceptance, and holds its calls back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[EventDraft]] = []
        self.before: Callable[[Sequence[EventDraft]], None] = lambda _: None
        monkeypatch.setattr(batching, "accept_events", self)

    def __call__(self, *, drafts: Sequence[EventDraft], **others: Any) -> list[AcceptedEvent | BillingError]:
        self.batches.append(list(drafts))
        self.begun.set()
        assert self.opened.wait(30)
        self.before(drafts)
        return acceptance.accept_events(drafts=drafts, **others)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def gathered(gate: Gate, pool: ThreadPoolExecutor, meter: Meter, drafts: Sequence[EventDraft]) -> list[Any]:
    """Report the first event, and the others while it is being stored, so that they share the next batch: all outcomes."""
    futures = [pool.submit(accept, meter, drafts[0])]
    assert gate.begun.wait(10)
    futures += [pool.submit(accept, meter, event) for event in drafts[1:]]
    deadline = time.monotonic() + 10
    while len(batching._batcher._queue) < len(drafts) - 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    gate.opened.set()
    return [outcome(future) for future in futures]


def test_given_events_come_while_one_is_stored_then_they_share_a_batch_and_each_gets_its_own_answer(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    drafts = [draft(meter, customer, number, identifier=f"e{number}") for number in range(8)]
    drafts[3] = draft(meter, customer, "bad", identifier="e3")
    drafts[5] = draft(meter, customer, 5, identifier="e1")

    answers = gathered(gate, pool, meter, drafts)

    assert [len(batch) for batch in gate.batches] == [1, 7]
    assert isinstance(answers.pop(3), errors.ValueInvalid)
    twins = [answers.pop(4), answers.pop(1)]
    assert sorted(type(twin).__name__ for twin in twins) == ["AcceptedEvent", "EventExists"]
    assert [answer.identifier for answer in answers] == ["e0", "e2", "e4", "e6", "e7"]
    assert [answer.payload[meter.value_key] for answer in answers] == ["0", "2", "4", "6", "7"]
    assert MeterEvent.objects.count() == 6


def test_given_an_answer_then_the_event_is_committed(
    meter: Meter, customer: Customer, pool: ThreadPoolExecutor
) -> None:
    def report(number: int) -> bool:
        accept(meter, draft(meter, customer, number, identifier=f"e{number}"))
        # Another connection of another thread's sees it: the caller's own was closed.
        seen = MeterEvent.objects.filter(identifier=f"e{number}").exists()
        connection.close()
        return seen

    assert all(pool.map(report, range(100)))
    assert MeterEvent.objects.count() == 100


def test_given_many_racing_callers_with_re_sends_then_each_event_counts_once(
    meter: Meter, customer: Customer, pool: ThreadPoolExecutor
) -> None:
    events = [
        draft(
            meter,
            customer,
            number,
            identifier=None if number % 2 else f"e{number}",
            retry_key=f"k{number}",
            fingerprint=b"f",
        )
        for number in range(40)
    ] * 5

    answers = [outcome(future) for future in [pool.submit(accept, meter, event) for event in events]]

    assert all(isinstance(answer, AcceptedEvent) for answer in answers)
    assert sum(not answer.replayed for answer in answers) == 40
    for number in range(40):
        assert len({answer.identifier for answer in answers[number::40]}) == 1
    assert MeterEvent.objects.count() == 40


def test_given_a_row_that_the_database_refuses_then_its_neighbors_are_stored(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    def choke(drafts: Sequence[EventDraft]) -> None:
        if any(event.identifier == "poison" for event in drafts):
            raise DataError("no such value") from postgres.NumericValueOutOfRange()

    gate.before = choke
    names = ["first", "a", "poison", "b"]

    answers = gathered(gate, pool, meter, [draft(meter, customer, identifier=name) for name in names])

    assert isinstance(answers.pop(2), DataError)
    assert [answer.identifier for answer in answers] == ["first", "a", "b"]
    assert sorted(MeterEvent.objects.values_list("identifier", flat=True)) == ["a", "b", "first"]


def test_given_a_row_that_nobody_foresaw_then_its_neighbors_are_stored(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    poison = EventDraft(meter.event_name, {meter.customer_key: 5, meter.value_key: "1"})  # type: ignore[dict-item]

    first, ours, theirs = gathered(gate, pool, meter, [draft(meter, customer), poison, draft(meter, customer)])

    assert isinstance(first, AcceptedEvent)
    assert isinstance(ours, (TypeError, AttributeError))
    assert isinstance(theirs, AcceptedEvent)


def test_given_the_database_dies_then_every_caller_hears_it_after_one_attempt(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    def die(drafts: Sequence[EventDraft]) -> None:
        if len(gate.batches) > 1:
            raise OperationalError("the connection is lost") from postgres.AdminShutdown()

    gate.before = die

    first, *others = gathered(gate, pool, meter, [draft(meter, customer) for _ in range(6)])

    assert isinstance(first, AcceptedEvent)
    assert [type(error) for error in others] == [OperationalError] * 5
    assert len(gate.batches) == 2
    assert MeterEvent.objects.count() == 1


def test_given_the_server_ends_the_connection_in_the_middle_then_callers_hear_it_and_the_next_ones_are_served(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    def end(drafts: Sequence[EventDraft]) -> None:
        if len(gate.batches) == 2:
            with suppress(OperationalError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    gate.before = end

    first, *others = gathered(gate, pool, meter, [draft(meter, customer) for _ in range(4)])

    assert isinstance(first, AcceptedEvent)
    assert all(isinstance(error, OperationalError) for error in others)
    assert isinstance(outcome(pool.submit(accept, meter, draft(meter, customer))), AcceptedEvent)
    assert MeterEvent.objects.count() == 2


def test_given_two_environments_then_neither_sees_the_others_identifiers(
    gate: Gate, pool: ThreadPoolExecutor, meter: Meter, customer: Customer
) -> None:
    other = MeterFactory.create()
    stranger = CustomerFactory.create(environment=other.environment)
    futures = [pool.submit(accept, meter, draft(meter, customer))]
    assert gate.begun.wait(10)
    futures.append(pool.submit(accept, meter, draft(meter, customer, identifier="same")))
    futures.append(pool.submit(accept, other, draft(other, stranger, identifier="same")))
    futures.append(pool.submit(accept, other, draft(other, customer)))
    gate.opened.set()

    *stored, refused = [outcome(future) for future in futures]

    assert all(isinstance(answer, AcceptedEvent) for answer in stored)
    assert isinstance(refused, errors.CustomerUnknown)


def test_given_a_transaction_of_the_callers_then_the_event_is_part_of_it(meter: Meter, customer: Customer) -> None:
    with transaction.atomic():
        accept(meter, draft(meter, customer))
        transaction.set_rollback(True)

    assert not MeterEvent.objects.exists()


# The queue by itself, with events that are nothing but a name for their caller.


class Store:
    """What stores a batch: holds back until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = threading.Semaphore(0)
        self.batches: list[list[_Waiting]] = []
        self.failure: BaseException | None = None

    def __call__(self, batch: Sequence[_Waiting]) -> None:
        self.batches.append(list(batch))
        self.begun.release()
        assert self.opened.wait(30)
        if self.failure:
            raise self.failure
        for event in batch:
            event.outcome = AcceptedEvent(None, "", event.source, {}, NOW, NOW)  # type: ignore[arg-type]


def waiting(name: str) -> _Waiting:
    return _Waiting(None, None, name, NOW, services.UnknownCustomer.REFUSE)  # type: ignore[arg-type]


def submit(pool: ThreadPoolExecutor, batcher: Batcher, name: str) -> "Future[str]":
    def work() -> str:
        event = waiting(name)
        batcher.submit(event)
        assert isinstance(event.outcome, AcceptedEvent)
        return event.outcome.identifier

    return pool.submit(work)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_given_a_full_queue_then_one_more_is_refused_at_once_and_the_others_are_served(
    pool: ThreadPoolExecutor,
) -> None:
    store = Store()
    batcher = Batcher(store, leaders=1, most_waiting=3, wait=30)
    first = submit(pool, batcher, "first")
    assert store.begun.acquire(timeout=10)
    others = [submit(pool, batcher, f"{number}") for number in range(3)]
    until(lambda: len(batcher._queue) == 3)

    with pytest.raises(errors.TooManyEventsWaiting):
        batcher.submit(waiting("one too many"))

    store.opened.set()
    assert [future.result(10) for future in [first, *others]] == ["first", "0", "1", "2"]


def test_given_the_queue_does_not_move_then_what_waits_is_refused_and_never_stored(pool: ThreadPoolExecutor) -> None:
    store = Store()
    batcher = Batcher(store, leaders=1, wait=0.05)
    first = submit(pool, batcher, "first")
    assert store.begun.acquire(timeout=10)

    assert isinstance(submit(pool, batcher, "late").exception(10), errors.TooManyEventsWaiting)

    store.opened.set()
    assert first.result(10) == "first"
    assert submit(pool, batcher, "next").result(10) == "next"
    assert [[event.source for event in batch] for batch in store.batches] == [["first"], ["next"]]


def test_given_a_batch_that_takes_too_long_then_its_callers_are_told_that_nobody_knows(
    pool: ThreadPoolExecutor,
) -> None:
    first_store, store = Store(), Store()

    def one_after_the_other(batch: Sequence[_Waiting]) -> None:
        (store if first_store.batches else first_store)(batch)

    batcher = Batcher(one_after_the_other, leaders=1, patience=0.1)
    first = submit(pool, batcher, "first")
    assert first_store.begun.acquire(timeout=10)
    leader = submit(pool, batcher, "leader")
    until(lambda: len(batcher._queue) == 1)
    member = submit(pool, batcher, "member")
    until(lambda: len(batcher._queue) == 2)

    first_store.opened.set()

    error = member.exception(10)
    assert isinstance(error, OperationalError)
    assert "has not said yet" in str(error)
    # It was stored all the same, in the end: sent again, its identifier tells.
    store.opened.set()
    assert (first.result(10), leader.result(10)) == ("first", "leader")
    assert [event.source for event in store.batches[0]] == ["leader", "member"]


def test_given_a_leader_that_breaks_down_then_the_lead_goes_on(pool: ThreadPoolExecutor) -> None:
    store = Store()
    store.failure = MemoryError()
    batcher = Batcher(store, leaders=1)
    first = submit(pool, batcher, "first")
    assert store.begun.acquire(timeout=10)
    second = submit(pool, batcher, "second")
    until(lambda: len(batcher._queue) == 1)
    store.opened.set()
    assert isinstance(first.exception(10), MemoryError)
    assert isinstance(second.exception(10), MemoryError)

    store.failure = None

    assert submit(pool, batcher, "third").result(10) == "third"
    assert batcher._free_leads == 1


def test_given_two_leaders_under_a_storm_then_nobody_is_lost_and_nobody_waits_for_company() -> None:
    store = Store()
    store.opened.set()
    batcher = Batcher(store, leaders=2)
    with ThreadPoolExecutor(32) as pool:
        names = [f"{number}" for number in range(3000)]
        assert [future.result(30) for future in [submit(pool, batcher, name) for name in names]] == names
    assert sorted(event.source for batch in store.batches for event in batch) == sorted(names)
    assert batcher._free_leads == 2
    assert not batcher._queue


def test_every_database_error_is_one_of_the_row_or_of_the_server() -> None:
    def raised(error: Exception, cause: Exception | None) -> Exception:
        error.__cause__ = cause
        return error

    of_the_server = [
        raised(OperationalError(), None),
        raised(OperationalError(), postgres.AdminShutdown()),
        raised(OperationalError(), postgres.DiskFull()),
        raised(OperationalError(), postgres.TooManyConnections()),
    ]
    of_the_row = [
        raised(IntegrityError(), postgres.CheckViolation()),
        raised(OperationalError(), postgres.DeadlockDetected()),
        raised(OperationalError(), postgres.ProgramLimitExceeded()),
        ValueError(),
    ]
    assert all(batching._is_server_trouble(error) for error in of_the_server)
    assert not any(batching._is_server_trouble(error) for error in of_the_row)
