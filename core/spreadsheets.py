"""Tables for people who compute: CSV and XLSX, row by row, however many there are.

Text is text: in CSV a cell that a spreadsheet would take for a formula begins with an apostrophe, in XLSX it is stored as
text. Numbers stay numbers, instants are ISO 8601 in UTC.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, TypeAlias
from uuid import UUID

import xlsxwriter

from core.money import exponent

Cell: TypeAlias = str | int | Decimal | datetime | date | UUID | bool | None

# A sheet has 2**20 rows, and one of them is the head.
MOST_ROWS = 2**20 - 1
# Spreadsheets compute with binary floating point, which holds every decimal of so many digits and no longer ones.
_MOST_DIGITS = 15
# What a spreadsheet would take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Table:
    """
    :ivar name: of the file and of the sheet
    :ivar rows: read once, from the first to the last
    """

    name: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]


def main_units(minor_units: int | Decimal, currency: str) -> Decimal:
    """An amount as a spreadsheet computes with it: 4761 US cents are 47.61."""
    return Decimal(minor_units).scaleb(-exponent(currency))


def csv_chunks(table: Table) -> Iterator[bytes]:
    """The table as CSV in UTF-8, some hundred rows at a time."""
    buffer = _Lines()
    writer = csv.writer(buffer)
    # Columns may be called after customers.
    writer.writerow([_in_csv(name) for name in table.columns])
    for number, row in enumerate(table.rows, start=1):
        writer.writerow([_in_csv(cell) for cell in row])
        if number % _AT_ONCE == 0:
            yield buffer.taken()
    yield buffer.taken()


def write_xlsx(table: Table, file: IO[bytes]) -> None:
    """The table as XLSX; beyond a sheet's rows it goes on in another sheet."""
    book = xlsxwriter.Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    # The library dates a file by the clock; what it says is the table's business alone.
    book.set_properties({"created": datetime(2000, 1, 1, tzinfo=UTC)})
    bold = book.add_format({"bold": True})
    sheet, sheets, at = None, 0, MOST_ROWS
    for row in _with_head(table):
        if sheet is None or at >= MOST_ROWS:
            sheets += 1
            sheet, at = book.add_worksheet(f"{table.name[:25]} {sheets}" if sheets > 1 else table.name[:31]), 0
            for column, name in enumerate(table.columns):
                sheet.write_string(0, column, name, bold)
            sheet.freeze_panes(1, 0)
        if row is None:
            continue
        at += 1
        for column, cell in enumerate(row):
            value = _in_xlsx(cell)
            if isinstance(value, str):
                sheet.write_string(at, column, value)
            elif value is not None:
                sheet.write_number(at, column, value)
    book.close()


def _with_head(table: Table) -> Iterator[Sequence[Cell] | None]:
    """A sheet even where there is no row."""
    yield None
    yield from table.rows


def _in_csv(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(FORMULA) else cell
    return _text(cell)


def _in_xlsx(cell: Cell) -> str | int | Decimal | None:
    if cell is None or isinstance(cell, str):
        return cell or None
    if isinstance(cell, (int, Decimal)) and not isinstance(cell, bool):
        digits = Decimal(cell).normalize().as_tuple().digits
        return cell if len(digits) <= _MOST_DIGITS else _text(cell)
    return _text(cell)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case Decimal():
            return f"{cell:f}"
        case datetime():
            return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return cell.isoformat()
        case _:
            return str(cell)


class _Lines:
    """What a CSV writer writes to."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        self._lines.append(line)

    def taken(self) -> bytes:
        taken = "".join(self._lines).encode()
        self._lines.clear()
        return taken
