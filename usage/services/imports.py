"""Importing a table of usage, through the same acceptance as the API, in short transactions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import Environment
from core.errors import BillingError
from meters.models import Meter
from usage.errors import EventExists, NoActiveMeter
from usage.events import EventDraft
from usage.imports import Columns, PayloadKeys, RowReader
from usage.models import Source
from usage.services.acceptance import accept_events

_BATCH = 1000


@dataclass(slots=True)
class ImportResult:
    """What became of a table's events."""

    rows: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0


def import_events(
    *,
    environment: Environment,
    rows: Iterable[tuple[int, Mapping[str, str | None]]],
    columns: Columns,
    on_refusal: Callable[[int, BillingError], None],
    on_progress: Callable[[int], object],
) -> ImportResult:
    """Store the events of a table, of any age. A bad row is reported and stops nothing.

    Events that are on disk already, by their identifier, are counted as known: a second run changes nothing.

    :param rows: line number in the file, and the row's cells by column
    :param on_refusal: told the line and the reason of each event that was not taken, in the order of the lines
    :param on_progress: told how many rows have been worked off since it was last called
    :raises NoActiveMeter: if a meter of ``columns`` is not there; nothing is imported then
    """
    reader = RowReader(columns, _payload_keys(environment, columns))
    result = ImportResult()
    # What cannot be read as an event waits with the others, so that refusals are told in one order.
    batch: list[tuple[int, EventDraft | BillingError]] = []
    rows_in_batch = 0

    def flush() -> None:
        accepted = iter(
            accept_events(
                environment=environment,
                drafts=[draft for _, draft in batch if isinstance(draft, EventDraft)],
                source=Source.IMPORT,
                now=timezone.now(),
                any_age=True,
            )
        )
        for line, draft in batch:
            outcome = next(accepted) if isinstance(draft, EventDraft) else draft
            if isinstance(outcome, EventExists):
                result.known += 1
            elif isinstance(outcome, BillingError):
                result.refused += 1
                on_refusal(line, outcome)
            else:
                result.accepted += 1
        batch.clear()

    for line, row in rows:
        result.rows += 1
        rows_in_batch += 1
        try:
            batch.extend((line, draft) for draft in reader.drafts(row))
        except BillingError as error:
            batch.append((line, error))
        if len(batch) >= _BATCH:
            flush()
            on_progress(rows_in_batch)
            rows_in_batch = 0
    flush()
    on_progress(rows_in_batch)
    return result


def _payload_keys(environment: Environment, columns: Columns) -> dict[str, PayloadKeys]:
    found = Meter.objects.of(environment).active().filter(event_name__in=columns.meters)
    keys = {meter.event_name: PayloadKeys(meter.customer_key, meter.value_key) for meter in found}
    for event_name in columns.meters:
        if event_name not in keys:
            raise NoActiveMeter(event_name)
    return keys
