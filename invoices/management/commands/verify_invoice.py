"""``manage.py verify_invoice ID``: compute a final invoice again from its events and prices, and say whether it is equal."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from core.ids import read
from invoices import services
from invoices.models import Invoice


class Command(BaseCommand):
    help = (
        "Compute a final invoice again: metered quantities from the events themselves, amounts from prices and tiers, "
        "totals from lines. Says that it is equal, or what differs, and then ends with an error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("invoice", metavar="ID", help="in_… or the id in full")

    def handle(self, *_: Any, **options: Any) -> None:
        pk = read("in", options["invoice"])
        invoice = Invoice.objects.exclude(status=Invoice.Status.DRAFT).filter(pk=pk).first() if pk else None
        if invoice is None:
            raise CommandError(f"There is no final invoice {options['invoice']!r}.")
        found = services.verify_invoice(invoice=invoice, now=timezone.now())
        kept = f", {found.uncounted} of them without their events, which retention dropped" if found.uncounted else ""
        counted = f"{found.line_count} line{'' if found.line_count == 1 else 's'}{kept}"
        if found.is_equal:
            self.stdout.write(self.style.SUCCESS(f"{invoice.number}: equal ({counted})."))
            return
        for one in found.differences:
            where = f"line {one['line']}" if one["line"] else "invoice"
            self.stdout.write(f"{where}: {one['what']} is {one['billed']}, computed again {one['computed']}")
        raise CommandError(f"{invoice.number}: different ({counted}).")
