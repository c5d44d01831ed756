"""``manage.py rebuild_summaries [--company C --mode M] …``: summaries made anew from the events, beside live traffic."""

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from accounts.models import Environment, Mode
from accounts.services import find_company
from core.commands import instant
from core.errors import BillingError
from core.periods import Period
from meters.models import Meter, MeterQuerySet
from usage import services
from usage.models import MeterEvent

# What stands for an open end: later and earlier than any event can be.
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Make summaries anew from the events: all of them, or those of a company, a meter or a range of time. Safe "
        "beside live traffic, and again. Summaries of months whose events were dropped by retention stay as they are."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--company", help="name or id; all companies unless given")
        parser.add_argument("--mode", choices=Mode.values, help="test or live; both unless given")
        parser.add_argument("--meter", metavar="EVENT_NAME", help="the meters of this event name, closed ones as well")
        parser.add_argument("--from", dest="start", type=instant, metavar="TIME", help="ISO 8601; begins at its hour")
        parser.add_argument("--until", dest="end", type=instant, metavar="TIME", help="up to, not including, this hour")
        parser.add_argument(
            "--after-restore",
            action="store_true",
            help="on a database that was restored from a dump: let transaction ids count on from those of the server "
            "that it came from, then rebuild everything",
        )

    def handle(self, *, after_restore: bool, start: datetime | None, end: datetime | None, **options: Any) -> None:
        scope = {name: options[name] for name in ("company", "mode", "meter")}
        if after_restore and (start or end or any(scope.values())):
            raise CommandError("--after-restore rebuilds everything: leave the other options away.")
        if start and end and end <= start:
            raise CommandError("--until must be later than --from.")
        period = Period(start or EARLIEST, end or LATEST) if start or end else None
        try:
            meters = _meters(**scope)
            if after_restore:
                services.adopt_cluster()
            rebuilt = self._rebuild(meters, period)
        except BillingError as error:
            raise CommandError(str(error)) from error
        for month in sorted(rebuilt.kept):
            self.stdout.write(f"{month:%Y-%m}: its events were dropped by retention; its summaries stay as they are.")
        self.stdout.write(
            f"{rebuilt.summaries:,} summaries of {meters.count():,} meters made anew from {rebuilt.events:,} events."
        )

    def _rebuild(self, meters: MeterQuerySet, period: Period | None) -> services.Rebuilt:
        rebuilt = services.Rebuilt()
        with tqdm(total=_events(meters, period), unit=" events", file=self.stderr, disable=None) as bar:
            for meter in meters:
                rebuilt += services.rebuild_summaries(meter=meter, period=period, on_progress=bar.update)
        return rebuilt


def _meters(company: str | None, mode: str | None, meter: str | None) -> MeterQuerySet:
    environments = Environment.objects.all()
    if company:
        environments = environments.filter(company=find_company(name_or_id=company))
    if mode:
        environments = environments.filter(mode=mode)
    meters = Meter.objects.filter(environment__in=environments).order_by("environment", "pk")
    if meter:
        meters = meters.filter(event_name=meter)
        if not meters.exists():
            raise CommandError(f"There is no meter for the event name {meter!r}.")
    return meters


def _events(meters: MeterQuerySet, period: Period | None) -> int:
    """How many events to expect. The bar ends before its end where some are canceled or not rolled up yet."""
    total = 0
    for environment, meter in meters.values_list("environment", "pk"):
        events = MeterEvent.objects.filter(environment=environment, meter=meter)
        if period is not None:
            events = events.filter(timestamp__gte=period.start, timestamp__lt=period.end)
        total += events.count()
    return total
