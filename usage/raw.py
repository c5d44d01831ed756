"""The slow and plain way to count: the events of a period themselves, without any summary.

What was counted from summaries and is to be beyond doubt is held against this.
"""

from uuid import UUID

from django.db import connection

from usage.aggregation import ZERO, Totals
from usage.totals import Span

_COUNT = """
WITH event AS (
    SELECT * FROM usage_meterevent AS event
     WHERE environment_id = %(environment)s AND meter_id = %(meter)s AND customer_id = %(customer)s
       AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
       AND (%(before)s::uuid IS NULL OR id < %(before)s)
       AND NOT EXISTS (SELECT FROM usage_eventadjustment AS adjustment
                        WHERE adjustment.environment_id = event.environment_id AND adjustment.event_id = event.id
                          AND (%(before)s::uuid IS NULL OR adjustment.id < %(before)s))
), counted AS ({counted})
SELECT count(*), sum(value), min(value), max(value),
       (array_agg(value ORDER BY "timestamp" DESC, id DESC))[1], count(DISTINCT unique_value)
  FROM counted
"""
_ALL = "SELECT * FROM event"
# Only the last event of a window counts.
_LAST_OF_WINDOWS = """
    SELECT DISTINCT ON (date_trunc(%(window)s, "timestamp", 'UTC')) * FROM event
     ORDER BY date_trunc(%(window)s, "timestamp", 'UTC'), "timestamp" DESC, id DESC
"""


def count_events(span: Span, *, before: UUID | None = None) -> Totals:
    """Count a span's events one by one.

    :param before: an id: only what was accepted, or canceled, until it was made, since ids follow the time
    """
    window = span.meter.event_time_window
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT.format(counted=_LAST_OF_WINDOWS if window else _ALL),
            {
                "environment": span.meter.environment_id,
                "meter": span.meter.pk,
                "customer": span.customer_id,
                "start": span.period.start,
                "end": span.period.end,
                "before": before,
                "window": window,
            },
        )
        event_count, total, least, most, last, unique = cursor.fetchone()
    return Totals(event_count, total or ZERO, least or ZERO, most or ZERO, last or ZERO, unique)
