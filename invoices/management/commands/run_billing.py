"""``manage.py run_billing [--until TIME] [--dry-run] [--processes N]``: bill at once all that is due."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from tqdm import tqdm

from accounts.models import Environment
from core.commands import instant
from core.money import format_amount
from core.processes import settle_memory
from invoices import services
from invoices.services import BillingRun, Forecasts


class Command(BaseCommand):
    help = (
        "Bill at once all that is due: close periods that are over, finalize drafts whose grace is over. The jobs of a "
        "running Tollbook do the same by themselves; this is safe beside them, and again after it was interrupted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--until", type=instant, metavar="TIME", help="leave what was not due yet at this time")
        parser.add_argument("--dry-run", action="store_true", help="say what would be billed, and store nothing")
        parser.add_argument("--processes", type=int, default=1, metavar="N", help="share the work among N processes")
        parser.add_argument("--chunk", type=int, default=services.CHUNK, metavar="N", help="rows to a transaction")

    def handle(self, *_: Any, until: datetime | None, dry_run: bool, processes: int, chunk: int, **__: Any) -> None:
        now = timezone.now()
        if until is not None and until > now:
            raise CommandError("--until must not lie ahead: usage that is still to come would be missed.")
        if processes < 1 or chunk < 1:
            raise CommandError("--processes and --chunk must be 1 or more.")
        settle_memory()
        total = services.count_due(now=now, until=until)
        with tqdm(total=total, unit=" due", file=self.stderr, disable=None) as bar:
            done: BillingRun | Forecasts
            if dry_run:
                done = _foretell(processes, now=now, until=until, on_progress=bar.update)
            else:
                done = _run(processes, now=now, until=until, chunk=chunk, on_progress=bar.update)
        # After the bar, which would run into the words.
        if isinstance(done, BillingRun):
            self._tell_run(done)
        else:
            self._tell_forecast(done)

    def _tell_forecast(self, found: Forecasts) -> None:
        if not found:
            self.stdout.write("Nothing is due.")
        for environment in (
            Environment.objects.filter(pk__in=found).select_related("company").order_by("company", "mode")
        ):
            forecast = found[environment.pk]
            self.stdout.write(
                f"{environment}: {forecast.subscriptions:,} subscriptions and {forecast.drafts:,} drafts are due."
            )
            for what, sums in (("new drafts", forecast.drafted), ("drafts to become final", forecast.charged)):
                for currency, total in sorted(sums.items()):
                    self.stdout.write(f"  {total.invoices:,} {what}: {format_amount(total.total, currency)}")
            for failure in forecast.failures:
                self.stdout.write(self.style.ERROR(f"  {failure.noun} {failure.pk}: {failure.reason}"))
        self.stdout.write("Nothing was stored.")

    def _tell_run(self, run: BillingRun) -> None:
        self.stdout.write(
            f"{run.started.done:,} schedules begun, {run.steps.done:,} steps of subscriptions, {run.finalized.done:,} invoices finalized, "
            f"{run.escalated.done:,} subscriptions with overdue invoices moved on."
        )
        if run.failed:
            raise CommandError(f"{run.failed:,} could not be billed: see billing failures in the console.")


def _foretell(processes: int, **how: Any) -> Forecasts:
    if processes == 1:
        return services.forecast_billing(**how)
    try:
        return services.forecast_billing_side_by_side(processes, **how)
    except services.WorkerLost as error:
        raise CommandError(f"{error} Nothing was stored.") from error


def _run(processes: int, **how: Any) -> BillingRun:
    if processes == 1:
        return services.run_billing(**how)
    try:
        return services.run_billing_side_by_side(processes, **how)
    except services.WorkerLost as error:
        raise CommandError(f"{error} Run it again: it goes on where that one stopped.") from error
