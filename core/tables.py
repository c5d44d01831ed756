"""Tables that people bring: CSV or XLSX, read whole, within bounds. What is wrong with one is said in words for them."""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import IO, Any

from openpyxl import load_workbook

from core.spreadsheets import FORMULA

MOST_BYTES = 1_000_000
MOST_ROWS = 2_000
_MOST_COLUMNS = 50
_MOST_CHARACTERS = 5_000
# An XLSX is a compressed archive, and a small one may hold a very large table.
_MOST_UNPACKED = 50_000_000
_SEPARATORS = ",;\t"


class TableUnreadable(ValueError):
    """The file is no such table; the message says why."""


def read_table(content: bytes) -> list[dict[str, str]]:
    """The rows below the first, by the names in the first, in lower case with underscores. Empty rows are left out.

    An apostrophe that keeps a spreadsheet from taking text for a formula, as exports have it, is taken off.

    :raises TableUnreadable: if it is no table, or a larger one than is taken at once
    """
    if len(content) > MOST_BYTES:
        raise TableUnreadable(f"The file is larger than {MOST_BYTES // 1_000_000} MB. Bring it in parts.")
    lines = _of_workbook(content) if content.startswith(b"PK") else _of_csv(content)
    head = [_name(cell) for cell in next(lines, [])]
    if not any(head):
        raise TableUnreadable("The file is empty: its first row says what the columns are.")
    twice = {name for name in head if name and head.count(name) > 1}
    if twice:
        raise TableUnreadable(f"Two columns are called {', '.join(sorted(twice))}.")
    return list(_rows(head, lines))


def _rows(head: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterator[dict[str, str]]:
    count = 0
    for number, line in enumerate(lines, start=2):
        cells = [_bare(cell) for cell in line]
        if not any(cells):
            continue
        count += 1
        if count > MOST_ROWS:
            raise TableUnreadable(f"The file has more than {MOST_ROWS:,} rows. Bring it in parts.")
        if any(cells[len(head) :]):
            raise TableUnreadable(f"Row {number} has more cells than the first row has names.")
        if any(len(cell) > _MOST_CHARACTERS or "\0" in cell for cell in cells):
            raise TableUnreadable(f"A cell of row {number} is longer than {_MOST_CHARACTERS:,} characters, or no text.")
        yield {name: cell for name, cell in zip(head, cells, strict=False) if name}


def _name(cell: str) -> str:
    return "_".join(cell.strip().lower().split())


def _bare(cell: str) -> str:
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _of_csv(content: bytes) -> Iterator[Sequence[str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableUnreadable("The file is neither XLSX nor text in UTF-8. Save it as one of these.") from error
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    try:
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            yield _bounded(line)
    except csv.Error as error:
        raise TableUnreadable(f"The file is not CSV: {error}.") from error


def _of_workbook(content: bytes) -> Iterator[Sequence[str]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        # Beyond it nothing is unpacked at all.
        lines = _lines(io.BytesIO(content)) if unpacked <= _MOST_UNPACKED else None
        # The library has no error of its own for a file that is not what it says, and reads as rows are asked for.
        whole = None if lines is None else list(islice(lines, MOST_ROWS + 2))
    except Exception as error:
        raise TableUnreadable("The workbook cannot be read. Save it as XLSX again, or as CSV.") from error
    if whole is None:
        raise TableUnreadable("The workbook is too large. Bring it in parts.")
    for line in whole:
        yield _bounded(line)


def _lines(file: IO[bytes]) -> Iterator[Sequence[str]]:
    sheet: Any = load_workbook(file, read_only=True, data_only=True).worksheets[0]
    # What the file says of its size may be wrong, and then rows would be padded to it.
    sheet.reset_dimensions()
    for line in sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS + 1):
        yield [_text(cell) for cell in line]


def _bounded(line: Sequence[str]) -> Sequence[str]:
    if len(line) > _MOST_COLUMNS and any(line[_MOST_COLUMNS:]):
        raise TableUnreadable(f"The file has more than {_MOST_COLUMNS} columns.")
    return line


def _text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case float():
            # The shortest decimal that is this number is what the person sees.
            return f"{Decimal(repr(cell)):f}".removesuffix(".0")
        case datetime() | date():
            return cell.isoformat()
        case _:
            return str(cell)
