"""The roll-up: events become hourly and daily summaries, exactly once each.

Events are read by the transaction that stored them. ``xid < xmin of the snapshot`` holds only events of transactions
that have ended, and none of theirs can appear later; a cursor over ids or times would pass by the events of a
transaction that was still open when its neighbors were read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from usage.errors import WatermarkFromAnotherCluster
from usage.totals import COUNTS

# What a set of events amounts to; the same columns wherever summaries are computed.
AGGREGATES = """
    count(*), sum(value), min(value), max(value),
    (array_agg(value ORDER BY "timestamp" DESC, id DESC))[1],
    max("timestamp"),
    (array_agg(id ORDER BY "timestamp" DESC, id DESC))[1]
"""
SUMMARY_COLUMNS = """
    environment_id, meter_id, customer_id, hour, dimensions,
    event_count, value_sum, value_min, value_max, last_value, last_timestamp, last_event_id
"""
DAILY_COLUMNS = """
    environment_id, meter_id, customer_id, day, dimensions, event_count, value_sum, value_min, value_max
"""
UNIQUE_COLUMNS = "environment_id, meter_id, customer_id, hour, dimensions, value"


@dataclass(frozen=True, slots=True)
class RollUp:
    """What one run did: the summaries touched, and how far they are complete now."""

    summaries: int
    xid: int
    read_at: datetime


def roll_up() -> RollUp | None:
    """Add all events of ended transactions that are not in the summaries yet, and move the watermark.

    :returns: None when another process is at it
    :raises WatermarkFromAnotherCluster: on a database restored from a dump, where transaction ids begin anew
    """
    seen = _seen_before_snapshot()
    with transaction.atomic(), connection.cursor() as cursor:
        # The first run makes the row.
        cursor.execute("INSERT INTO usage_watermark (id, xid, read_at) VALUES (1, 0, 'epoch') ON CONFLICT DO NOTHING")
        cursor.execute(
            "SELECT xid, read_at, xid_offset, system_identifier FROM usage_watermark WHERE id = 1 FOR UPDATE SKIP LOCKED"
        )
        row = cursor.fetchone()
        if row is None:
            return None
        old_xid, old_read_at, offset, cluster = row
        cursor.execute(
            """
            SELECT (SELECT system_identifier FROM pg_control_system()),
                   pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
                   pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                   array(SELECT xip::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) AS xip
                          WHERE xip <> pg_current_xact_id())
            """
        )
        here, xmin, end, in_progress = cursor.fetchone()
        # The second is a server whose counter was set back by other means.
        if cluster not in (None, here) or old_xid > end + offset:
            raise WatermarkFromAnotherCluster
        horizon = xmin + offset
        cursor.execute(
            f"""
            INSERT INTO usage_usagesummary AS summary ({SUMMARY_COLUMNS})
            SELECT environment_id, meter_id, customer_id, date_trunc('hour', "timestamp", 'UTC'), dimensions, {AGGREGATES}
              FROM usage_meterevent AS event
             WHERE xid >= %s AND xid < %s AND {COUNTS}
             GROUP BY 1, 2, 3, 4, 5
            ON CONFLICT (environment_id, meter_id, customer_id, hour, dimensions) DO UPDATE SET
                event_count = summary.event_count + excluded.event_count,
                value_sum = summary.value_sum + excluded.value_sum,
                value_min = least(summary.value_min, excluded.value_min),
                value_max = greatest(summary.value_max, excluded.value_max),
                (last_value, last_timestamp, last_event_id) = (
                    SELECT value, at, id
                      FROM (VALUES (summary.last_value, summary.last_timestamp, summary.last_event_id),
                                   (excluded.last_value, excluded.last_timestamp, excluded.last_event_id)
                           ) AS last (value, at, id)
                     ORDER BY at DESC, id DESC LIMIT 1)
            """,  # noqa: S608 (column names of ours)
            [old_xid, horizon],
        )
        summaries = cursor.rowcount
        # Again from the events: one statement for both levels could not be pushed down to the machines that hold them.
        cursor.execute(
            f"""
            INSERT INTO usage_dailysummary AS summary ({DAILY_COLUMNS})
            SELECT environment_id, meter_id, customer_id, date_trunc('day', "timestamp", 'UTC'), dimensions,
                   count(*), sum(value), min(value), max(value)
              FROM usage_meterevent AS event
             WHERE xid >= %s AND xid < %s AND {COUNTS}
             GROUP BY 1, 2, 3, 4, 5
            ON CONFLICT (environment_id, meter_id, customer_id, day, dimensions) DO UPDATE SET
                event_count = summary.event_count + excluded.event_count,
                value_sum = summary.value_sum + excluded.value_sum,
                value_min = least(summary.value_min, excluded.value_min),
                value_max = greatest(summary.value_max, excluded.value_max)
            """,  # noqa: S608 (column names of ours)
            [old_xid, horizon],
        )
        cursor.execute(
            f"""
            INSERT INTO usage_uniquevalue ({UNIQUE_COLUMNS})
            SELECT DISTINCT environment_id, meter_id, customer_id, date_trunc('hour', "timestamp", 'UTC'), dimensions,
                            unique_value
              FROM usage_meterevent AS event
             WHERE xid >= %s AND xid < %s AND unique_value IS NOT NULL AND {COUNTS}
            ON CONFLICT DO NOTHING
            """,  # noqa: S608 (column names of ours)
            [old_xid, horizon],
        )
        read_at = max(old_read_at, seen.complete_until(in_progress) or old_read_at)
        cursor.execute(
            "UPDATE usage_watermark SET xid = %s, read_at = %s, system_identifier = %s WHERE id = 1",
            [horizon, read_at, here],
        )
    return RollUp(summaries, horizon, read_at)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The writing transactions seen just before the roll-up's snapshot was taken."""

    at: datetime
    end: int
    oldest_start: datetime | None
    xids: frozenset[int]

    def complete_until(self, in_progress: Iterable[int]) -> datetime | None:
        """The instant before which everything that was committed is below the snapshot's xmin.

        Ids are assigned in order, so a transaction that committed before the oldest open one began to write has the
        smaller id. None when an open transaction's start is hidden from this role or held by a prepared transaction.
        """
        # backend_xid has 32 bits, a snapshot's ids have 64.
        if any(xid < self.end and xid % (1 << 32) not in self.xids for xid in in_progress):
            return None
        return min(self.at, self.oldest_start) if self.oldest_start else self.at


def _seen_before_snapshot() -> _Seen:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT clock_timestamp(), pg_snapshot_xmax(pg_current_snapshot())::text::bigint, min(xact_start),
                   coalesce(array_agg(backend_xid::text::bigint) FILTER (WHERE backend_xid IS NOT NULL), '{}')
              FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND backend_xid IS NOT NULL
            """
        )
        at, end, oldest_start, xids = cursor.fetchone()
    return _Seen(at, end, oldest_start, frozenset(xids))
