"""Single events that share a commit: each caller gets the answer to its own, after the commit, whatever befalls the others."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
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
from usage.tests.factories import draft

pytestmark = pytest.mark.django_db(transaction=True)
WRITERS = 4


@pytest.fixture
def meter() -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def accept(meter: Meter, event: EventDraft) -> AcceptedEvent:
    return services.accept_event(environment=meter.environment, draft=event, source=Source.API, now=NOW)


def reported(meter: Meter, *drafts: EventDraft) -> list[Any]:
    """What became of events that are reported side by side."""
    return services.side_by_side([partial(accept, meter, event) for event in drafts])


class Watch:
    """Notes the batches that are stored, and gets in their way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[list[EventDraft]] = []
        self.before: Callable[[Sequence[EventDraft]], None] = lambda _: None
        monkeypatch.setattr(batching, "accept_events", self)

    def __call__(self, *, drafts: Sequence[EventDraft], **others: Any) -> list[AcceptedEvent | BillingError]:
        self.batches.append(list(drafts))
        self.before(drafts)
        return acceptance.accept_events(drafts=drafts, **others)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


def test_given_events_side_by_side_then_they_share_a_batch_and_each_gets_its_own_answer(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    drafts = [draft(meter, customer, number, identifier=f"e{number}") for number in range(8)]
    drafts[3] = draft(meter, customer, "bad", identifier="e3")
    drafts[5] = draft(meter, customer, 5, identifier="e1")

    answers = reported(meter, *drafts)

    assert [len(batch) for batch in watch.batches] == [8]
    assert isinstance(answers.pop(3), errors.ValueInvalid)
    assert isinstance(answers.pop(4), errors.EventExists)
    assert [answer.identifier for answer in answers] == ["e0", "e1", "e2", "e4", "e6", "e7"]
    assert [answer.payload[meter.value_key] for answer in answers] == ["0", "1", "2", "4", "6", "7"]
    assert MeterEvent.objects.count() == 6


def test_given_what_reports_several_events_or_none_then_each_task_goes_on_by_itself(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    def report(count: int) -> int:
        for _ in range(count):
            accept(meter, draft(meter, customer))
        if count == 2:
            raise ZeroDivisionError
        return count

    *counts, error = services.side_by_side([partial(report, count) for count in (1, 0, 3, 2)])

    assert counts == [1, 0, 3]
    assert isinstance(error, ZeroDivisionError)
    assert [len(batch) for batch in watch.batches] == [3, 2, 1]
    assert MeterEvent.objects.count() == 6


def test_given_an_error_between_tasks_then_the_next_ones_have_nothing_to_do_with_it(
    watch: Watch, meter: Meter, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(batching, "_store", give_up)
        with pytest.raises(MemoryError):
            reported(meter, draft(meter, customer), draft(meter, customer))

    assert services.side_by_side([partial(pow, 2, 3), partial(pow, 2, 4)]) == [8, 16]
    assert not MeterEvent.objects.exists()


def test_given_a_task_that_sets_a_context_then_the_next_one_does_not_see_it() -> None:
    seen: ContextVar[str] = ContextVar("seen", default="nothing")

    def leave() -> str:
        before = seen.get()
        seen.set("something")
        return before

    assert [services.side_by_side([leave]) for _ in range(2)] == [["nothing"]] * 2


def test_given_an_answer_then_the_event_is_committed(meter: Meter, customer: Customer) -> None:
    def report(number: int) -> bool:
        accept(meter, draft(meter, customer, identifier=f"e{number}"))
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(is_seen, f"e{number}").result(10)

    assert services.side_by_side([partial(report, number) for number in range(5)]) == [True] * 5


def is_seen(identifier: str) -> bool:
    """Whether another connection sees an event."""
    try:
        return MeterEvent.objects.filter(identifier=identifier).exists()
    finally:
        connection.close()


def test_given_racing_threads_with_re_sends_then_each_event_counts_once(meter: Meter, customer: Customer) -> None:
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

    def work(start: int) -> list[Any]:
        try:
            return reported(meter, *events[start : start + 25])
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        answers = [answer for answers in pool.map(work, range(0, 200, 25)) for answer in answers]

    assert all(isinstance(answer, AcceptedEvent) for answer in answers)
    assert sum(not answer.replayed for answer in answers) == 40
    for number in range(40):
        assert len({answer.identifier for answer in answers[number::40]}) == 1
    assert MeterEvent.objects.count() == 40


def test_given_a_row_that_the_database_refuses_then_its_neighbors_are_stored(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    def choke(drafts: Sequence[EventDraft]) -> None:
        if any(event.identifier == "poison" for event in drafts):
            raise DataError("no such value") from postgres.NumericValueOutOfRange()

    watch.before = choke

    answers = reported(meter, *(draft(meter, customer, identifier=name) for name in ("a", "poison", "b")))

    assert isinstance(answers.pop(1), DataError)
    assert [answer.identifier for answer in answers] == ["a", "b"]
    assert sorted(MeterEvent.objects.values_list("identifier", flat=True)) == ["a", "b"]


def test_given_a_row_that_nobody_foresaw_then_its_neighbors_are_stored(meter: Meter, customer: Customer) -> None:
    poison = EventDraft(meter.event_name, {meter.customer_key: 5, meter.value_key: "1"})  # type: ignore[dict-item]

    first, ours, theirs = reported(meter, draft(meter, customer), poison, draft(meter, customer))

    assert isinstance(first, AcceptedEvent)
    assert isinstance(ours, (TypeError, AttributeError))
    assert isinstance(theirs, AcceptedEvent)


def test_given_the_database_dies_then_every_caller_hears_it_after_one_attempt(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    def die(drafts: Sequence[EventDraft]) -> None:
        raise OperationalError("the connection is lost") from postgres.AdminShutdown()

    watch.before = die

    answers = reported(meter, *(draft(meter, customer) for _ in range(6)))

    assert [type(error) for error in answers] == [OperationalError] * 6
    assert len(watch.batches) == 1
    assert not MeterEvent.objects.exists()


def test_given_the_server_ends_the_connection_in_the_middle_then_callers_hear_it_and_the_next_ones_are_served(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    def end(drafts: Sequence[EventDraft]) -> None:
        if len(watch.batches) == 1:
            with suppress(OperationalError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    watch.before = end

    assert all(isinstance(error, OperationalError) for error in reported(meter, *[draft(meter, customer)] * 3))
    connection.close_if_unusable_or_obsolete()
    (stored,) = reported(meter, draft(meter, customer))
    assert isinstance(stored, AcceptedEvent)
    assert MeterEvent.objects.count() == 1


def test_given_two_environments_then_neither_sees_the_others_identifiers(meter: Meter, customer: Customer) -> None:
    other = MeterFactory.create()
    stranger = CustomerFactory.create(environment=other.environment)

    *stored, refused = services.side_by_side(
        [
            partial(accept, meter, draft(meter, customer, identifier="same")),
            partial(accept, other, draft(other, stranger, identifier="same")),
            partial(accept, other, draft(other, customer)),
        ]
    )

    assert all(isinstance(answer, AcceptedEvent) for answer in stored)
    assert isinstance(refused, errors.CustomerUnknown)


def test_given_a_transaction_of_the_callers_then_the_event_is_part_of_it(
    watch: Watch, meter: Meter, customer: Customer
) -> None:
    def undone() -> None:
        with transaction.atomic():
            accept(meter, draft(meter, customer, identifier="undone"))
            transaction.set_rollback(True)

    def kept() -> None:
        accept(meter, draft(meter, customer, identifier="kept"))

    services.side_by_side([undone, kept])

    assert [len(batch) for batch in watch.batches] == [1, 1]
    assert MeterEvent.objects.get().identifier == "kept"


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
