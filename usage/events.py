"""An event before it is stored: what a door hands in, and the checks that need no database."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec

from core.ids import new_id, read
from core.money import plain
from meters.models import Meter
from usage.errors import (
    CustomerKeyMissing,
    PayloadTextTooLong,
    TextNotStorable,
    TimestampInFuture,
    TimestampNotStorable,
    TimestampTooOld,
    ValueInvalid,
    ValueMissing,
    ValueTooPrecise,
)

OLDEST_DAYS = 35
AHEAD_MINUTES = 5
SIGNIFICANT_DIGITS = 15
PAYLOAD_TEXT_LENGTH = 100
# Every month with events is a partition, so that an import cannot ask for centuries of them.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

_AHEAD = timedelta(minutes=AHEAD_MINUTES)
_OLDEST = timedelta(days=OLDEST_DAYS)
# With an exponent, too: that is how many languages print what is very small.
_DECIMAL = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?", re.ASCII)


# They hold nothing that could refer back to them, so the garbage collector need not look at them, batch after batch.
class EventDraft(msgspec.Struct, frozen=True, gc=False):
    """One event as a door understood it.

    :param payload: the vendor's hash of texts; the meter says which keys hold customer and value
    :param identifier: unique per environment; None lets the service choose one
    :param timestamp: when the usage took place; None is the moment of acceptance
    :param retry_key: the request's idempotency key, where one request reports one event
    :param fingerprint: hash of that request, to tell a re-send from another request under the same key
    :param request_id: that request's own id, by which the answer to a re-send names it
    :param report_key: a key under which one event is stored, for good, and nothing else whatever it says
    :param meter_id: the one meter that is meant, where the name alone would lead to its successor
    """

    event_name: str
    payload: Mapping[str, str]
    identifier: str | None = None
    timestamp: datetime | None = None
    retry_key: str | None = None
    fingerprint: bytes | None = None
    request_id: UUID | None = None
    report_key: str | None = None
    meter_id: UUID | None = None


class AcceptedEvent(msgspec.Struct, frozen=True, gc=False):
    """What is on disk.

    ``replayed`` marks the answer to a re-send, which stored nothing; ``first_request_id`` is then the request that did.
    """

    event_id: UUID
    event_name: str
    identifier: str
    payload: Mapping[str, str]
    timestamp: datetime
    received_at: datetime
    replayed: bool = False
    first_request_id: UUID | None = None


class PreparedEvent(msgspec.Struct, frozen=True, gc=False):
    """A checked event on its way to the tables. Without a customer it becomes a rejection there."""

    draft: EventDraft
    meter: Meter
    customer_id: UUID | None
    value: Decimal | None
    unique_value: str | None
    timestamp: datetime
    event_id: UUID = msgspec.field(default_factory=new_id)

    @property
    def identifier(self) -> str:
        return self.draft.identifier or str(self.event_id)

    @property
    def dimensions(self) -> dict[str, str]:
        """The payload's values of the meter's declared dimensions; absent keys stay absent."""
        if not self.meter.dimension_keys:
            return {}
        return {key: self.draft.payload[key] for key in self.meter.dimension_keys if key in self.draft.payload}

    def accepted(self, received_at: datetime) -> AcceptedEvent:
        return AcceptedEvent(
            event_id=self.event_id,
            event_name=self.draft.event_name,
            identifier=self.identifier,
            payload=self.draft.payload,
            timestamp=self.timestamp,
            received_at=received_at,
        )


def customer_text(meter: Meter, payload: Mapping[str, str]) -> str:
    """The payload's name for the customer.

    :raises CustomerKeyMissing: if the meter's customer key is absent or empty
    """
    text = payload.get(meter.customer_key, "")
    if not text:
        raise CustomerKeyMissing(meter.customer_key)
    return text


def customer_id(text: str) -> UUID | None:
    """Read a customer's id in either spelling; None when it is no such id."""
    return read("cus", text)


def event_value(meter: Meter, payload: Mapping[str, str]) -> Decimal | None:
    """The payload's value in the meter's unit; None where the meter counts events or different values.

    Negative values are corrections and are taken.

    :raises ValueMissing: if the meter's value key is absent or empty
    :raises ValueInvalid: if it is no decimal number, or an infinite one
    :raises ValueTooPrecise: beyond 15 significant digits
    """
    if not meter.takes_number:
        return None
    key = meter.value_key
    text = payload.get(key, "").strip()
    if not text:
        raise ValueMissing(key)
    number = _DECIMAL.fullmatch(text)
    if number is None:
        raise ValueInvalid(key, text)
    if len(number[1].replace(".", "").strip("0")) > SIGNIFICANT_DIGITS:
        raise ValueTooPrecise(key, SIGNIFICANT_DIGITS)
    return Decimal(text)


def number_text(value: Decimal, key: str) -> str:
    """How a payload spells a number: in full, without zeros at the end.

    :param key: the payload's key
    :raises PayloadTextTooLong: if that takes more than 100 characters
    """
    # Asked before it is written out: a short exponent can make a very long text, and zeros at the end are many digits.
    short = abs(value.adjusted()) < PAYLOAD_TEXT_LENGTH and len(str(value)) <= 2 * PAYLOAD_TEXT_LENGTH
    text = plain(value) if short else ""
    if not 0 < len(text) <= PAYLOAD_TEXT_LENGTH:
        raise PayloadTextTooLong(key, PAYLOAD_TEXT_LENGTH)
    return text


def unique_value(meter: Meter, payload: Mapping[str, str]) -> str | None:
    """The text that a meter of unique values counts once per period; None for other meters.

    :raises ValueMissing: if the meter's value key is absent or empty
    """
    if not meter.takes_text:
        return None
    text = payload.get(meter.value_key, "")
    if not text:
        raise ValueMissing(meter.value_key)
    return text


def check_texts(draft: EventDraft) -> None:
    """Hold every text of an event against what is kept of it.

    :raises PayloadTextTooLong: if a payload's value is longer than 100 characters
    :raises TextNotStorable: if a text holds what PostgreSQL cannot keep: a NUL, half of a surrogate pair
    """
    for key, text in draft.payload.items():
        if len(text) > PAYLOAD_TEXT_LENGTH:
            raise PayloadTextTooLong(key, PAYLOAD_TEXT_LENGTH)
        if not (is_storable(key) and is_storable(text)):
            raise TextNotStorable(key)
    if draft.identifier is not None and not is_storable(draft.identifier):
        raise TextNotStorable("identifier")


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep a text."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_timestamp(timestamp: datetime, now: datetime, *, any_age: bool) -> None:
    """Hold a timestamp against the window [now - 35 days, now + 5 minutes].

    :param now: the customer's time: its test clock's, or the wall's
    :param any_age: an import may go back to the year 2000
    :raises TimestampTooOld: :raises TimestampInFuture: :raises TimestampNotStorable:
    """
    if timestamp > now + _AHEAD:
        raise TimestampInFuture(timestamp, AHEAD_MINUTES)
    if timestamp < EARLIEST:
        raise TimestampNotStorable(timestamp)
    if not any_age and timestamp < now - _OLDEST:
        raise TimestampTooOld(timestamp, OLDEST_DAYS)
