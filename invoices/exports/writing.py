"""Exports are written by a worker, one at a time, row by row into a file that is there for some hours.

Whoever writes holds a lock of its database session. A worker that dies loses it with its session, so the next one that
gets the lock knows that nobody writes any more what is said to be being written.

These are services, but stand beside the tables, which read through the others.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from accounts.models import User
from core.spreadsheets import Cell, csv_chunks, write_xlsx
from invoices.exports.tables import Selection, table_of
from invoices.models import Export

logger = logging.getLogger(__name__)

# "export" in ASCII, to be told from other users of the same lock space.
_LOCK: Final = 0x6578706F7274
_REPORT_EVERY_ROWS = 500
_REPORT_EVERY_SECONDS = 1.0
# What a worker that died has left half written.
_PART = ".part"
State = Export.State


class _GivenUpError(Exception):
    """Somebody has taken the export from this worker: nothing is to be noted, and nothing kept."""


@transaction.atomic
def request_export(
    *,
    person: User,
    table: str,
    selection: Selection,
    format: str,  # noqa: A002 (its name)
    now: datetime,
) -> Export:
    """Ask for a file. While one that says the same is not written yet, asking the same person's again makes no second one.

    :param table: a name of ``invoices.exports.TABLES``
    :param now: the wall's time, as of which tables are that say how things stand
    :raises KeyError: if there is no such table
    """
    table_of(table, replace(selection, now=now))
    asked = {
        "environment": selection.environment,
        "requested_by": person,
        "table": table,
        "format": format,
        "since": selection.since,
        "until": selection.until,
        "status": selection.status,
    }
    # Of two clicks at once the second waits here and finds what the first has made.
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    waiting = Export.objects.unfinished().filter(**asked).first()
    return waiting or Export.objects.create(**asked, requested_at=now)


@transaction.atomic
def restart_export(*, export: Export, now: datetime) -> Export:
    """Have one that failed or expired written once more, as things stand now. One that is not at its end stays as it is."""
    export = Export.objects.select_for_update(no_key=True).get(pk=export.pk)
    if export.state in (State.FAILED, State.EXPIRED):
        export.state, export.requested_at, export.error, export.rows_written = State.WAITING, now, "", 0
        export.started_at = export.finished_at = export.expires_at = None
        export.save()
    return export


def delete_export_file(*, export: Export) -> None:
    """Delete the file before its time. That it was asked for stays on record."""
    _delete_files(Export.objects.filter(pk=export.pk))


def delete_expired_exports(*, now: datetime) -> int:
    """Delete the files whose time is over, and what dead workers have left behind.

    :returns: how many exports have lost their file
    """
    expired = _delete_files(Export.objects.filter(expires_at__lte=now))
    old = (now - timedelta(days=1)).timestamp()
    for left in _folder().glob(f"*{_PART}"):
        if left.stat().st_mtime < old:
            left.unlink(missing_ok=True)
    return expired


def open_export(*, export: Export) -> Path:
    """:raises FileNotFoundError: if its file is not here: on another machine, or deleted by hand"""
    path = _folder() / export.file
    if not export.file or not path.is_file():
        raise FileNotFoundError(export.file)
    return path


def write_exports(*, clock: Callable[[], datetime]) -> int:
    """Write what waits, the oldest first, unless another worker is at it.

    What a dead worker was writing is said to have failed; whoever wants it starts it again.

    :param clock: the wall
    :returns: how many were written
    """
    written = 0
    with _only_writer() as is_only:
        if not is_only:
            return 0
        Export.objects.filter(state=State.RUNNING).update(
            state=State.FAILED,
            error="The worker that wrote it has stopped. It can be started again.",
            finished_at=clock(),
        )
        while (export := _take(clock())) is not None:
            written += _write(export, clock)
    return written


@contextmanager
def _only_writer() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        (is_only,) = cursor.fetchone() or (False,)
    try:
        yield is_only
    finally:
        if is_only:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


@transaction.atomic
def _take(now: datetime) -> Export | None:
    waiting = Export.objects.filter(state=State.WAITING).order_by("requested_at", "pk")
    export = waiting.select_for_update(skip_locked=True, no_key=True, of=("self",)).first()
    if export is not None:
        export.state, export.started_at, export.attempts = State.RUNNING, now, export.attempts + 1
        export.save(update_fields=["state", "started_at", "attempts"])
    return export


def _mine(export: Export) -> QuerySet[Export]:
    """The export, as long as it is this attempt's."""
    return Export.objects.filter(pk=export.pk, state=State.RUNNING, attempts=export.attempts)


def _write(export: Export, clock: Callable[[], datetime]) -> bool:
    name = f"{secrets.token_hex(16)}.{export.format}"
    part, whole = _folder() / (name + _PART), _folder() / name
    try:
        rows = _fill(export, part)
        part.replace(whole)
        now = clock()
        kept_until = now + timedelta(hours=settings.EXPORT_HOURS)
        done = {"finished_at": now, "expires_at": kept_until, "rows_written": rows, "size": whole.stat().st_size}
        if not _mine(export).update(state=State.DONE, file=name, **done):
            whole.unlink()
            return False
    except _GivenUpError:
        return False
    except Exception as error:
        # Whatever it is, the row says so, and the next one need not wait for it.
        logger.exception("export %s was not written", export.pk)
        _mine(export).update(state=State.FAILED, error=f"{type(error).__name__}: {error}", finished_at=clock())
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _fill(export: Export, path: Path) -> int:
    """Write all rows into a file that only its owner can read; how many there were."""
    selection = Selection(export.environment, export.since, export.until, export.status, now=export.requested_at)
    table = table_of(export.table, selection)
    count = _Count(export)
    table = replace(table, rows=count.of(table.rows))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if export.format == Export.Format.XLSX:
            write_xlsx(table, file)
        else:
            file.writelines(csv_chunks(table))
    return count.rows


class _Count:
    """Tells the export's row, about once a second, how far its writing has come."""

    def __init__(self, export: Export) -> None:
        self.rows = 0
        self._export = export
        self._told_at = time.monotonic()

    def of(self, rows: Iterable[Sequence[Cell]]) -> Iterator[Sequence[Cell]]:
        for row in rows:
            yield row
            self.rows += 1
            if self.rows % _REPORT_EVERY_ROWS == 0 and time.monotonic() - self._told_at >= _REPORT_EVERY_SECONDS:
                self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        if not _mine(self._export).update(rows_written=self.rows):
            raise _GivenUpError


def _delete_files(exports: "QuerySet[Export]") -> int:
    deleted = 0
    for export in exports.filter(state=State.DONE):
        # The row first: a link must never lead to half a file.
        file = export.file
        deleted += Export.objects.filter(pk=export.pk, state=State.DONE, file=file).update(state=State.EXPIRED, file="")
        (_folder() / file).unlink(missing_ok=True)
    return deleted


def _folder() -> Path:
    folder = Path(settings.EXPORTS_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
