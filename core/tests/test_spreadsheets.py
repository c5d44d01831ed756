import csv
import io
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from core import spreadsheets
from core.spreadsheets import Cell, Table, csv_chunks, main_units, write_xlsx

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "%0A=1"]


def table(*rows: Sequence[Cell], columns: Sequence[str] = ("a", "b")) -> Table:
    return Table("things", columns, rows)


def csv_rows(found: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(b"".join(csv_chunks(found)).decode(), newline="")))


def xlsx_sheets(found: Table) -> list[list[list[str | Decimal]]]:
    """Each sheet's cells: text as it is stored, numbers as numbers."""
    file = io.BytesIO()
    write_xlsx(found, file)
    sheets = []
    with zipfile.ZipFile(file) as book:
        for name in sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet")):
            root = ET.fromstring(book.read(name))  # noqa: S314 (our own)
            assert not list(root.iter(f"{_SPACE}f"))
            sheets.append([[_value(cell) for cell in row] for row in root.iter(f"{_SPACE}row")])
    return sheets


def _value(cell: ET.Element) -> str | Decimal:
    if cell.get("t") == "inlineStr":
        return "".join(cell.itertext())
    return Decimal(cell.findtext(f"{_SPACE}v") or "0")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_looks_like_a_formula_stays_text(text: str) -> None:
    assert csv_rows(table((text, 1)))[1] == [f"'{text}", "1"]
    # What XML cannot say is escaped; a formula it is not.
    stored = str(xlsx_sheets(table((text, 1)))[0][1][0])
    assert stored.replace("_x000D_", "\r").split() == text.split()


def test_numbers_stay_numbers_and_below_zero_too() -> None:
    found = table((-5, Decimal("-47.61")), (Decimal("0.0000025"), 123456789012345))

    assert csv_rows(found)[1:] == [["-5", "-47.61"], ["0.0000025", "123456789012345"]]
    assert xlsx_sheets(found)[0][1:] == [
        [Decimal(-5), Decimal("-47.61")],
        [Decimal("2.5E-6"), Decimal(123456789012345)],
    ]


def test_a_number_that_a_spreadsheet_would_bend_is_text() -> None:
    exact = Decimal("1234567890123456.78")

    assert xlsx_sheets(table((exact, 2)))[0][1] == ["1234567890123456.78", Decimal(2)]


def test_instants_days_and_nothing() -> None:
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    found = table((at, date(2026, 3, 1)), (None, True), ('a,"b"\nc', ""))

    assert csv_rows(found)[1:] == [["2026-02-28T23:30:00Z", "2026-03-01"], ["", "true"], ['a,"b"\nc', ""]]
    assert xlsx_sheets(found)[0][1] == ["2026-02-28T23:30:00Z", "2026-03-01"]


def test_a_table_without_rows_has_its_head() -> None:
    assert csv_rows(table()) == [["a", "b"]]
    assert xlsx_sheets(table()) == [[["a", "b"]]]


def test_what_does_not_fit_a_sheet_goes_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 3)
    sheets = xlsx_sheets(table(*((number, "x") for number in range(7))))

    assert [len(sheet) - 1 for sheet in sheets] == [3, 3, 1]
    assert [row[0] for sheet in sheets for row in sheet[1:]] == [Decimal(number) for number in range(7)]


@pytest.mark.parametrize(("currency", "shown"), [("usd", "47.61"), ("jpy", "4761"), ("kwd", "4.761")])
def test_amounts_are_in_main_units(currency: str, shown: str) -> None:
    assert str(main_units(4761, currency)) == shown


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_memory_does_not_know_how_many_rows_there_are(form: str, tmp_path: Path) -> None:
    def rows(count: int) -> Iterator[Sequence[Cell]]:
        for number in range(count):
            yield number, f"text {number}", Decimal(number) / 4, datetime(2026, 1, 1, tzinfo=UTC)

    def most(count: int) -> int:
        found = Table("things", ("a", "b", "c", "d"), rows(count))
        tracemalloc.start()
        if form == "csv":
            for _ in csv_chunks(found):
                pass
        else:
            with (tmp_path / "file.xlsx").open("wb") as file:
                write_xlsx(found, file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert most(20_000) < 1.3 * most(2_000) + 200_000
