"""Writes of the outbox."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from webhooks.models import Event

if TYPE_CHECKING:
    from accounts.models import Environment


def record_event(
    *, environment: "Environment", kind: Event.Kind, data: dict[str, Any], now: datetime, subject_id: UUID | None = None
) -> Event:
    """Note that something happened. Call it in the transaction that makes it happen."""
    return Event.objects.create(
        environment=environment,
        kind=kind,
        subject_id=subject_id,
        data=data,
        # Answers say milliseconds, and whoever asks for what came after one must not get it again.
        created_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
    )
