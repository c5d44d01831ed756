"""Counting summaries again: an hour's against its events, and a day's against its hours. A difference is an alarm.

Roll-up, cancellations and repairs each keep them equal. This is how it would come to light if one of them did not.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from accounts.models import Environment
from core.periods import DAY, Period, ceil_hour, floor_hour
from usage.models import RecountDifference, UsageSummary
from usage.services.partitions import recountable_months
from usage.services.repair import mark_dirty
from usage.totals import COUNTS, Span

logger = logging.getLogger(__name__)

# How many summaries of an environment are looked at each night, with the other hours of their day.
SAMPLE = 500
# One statement each: a customer's month may have millions of events.
_SPANS_AT_ONCE = 25
# Any constant will do: it only has to be the same in every process.
_LOCK = 7_201_002


def recount_sample(*, environment: Environment, now: datetime, size: int = SAMPLE) -> int:
    """Count a random sample of an environment's summaries again, and with each the whole UTC day around it.

    :returns: how many summaries did not agree with their events
    """
    # Their ids are random, so what follows upon a random id is a random choice, and the index finds it.
    after, summaries = uuid4(), UsageSummary.objects.filter(environment=environment).select_related("meter")
    sample = list(summaries.filter(pk__gte=after).order_by("pk")[:size])
    sample += summaries.filter(pk__lt=after).order_by("pk")[: size - len(sample)]
    days = [(row, row.hour.replace(hour=0)) for row in sample]
    spans = [Span(row.meter, row.customer_id, Period(day, day + DAY)) for row, day in days]
    return recount(environment=environment, spans=spans, now=now)


def recount(*, environment: Environment, spans: Iterable[Span], now: datetime) -> int:
    """Hold the summaries of all hours that the spans touch against their events, beside live traffic.

    A difference is logged as an error and recorded, and its hour is marked to be computed again. Left out are hours that
    are marked already, and months whose events were dropped by retention.

    :returns: how many summaries did not agree
    """
    hours = _whole_hours(spans)
    return sum(
        _recount(environment, hours[first : first + _SPANS_AT_ONCE], now)
        for first in range(0, len(hours), _SPANS_AT_ONCE)
    )


def resolve_difference(*, difference: RecountDifference, now: datetime) -> None:
    """Say that a difference is explained and settled. It stays on record; a second time changes nothing."""
    RecountDifference.objects.of(difference.environment).unresolved().filter(pk=difference.pk).update(resolved_at=now)


@dataclass(frozen=True, slots=True)
class _Hours:
    """Whole hours of one customer on one meter."""

    meter_id: UUID
    customer_id: UUID
    period: Period


def _whole_hours(spans: Iterable[Span]) -> list[_Hours]:
    """The hours that spans touch, each once."""
    periods: Mapping[tuple[UUID, UUID], list[Period]] = defaultdict(list)
    for span in spans:
        touched = Period(floor_hour(span.period.start), ceil_hour(span.period.end))
        periods[span.meter.pk, span.customer_id].append(touched)
    return [_Hours(*owner, period) for owner, touched in periods.items() for period in _united(touched)]


def _united(periods: Iterable[Period]) -> list[Period]:
    united: list[Period] = []
    for period in sorted(periods, key=lambda period: period.start):
        if united and period.start <= united[-1].end:
            united[-1] = Period(united[-1].start, max(united[-1].end, period.end))
        else:
            united.append(period)
    return united


@transaction.atomic
def _recount(environment: Environment, hours: Sequence[_Hours], now: datetime) -> int:
    with connection.cursor() as cursor:
        # Two recounts at once would raise the same alarm twice; the second finds the hours marked.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        parts = _with_events(hours)
        if not parts:
            return 0
        asked = {
            "environment": environment.pk,
            "meters": [part.meter_id for part in parts],
            "customers": [part.customer_id for part in parts],
            "starts": [part.period.start for part in parts],
            "ends": [part.period.end for part in parts],
        }
        # The days last: those of hours that are marked by now wait for their repair as well.
        return sum(
            _raise_alarm(environment, _differences(cursor, statement, asked), now)
            for statement in (_DIFFERENCES_OF_HOURS, _DIFFERENCES_OF_DAYS)
        )


def _with_events(hours: Sequence[_Hours]) -> list[_Hours]:
    """Hours without those of months whose events are gone. Retention takes no more until the transaction ends."""
    months = recountable_months()
    return [
        _Hours(part.meter_id, part.customer_id, Period(start, end))
        for part in hours
        for month in months
        if (start := max(part.period.start, month.start)) < (end := min(part.period.end, month.end))
    ]


def _differences(cursor: Any, statement: str, asked: Mapping[str, Any]) -> list[RecountDifference]:
    cursor.execute(statement, asked)
    # Django's raw cursors leave JSON as text.
    return [
        RecountDifference(
            meter_id=meter_id,
            customer_id=customer_id,
            hour=hour,
            is_of_day=statement == _DIFFERENCES_OF_DAYS,
            dimensions=json.loads(dimensions),
            summarized=summarized and json.loads(summarized),
            counted=counted and json.loads(counted),
        )
        for meter_id, customer_id, hour, dimensions, summarized, counted in cursor.fetchall()
    ]


def _raise_alarm(environment: Environment, found: Sequence[RecountDifference], now: datetime) -> int:
    """:returns: how many differences there are"""
    for difference in found:
        difference.environment, difference.found_at = environment, now
    RecountDifference.objects.bulk_create(found)
    # A day is added up anew whichever of its hours is.
    hours = [(difference.meter_id, difference.customer_id, difference.hour) for difference in found]
    mark_dirty(environment=environment, hours=hours, reason="recount found a difference", now=now)
    by_meter = groupby(sorted(hours), key=lambda hour: hour[0])
    for meter_id, rows in by_meter:
        wrong = list(rows)
        logger.error(
            "%d summaries of meter %s (%s) do not agree with what they are made from, the earliest of %s. They are "
            "computed again; the console has what they said.",
            len(wrong),
            meter_id,
            environment,
            min(hour for _, _, hour in wrong).isoformat(),
        )
    return len(found)


# Decimals as text: equal ones are spelled alike, and whoever reads them makes no float of them.
_DOCUMENT = """jsonb_strip_nulls(jsonb_build_object(
    'event_count', event_count,
    'value_sum', trim_scale(value_sum)::text,
    'value_min', trim_scale(value_min)::text,
    'value_max', trim_scale(value_max)::text,
    'last_value', trim_scale(last_value)::text,
    'last_timestamp', last_timestamp,
    'last_event_id', last_event_id,
    'unique_values', unique_values,
    'unique_values_hash', unique_values_hash::text)) AS document"""

_DOCUMENT_OF_DAY = """jsonb_strip_nulls(jsonb_build_object(
    'event_count', event_count,
    'value_sum', trim_scale(value_sum)::text,
    'value_min', trim_scale(value_min)::text,
    'value_max', trim_scale(value_max)::text)) AS document"""

# One statement, and so one snapshot: the watermark in it is the one that its summaries were made at. A marked hour is
# known to be wrong and waits for its repair.
_DIFFERENCES_OF_HOURS = f"""
WITH asked AS (
    SELECT * FROM unnest(%(meters)s::uuid[], %(customers)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        AS asked (meter_id, customer_id, "start", "end")
),
from_events AS (
    SELECT event.meter_id, event.customer_id, date_trunc('hour', "timestamp", 'UTC') AS hour, event.dimensions,
           count(*) AS event_count, sum(value) AS value_sum, min(value) AS value_min, max(value) AS value_max,
           (array_agg(value ORDER BY "timestamp" DESC, id DESC))[1] AS last_value,
           max("timestamp") AS last_timestamp,
           (array_agg(id ORDER BY "timestamp" DESC, id DESC))[1] AS last_event_id,
           nullif(count(DISTINCT unique_value), 0) AS unique_values,
           sum(DISTINCT hashtextextended(unique_value, 0)::numeric) AS unique_values_hash
      FROM asked JOIN usage_meterevent AS event
        ON event.environment_id = %(environment)s AND event.meter_id = asked.meter_id
       AND event.customer_id = asked.customer_id
       AND event."timestamp" >= asked."start" AND event."timestamp" < asked."end"
     WHERE event.xid < (SELECT xid FROM usage_watermark WHERE id = 1) AND {COUNTS}
     GROUP BY 1, 2, 3, 4
),
from_values AS (
    SELECT summary.meter_id, summary.customer_id, hour, dimensions,
           count(*) AS unique_values, sum(hashtextextended(value, 0)::numeric) AS unique_values_hash
      FROM asked JOIN usage_uniquevalue AS summary
        ON summary.environment_id = %(environment)s AND summary.meter_id = asked.meter_id
       AND summary.customer_id = asked.customer_id AND hour >= asked."start" AND hour < asked."end"
     GROUP BY 1, 2, 3, 4
),
from_summaries AS (
    SELECT meter_id, customer_id, hour, dimensions, event_count, value_sum, value_min, value_max,
           last_value, last_timestamp, last_event_id, unique_values, unique_values_hash
      FROM (SELECT summary.* FROM asked JOIN usage_usagesummary AS summary
                ON summary.environment_id = %(environment)s AND summary.meter_id = asked.meter_id
               AND summary.customer_id = asked.customer_id AND hour >= asked."start" AND hour < asked."end") AS summary
      FULL JOIN from_values USING (meter_id, customer_id, hour, dimensions)
),
compared AS (
    SELECT meter_id, customer_id, hour, dimensions, summarized.document AS summarized, counted.document AS counted
      FROM (SELECT meter_id, customer_id, hour, dimensions, {_DOCUMENT} FROM from_summaries) AS summarized
      FULL JOIN (SELECT meter_id, customer_id, hour, dimensions, {_DOCUMENT} FROM from_events) AS counted
     USING (meter_id, customer_id, hour, dimensions)
)
SELECT meter_id, customer_id, hour, dimensions, summarized, counted FROM compared
 WHERE summarized IS DISTINCT FROM counted
   AND NOT EXISTS (SELECT 1 FROM usage_dirtyhour AS mark
                    WHERE mark.environment_id = %(environment)s AND mark.meter_id = compared.meter_id
                      AND mark.customer_id = compared.customer_id AND mark.hour = compared.hour)
 ORDER BY hour, customer_id
"""  # noqa: S608 (statements of ours)

# The same of the days that the hours lie in. Both levels change in one transaction, and one statement sees both.
_DIFFERENCES_OF_DAYS = """
WITH asked AS (
    SELECT DISTINCT meter_id, customer_id, day
      FROM unnest(%(meters)s::uuid[], %(customers)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
           AS asked (meter_id, customer_id, "start", "end")
     CROSS JOIN LATERAL generate_series(date_trunc('day', "start", 'UTC'), "end" - interval '1 hour', interval '24 hours')
           AS day
),
compared AS (
    SELECT meter_id, customer_id, day, dimensions, summarized.document AS summarized, counted.document AS counted
      FROM (SELECT summary.meter_id, summary.customer_id, day, dimensions, {document}
              FROM asked JOIN usage_dailysummary AS summary USING (meter_id, customer_id, day)
             WHERE summary.environment_id = %(environment)s) AS summarized
      FULL JOIN (
            SELECT meter_id, customer_id, day, dimensions, {document}
              FROM (SELECT summary.meter_id, summary.customer_id, day, dimensions, sum(event_count) AS event_count,
                           sum(value_sum) AS value_sum, min(value_min) AS value_min, max(value_max) AS value_max
                      FROM asked JOIN usage_usagesummary AS summary
                        ON summary.environment_id = %(environment)s AND summary.meter_id = asked.meter_id
                       AND summary.customer_id = asked.customer_id
                       AND hour >= day AND hour < day + interval '24 hours'
                     GROUP BY 1, 2, 3, 4) AS hours) AS counted
     USING (meter_id, customer_id, day, dimensions)
)
SELECT meter_id, customer_id, day, dimensions, summarized, counted FROM compared
 WHERE summarized IS DISTINCT FROM counted
   AND NOT EXISTS (SELECT 1 FROM usage_dirtyhour AS mark
                    WHERE mark.environment_id = %(environment)s AND mark.meter_id = compared.meter_id
                      AND mark.customer_id = compared.customer_id
                      AND mark.hour >= day AND mark.hour < day + interval '24 hours')
 ORDER BY day, customer_id
""".replace("{document}", _DOCUMENT_OF_DAY)
