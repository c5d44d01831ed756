"""Small helpers around PostgreSQL that any app may use."""

import select
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.migrations.operations import RunSQL

from core.errors import BillingError

_encode = msgspec.json.Encoder().encode


@contextmanager
def binding_cursor() -> Iterator[psycopg.Cursor[Any]]:
    """A cursor on Django's connection that sends parameters beside the statement, in binary where that is said (``%b``).

    Django's own writes them into the statement's text. For large ones that takes the driver long, and the server longer:
    it has to read them as SQL.
    """
    # What Django does for each cursor of its own.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        yield cursor


class Statement(NamedTuple):
    """What is asked of the database, and the values that it says ``%s`` for."""

    sql: str
    params: Sequence[Any] = ()


def run_together(statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
    """Send statements as one message, and wait for their answers once: as many waits as statements are saved, but one.

    Each sees what those before it did, and, in a transaction that reads what is committed, what others committed before
    it began. If one fails, those after it are not done, and without a transaction around them, none is.

    :param statements: few and small ones; if any of them writes, the first one does
    :returns: the rows of each
    """
    rows = []
    with connection.cursor() as cursor:
        cursor.execute(";\n".join(one.sql for one in statements), [value for one in statements for value in one.params])
        more = True
        while more:
            rows.append(cursor.fetchall() if cursor.description else [])
            more = cursor.nextset()
    return rows


def array(values: Iterable[UUID | datetime | int | bool | None]) -> str:
    """An array as PostgreSQL reads it, to be cast where it is used: ``%s::uuid[]``.

    For what needs no escaping, and NULLs, which JSON and PostgreSQL write alike but for the brackets. The driver would
    write each element by itself, in Python.
    """
    return f"{{{_encode(list(values))[1:-1].decode()}}}"


def naming_actor() -> AbstractContextManager[None]:
    """A statement that writes past Django's cursors goes within, so that the audit trail knows who acts."""
    backend: Any = connection
    names: AbstractContextManager[None] = backend.naming_actor()
    return names


def spare_the_health_check() -> None:
    """Do not ask a server whether it is there, request by request, when the connection can tell.

    A server that shuts down or dies closes its connections, so something is to be read on one that nobody has asked
    anything. A quiet connection is taken for a good one; what is lost beyond the network's knowledge ends the next
    statement with an error.
    """
    session = connection.connection
    if session is None or session.closed:
        return
    poll = select.poll()
    poll.register(session, select.POLLIN)
    if not poll.poll(0):
        connection.health_check_done = True  # type: ignore[attr-defined]  # the stubs miss it


@contextmanager
def one_snapshot() -> Iterator[None]:
    """Let several reads see one state of the database. Within a transaction that is open already they see that one's."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def refusing(refusals: Mapping[str, BillingError]) -> Iterator[None]:
    """Write in a savepoint, and say in the domain's words which constraint refuses it.

    It is for what must be single: asking first would race, as only the constraint sees both writers.

    :param refusals: by the names of constraints; of any other, the database's own error is raised
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        refusal = refusals.get(_constraint_of(error))
        if refusal is None:
            raise
        raise refusal from error


def _constraint_of(error: IntegrityError) -> str:
    """The name of the constraint that a statement failed on; empty if it was none."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) or ""


def wall_parent(table: str) -> RunSQL:
    """Let rows of other tables refer to ``(environment_id, id)`` of this one."""
    name = f"{table}_wall"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE (environment_id, id)",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def wall(table: str, column: str, parent: str) -> RunSQL:
    """Refuse, in the database, a reference from one environment to a row of another.

    Django's foreign key compares ids alone; this one compares the environment with them.
    """
    name = f"{table}_{column}_wall"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (environment_id, {column}) "
        f"REFERENCES {parent} (environment_id, id) DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )
