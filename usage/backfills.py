"""Reading a file of events that a person brings: one event a row, in columns of fixed names. Pure.

``event_name``, ``customer``, ``timestamp`` and ``value`` say what an event is; ``identifier`` what it is known by, and
without one it is known by its contents, so that the same file twice is the same events. All other columns are further
keys of the payload.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import BillingError
from usage.errors import ColumnMissing, FileUnreadable, NoActiveMeter, RowUnreadable
from usage.events import EventDraft
from usage.imports import PayloadKeys, identifier_of, read_timestamp

MOST_BYTES = 2_000_000
MOST_ROWS = 10_000
# Further back than this, an operator imports: a row may need a partition of its own.
OLDEST = timedelta(days=5 * 366)
_NEEDED = ("event_name", "customer", "timestamp")
_OPTIONAL = ("value", "identifier")
_MOST_COLUMNS = 50
_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_ZIPPED = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the file.

    :ivar number: of the line that it ends on, from 1, as editors count
    :ivar draft: the event, or why it is none
    """

    number: int
    cells: Mapping[str, str]
    draft: EventDraft | BillingError


def read_lines(content: bytes) -> list[dict[str, str] | RowUnreadable]:
    """The rows of a file by column, with the line that each ends on under ``""``.

    :raises FileUnreadable: if it is no table that can be looked at, said for whoever made it
    :raises ColumnMissing: if a column that is needed is not there
    """
    text = _text(content)
    first_line = text.partition("\n")[0]
    # Where commas are decimal marks, spreadsheets write semicolons between cells.
    separator = ";" if first_line.count(";") > first_line.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_names(names)
        rows: list[dict[str, str] | RowUnreadable] = []
        for cells in reader:
            if not any(cells):
                continue
            if len(rows) == MOST_ROWS:
                raise FileUnreadable(
                    f"It has more than {MOST_ROWS:,} rows. Split it, or have an operator import it whole by "
                    "manage.py import_events."
                )
            rows.append(_row(names, cells, reader.line_num))
    except csv.Error as error:
        raise FileUnreadable(f"It is no CSV that can be read: {error}, in line {reader.line_num}.") from None
    if not rows:
        raise FileUnreadable("It has no rows below its head.")
    return rows


def _row(names: list[str], cells: list[str], line: int) -> dict[str, str] | RowUnreadable:
    if len(cells) > len(names):
        return RowUnreadable(f"Line {line} has {len(cells)} cells, and the head {len(names)}.")
    row = dict.fromkeys(names, "") | dict(zip(names, (cell.strip() for cell in cells), strict=False))
    return {"": str(line), **row}


def lines(content: bytes, keys: Mapping[str, PayloadKeys], *, now: datetime) -> Iterator[Line]:
    """The file's events, in order.

    :param keys: of the meters that take events now, by event name
    :raises FileUnreadable: as :func:`read_lines` does
    :raises ColumnMissing: likewise
    """
    equal_rows: Counter[bytes] = Counter()
    for place, row in enumerate(read_lines(content), start=2):
        if isinstance(row, RowUnreadable):
            yield Line(place, {}, row)
            continue
        number = int(row.pop(""))
        try:
            yield Line(number, row, _draft(row, keys, equal_rows, now))
        except BillingError as refusal:
            yield Line(number, row, refusal)


def _draft(
    row: Mapping[str, str], keys: Mapping[str, PayloadKeys], equal_rows: Counter[bytes], now: datetime
) -> EventDraft:
    name = row["event_name"]
    if name not in keys:
        raise NoActiveMeter(name)
    timestamp = read_timestamp(row["timestamp"])
    if timestamp < now - OLDEST:
        raise RowUnreadable(
            f"It took place more than {OLDEST.days} days ago. An operator imports such events by manage.py import_events."
        )
    known = {*_NEEDED, *_OPTIONAL}
    payload = {key: text for key, text in row.items() if key not in known and text}
    payload[keys[name].customer] = row["customer"]
    if row.get("value"):
        payload[keys[name].value] = row["value"]
    identifier = row.get("identifier") or identifier_of(name, payload, timestamp, equal_rows)
    return EventDraft(event_name=name, payload=payload, identifier=identifier, timestamp=timestamp)


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise FileUnreadable(f"It has more than {MOST_BYTES // 1_000_000} MB. Split it, or have an operator import it.")
    if content.startswith(_ZIPPED):
        raise FileUnreadable("It is a workbook or an archive. Save the sheet as “CSV UTF-8” and bring that.")
    if content.startswith(_MARKS_OF_UTF_16):
        raise FileUnreadable("It is written in UTF-16. Save it as “CSV UTF-8”.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileUnreadable(f"Line {line} is not written in UTF-8. Save the file as “CSV UTF-8”.") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise FileUnreadable(f"Line {line} holds a zero byte, so this is no text.")
    return text


def _check_names(names: list[str]) -> None:
    for needed in _NEEDED:
        if needed not in names:
            raise ColumnMissing(needed)
    if len(names) > _MOST_COLUMNS:
        raise FileUnreadable(f"It has {len(names)} columns; {_MOST_COLUMNS} are the most.")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise FileUnreadable(f"It has two columns called “{twice}”.")
    if "" in names:
        raise FileUnreadable("A column of it has no name.")
