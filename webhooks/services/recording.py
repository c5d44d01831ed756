"""What happened goes into the outbox in the transaction that makes it happen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Model

from core.bulk import insert_rows
from webhooks.causes import present_cause
from webhooks.kinds import Kind
from webhooks.models import Event
from webhooks.services.queueing import queue_deliveries
from webhooks.snapshots import Snapshot, Snapshots, encode, previous, tellers_of, viewers_of

if TYPE_CHECKING:
    from accounts.models import Environment

_environment = attrgetter("environment")
_environment_id = attrgetter("environment_id")


@dataclass(frozen=True, slots=True)
class Before:
    """Rows as they were told before a change, by the noun that each dialect has for them."""

    by_noun: dict[str, dict[UUID, Snapshot]]

    def changes(self, noun: str, pk: UUID, after: Snapshot) -> Snapshot:
        return previous(self.by_noun.get(noun, {}).get(pk, {}), after)


def take_snapshots(rows: Sequence[Model], *, in_hand: bool = False) -> Before:
    """Remember how rows of one model are told as they stand in the database now, before they are changed.

    :param in_hand: as of :func:`record`
    """
    by_noun: dict[str, dict[UUID, Snapshot]] = {}
    for _, noun, snapshots in _tellings(rows, in_hand=in_hand):
        by_noun.setdefault(noun, {}).update(snapshots)
    return Before(by_noun)


def record(
    *kinds: Kind,
    rows: Sequence[Model],
    now: datetime | Mapping[UUID, datetime],
    before: Before | None = None,
    in_hand: bool = False,
) -> list[Event]:
    """Note what happened to rows of one model, with each as callers see it at this instant.

    Call it in the transaction that makes it happen, when all that shows on the object has been written; of what is
    to be deleted, just before that. However many the rows, it takes one reading of them and one insert.

    :param kinds: what happened to each row, in order: often one thing, sometimes two, told by the same snapshot
    :param now: the time that the rows' customer lives at; by the rows' ids where they live at several
    :param before: the rows before they were changed. The events then say what stood there, and rows on which nothing
        changed that callers see are passed over.
    :param in_hand: that these very objects say what is stored of the rows, so that they need not be read again
    :returns: the events, in order
    """
    cause = present_cause()
    events = []
    for environment, noun, snapshots in _tellings(rows, in_hand=in_hand):
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
    insert_rows(events)
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
    insert_rows(events)
    queue_deliveries(events)
    return events


def record_report(
    *, environment: "Environment", kind: Kind, data: dict[str, Any], now: datetime, subject_id: UUID | None = None
) -> Event:
    """Note what is told in our own words and not by a snapshot. Call it in the transaction that makes it happen."""
    return Event.objects.create(
        environment=environment, kind=kind, subject_id=subject_id, data=data, created_at=_to_millisecond(now)
    )


def _tellings(rows: Sequence[Model], *, in_hand: bool) -> Iterator[tuple["Environment", str, Snapshots]]:
    """The rows as each dialect tells them now, one environment at a time."""
    by_environment: dict[UUID, list[Model]] = {}
    for row in rows:
        by_environment.setdefault(_environment_id(row), []).append(row)
    for of_environment in by_environment.values():
        environment = _environment(of_environment[0])
        for teller in tellers_of(type(of_environment[0])):
            if in_hand:
                yield environment, teller.noun, teller.tell(environment, of_environment)
            else:
                yield environment, teller.noun, teller.take(environment, [row.pk for row in of_environment])


def _to_millisecond(now: datetime) -> datetime:
    # Answers say milliseconds, and whoever asks for what came after one must not get it again.
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
