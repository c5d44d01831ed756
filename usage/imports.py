"""Reading a table of usage: rows of text in, event drafts out. Pure: the same row always gives the same event."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from usage.errors import ColumnMissing, IdentifierMissing, TimestampUnreadable
from usage.events import EventDraft


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table says what.

    :param timestamp: ISO 8601; without an offset it is UTC; beyond microseconds it is cut off
    :param meters: event name -> column of its value
    :param customer: one customer's id for all rows, or None
    :param customer_column: the column with the customer's id, where it differs by row
    :param dimensions: payload key -> column
    :param identifier: a column whose values are unique per row, or None
    """

    timestamp: str
    meters: Mapping[str, str]
    customer: str | None = None
    customer_column: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    identifier: str | None = None

    def check(self, header: Sequence[str]) -> None:
        """:raises ColumnMissing: if the table lacks one of them"""
        optional = [self.customer_column, self.identifier]
        for column in [self.timestamp, *self.meters.values(), *self.dimensions.values(), *optional]:
            if column is not None and column not in header:
                raise ColumnMissing(column)


@dataclass(frozen=True, slots=True)
class PayloadKeys:
    """Where a meter looks for customer and value."""

    customer: str
    value: str


class RowReader:
    """Turns a table's rows into drafts, one per meter and row.

    Without an identifier column, an event is known by its contents and by how many equal rows came before it, so that
    the same table imported again, in any order or with rows added, makes no second event of any row.
    """

    def __init__(self, columns: Columns, keys: Mapping[str, PayloadKeys]) -> None:
        self._columns = columns
        self._keys = keys
        self._equal_rows: Counter[bytes] = Counter()

    def drafts(self, row: Mapping[str, str | None]) -> Iterator[EventDraft]:
        """The events of one row.

        :raises TimestampUnreadable: if the timestamp is no ISO 8601 text
        :raises IdentifierMissing: if its identifier is to come from a column and that is empty
        """
        columns = self._columns
        timestamp = read_timestamp(row.get(columns.timestamp) or "")
        customer = columns.customer or row.get(columns.customer_column or "") or ""
        dimensions = {key: row.get(column) or "" for key, column in columns.dimensions.items()}
        for event_name, value_column in columns.meters.items():
            keys = self._keys[event_name]
            payload = {**dimensions, keys.customer: customer, keys.value: row.get(value_column) or ""}
            yield EventDraft(
                event_name=event_name,
                payload=payload,
                identifier=self._identifier(event_name, row, payload, timestamp),
                timestamp=timestamp,
            )

    def _identifier(
        self, event_name: str, row: Mapping[str, str | None], payload: Mapping[str, str], timestamp: datetime
    ) -> str:
        if self._columns.identifier is not None:
            given = (row.get(self._columns.identifier) or "").strip()
            if not given:
                # Known by nothing, it would count anew with every run.
                raise IdentifierMissing(self._columns.identifier)
            # One row may be several events, and an identifier belongs to one.
            return f"{given}:{event_name}" if len(self._columns.meters) > 1 else given
        return identifier_of(event_name, payload, timestamp, self._equal_rows)


def identifier_of(event_name: str, payload: Mapping[str, str], timestamp: datetime, equal_rows: Counter[bytes]) -> str:
    """What an event without an identifier is known by: its contents, and how many equal ones came before it.

    :param equal_rows: of the table so far; it is counted on
    """
    parts = [event_name, timestamp.isoformat(), *(part for item in sorted(payload.items()) for part in item)]
    # Lengths keep ("ab", "c") apart from ("a", "bc").
    content = b"".join(
        b"%d:%b" % (len(part), part) for part in (text.encode(errors="surrogateescape") for text in parts)
    )
    digest = hashlib.blake2b(content, digest_size=16).digest()
    equal_rows[digest] += 1
    return f"import-{digest.hex()}-{equal_rows[digest]}"


def read_timestamp(text: str) -> datetime:
    """An instant in ISO 8601, in UTC where it names no offset.

    :raises TimestampUnreadable: if it is none
    """
    try:
        timestamp = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TimestampUnreadable(text) from None
    return timestamp.replace(tzinfo=UTC) if timestamp.tzinfo is None else timestamp.astimezone(UTC)
