"""Taking in events that nobody can be answered about: good ones count, bad ones become rejections."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from accounts.models import Environment
from meters.models import Meter, Status
from usage.errors import EventRefused, RetryKeyReused
from usage.events import EventDraft, PreparedEvent, is_storable
from usage.models import EventClaim, EventRejection
from usage.rejections import rejection
from usage.services.acceptance import Checks, UnknownCustomer
from usage.services.storing import BatchKey, store


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
    checks = Checks(environment, drafts, now, any_age=False, unknown_customer=UnknownCustomer.REFUSE)
    batch: list[PreparedEvent] = []
    refused: list[tuple[EventDraft, EventRefused]] = []
    for draft in drafts:
        try:
            batch.append(checks.prepare(draft))
        except EventRefused as refusal:
            refused.append((draft, refusal))
    rejections = _rejections(environment, refused, source, now) if refused else []
    while True:
        missed = store(environment=environment, batch=batch, source=source, now=now, key=key, rejections=rejections)
        if key is None or key.owner.int not in missed:
            return None
        if first := _first(environment, key):
            return first
        # Its claim was pruned in this very moment: it is free again.


def _rejections(
    environment: Environment, refused: Sequence[tuple[EventDraft, EventRefused]], source: str, now: datetime
) -> list[EventRejection]:
    meters = _meters(environment, {draft.event_name for draft, _ in refused if is_storable(draft.event_name)})
    return [
        rejection(
            environment=environment,
            draft=draft,
            refusal=refusal,
            meter=meters.get(draft.event_name),
            source=source,
            now=now,
        )
        for draft, refusal in refused
    ]


def _first(environment: Environment, key: BatchKey) -> BatchKey | None:
    """The key as the request had it that came first; None if it is nobody's any more.

    :raises RetryKeyReused: if that one said something else
    """
    claim = EventClaim.objects.filter(
        environment=environment, namespace=EventClaim.Namespace.RETRY_KEY, identifier=key.key
    ).first()
    if claim is None:
        return None
    if claim.fingerprint is None or bytes(claim.fingerprint) != key.fingerprint:
        raise RetryKeyReused(key.key)
    return replace(key, request_id=claim.request_id)


def _meters(environment: Environment, names: set[str]) -> dict[str, Meter]:
    """The meters of event names: the active one, else the one closed last."""
    found = Meter.objects.of(environment).filter(event_name__in=names).order_by("deactivated_at")
    newest = {meter.event_name: meter for meter in found}
    return newest | {meter.event_name: meter for meter in found if meter.status == Status.ACTIVE}
