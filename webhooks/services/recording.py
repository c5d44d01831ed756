"""What happened goes into the outbox in the transaction that makes it happen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Model

from webhooks.causes import present_cause
from webhooks.kinds import Kind
from webhooks.models import Event
from webhooks.services.queueing import queue_deliveries
from webhooks.snapshots import Snapshot, Snapshots, encode, previous, tellers_of, viewers_of

if TYPE_CHECKING:
    from accounts.models import Environment

_COLUMNS = {
    field.attname: str(field.db_type(connection))
    for field in Event._meta.concrete_fields  # noqa: SLF001 (Django documents it)
    if field.name != "data"
}
_NAMES = ", ".join(_COLUMNS)
_INSERT = f"""
    INSERT INTO webhooks_event (data, {_NAMES})
    SELECT '{{}}', {_NAMES}
      FROM json_to_recordset(%s) AS new ({", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())})
"""  # noqa: S608 (names of ours)

_environment = attrgetter("environment")
_environment_id = attrgetter("environment_id")


@dataclass(frozen=True, slots=True)
class Before:
    """Rows as they were told before a change, by the noun that each dialect has for them."""

    by_noun: dict[str, dict[UUID, Snapshot]]

    def changes(self, noun: str, pk: UUID, after: Snapshot) -> Snapshot:
        return previous(self.by_noun.get(noun, {}).get(pk, {}), after)


def take_snapshots(rows: Sequence[Model]) -> Before:
    """Remember how rows of one model are told as they stand in the database now, before they are changed."""
    by_noun: dict[str, dict[UUID, Snapshot]] = {}
    for _, noun, snapshots in _tellings(rows):
        by_noun.setdefault(noun, {}).update(snapshots)
    return Before(by_noun)


def record(
    *kinds: Kind, rows: Sequence[Model], now: datetime | Mapping[UUID, datetime], before: Before | None = None
) -> list[Event]:
    """Note what happened to rows of one model, with each as callers see it at this instant.

    Call it in the transaction that makes it happen, when all that shows on the object has been written; of what is
    to be deleted, just before that. However many the rows, it takes one reading of them and one insert.

    :param kinds: what happened to each row, in order: often one thing, sometimes two, told by the same snapshot
    :param now: the time that the rows' customer lives at; by the rows' ids where they live at several
    :param before: the rows before they were changed. The events then say what stood there, and rows on which nothing
        changed that callers see are passed over.
    :returns: the events, in order
    """
    cause = present_cause()
    events = []
    for environment, noun, snapshots in _tellings(rows):
        for row in rows:
            # A row may be no such thing in older words.
            after = snapshots.get(row.pk)
            if after is None:
                continue
            changes = before.changes(noun, row.pk, after) if before else {}
            if before and not changes:
                continue
            events += [
                Event(
                    environment=environment,
                    kind=kind,
                    type=f"{noun}.{kind.verb}",
                    subject_id=row.pk,
                    snapshot=encode(after),
                    previous=encode(changes) if changes else "",
                    request_id=cause.request_id,
                    idempotency_key=cause.idempotency_key,
                    created_at=_to_millisecond(now[row.pk] if isinstance(now, Mapping) else now),
                )
                for kind in kinds
            ]
    _insert(events)
    queue_deliveries(events)
    return events


def record_view(kind: Kind, *, environment: "Environment", view: object, now: datetime) -> list[Event]:
    """Note what is told by an object that is stored nowhere, as callers see it. Call it in the transaction that makes it
    happen.

    :param view: of a class that a dialect has a :class:`webhooks.snapshots.Viewer` for
    :param now: the time that its customer lives at
    :returns: the events, in order
    """
    cause = present_cause()
    events = [
        Event(
            environment=environment,
            kind=kind,
            type=f"{viewer.noun}.{kind.verb}",
            snapshot=encode(viewer.show(environment, view)),
            request_id=cause.request_id,
            idempotency_key=cause.idempotency_key,
            created_at=_to_millisecond(now),
        )
        for viewer in viewers_of(type(view))
    ]
    _insert(events)
    queue_deliveries(events)
    return events


def record_report(
    *, environment: "Environment", kind: Kind, data: dict[str, Any], now: datetime, subject_id: UUID | None = None
) -> Event:
    """Note what is told in our own words and not by a snapshot. Call it in the transaction that makes it happen."""
    return Event.objects.create(
        environment=environment, kind=kind, subject_id=subject_id, data=data, created_at=_to_millisecond(now)
    )


def _tellings(rows: Sequence[Model]) -> Iterator[tuple["Environment", str, Snapshots]]:
    """The rows as each dialect tells them now, one environment at a time."""
    by_environment: dict[UUID, list[Model]] = {}
    for row in rows:
        by_environment.setdefault(_environment_id(row), []).append(row)
    for of_environment in by_environment.values():
        environment = _environment(of_environment[0])
        for teller in tellers_of(type(of_environment[0])):
            yield environment, teller.noun, teller.take(environment, [row.pk for row in of_environment])


def _insert(events: Sequence[Event]) -> None:
    """Write them in one statement and one parameter: as arrays, their long texts would take longer to quote than to make."""
    if not events:
        return
    rows = msgspec.json.encode([{name: getattr(event, name) for name in _COLUMNS} for event in events])
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [rows.decode()])


def _to_millisecond(now: datetime) -> datetime:
    # Answers say milliseconds, and whoever asks for what came after one must not get it again.
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
