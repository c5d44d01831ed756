"""Exports in the background: asked for once, written by one worker, fetched within the walls, gone after a day."""

import os
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import Customer, Environment, Membership, User
from accounts.tests.factories import CustomerFactory
from core.spreadsheets import Cell
from invoices.exports import Selection, tables, writing
from invoices.models import Export
from invoices.tests.factories import open_invoice

pytestmark = pytest.mark.django_db

State = Export.State
AT = datetime(2026, 7, 1, tzinfo=UTC)
PAGE = reverse("admin:invoices_invoice_export")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.EXPORTS_DIR = str(tmp_path / "exports")
    return tmp_path / "exports"


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create(name="=cmd()")


@pytest.fixture
def person(customer: Customer) -> User:
    return analyst("fiona", customer.environment)


def analyst(username: str, environment: Environment) -> User:
    person = User.objects.create_user(username, password="x", is_staff=True)
    Membership.objects.create(user=person, company=environment.company, role=Membership.Role.ANALYST)
    return person


def requested(person: User, environment: Environment, **more: Any) -> Export:
    asked = {"table": "invoices", "format": "csv", "now": AT, **more}
    return writing.request_export(person=person, selection=Selection(environment), **asked)


def write(at: datetime = AT) -> int:
    return writing.write_exports(clock=lambda: at)


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def file_of(export: Export) -> str:
    return reverse("admin:invoices_export_file", args=[export.pk])


@pytest.mark.parametrize(("form", "begins"), [("csv", b"number,id"), ("xlsx", b"PK")])
def test_what_is_asked_for_is_written_and_only_its_owner_can_read_it(
    customer: Customer, person: User, folder: Path, form: str, begins: bytes
) -> None:
    open_invoice(customer)
    export = requested(person, customer.environment, format=form)
    assert requested(person, customer.environment, format=form) == export

    assert write() == 1
    export.refresh_from_db()
    assert (export.state, export.rows_written, export.attempts) == (State.DONE, 1, 1)
    assert export.expires_at == AT + timedelta(hours=24)
    [file] = folder.iterdir()
    assert (file.name, file.stat().st_size) == (export.file, export.size)
    assert file.read_bytes().startswith(begins)
    assert [path.stat().st_mode & 0o077 for path in (folder, file)] == [0, 0]
    # Nobody can guess it.
    assert len(file.stem) == 32
    assert write() == 0


def test_a_file_opens_for_signed_in_people_of_the_company_until_it_expires(customer: Customer, person: User) -> None:
    invoice = open_invoice(customer)
    stranger = analyst("eve", open_invoice().environment)
    export = requested(person, customer.environment)
    write(datetime.now(UTC))
    export.refresh_from_db()

    answer = signed_in(person).get(file_of(export))
    assert invoice.number.encode() in answer.getvalue()
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    assert "'=cmd()" in signed_in(analyst("colleague", customer.environment)).get(file_of(export)).getvalue().decode()
    for client in (Client(), signed_in(stranger), signed_in(User.objects.create_user("nobody", is_staff=True))):
        refused = client.get(file_of(export))
        assert refused.status_code in (302, 403)
        assert b"=cmd()" not in getattr(refused, "content", b"")
    assert export.file not in signed_in(stranger).get(PAGE).content.decode()

    Export.objects.filter(pk=export.pk).update(expires_at=datetime.now(UTC))
    assert signed_in(person).get(file_of(export)).status_code == 302


def test_files_are_deleted_when_their_time_is_over_and_with_them_what_the_dead_have_left(
    customer: Customer, person: User, folder: Path
) -> None:
    export = requested(person, customer.environment)
    write()
    left = folder / "left.csv.part"
    left.touch()
    os.utime(left, (time.time() - 200_000,) * 2)

    assert writing.delete_expired_exports(now=AT + timedelta(hours=23, minutes=59)) == 0
    assert len(list(folder.iterdir())) == 2
    assert writing.delete_expired_exports(now=max(AT + timedelta(hours=24), datetime.now(UTC))) == 1
    assert list(folder.iterdir()) == []
    export.refresh_from_db()
    assert (export.state, export.file) == (State.EXPIRED, "")

    # It can be had again.
    assert writing.restart_export(export=export, now=AT).state == State.WAITING
    assert write() == 1


