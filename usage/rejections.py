"""What is kept of an event that was taken in and cannot be counted."""

from datetime import datetime
from uuid import UUID

from accounts.models import Environment
from core.ids import new_id
from meters.models import Meter
from usage import errors
from usage.events import PAYLOAD_TEXT_LENGTH, EventDraft
from usage.models import EventRejection

Code = EventRejection.Code

# The nearest family decides, as in Python's own handling of exceptions.
CODES: dict[type[errors.EventRefused], EventRejection.Code] = {
    errors.NoActiveMeter: Code.NO_METER,
    errors.MeterClosed: Code.METER_CLOSED,
    errors.CustomerKeyMissing: Code.NO_CUSTOMER,
    errors.CustomerUnknown: Code.CUSTOMER_NOT_FOUND,
    errors.ValueMissing: Code.NO_VALUE,
    errors.ValueInvalid: Code.INVALID_VALUE,
    errors.ValueTooPrecise: Code.TOO_MANY_DIGITS,
    errors.PayloadTextTooLong: Code.INVALID_VALUE,
    errors.TextNotStorable: Code.INVALID_VALUE,
    errors.TimestampTooOld: Code.TOO_OLD,
    errors.TimestampNotStorable: Code.TOO_OLD,
    errors.TimestampInFuture: Code.IN_FUTURE,
}

_MESSAGE_LENGTH = 500
_MOST_KEYS = 50


def code_of(refusal: errors.EventRefused) -> EventRejection.Code:
    """The reason's code.

    :raises LookupError: for a refusal of which nothing is kept
    """
    code = next((CODES[family] for family in type(refusal).__mro__ if family in CODES), None)
    if code is None:
        raise LookupError(f"{type(refusal).__name__} has no code")
    return code


def rejection(
    *,
    environment: Environment,
    draft: EventDraft,
    refusal: errors.EventRefused,
    meter: Meter | None,
    source: str,
    now: datetime,
    event_id: UUID | None = None,
    timestamp: datetime | None = None,
) -> EventRejection:
    """A rejection, not saved. Texts that PostgreSQL cannot keep, or that are too long, are kept as far as they can be.

    :param event_id: the id under which its identifier was claimed, if it was
    :param timestamp: the event's time as far as it is known; else its own, or the moment of its receipt
    """
    pk = event_id or new_id()
    return EventRejection(
        id=pk,
        environment=environment,
        meter=meter,
        code=code_of(refusal),
        event_name=_storable(draft.event_name, 100),
        identifier=_storable(draft.identifier, 255) if draft.identifier else str(pk),
        timestamp=timestamp or draft.timestamp or now,
        payload={
            _storable(key, PAYLOAD_TEXT_LENGTH): _storable(text, PAYLOAD_TEXT_LENGTH)
            for key, text in list(draft.payload.items())[:_MOST_KEYS]
        },
        message=_storable(str(refusal), _MESSAGE_LENGTH),
        source=source,
        received_at=now,
    )


def _storable(text: str, length: int) -> str:
    clean = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return clean if len(clean) <= length else clean[: length - 1] + "…"
