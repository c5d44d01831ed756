"""The restore drill: dump, restore elsewhere, make ready, go on. Totals are equal and every event counts once."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from accounts.models import Customer
from accounts.tests.factories import CustomerFactory
from billing_project.embedded import postgres
from billing_project.embedded.account import service_account
from core.periods import Period
from meters.models import Meter
from meters.tests.factories import MeterFactory
from tests.database import TestRun, start_server
from usage import services
from usage.errors import WatermarkFromAnotherCluster
from usage.models import MeterEvent, RecountDifference, UsageSummary
from usage.reports import summaries
from usage.tests.factories import report, roll_up_all
from usage.totals import Span, watermark

JANUARY = datetime(2026, 1, 20, 9, 15, tzinfo=UTC)
MARCH = datetime(2026, 3, 3, 3, 33, tzinfo=UTC)
YEAR = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


@pytest.fixture
def another_server() -> Iterator[str]:
    """The address of a PostgreSQL whose cluster was made this minute."""
    folder = Path(tempfile.mkdtemp(prefix="tollbook-restore-"))
    folder.chmod(0o711)
    run = TestRun(folder)
    try:
        yield start_server(run)
    finally:
        run.end()


@pytest.fixture
def this_server(transactional_db: None) -> Iterator[str]:
    """The address of a new, empty database on the server of the tests."""
    name = f"restored_{secrets.token_hex(4)}"
    with psycopg.connect(_address(), autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        yield _address(dbname=name)
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _address(**changes: str) -> str:
    parameters = connection.get_connection_params()
    known = {
        name: str(parameters[name]) for name in ("dbname", "host", "port", "user", "password") if name in parameters
    }
    return psycopg.conninfo.make_conninfo("", **(known | changes))


@contextmanager
def connected_to(address: str) -> Iterator[None]:
    """Let Django work on another database meanwhile."""
    before = dict(connection.settings_dict)
    connection.close()
    found = psycopg.conninfo.conninfo_to_dict(address)
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    for ours, theirs in names.items():
        connection.settings_dict[ours] = found.get(theirs) or ""
    connection.settings_dict["OPTIONS"] = {}
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(before)


def dump_and_restore(target: str) -> None:
    """What an operator does, with the programs of the source's own version."""
    programs = _programs()
    with tempfile.NamedTemporaryFile(suffix=".dump") as file:
        dump = ["pg_dump", "--format=custom", "--no-owner", f"--file={file.name}", f"--dbname={_address()}"]
        restore = ["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={target}", file.name]
        for program, *arguments in (dump, restore):
            subprocess.run([programs / program, *arguments], check=True, env={**os.environ, "LC_ALL": "C"})


def _programs() -> Path:
    with psycopg.connect(_address()) as session:
        version = session.info.server_version // 10_000
    if version == int(postgres.MAJOR_VERSION):
        return postgres.find_installation(service_account()) / "bin"
    found = shutil.which("pg_dump")
    assert found, "DATABASE_URL names a server of another version; its pg_dump must be on PATH"
    return Path(found).parent


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    return MeterFactory.create(dimension_keys=["model"])


@pytest.fixture
def customer(meter: Meter) -> Customer:
    """A customer with usage of all kinds: dropped, rolled up, canceled, waiting for repair, not rolled up."""
    customer = CustomerFactory.create(environment=meter.environment)
    report(meter, customer, 1, timestamp=JANUARY)
    roll_up_all()
    services.drop_partitions(before=datetime(2026, 2, 1, tzinfo=UTC))
    for place in range(10):
        report(meter, customer, 10, timestamp=MARCH + place * timedelta(minutes=20), identifier=f"event {place}")
    roll_up_all()
    services.cancel_event(environment=meter.environment, identifier="event 1", now=MARCH)
    services.recompute_dirty_hours()
    services.cancel_event(environment=meter.environment, identifier="event 2", now=MARCH)
    report(meter, customer, 200, timestamp=MARCH)
    return customer


def total(meter: Meter, customer: Customer) -> int:
    (row,) = summaries(meter=meter, customer_id=customer.pk, period=YEAR)
    return int(row.value)


def differences(meter: Meter, customer: Customer) -> int:
    return services.recount(environment=meter.environment, spans=[Span(meter, customer.pk, YEAR)], now=MARCH)


def go_on(meter: Meter, customer: Customer) -> None:
    """New usage on the restored database: seen at once, rolled up once, agreeing with its events."""
    assert total(meter, customer) == 281
    report(meter, customer, 1000, timestamp=MARCH, identifier="after the restore")
    assert total(meter, customer) == 1281
    for _ in range(2):
        roll_up_all()
        services.recompute_dirty_hours()
    assert MeterEvent.objects.get(identifier="after the restore").xid < watermark().xid
    assert sum(row.value_sum or 0 for row in UsageSummary.objects.all()) == 1281
    assert total(meter, customer) == 1281
    assert differences(meter, customer) == 0
    assert not RecountDifference.objects.exists()


def rebuild_after_restore() -> str:
    out = StringIO()
    call_command("rebuild_summaries", "--after-restore", stdout=out, stderr=StringIO())
    return out.getvalue()


def test_given_a_dump_when_restored_on_another_server_then_it_waits_for_the_rebuild_and_then_every_event_counts_once(
    meter: Meter, customer: Customer, another_server: str
) -> None:
    before = total(meter, customer)
    dump_and_restore(another_server)

    with connected_to(another_server):
        for refused in (services.roll_up, lambda: report(meter, customer, 5, timestamp=MARCH)):
            with pytest.raises(WatermarkFromAnotherCluster):
                refused()
        assert total(meter, customer) == before == 281
        said = rebuild_after_restore()
        assert "2026-01: its events were dropped by retention" in said
        go_on(meter, customer)


def test_given_a_dump_when_restored_into_another_database_of_the_server_then_it_goes_on_with_or_without_a_rebuild(
    meter: Meter, customer: Customer, this_server: str
) -> None:
    dump_and_restore(this_server)

    with connected_to(this_server):
        roll_up_all()
        assert differences(meter, customer) == 0
        rebuild_after_restore()
        go_on(meter, customer)
    # The source knows nothing of it.
    assert total(meter, customer) == 281
