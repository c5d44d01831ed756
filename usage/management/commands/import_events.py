"""``manage.py import_events FILE.csv …``: usage of any age from a table, once however often it is run."""

import csv
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from accounts.models import Environment, Mode
from accounts.services import find_company
from core.errors import BillingError
from usage import services
from usage.imports import Columns


class Command(BaseCommand):
    help = (
        "Import usage events from a CSV file with a header, through the same checks as the API but of any age. "
        "Run again, it adds only what is new. A bad row is reported with its line number and does not stop the rest; "
        "the exit status is 1 then."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.csv")
        parser.add_argument("--company", required=True, help="name or id")
        parser.add_argument("--mode", required=True, choices=Mode.values)
        parser.add_argument(
            "--timestamp-column", required=True, metavar="COL", help="ISO 8601; UTC unless it has an offset"
        )
        parser.add_argument(
            "--meter",
            required=True,
            action="append",
            dest="meters",
            metavar="EVENT_NAME=VALUE_COL",
            help="an event of this name per row, with the value from that column; repeatable",
        )
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--customer", metavar="ID", help="the customer of all rows")
        who.add_argument("--customer-column", metavar="COL", help="the column with the customer's id")
        parser.add_argument(
            "--dimension",
            action="append",
            default=[],
            dest="dimensions",
            metavar="NAME=COL",
            help="a further payload key and the column it comes from; repeatable",
        )
        parser.add_argument(
            "--identifier-column",
            metavar="COL",
            help="a column with a value of its own in every row (with several meters, the event name is added to it); "
            "without it a row is known by its contents, and equal rows by their number",
        )

    def handle(self, *, file: Path, company: str, mode: str, **options: Any) -> None:
        columns = Columns(
            timestamp=options["timestamp_column"],
            meters=_pairs("--meter", options["meters"]),
            customer=options["customer"],
            customer_column=options["customer_column"],
            dimensions=_pairs("--dimension", options["dimensions"]),
            identifier=options["identifier_column"],
        )
        try:
            environment = Environment.objects.get(company=find_company(name_or_id=company), mode=mode)
            result = self._import(file, environment, columns)
        except (BillingError, OSError, csv.Error) as error:
            raise CommandError(f"{file}: {error}" if not isinstance(error, BillingError) else str(error)) from error
        self.stdout.write(
            f"{result.rows:,} rows: {result.accepted:,} events accepted, {result.known:,} known already, "
            f"{result.refused:,} refused."
        )
        if result.refused:
            raise CommandError(
                f"{result.refused:,} of its events are not in. Mend their rows and import the file again."
            )

    def _import(self, file: Path, environment: Environment, columns: Columns) -> services.ImportResult:
        # Spreadsheets like to put a byte order mark first; bytes that are no UTF-8 make their row a bad one, not the file.
        with (
            file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as handle,
            tqdm(total=_lines(file), unit=" rows", file=self.stderr, disable=None) as bar,
        ):
            table = csv.DictReader(handle)
            columns.check(table.fieldnames or [])

            def refused(line: int, error: BillingError) -> None:
                bar.write(f"line {line}: {error}", file=self.stderr)

            return services.import_events(
                environment=environment,
                rows=_numbered(table),
                columns=columns,
                on_refusal=refused,
                on_progress=bar.update,
            )


def _numbered(table: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str | None]]]:
    for row in table:
        yield table.line_num, row


def _lines(file: Path) -> int:
    """How many rows to expect: quoted line breaks make it an estimate, which is enough for a progress bar."""
    with file.open("rb") as handle:
        return max(sum(chunk.count(b"\n") for chunk in iter(lambda: handle.read(1 << 20), b"")) - 1, 0)


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, column = text.partition("=")
        if not (name and separator and column):
            raise CommandError(f"{option} takes NAME=COLUMN, not {text!r}.")
        if name in pairs:
            raise CommandError(f"{option} names {name!r} twice.")
        pairs[name] = column
    return pairs
