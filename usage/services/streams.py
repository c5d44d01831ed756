"""Taking in events that nobody can be answered about: good ones count, bad ones become rejections."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Environment
from core.ids import new_id
from meters.models import Meter, Status
from usage.errors import EventRefused, RetryKeyReused
from usage.events import EventDraft, is_storable
from usage.models import EventClaim, EventRejection
from usage.rejections import UNRECORDED, rejection
from usage.services.acceptance import Known, accept_events


@dataclass(frozen=True, slots=True)
class BatchKey:
    """The idempotency key of a request that reports many events, its hash, and its own id."""

    key: str
    fingerprint: bytes
    request_id: UUID


def take_in_stream(
    *, environment: Environment, drafts: Sequence[EventDraft], source: str, now: datetime, key: BatchKey | None = None
) -> BatchKey | None:
    """Store each event that can be counted, and a rejection for each that cannot, all in one transaction.

    A repeated identifier is dropped without a trace. A bad event leaves its identifier free, so that it can be sent
    again when the reason is gone.

    :param key: makes the batch as a whole count once: also events without identifiers, and rejections
    :returns: for a re-send, which stores nothing, the key as the first request of it had it; else None
    :raises RetryKeyReused: if the key was used for another request
    """
    known = Known(environment, drafts)
    with transaction.atomic():
        if key is not None and (first := _claim(environment, key, now)) != key:
            return first
        outcomes = accept_events(environment=environment, drafts=drafts, source=source, now=now, known=known)
        refused = [
            (draft, outcome)
            for draft, outcome in zip(drafts, outcomes, strict=True)
            if isinstance(outcome, EventRefused) and not isinstance(outcome, UNRECORDED)
        ]
        if refused:
            _reject(environment, refused, source, now)
    return None


def _reject(
    environment: Environment, refused: Sequence[tuple[EventDraft, EventRefused]], source: str, now: datetime
) -> None:
    meters = _meters(environment, {draft.event_name for draft, _ in refused if is_storable(draft.event_name)})
    EventRejection.objects.bulk_create(
        rejection(
            environment=environment,
            draft=draft,
            refusal=refusal,
            meter=meters.get(draft.event_name),
            source=source,
            now=now,
        )
        for draft, refusal in refused
    )


def _claim(environment: Environment, key: BatchKey, now: datetime) -> BatchKey:
    """Who has the key: this request, or the one that came first. Another one at this moment is waited for."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO usage_eventclaim
                (environment_id, namespace, identifier, event_id, event_timestamp, fingerprint, request_id, claimed_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
            """,
            [
                environment.pk,
                EventClaim.Namespace.RETRY_KEY,
                key.key,
                new_id(),
                now,
                key.fingerprint,
                key.request_id,
                now,
            ],
        )
        if cursor.rowcount:
            return key
        cursor.execute(
            "SELECT fingerprint, request_id FROM usage_eventclaim WHERE environment_id = %s AND namespace = %s AND identifier = %s",
            [environment.pk, EventClaim.Namespace.RETRY_KEY, key.key],
        )
        row = cursor.fetchone()
    if row is None:
        # Pruned in this very moment: it is free again.
        return _claim(environment, key, now)
    fingerprint, request_id = row
    if bytes(fingerprint or b"") != key.fingerprint:
        raise RetryKeyReused(key.key)
    return replace(key, request_id=request_id)


def _meters(environment: Environment, names: set[str]) -> dict[str, Meter]:
    """The meters of event names: the active one, else the one closed last."""
    found = Meter.objects.of(environment).filter(event_name__in=names).order_by("deactivated_at")
    newest = {meter.event_name: meter for meter in found}
    return newest | {meter.event_name: meter for meter in found if meter.status == Status.ACTIVE}
