"""``manage.py cancel_event --company C --mode M IDENTIFIER --reason TEXT``: take an event back, however old it is."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Environment, Mode
from accounts.services import find_company
from core.errors import BillingError
from usage import services
from usage.models import EventAdjustment


class Command(BaseCommand):
    help = (
        "Let a usage event count no more, whenever it was received. It stays on record as canceled, with the reason. "
        "Final invoices do not change."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("identifier", help="the event's identifier")
        parser.add_argument("--company", required=True, help="name or id")
        parser.add_argument("--mode", required=True, choices=Mode.values)
        parser.add_argument("--reason", required=True, help="why, for whoever reads the record")

    def handle(self, *, identifier: str, company: str, mode: str, reason: str, **options: Any) -> None:
        longest = EventAdjustment.REASON_LENGTH
        if not reason.strip() or len(reason.strip()) > longest:
            raise CommandError(f"--reason takes 1 to {longest} characters.")
        now = timezone.now()
        try:
            environment = Environment.objects.get(company=find_company(name_or_id=company), mode=mode)
            canceled = services.cancel_event(
                environment=environment, identifier=identifier, now=now, reason=reason.strip()
            )
        except BillingError as error:
            raise CommandError(str(error)) from error
        if canceled.created_at < now:
            self.stdout.write(f"{identifier} was canceled before, at {canceled.created_at:%Y-%m-%d %H:%M:%S} UTC.")
        else:
            self.stdout.write(f"{identifier} of {canceled.event_timestamp:%Y-%m-%d %H:%M:%S} UTC counts no more.")
