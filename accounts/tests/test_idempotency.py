"""A request with a key is worked on once, whatever happens in between."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.db import OperationalError, connection

from accounts import services
from accounts.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from accounts.models import Customer, Environment, IdempotencyRecord
from accounts.services import Answer
from accounts.tests.factories import EnvironmentFactory

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db(transaction=True)


def work_of(environment: Environment, name: str = "made") -> Callable[[], Answer]:
    def work() -> Answer:
        services.create_customer(environment=environment, now=NOW, name=name)
        return Answer(200, f'{{"name": "{name}"}}', f"req_{name}")

    return work


def ask(
    environment: Environment, work: Callable[[], Answer], *, fingerprint: str = "f", now: datetime = NOW, key: str = "k"
) -> tuple[Answer, bool]:
    return services.answer_once(environment=environment, key=key, fingerprint=fingerprint, now=now, work=work)


def in_thread(call: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            call()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_first_answer_is_given_again_for_a_day() -> None:
    environment = EnvironmentFactory.create()

    assert ask(environment, work_of(environment)) == (Answer(200, '{"name": "made"}', "req_made"), False)
    again = ask(environment, work_of(environment, "again"), now=NOW + timedelta(hours=24) - timedelta(microseconds=1))
    assert again == (Answer(200, '{"name": "made"}', "req_made"), True)
    assert Customer.objects.count() == 1

    late = ask(environment, work_of(environment, "late"), now=NOW + timedelta(hours=24), fingerprint="another")
    assert late == (Answer(200, '{"name": "late"}', "req_late"), False)
    assert IdempotencyRecord.objects.get().request_id == "req_late"


def test_a_key_belongs_to_one_request_of_one_environment() -> None:
    environment, other = EnvironmentFactory.create(), EnvironmentFactory.create()
    ask(environment, work_of(environment))

    with pytest.raises(IdempotencyKeyReused):
        ask(environment, work_of(environment), fingerprint="another")
    assert Customer.objects.count() == 1

    assert ask(other, work_of(other), fingerprint="another")[1] is False


def test_work_that_raises_leaves_the_key_free() -> None:
    environment = EnvironmentFactory.create()

    def fail() -> Answer:
        work_of(environment)()
        raise ValueError("after the write")

    with pytest.raises(ValueError, match="after the write"):
        ask(environment, fail)

    assert Customer.objects.count() == IdempotencyRecord.objects.count() == 0
    assert ask(environment, work_of(environment), fingerprint="another")[1] is False


def test_a_key_in_flight_is_refused_until_its_request_is_answered() -> None:
    environment = EnvironmentFactory.create()
    started, released = threading.Event(), threading.Event()

    def slow() -> Answer:
        started.set()
        assert released.wait(10)
        return work_of(environment)()

    first = in_thread(lambda: ask(environment, slow))
    assert started.wait(10)
    with pytest.raises(IdempotencyKeyInUse):
        ask(environment, work_of(environment))
    assert ask(environment, work_of(environment, "other"), key="another key")[1] is False
    released.set()
    first.join()

    assert ask(environment, work_of(environment))[1] is True
    assert sorted(Customer.objects.values_list("name", flat=True)) == ["made", "other"]


def test_a_request_whose_connection_dies_leaves_nothing_and_blocks_nobody() -> None:
    environment = EnvironmentFactory.create()
    failures: list[BaseException] = []

    def die() -> Answer:
        answer = work_of(environment)()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        address = {"dbname", "user", "host", "port"}
        parameters = {name: it for name, it in connection.get_connection_params().items() if name in address}
        with psycopg.connect(password=connection.settings_dict["PASSWORD"], **parameters) as killer:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return answer

    def first() -> None:
        try:
            ask(environment, die)
        except OperationalError as error:
            failures.append(error)

    in_thread(first).join()
    assert len(failures) == 1
    assert Customer.objects.count() == 0

    assert ask(environment, work_of(environment))[1] is False
    assert Customer.objects.count() == 1


def test_of_many_at_once_exactly_one_works() -> None:
    environment = EnvironmentFactory.create()
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def race() -> None:
        barrier.wait(10)
        try:
            _, replayed = ask(environment, work_of(environment))
        except IdempotencyKeyInUse:
            outcomes.append("in use")
        else:
            outcomes.append("replayed" if replayed else "worked")

    for thread in [in_thread(race) for _ in range(8)]:
        thread.join()

    assert len(outcomes) == 8
    assert outcomes.count("worked") == 1
    assert Customer.objects.count() == 1


def test_old_answers_are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "_PRUNE_BATCH", 2)
    environment = EnvironmentFactory.create()
    for number in range(5):
        ask(environment, work_of(environment), key=f"old {number}")
    ask(environment, work_of(environment), key="young", now=NOW + timedelta(microseconds=1))

    assert services.prune_idempotency_records(now=NOW + timedelta(hours=24)) == 5
    assert IdempotencyRecord.objects.get().key == "young"
