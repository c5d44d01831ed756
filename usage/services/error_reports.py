"""Gathering rejections into reports, which become events that others are told of."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from accounts.models import Environment
from usage.models import EventRejection
from webhooks.kinds import Kind
from webhooks.services import record_report

SAMPLES = 5
_BATCH = 50_000


def report_rejections(*, now: datetime) -> int:
    """Make an event of each meter's rejections since the last report, and one of those that named no meter.

    Every rejection gets into one report, however many processes are at it: which one is decided by its row.

    :returns: how many events were made
    """
    fresh = EventRejection.objects.filter(environment=OuterRef("pk"), reported_at__isnull=True)
    made = 0
    for environment in Environment.objects.filter(Exists(fresh)):
        while True:
            rejections, events = _report(environment, now)
            made += events
            if rejections < _BATCH:
                break
    return made


@transaction.atomic
def _report(environment: Environment, now: datetime) -> tuple[int, int]:
    by_meter: dict[UUID | None, list[_Group]] = {}
    for meter_id, *columns in _take_up(environment, now):
        by_meter.setdefault(meter_id, []).append(_Group(*columns))
    for meter_id, groups in by_meter.items():
        record_report(
            environment=environment,
            kind=Kind.METER_ERROR_REPORT if meter_id else Kind.NO_METER_FOUND,
            subject_id=meter_id,
            data=_data(groups),
            now=now,
        )
    return sum(group.count for groups in by_meter.values() for group in groups), len(by_meter)


class _Group:
    """The rejections of one code."""

    def __init__(
        self, code: str, count: int, start: datetime, end: datetime, identifiers: list[str], messages: list[str]
    ) -> None:
        self.code = code
        self.count = count
        self.start = start
        self.end = end
        self.samples = list(zip(identifiers, messages, strict=True))


def _data(groups: Iterable[_Group]) -> dict[str, Any]:
    """What a report tells: received when (first and last), and per code how many, with samples."""
    groups = sorted(groups, key=lambda group: (-group.count, group.code))
    return {
        "first_received_at": min(group.start for group in groups).isoformat(),
        "last_received_at": max(group.end for group in groups).isoformat(),
        "errors": [
            {
                "code": group.code,
                "count": group.count,
                "samples": [{"identifier": identifier, "message": message} for identifier, message in group.samples],
            }
            for group in groups
        ],
    }


def _take_up(environment: Environment, now: datetime) -> list[tuple[Any, ...]]:
    """Mark unreported rejections as reported, and say what they were. Those of another process are left to it."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH fresh AS (
                SELECT id FROM usage_eventrejection
                 WHERE environment_id = %(environment)s AND reported_at IS NULL
                 ORDER BY received_at LIMIT {_BATCH} FOR UPDATE SKIP LOCKED
            ),
            reported AS (
                UPDATE usage_eventrejection AS rejection SET reported_at = %(now)s
                  FROM fresh WHERE rejection.environment_id = %(environment)s AND rejection.id = fresh.id
                RETURNING rejection.*
            )
            SELECT meter_id, code, count(*), min(received_at), max(received_at),
                   (array_agg(identifier ORDER BY received_at, id))[1:{SAMPLES}],
                   (array_agg(message ORDER BY received_at, id))[1:{SAMPLES}]
              FROM reported GROUP BY meter_id, code
            """,  # noqa: S608 (numbers of ours)
            {"environment": environment.pk, "now": now},
        )
        return list(cursor.fetchall())