def test_what_fails_says_why_and_the_next_one_is_written(
    customer: Customer, person: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = requested(person, customer.environment)
    other = requested(person, customer.environment, table="lines", now=AT + timedelta(seconds=1))
    broken = tables.TABLES["invoices"]
    kinds = {**tables.TABLES, "invoices": tables.Kind(broken.title, broken.says, broken.columns, _fails)}
    monkeypatch.setattr(tables, "TABLES", kinds)

    assert write() == 1
    export.refresh_from_db()
    other.refresh_from_db()
    assert (export.state, export.error) == (State.FAILED, "ValueError: the disk is full")
    assert other.state == State.DONE
    assert [path.name for path in folder.iterdir()] == [other.file]
    shown = signed_in(person).get(PAGE).content.decode()
    assert "the disk is full" in shown


def _fails(_: Selection) -> NoReturn:
    raise ValueError("the disk is full")


def test_one_that_was_taken_away_meanwhile_stops_and_notes_nothing(
    customer: Customer, person: User, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = requested(person, customer.environment)
    kind = tables.TABLES["invoices"]

    def long(_: Selection) -> Iterator[Sequence[Cell]]:
        Export.objects.filter(pk=export.pk).update(state=State.FAILED, error="given up")
        while True:
            yield ["x"] * len(kind.columns)

    monkeypatch.setattr(tables, "TABLES", {"invoices": tables.Kind(kind.title, kind.says, kind.columns, long)})
    monkeypatch.setattr(writing, "_REPORT_EVERY_SECONDS", 0)

    assert write() == 0
    export.refresh_from_db()
    assert (export.state, export.error) == (State.FAILED, "given up")
    assert list(folder.iterdir()) == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_died_is_noticed_and_a_living_one_is_left_in_peace() -> None:
    customer = CustomerFactory.create()
    person = analyst("fiona", customer.environment)
    export = requested(person, customer.environment)
    Export.objects.filter(pk=export.pk).update(state=State.RUNNING, attempts=1, rows_written=500)
    described = connection.get_connection_params()
    other = psycopg.connect(
        **{name: described[name] for name in ("host", "port", "user", "password", "dbname") if described.get(name)}
    )
    try:
        other.execute("SELECT pg_advisory_lock(%s)", [writing._LOCK])
        assert write() == 0
        export.refresh_from_db()
        assert export.state == State.RUNNING
    finally:
        # As the server does when a worker is killed.
        other.close()

    deadline = time.monotonic() + 5
    while export.state == State.RUNNING and time.monotonic() < deadline:
        write()
        export.refresh_from_db()
    assert export.state == State.FAILED
    assert "can be started again" in export.error

    client = signed_in(person)
    again = reverse("admin:invoices_export_command", args=[export.pk, "restart"])
    assert client.get(again).status_code == 200
    assert client.post(again).status_code == 302
    assert write() == 1
    export.refresh_from_db()
    assert (export.state, export.attempts) == (State.DONE, 2)


def test_the_page_offers_what_a_person_may_see_and_shows_how_far_it_is(customer: Customer, person: User) -> None:
    theirs = open_invoice()
    client = signed_in(person)
    asked = {"table": "invoices", "environment": str(customer.environment.pk), "format": "csv"}

    assert client.get(PAGE, asked).status_code == 200
    assert not Export.objects.exists()
    assert client.post(PAGE, {**asked, "since": "2026-06-10", "until": "2026-06-10"})["Location"] == PAGE
    export = Export.objects.get()
    assert (export.since, export.until) == (datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 11, tzinfo=UTC))
    shown = client.get(PAGE).content.decode()
    assert "It waits for a worker" in shown
    assert 'data-refresh="' in shown
    answer = client.post(PAGE, {**asked, "environment": str(theirs.environment.pk)})
    assert "Select a valid choice" in answer.content.decode()
    assert Export.objects.count() == 1

    write()
    shown = client.get(PAGE).content.decode()
    assert 'data-refresh="' not in shown
