"""Events that a person brings in by hand: kept as the file they came in, and taken in as all others are, once."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts.models import Environment
from core.errors import BillingError
from meters.models import Meter
from usage import backfills
from usage.errors import BackfillDone, EventExists
from usage.events import AcceptedEvent, EventDraft
from usage.imports import PayloadKeys
from usage.models import Backfill, Source
from usage.services.acceptance import Outcome, accept_events
from usage.services.partitions import ensure_partitions


def add_backfill(
    *, environment: Environment, file_name: str, content: bytes, reason: str, made_by: str, now: datetime
) -> Backfill:
    """Keep a file, to be looked at and carried out. None of its events counts yet.

    :raises FileUnreadable: if it is no table that can be looked at
    :raises ColumnMissing: if a column that is needed is not there
    """
    rows = backfills.read_lines(content)
    return Backfill.objects.create(
        environment=environment,
        file_name=file_name[-200:],
        content=content,
        rows=len(rows),
        reason=reason,
        made_by=made_by,
        made_at=now,
    )


def lines_of(backfill: Backfill, *, now: datetime) -> list[backfills.Line]:
    """The file's rows as events, by the meters that take events now."""
    meters = Meter.objects.filter(environment=backfill.environment_id).active()
    keys = {meter.event_name: PayloadKeys(meter.customer_key, meter.value_key) for meter in meters}
    return list(backfills.lines(bytes(backfill.content), keys, now=now))


def outcomes_of(
    backfill: Backfill, lines: Sequence[backfills.Line], *, now: datetime
) -> list[AcceptedEvent | BillingError]:
    """Take the rows in, and say of each what became of it. Within a transaction that is undone it is a rehearsal.

    An identifier that the file has twice is taken once, as everywhere.
    """
    drafts = [line.draft for line in lines if isinstance(line.draft, EventDraft)]
    accepted = iter(
        accept_events(environment=backfill.environment, drafts=drafts, source=Source.IMPORT, now=now, any_age=True)
    )
    return [next(accepted) if isinstance(line.draft, EventDraft) else line.draft for line in lines]


def make_room(lines: Sequence[backfills.Line], *, now: datetime) -> None:
    """Make the partitions that the rows need, so that a long transaction need not: others would wait for it.

    An empty partition is no usage, so a rehearsal may leave one behind.
    """
    drafts = [line.draft for line in lines if isinstance(line.draft, EventDraft)]
    ensure_partitions(instants=[draft.timestamp for draft in drafts if draft.timestamp and draft.timestamp <= now])


def carry_out_backfill(*, backfill: Backfill, now: datetime, recorded_by: str) -> Backfill:
    """Take the file's events in: all that can be counted, in one transaction. Final invoices do not change.

    :returns: the backfill as it is now, with what became of its rows
    :raises BackfillDone: if it was carried out before, or in another process at this moment
    """
    lines = lines_of(backfill, now=now)
    make_room(lines, now=now)
    with transaction.atomic():
        backfill = (
            Backfill.objects.select_for_update(of=("self",))
            .select_related("environment")
            .get(environment=backfill.environment_id, pk=backfill.pk)
        )
        if backfill.carried_out_at is not None:
            raise BackfillDone
        outcomes: list[Outcome] = outcomes_of(backfill, lines, now=now)
        backfill.known = sum(isinstance(outcome, EventExists) for outcome in outcomes)
        backfill.accepted = sum(isinstance(outcome, AcceptedEvent) for outcome in outcomes)
        backfill.refused = len(outcomes) - backfill.accepted - backfill.known
        backfill.carried_out_at, backfill.carried_out_by = now, recorded_by
        backfill.save(update_fields=["known", "accepted", "refused", "carried_out_at", "carried_out_by"])
    return backfill
