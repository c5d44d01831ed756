"""``manage.py export_billing TABLE COMPANY --mode test|live [--since DAY] [--until DAY] [--format csv|xlsx] [--output FILE]``"""

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts import services
from accounts.models import Mode
from core.errors import BillingError
from core.spreadsheets import csv_chunks, write_xlsx
from invoices.exports import TABLES, Selection, table_of
from invoices.models import Invoice


def _instant(text: str) -> datetime:
    """A day, or an instant; in UTC where it does not say."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Write a table of one company's billing, row by row: " + "; ".join(
        f"{name}: {kind.says}" for name, kind in TABLES.items()
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("table", choices=list(TABLES))
        parser.add_argument("company", help="name or id")
        parser.add_argument("--mode", required=True, choices=Mode.values)
        parser.add_argument("--since", type=_instant, help="the first day or instant, such as 2026-03-01; in UTC")
        parser.add_argument("--until", type=_instant, help="the first day or instant that is not meant any more")
        parser.add_argument(
            "--status", default="", choices=["", *(set(Invoice.Status.values) - {"draft"})], help="of invoices; any"
        )
        parser.add_argument("--format", default="csv", choices=["csv", "xlsx"])
        parser.add_argument("--output", type=Path, help="a file; without it, standard output")

    def handle(
        self,
        *,
        table: str,
        company: str,
        mode: str,
        since: datetime | None,
        until: datetime | None,
        status: str,
        format: str,  # noqa: A002 (the option's name)
        output: Path | None,
        **options: Any,
    ) -> None:
        try:
            environment = services.find_company(name_or_id=company).environments.get(mode=mode)
        except BillingError as error:
            raise CommandError(str(error)) from error
        found = table_of(table, Selection(environment, since, until, status, now=timezone.now()))
        file = output.open("wb") if output else sys.stdout.buffer
        try:
            if format == "xlsx":
                write_xlsx(found, file)
            else:
                file.writelines(csv_chunks(found))
        finally:
            file.flush()
            if output:
                file.close()
