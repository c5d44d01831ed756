"""Reading usage: hourly summaries, with raw events for the edges and for what is not rolled up yet.

Every answer is exact up to the moment of asking: the summaries cover all transactions before the watermark, and the
events of later ones are added from the event table within the same snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from django.db import connection

from accounts.models import Customer
from core.periods import DAY, HOUR, Period, ceil_hour, floor_hour
from meters.models import Meter
from usage.aggregation import ZERO, Totals
from usage.models import Watermark

_WINDOW_LENGTH = {"hour": HOUR, "day": DAY}


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """How much did this customer use on this meter in this period?"""

    meter_id: UUID
    customer_id: UUID
    period: Period


@dataclass(frozen=True, slots=True)
class Usage:
    """The answer: the meter's formula over the period's events, in the meter's unit."""

    value: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One bucket of a summary, or the whole range as one."""

    id: UUID
    period: Period
    value: Decimal
    event_count: int


def watermark() -> Watermark:
    """How far the roll-up has read: nowhere before its first run."""
    stored = Watermark.objects.filter(pk=Watermark.SINGLETON).first()
    return stored or Watermark(xid=0, read_at=datetime.fromtimestamp(0, UTC))


def quantities(environment_id: UUID, questions: Sequence[UsageQuestion]) -> list[Usage]:
    """Answer many questions with one query (one more if meters with an event time window are among them).

    :returns: an answer for each question, in order
    """
    meters = {meter.pk: meter for meter in Meter.objects.filter(pk__in={question.meter_id for question in questions})}
    totals: dict[int, Totals] = {}
    windowed = [n for n, question in enumerate(questions) if meters[question.meter_id].event_time_window]
    plain = [n for n, question in enumerate(questions) if not meters[question.meter_id].event_time_window]
    for numbers, read in ((plain, _totals), (windowed, _windowed_totals)):
        asked = [questions[n] for n in numbers]
        if asked:
            for (n, _bucket), found in read(environment_id, asked, None, meters).items():
                totals[numbers[n]] = found
    answers = []
    for n, question in enumerate(questions):
        found = totals.get(n, Totals())
        answers.append(Usage(found.value(meters[question.meter_id].formula), found.event_count))
    return answers


def summaries(*, meter: Meter, customer: Customer, period: Period, window: str | None = None) -> list[SummaryRow]:
    """One customer's usage on one meter, newest bucket first.

    :param window: "hour" or "day" (UTC), for a row per bucket that has events; None for one row over the whole range
    """
    question = UsageQuestion(meter.pk, customer.pk, period)
    read = _windowed_totals if meter.event_time_window else _totals
    found = read(meter.environment_id, [question], window, {meter.pk: meter})
    if window is None:
        return [_row(question, period, found.get((0, None), Totals()), meter)]
    length = _WINDOW_LENGTH[window]
    return [
        _row(question, Period(bucket, bucket + length), totals, meter)
        for (_, bucket), totals in sorted(found.items(), key=lambda item: item[0][1] or period.start, reverse=True)
        if bucket is not None
    ]


def _row(question: UsageQuestion, period: Period, totals: Totals, meter: Meter) -> SummaryRow:
    # Pages are asked for by id, so the same bucket must have the same id in every answer.
    name = f"{question.customer_id} {period.start.isoformat()} {period.end.isoformat()}"
    return SummaryRow(uuid5(meter.pk, name), period, totals.value(meter.formula), totals.event_count)


def _totals(
    environment_id: UUID, questions: Sequence[UsageQuestion], window: str | None, _meters: dict[UUID, Meter]
) -> dict[tuple[int, datetime | None], Totals]:
    """Totals by question and bucket, from summaries where a whole hour lies in the period."""
    whole, edges = [], []
    for number, question in enumerate(questions):
        period = question.period
        start, end = ceil_hour(period.start), floor_hour(period.end)
        if start < end:
            whole.append((number, question.meter_id, question.customer_id, start, end))
            edges.append((number, question.meter_id, question.customer_id, period.start, start))
            edges.append((number, question.meter_id, question.customer_id, end, period.end))
        else:
            edges.append((number, question.meter_id, question.customer_id, period.start, period.end))
    bucket = _bucket(window, "at")
    while True:
        mark = watermark().xid
        rows = _fetch(
            f"""
            WITH whole AS (SELECT * FROM {_ASKED}), edge AS (SELECT * FROM {_ASKED}),
            part AS (
                SELECT whole.number, summary.hour AS at, event_count, value_sum, value_min, value_max,
                       last_value, last_timestamp, last_event_id
                  FROM whole JOIN usage_usagesummary AS summary
                    ON summary.environment_id = %s AND summary.meter_id = whole.meter_id
                   AND summary.customer_id = whole.customer_id
                   AND summary.hour >= whole.start AND summary.hour < whole."end"
                UNION ALL
                SELECT whole.number, "timestamp", 1, value, value, value, value, "timestamp", id
                  FROM usage_meterevent AS event JOIN whole
                    ON event.meter_id = whole.meter_id AND event.customer_id = whole.customer_id
                   AND "timestamp" >= whole.start AND "timestamp" < whole."end"
                 WHERE event.environment_id = %s AND event.xid >= %s
                UNION ALL
                SELECT edge.number, "timestamp", 1, value, value, value, value, "timestamp", id
                  FROM edge JOIN usage_meterevent AS event
                    ON event.environment_id = %s AND event.meter_id = edge.meter_id
                   AND event.customer_id = edge.customer_id
                   AND "timestamp" >= edge.start AND "timestamp" < edge."end"
            )
            SELECT coalesce((SELECT xid FROM usage_watermark WHERE id = 1), 0), number, {bucket} AS bucket,
                   sum(event_count)::bigint, sum(value_sum), min(value_min), max(value_max),
                   (array_agg(last_value ORDER BY last_timestamp DESC, last_event_id DESC))[1]
              FROM part GROUP BY number, bucket
            """,  # noqa: S608 (column names of ours)
            [*_columns(whole), *_columns(edges), environment_id, environment_id, mark, environment_id],
        )
        # The watermark is a literal above, so that the planner sees how few events lie beyond it. Should the roll-up
        # have moved it in between, summaries and events of that snapshot would overlap: read again.
        if all(seen == mark for seen, *_ in rows):
            return _by_bucket(rows)


def _windowed_totals(
    environment_id: UUID, questions: Sequence[UsageQuestion], window: str | None, meters: dict[UUID, Meter]
) -> dict[tuple[int, datetime | None], Totals]:
    """Totals where only the last event of each clock hour or UTC day counts; read from the events."""
    asked = [
        (number, question.meter_id, question.customer_id, question.period.start, question.period.end)
        for number, question in enumerate(questions)
    ]
    windows = [meters[question.meter_id].event_time_window for question in questions]
    bucket = _bucket(window, '"timestamp"')
    rows = _fetch(
        f"""
        WITH asked AS (SELECT asked.*, kind.window FROM {_ASKED} JOIN unnest(%s::int[], %s::text[]) AS kind (number, "window")
                       USING (number)),
        counted AS (
            SELECT DISTINCT ON (number, date_trunc("window", "timestamp", 'UTC')) number, event.id, value, "timestamp"
              FROM asked JOIN usage_meterevent AS event
                ON event.environment_id = %s AND event.meter_id = asked.meter_id
               AND event.customer_id = asked.customer_id
               AND "timestamp" >= asked.start AND "timestamp" < asked."end"
             ORDER BY number, date_trunc("window", "timestamp", 'UTC'), "timestamp" DESC, event.id DESC
        )
        SELECT 0, number, {bucket} AS bucket, count(*), sum(value), min(value), max(value),
               (array_agg(value ORDER BY "timestamp" DESC, id DESC))[1]
          FROM counted GROUP BY number, bucket
        """,  # noqa: S608 (column names of ours)
        [*_columns(asked), list(range(len(questions))), windows, environment_id],
    )
    return _by_bucket(rows)


def _bucket(window: str | None, column: str) -> str:
    """The SQL that names an event's bucket: the start of its hour or day, or nothing."""
    if window is None:
        return "NULL::timestamptz"
    if window not in _WINDOW_LENGTH:
        raise ValueError(f"no such window: {window!r}")
    return f"date_trunc('{window}', {column}, 'UTC')"


_ASKED = """unnest(%s::int[], %s::uuid[], %s::uuid[], %s::timestamptz[], %s::timestamptz[])
            AS asked (number, meter_id, customer_id, start, "end")"""


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], [], []]


def _fetch(statement: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _by_bucket(rows: list[tuple[Any, ...]]) -> dict[tuple[int, datetime | None], Totals]:
    return {
        (number, bucket): Totals(count, value_sum or ZERO, value_min or ZERO, value_max or ZERO, last or ZERO)
        for _mark, number, bucket, count, value_sum, value_min, value_max, last in rows
    }
