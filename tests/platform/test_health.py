"""``/healthz`` and beat's lock, part by part; the running stack's own tests kill the real ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery import Celery
from django.db import connection
from django.test import Client
from kombu import Connection
from pytest_django import Settings

from billing_project import beat
from billing_project.database import open_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> Iterator[Celery]:
    """A timetable of one task that is always due, and a queue of its own that nobody empties."""
    with Celery("test", broker="memory://") as made:
        made.conf.task_default_queue = f"test-{id(made)}"
        made.conf.beat_schedule = {"again": {"task": "test.again", "schedule": 0.001}}
        yield made


@pytest.fixture
def make_scheduler(app: Celery, tmp_path: Path) -> Iterator[Any]:
    made: list[beat.SoleScheduler] = []

    def make() -> beat.SoleScheduler:
        made.append(beat.SoleScheduler(app=app, schedule_filename=str(tmp_path / f"schedule-{len(made)}")))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.close()


def waiting(app: Celery) -> int:
    with Connection("memory://") as broker:
        channel: Any = broker.default_channel
        return int(channel._size(app.conf.task_default_queue))


def tick(scheduler: beat.SoleScheduler, *, times: int = 5) -> None:
    for _ in range(times):
        scheduler.tick()


def holder_is_alive() -> bool:
    with open_session(name="test", patience=2) as session:
        return beat.holder_is_alive(session)


def test_given_no_worker_and_no_beat_then_both_are_named(client: Client) -> None:
    answer = client.get("/healthz")

    assert answer.status_code == 503
    assert json.loads(answer.content) == {
        "status": "unavailable",
        "missing": ["worker", "beat"],
        "parts": {"database": "up", "migrations": "up", "broker": "up", "worker": "missing", "beat": "missing"},
    }
    assert "no-store" in answer["Cache-Control"]


def test_given_an_unapplied_migration_then_it_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing_project.health._seen_migrated", set())
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'usage'")

    answer = client.get("/healthz").json()

    assert "migrations" in answer["missing"]


def test_given_no_database_then_only_it_is_named_and_the_answer_comes_soon(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "HOST", "/nonexistent")

    answer = client.get("/healthz").json()

    assert [part for part in answer["missing"] if part != "worker"] == ["database"]
    assert (answer["parts"]["migrations"], answer["parts"]["beat"]) == ("unknown", "unknown")


def test_given_https_is_enforced_then_a_plain_probe_is_answered_and_not_redirected(
    client: Client, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert client.get("/healthz").status_code == 503
    assert client.get("/admin/").status_code == 301


def test_given_a_second_beat_then_it_sends_nothing_until_the_first_is_gone(app: Celery, make_scheduler: Any) -> None:
    first, second = make_scheduler(), make_scheduler()
    tick(first)
    sent = waiting(app)
    assert sent > 0
    assert holder_is_alive()

    tick(second)
    assert waiting(app) == sent

    first.close()
    assert not holder_is_alive()
    tick(second)
    assert waiting(app) > sent
    assert holder_is_alive()


def test_given_its_session_is_ended_then_beat_takes_the_lock_again_and_goes_on(
    app: Celery, make_scheduler: Any
) -> None:
    scheduler = make_scheduler()
    tick(scheduler)
    sent = waiting(app)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
            "WHERE application_name = %s AND datname = current_database()",
            [beat.SESSION_NAME],
        )
        assert cursor.rowcount == 1
    assert scheduler.tick() == beat.RETRY_SECONDS
    assert waiting(app) == sent

    tick(scheduler)
    assert waiting(app) > sent


def test_given_no_database_then_beat_waits_and_does_not_fall(
    app: Celery, make_scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise psycopg.OperationalError("no server")

    scheduler = make_scheduler()
    with monkeypatch.context() as patch:
        patch.setattr(beat, "open_session", refuse)
        assert scheduler.tick() == beat.RETRY_SECONDS
    assert waiting(app) == 0

    tick(scheduler)
    assert waiting(app) > 0


def test_given_nobody_takes_the_messages_then_they_do_not_pile_up(
    app: Celery, make_scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "LONGEST_QUEUE", 3)
    monkeypatch.setattr(beat, "RETRY_SECONDS", 0.0)
    scheduler = make_scheduler()

    tick(scheduler, times=200)

    assert waiting(app) == 3


def test_given_a_beat_that_no_longer_ticks_then_it_does_not_count(
    make_scheduler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = make_scheduler()
    tick(scheduler)
    assert holder_is_alive()

    monkeypatch.setattr(beat, "SILENCE", -1)

    assert not holder_is_alive()


def test_the_timetable_names_tasks_that_exist_and_lets_their_messages_expire() -> None:
    from billing_project.celery import app as ours  # noqa: PLC0415 (the fixture has its name)

    ours.loader.import_default_modules()

    for name, entry in ours.conf.beat_schedule.items():
        assert entry["task"] in ours.tasks, name
        assert entry["options"]["expires"] > 0, name
