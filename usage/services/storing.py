"""Writing checked events: claims and events of a batch in one transaction, and in one call of the database.

The function ``usage_take_in`` does it (see the migration that makes it). Only the claims' primary key decides what is a
duplicate, so two processes that report the same identifier at the same moment store one event.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import DatabaseError, connection, transaction

from accounts.models import Environment
from core.db import binding_cursor
from core.ids import new_id
from usage.errors import CustomerUnknown, WatermarkFromAnotherCluster
from usage.events import PreparedEvent
from usage.models import EventClaim, EventRejection
from usage.rejections import rejection
from usage.services.partitions import ensure_partitions

# As plain numbers: a member of an enumeration is many times slower to compare and to send.
_IDENTIFIER = EventClaim.Namespace.IDENTIFIER.value
_RETRY_KEY = EventClaim.Namespace.RETRY_KEY.value
_REPORT_KEY = EventClaim.Namespace.REPORT_KEY.value
_CHECK_VIOLATION = "23514"
_ANOTHER_CLUSTER = "TB001"
_encode = msgspec.json.Encoder().encode

# Arrays go in binary: the server need not read them as text, nor the driver write them so.
_TAKE_IN = """
    SELECT usage_take_in(
        %s, %s, %s, %s,
        %b::smallint[], %b::text[], %b::uuid[], %b::timestamptz[], %b::bytea[], %b::uuid[],
        %b::uuid[], %b::timestamptz[], %b::uuid[], %b::uuid[], %b::numeric[], %b::text[],
        %b::text[], %b::text[], %b::text[])
"""


@dataclass(frozen=True, slots=True)
class BatchKey:
    """The idempotency key of a request that reports many events, its hash, and its own id."""

    key: str
    fingerprint: bytes
    request_id: UUID | None
    # What the claim stands for, since there is no one event of that request.
    owner: UUID = field(default_factory=new_id, compare=False)


# Namespace, key, the event it is for and its time, fingerprint, request.
_Claim = tuple[int, str, UUID, datetime, bytes | None, UUID | None]


def store(
    *,
    environment: Environment,
    batch: Sequence[PreparedEvent],
    source: str,
    now: datetime,
    key: BatchKey | None = None,
    rejections: Sequence[EventRejection] = (),
) -> set[int]:
    """Write events, and rejections for those without a customer, in one transaction.

    :param key: claimed for the batch as a whole; where it is another request's, nothing is written
    :param rejections: written with the batch
    :returns: the ids, as numbers, of what was claimed before and is not written: events, or the key's owner
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, until it is made ready
    """
    _make_partitions(batch)
    try:
        return _write(environment, batch, source, now, key, rejections)
    except DatabaseError as error:
        state = getattr(error.__cause__, "sqlstate", None)
        if state == _ANOTHER_CLUSTER:
            raise WatermarkFromAnotherCluster from error
        if state != _CHECK_VIOLATION:
            raise
        # Retention has dropped a partition that this process remembers.
        known_months.clear()
        _make_partitions(batch)
        return _write(environment, batch, source, now, key, rejections)


# Year and month, in UTC.
known_months: set[tuple[int, int]] = set()


def _make_partitions(batch: Iterable[PreparedEvent]) -> None:
    instants = {event.timestamp for event in batch if event.customer_id}
    in_utc = (instant if instant.tzinfo is UTC else instant.astimezone(UTC) for instant in instants)
    missing = {(instant.year, instant.month) for instant in in_utc} - known_months
    if missing:
        ensure_partitions(instants=[datetime(year, month, 1, tzinfo=UTC) for year, month in missing])
        known_months.update(missing)


def _write(
    environment: Environment,
    batch: Sequence[PreparedEvent],
    source: str,
    now: datetime,
    key: BatchKey | None,
    rejections: Sequence[EventRejection],
) -> set[int]:
    uncountable = [event for event in batch if not event.customer_id]
    # The call by itself is a transaction. Within the caller's, an error must not end that one.
    whole = transaction.atomic() if rejections or uncountable or connection.in_atomic_block else nullcontext()
    with whole:
        missed = _take_in(environment, batch, source, now, key)
        if key is None or key.owner.int not in missed:
            lost = [event for event in uncountable if event.event_id.int not in missed]
            if rejections or lost:
                of_lost = [_rejection(environment, event, source, now) for event in lost]
                EventRejection.objects.bulk_create([*rejections, *of_lost])
    return missed


def _take_in(
    environment: Environment, batch: Sequence[PreparedEvent], source: str, now: datetime, key: BatchKey | None
) -> set[int]:
    claims = [claim for event in batch for claim in _claims(event)]
    if key is not None:
        claims.append((_RETRY_KEY, key.key, key.owner, now, key.fingerprint, key.request_id))
    # One order for all processes; no two that compare equal in the first two columns need another one.
    claims.sort(key=_place)
    counted = [event for event in batch if event.customer_id]
    parameters: list[Any] = [environment.pk, source, now, key.owner if key else None]
    parameters += _columns(claims, 6)
    parameters += _columns([_row(event) for event in counted], 9)
    with binding_cursor() as cursor:
        # Not prepared: between us and the server may stand a pooler, and it is the function that keeps the plans.
        missed = cursor.execute(_TAKE_IN, parameters, prepare=False).fetchone()
    return {owner.int for owner in missed[0]} if missed else set()


def _claims(event: PreparedEvent) -> Iterable[_Claim]:
    draft, event_id, at = event.draft, event.event_id, event.timestamp
    yield (_IDENTIFIER, event.identifier, event_id, at, None, None)
    if draft.retry_key:
        yield (_RETRY_KEY, draft.retry_key, event_id, at, draft.fingerprint, draft.request_id)
    if draft.report_key:
        yield (_REPORT_KEY, draft.report_key, event_id, at, None, None)


def _place(claim: _Claim) -> tuple[int, str]:
    return claim[0], claim[1]


def _row(event: PreparedEvent) -> tuple[Any, ...]:
    dimensions = event.dimensions
    return (
        event.event_id,
        event.timestamp,
        event.meter.pk,
        event.customer_id,
        event.value,
        event.unique_value,
        event.identifier,
        _encode(dimensions).decode() if dimensions else "{}",
        _encode(event.draft.payload).decode(),
    )


def _columns(rows: Sequence[Sequence[Any]], number: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(number)]


def _rejection(environment: Environment, event: PreparedEvent, source: str, now: datetime) -> EventRejection:
    return rejection(
        environment=environment,
        draft=event.draft,
        refusal=CustomerUnknown(event.draft.payload[event.meter.customer_key]),
        meter=event.meter,
        source=source,
        now=now,
        event_id=event.event_id,
        timestamp=event.timestamp,
    )
