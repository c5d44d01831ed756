"""Making summaries anew from the events: of hours that were marked, or of whole meters."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Environment
from core.periods import Period, ceil_day, ceil_hour, floor_day, floor_hour
from meters.models import Meter
from usage.models import DirtyHour, DroppedMonth, UsageSummary
from usage.services.partitions import month_of, recountable_months
from usage.services.rollup import AGGREGATES, DAILY_COLUMNS, SUMMARY_COLUMNS, UNIQUE_COLUMNS, roll_up
from usage.totals import COUNTS

# A slice of a rebuild holds the roll-up back for as long as it takes: some tenths of a second.
EVENTS_AT_ONCE = 20_000
_SECONDS_BETWEEN_ROLL_UPS = 1.0

_MARKS = """unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::timestamptz[])
            AS mark (environment_id, meter_id, customer_id, hour)"""
_MARKED_EVENTS = f"""
          FROM {_MARKS} JOIN usage_meterevent AS event
            ON event.environment_id = mark.environment_id AND event.meter_id = mark.meter_id
           AND event.customer_id = mark.customer_id
           AND event."timestamp" >= mark.hour AND event."timestamp" < mark.hour + interval '1 hour'
         WHERE event.xid < %s AND {COUNTS}"""


# What a day's summaries are by definition: those of its hours, added up.
_ADDED_UP = f"""
    INSERT INTO usage_dailysummary ({DAILY_COLUMNS})
    SELECT summary.environment_id, summary.meter_id, summary.customer_id, date_trunc('day', summary.hour, 'UTC'), dimensions,
           sum(event_count), sum(value_sum), min(value_min), max(value_max)"""


@transaction.atomic
def mark_dirty(
    *, environment: Environment, hours: Iterable[tuple[UUID, UUID, datetime]], reason: str, now: datetime
) -> None:
    """Ask for hours to be computed again from their events. Until then, reads take them from the events.

    Of a month whose events were dropped by retention the summaries are all there is: they stay.

    :param hours: meter, customer, and any instant of the hour
    """
    months = {month.start for month in recountable_months()}
    DirtyHour.objects.bulk_create(
        DirtyHour(
            environment=environment,
            meter_id=meter,
            customer_id=customer,
            hour=floor_hour(instant),
            reason=reason,
            marked_at=now,
        )
        for meter, customer, instant in hours
        if month_of(instant).start in months
    )


@transaction.atomic
def recompute_dirty_hours(*, limit: int = 1000) -> int:
    """Make the summaries of marked hours agree with their events, whatever stood there before.

    :returns: how many marks were worked off
    """
    with connection.cursor() as cursor:
        xid = _hold_watermark(cursor)
        cursor.execute(
            """
            DELETE FROM usage_dirtyhour WHERE (environment_id, id) IN (
                SELECT environment_id, id FROM usage_dirtyhour ORDER BY marked_at, id LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING environment_id, meter_id, customer_id, hour
            """,
            [limit],
        )
        marks = cursor.fetchall()
        # Of a month whose events were dropped by retention, the summaries are all there is: they stay.
        months = {month.start for month in recountable_months()}
        kept = [mark for mark in marks if month_of(mark[3]).start in months]
        if kept:
            _recompute(cursor, kept, xid)
    return len(marks)


def _hold_watermark(cursor: Any) -> int:
    """Keep the roll-up from adding the same events meanwhile: it skips a run instead of waiting.

    :returns: the first transaction id whose events are not rolled up; 0 before the first run
    """
    cursor.execute("SELECT xid FROM usage_watermark WHERE id = 1 FOR UPDATE")
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _recompute(cursor: Any, marks: list[tuple[UUID, UUID, UUID, datetime]], xid: int) -> None:
    columns = [list(column) for column in zip(*set(marks), strict=True)]
    for table in ("usage_usagesummary", "usage_uniquevalue"):
        cursor.execute(
            f"""
            DELETE FROM {table} AS summary USING {_MARKS}
             WHERE summary.environment_id = mark.environment_id AND summary.meter_id = mark.meter_id
               AND summary.customer_id = mark.customer_id AND summary.hour = mark.hour
            """,  # noqa: S608 (table names of ours)
            columns,
        )
    # What is not rolled up yet stays out, or the roll-up would add it a second time.
    cursor.execute(
        f"""
        INSERT INTO usage_usagesummary ({SUMMARY_COLUMNS})
        SELECT event.environment_id, event.meter_id, event.customer_id, mark.hour, event.dimensions, {AGGREGATES}
          {_MARKED_EVENTS}
         GROUP BY 1, 2, 3, 4, 5
        """,
        [*columns, xid],
    )
    cursor.execute(
        f"""
        INSERT INTO usage_uniquevalue ({UNIQUE_COLUMNS})
        SELECT DISTINCT event.environment_id, event.meter_id, event.customer_id, mark.hour, event.dimensions, unique_value
          {_MARKED_EVENTS} AND unique_value IS NOT NULL
        """,
        [*columns, xid],
    )
    _add_up_days(cursor, marks)


def _add_up_days(cursor: Any, marks: list[tuple[UUID, UUID, UUID, datetime]]) -> None:
    """Make the summaries of the days that hold these hours anew from those of all their hours."""
    days = {(*owner, floor_day(hour)) for *owner, hour in marks}
    columns = [list(column) for column in zip(*days, strict=True)]
    cursor.execute(
        f"""
        DELETE FROM usage_dailysummary AS summary USING {_MARKS}
         WHERE summary.environment_id = mark.environment_id AND summary.meter_id = mark.meter_id
           AND summary.customer_id = mark.customer_id AND summary.day = mark.hour
        """,  # noqa: S608 (table names of ours)
        columns,
    )
    cursor.execute(
        f"""
        {_ADDED_UP}
          FROM {_MARKS} JOIN usage_usagesummary AS summary
            ON summary.environment_id = mark.environment_id AND summary.meter_id = mark.meter_id
           AND summary.customer_id = mark.customer_id
           AND summary.hour >= mark.hour AND summary.hour < mark.hour + interval '24 hours'
         GROUP BY 1, 2, 3, 4, 5
        """,
        columns,
    )


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild made: summaries, and the events in them. ``kept`` are the months that it left as they were."""

    summaries: int = 0
    events: int = 0
    kept: frozenset[datetime] = frozenset()

    def __add__(self, other: "Rebuilt") -> "Rebuilt":
        return Rebuilt(self.summaries + other.summaries, self.events + other.events, self.kept | other.kept)


def rebuild_summaries(
    *, meter: Meter, period: Period | None = None, on_progress: Callable[[int], object] = lambda _events: None
) -> Rebuilt:
    """Make a meter's summaries anew from its events, beside live traffic: every read is right at every moment.

    It goes in short transactions of some ten thousand events. Months whose events were dropped by retention keep their
    summaries, which are all there is.

    :param period: what to rebuild, widened to whole hours; None for everything
    :param on_progress: told after each transaction how many events it counted
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, until it is made ready
    """
    # Also makes the watermark where there was none, and tells if it is another server's.
    roll_up()
    rolled_up_at = time.monotonic()
    rebuilt = Rebuilt(kept=_dropped_months(meter, period))
    for span in _recountable(period):
        for start, end in _slices(meter, span):
            made = _rebuild(meter, span, start, end)
            rebuilt += made
            on_progress(made.events)
            # Its own runs find the watermark held most of the time, and summaries must not grow old meanwhile.
            if time.monotonic() - rolled_up_at > _SECONDS_BETWEEN_ROLL_UPS:
                roll_up()
                rolled_up_at = time.monotonic()
    return rebuilt


# Where a slice begins or ends: between two hours of a customer. So slices hold about as many events each, and together
# cover every summary there could be, whether it has events or not.
_Cut = tuple[UUID, datetime]
_LAST_CUSTOMER = UUID(int=(1 << 128) - 1)


@transaction.atomic
def _recountable(period: Period | None) -> list[Period]:
    months = recountable_months()
    return months if period is None else [span for month in months if (span := _widened(period, month))]


def _widened(period: Period, month: Period) -> Period | None:
    """The whole hours of a month that a period touches."""
    start, end = max(floor_hour(period.start), month.start), min(ceil_hour(period.end), month.end)
    return Period(start, end) if start < end else None


def _dropped_months(meter: Meter, period: Period | None) -> frozenset[datetime]:
    """The months whose summaries a rebuild leaves alone, as far as there are any."""
    found = []
    for month in map(month_of, DroppedMonth.objects.values_list("month", flat=True)):
        span = month if period is None else _widened(period, month)
        if span is not None:
            summaries = UsageSummary.objects.filter(
                environment=meter.environment_id, meter=meter, hour__gte=span.start, hour__lt=span.end
            )
            if summaries.exists():
                found.append(month.start)
    return frozenset(found)


def _slices(meter: Meter, span: Period) -> Iterator[tuple[_Cut, _Cut]]:
    start = (UUID(int=0), span.start)
    while (end := _next_cut(meter, span, start)) is not None:
        yield start, end
        start = end
    yield start, (_LAST_CUSTOMER, span.end)


def _next_cut(meter: Meter, span: Period, start: _Cut) -> _Cut | None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT customer_id, "timestamp" FROM usage_meterevent
             WHERE environment_id = %s AND meter_id = %s AND "timestamp" >= %s AND "timestamp" < %s
               AND (customer_id, "timestamp") >= (%s, %s)
             ORDER BY customer_id, "timestamp" OFFSET %s LIMIT 1
            """,
            [meter.environment_id, meter.pk, span.start, span.end, *start, EVENTS_AT_ONCE],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    customer, timestamp = row
    cut = (customer, floor_hour(timestamp))
    # An hour that holds more than a slice stays whole.
    return cut if cut > start else (customer, Period.hour(timestamp).end)


@transaction.atomic
def _rebuild(meter: Meter, span: Period, start: _Cut, end: _Cut) -> Rebuilt:
    scope: list[Any] = [meter.environment_id, meter.pk, span.start, span.end, *start, *end]
    with connection.cursor() as cursor:
        xid = _hold_watermark(cursor)
        if month_of(span.start) not in recountable_months():
            # Retention came first.
            return Rebuilt(kept=frozenset([month_of(span.start).start]))
        for table in ("usage_usagesummary", "usage_uniquevalue"):
            cursor.execute(
                f"""
                DELETE FROM {table}
                 WHERE environment_id = %s AND meter_id = %s AND hour >= %s AND hour < %s
                   AND (customer_id, hour) >= (%s, %s) AND (customer_id, hour) < (%s, %s)
                """,  # noqa: S608 (table names of ours)
                scope,
            )
        # What is not rolled up yet stays out, or the roll-up would add it a second time.
        events = f"""
              FROM usage_meterevent AS event
             WHERE environment_id = %s AND meter_id = %s AND "timestamp" >= %s AND "timestamp" < %s
               AND (customer_id, "timestamp") >= (%s, %s) AND (customer_id, "timestamp") < (%s, %s)
               AND xid < %s AND {COUNTS}"""
        hour = "date_trunc('hour', \"timestamp\", 'UTC')"
        cursor.execute(
            f"""
            WITH made AS (
                INSERT INTO usage_usagesummary ({SUMMARY_COLUMNS})
                SELECT environment_id, meter_id, customer_id, {hour}, dimensions, {AGGREGATES} {events}
                 GROUP BY 1, 2, 3, 4, 5
                RETURNING event_count)
            SELECT count(*), coalesce(sum(event_count), 0) FROM made
            """,  # noqa: S608 (column names of ours)
            [*scope, xid],
        )
        summaries, counted = cursor.fetchone()
        cursor.execute(
            f"""
            INSERT INTO usage_uniquevalue ({UNIQUE_COLUMNS})
            SELECT DISTINCT environment_id, meter_id, customer_id, {hour}, dimensions, unique_value
              {events} AND unique_value IS NOT NULL
            """,
            [*scope, xid],
        )
        _add_up_days_between(cursor, meter, span, start, end)
    return Rebuilt(summaries, int(counted))


def _add_up_days_between(cursor: Any, meter: Meter, span: Period, start: _Cut, end: _Cut) -> None:
    """The same for the days between two cuts. Those that a cut or the span goes through are added up as a whole."""
    scope: list[Any] = [meter.environment_id, meter.pk, floor_day(span.start), ceil_day(span.end)]
    scope += [start[0], floor_day(start[1]), end[0], ceil_day(end[1])]
    where = """
         WHERE environment_id = %s AND meter_id = %s AND {column} >= %s AND {column} < %s
           AND (customer_id, {column}) >= (%s, %s) AND (customer_id, {column}) < (%s, %s)"""
    cursor.execute(f"DELETE FROM usage_dailysummary {where.format(column='day')}", scope)  # noqa: S608 (names of ours)
    cursor.execute(
        f"{_ADDED_UP} FROM usage_usagesummary AS summary {where.format(column='hour')} GROUP BY 1, 2, 3, 4, 5", scope
    )
