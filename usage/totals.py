"""The exact read: what the events of many spans amount to, in one statement and so in one snapshot.

Whole UTC days come from the daily summaries, and what is left of whole hours from the hourly ones. Three things come from
the events: hours that a span cuts, hours that wait to be computed again (the rest of their day is read by the hour), and
whatever lies beyond the roll-up's watermark. So an answer is right at any moment, however far the roll-up has come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

from django.db import connection

from core.db import array
from core.periods import Period, ceil_day, ceil_hour, floor_day, floor_hour
from meters.models import Formula, Meter
from usage.aggregation import ZERO, Totals
from usage.models import Watermark

# A canceled event stays in its table and counts no more.
COUNTS = """NOT EXISTS (SELECT 1 FROM usage_eventadjustment AS adjustment
                        WHERE adjustment.environment_id = event.environment_id AND adjustment.event_id = event.id)"""

# True of every event of every span. The planner sees constants here, and leaves out the other months' partitions; the
# spans' own bounds it learns too late.
_WITHIN_ALL = """event."timestamp" >= %(first)s AND event."timestamp" < %(last)s"""

Group = tuple[str | None, ...]
AnySpan: TypeAlias = "Span | MeterSpan"


@dataclass(frozen=True, slots=True)
class Span:
    """One customer's events on one meter in a period."""

    meter: Meter
    customer_id: UUID
    period: Period


@dataclass(frozen=True, slots=True)
class MeterSpan:
    """Everybody's events on one meter in a period."""

    meter: Meter
    period: Period
    customer_id: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What to keep and how to group, by further keys of the payload.

    :param filters: key -> the values to keep, None for events without the key; keys are joined by "and"
    :param group_by: keys whose values make a group of their own; an absent key is a group, too
    """

    filters: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    group_by: Sequence[str] = ()

    def are_declared(self, meter: Meter) -> bool:
        """Whether the meter's summaries are kept by all of these keys."""
        return {*self.filters, *self.group_by} <= set(meter.dimension_keys)


def read_totals(
    environment_id: UUID, spans: Sequence[Span], dimensions: Dimensions | None = None
) -> dict[tuple[int, Group], Totals]:
    """What is counted in each span, by its number and group. Spans and groups without events are absent.

    One statement, however many spans there are; another for meters with an event time window among them, and another
    for those that count unique values.
    """
    return _read_all(environment_id, spans, dimensions or Dimensions(), _OF_ONE)


def read_meter_totals(
    environment_id: UUID, spans: Sequence[MeterSpan], dimensions: Dimensions | None = None, *, by_customer: bool = False
) -> dict[tuple[int, Group], Totals]:
    """The same of everybody's events together: the formula runs over all of them, as if they were one customer's.

    Only an event time window stays each customer's own: the last event of each counts.

    :param by_customer: make a group of each customer, whose id is the first part of the group
    """
    return _read_all(
        environment_id, spans, dimensions or Dimensions(), _OF_EACH_CUSTOMER if by_customer else _OF_EVERYBODY
    )


def _read_all(
    environment_id: UUID, spans: Sequence[AnySpan], dimensions: Dimensions, whose: "_Whose"
) -> dict[tuple[int, Group], Totals]:
    numbered = list(enumerate(spans))
    windowed = [(number, span) for number, span in numbered if span.meter.event_time_window]
    plain = [(number, span) for number, span in numbered if not span.meter.event_time_window]
    unique = [(number, span) for number, span in plain if span.meter.formula == Formula.UNIQUE_COUNT]
    found: dict[tuple[int, Group], Totals] = {}
    if plain:
        found |= _read(environment_id, plain, dimensions, whose, _TOTALS)
    if unique:
        for key, totals in _read(environment_id, unique, dimensions, whose, _UNIQUE_VALUES).items():
            found[key] = replace(found.get(key, Totals()), unique_count=totals.unique_count)
    if windowed:
        found |= _read(environment_id, windowed, dimensions, whose, _WINDOWED)
    return found


def watermark() -> Watermark:
    """How far the roll-up has read: nowhere before its first run."""
    stored = Watermark.objects.filter(pk=Watermark.SINGLETON).first()
    return stored or Watermark(xid=0, read_at=datetime.fromtimestamp(0, UTC))


def horizon() -> int:
    """The id, as events carry it, before which all storing transactions have ended: nothing of theirs can appear later.

    It is never behind the roll-up's watermark, which rests between two runs. On another server than the watermark's, whose
    ids mean nothing yet, it is the watermark.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT greatest(mark.xid, CASE
                       WHEN coalesce(mark.system_identifier, server.system_identifier) = server.system_identifier
                       THEN pg_snapshot_xmin(pg_current_snapshot())::text::bigint + coalesce(mark.xid_offset, 0) END)
              FROM pg_control_system() AS server LEFT JOIN usage_watermark AS mark ON mark.id = %s
            """,
            [Watermark.SINGLETON],
        )
        (xid,) = cursor.fetchone()
        return int(xid)


def _read(
    environment_id: UUID,
    spans: Sequence[tuple[int, AnySpan]],
    dimensions: Dimensions,
    whose: "_Whose",
    statement: str,
) -> dict[tuple[int, Group], Totals]:
    has_last = any(span.meter.formula == Formula.LAST for _, span in spans)
    is_grouped = bool(dimensions.group_by) or whose.is_group
    words = {
        **whose.words,
        "event_group": _group("event", "payload", dimensions, whose),
        "summary_group": _group("summary", "dimensions", dimensions, whose),
        "event_filter": _filter("event.payload", dimensions),
        "summary_filter": _filter("summary.dimensions", dimensions),
        "counts": COUNTS,
        "within_all": _WITHIN_ALL,
        # Ordering costs as much as all the rest, so only those who ask for the last value pay for it.
        "last": _LAST if has_last else "NULL::numeric",
        "latest": (_LATEST_OF_GROUPS if is_grouped else _LATEST) if has_last else "",
    }
    words["latest"] = words["latest"].format(**words)
    sql = (_ASKED + statement).format(**words)
    parameters = _columns(spans, dimensions) | {"environment": environment_id}
    for place, key in enumerate(dimensions.group_by):
        parameters[f"group_{place}"] = key
    for place, (key, values) in enumerate(dimensions.filters.items()):
        parameters |= {f"filter_{place}": key, f"values_{place}": list(values)}
    while True:
        with connection.cursor() as cursor:
            # By hand: this is half of what a small read asks.
            cursor.execute("SELECT coalesce((SELECT xid FROM usage_watermark WHERE id = %s), 0)", [Watermark.SINGLETON])
            mark = cursor.fetchone()[0]
            cursor.execute(sql, parameters | {"mark": mark})
            rows = cursor.fetchall()
        # The watermark is a literal in the statement, so that the planner sees how few events lie beyond it. Should the
        # roll-up have moved it in between, the snapshot's summaries and events would overlap: read again.
        if all(row[0] == mark for row in rows):
            return {
                (number, tuple(group)): Totals(
                    int(event_count or 0), value_sum or ZERO, value_min or ZERO, value_max or ZERO, last or ZERO, unique
                )
                for _, number, group, event_count, value_sum, value_min, value_max, last, unique in rows
            }


def _columns(spans: Sequence[tuple[int, AnySpan]], dimensions: Dimensions) -> dict[str, Any]:
    """The spans as arrays, each with the whole hours, and in these the whole days, that summaries can answer for."""
    hours = [_whole_hours(span, dimensions) for _, span in spans]
    days = [_whole_days(period) for period in hours]
    return {
        "numbers": array(number for number, _ in spans),
        "meters": array(span.meter.pk for _, span in spans),
        "customers": array(span.customer_id for _, span in spans),
        "starts": array(span.period.start for _, span in spans),
        "ends": array(span.period.end for _, span in spans),
        "hour_starts": array(period.start for period in hours),
        "hour_ends": array(period.end for period in hours),
        "day_starts": array(period.start for period in days),
        "day_ends": array(period.end for period in days),
        "windows": [span.meter.event_time_window for _, span in spans],
        "lasts": array(span.meter.formula == Formula.LAST for _, span in spans),
        "first": min(span.period.start for _, span in spans),
        "last": max(span.period.end for _, span in spans),
    }


def _whole_hours(span: AnySpan, dimensions: Dimensions) -> Period:
    start, end = ceil_hour(span.period.start), floor_hour(span.period.end)
    # A window's last event, and a key that no summary is kept by, are found in the events alone.
    if start >= end or span.meter.event_time_window or not dimensions.are_declared(span.meter):
        return Period(span.period.end, span.period.end)
    return Period(start, end)


def _whole_days(hours: Period) -> Period:
    start, end = ceil_day(hours.start), floor_day(hours.end)
    return Period(start, end) if start < end else Period(hours.end, hours.end)


def _group(table: str, column: str, dimensions: Dimensions, whose: "_Whose") -> str:
    keys = [f"{table}.{column} ->> %(group_{place})s" for place in range(len(dimensions.group_by))]
    customer = [f"{table}.customer_id::text"] if whose.is_group else []
    return f"ARRAY[{', '.join([*customer, *keys])}]::text[]"


def _filter(column: str, dimensions: Dimensions) -> str:
    said = []
    for place, values in enumerate(dimensions.filters.values()):
        among = f"{column} ->> %(filter_{place})s = ANY(%(values_{place})s)"
        absent = f" OR {column} ->> %(filter_{place})s IS NULL" if None in values else ""
        said.append(f" AND ({among}{absent})")
    return "".join(said)


@dataclass(frozen=True, slots=True)
class _Whose:
    """The words of the statements that say whose events are read.

    :ivar is_group: whether each customer is a group
    """

    words: Mapping[str, str]
    is_group: bool = False


_EVENT_COLUMNS = """event.environment_id, event.id, event."timestamp", event.value, event.unique_value, event.payload"""
_ONE_CUSTOMERS = {
    "event_columns": _EVENT_COLUMNS,
    "mark_is_theirs": "AND mark.customer_id = asked.customer_id",
    "event_is_theirs": "AND event.customer_id = asked.customer_id",
    "marked_is_theirs": "AND event.customer_id = dirty.customer_id",
    "summary_is_theirs": "AND summary.customer_id = piece.customer_id",
    "each_customer": "",
}
# An hour that waits for one customer is read from the events of all of them: that is right as well, and simpler.
_EVERYBODYS = {
    **dict.fromkeys(_ONE_CUSTOMERS, ""),
    "event_columns": f"{_EVENT_COLUMNS}, event.customer_id",
    "each_customer": "customer_id, ",
}
_OF_ONE = _Whose(_ONE_CUSTOMERS)
_OF_EVERYBODY = _Whose(_EVERYBODYS)
_OF_EACH_CUSTOMER = _Whose(_EVERYBODYS, is_group=True)


# The statements. Each answers with rows of: watermark, number, group, event count, sum, min, max, last, unique count.

# "OFFSET 0" keeps the planner from joining: of many spans' edges it would think that reading all events is cheaper.
_ASKED = """
WITH asked AS (
    SELECT * FROM unnest(
        %(numbers)s::int[], %(meters)s::uuid[], %(customers)s::uuid[], %(starts)s::timestamptz[], %(ends)s::timestamptz[],
        %(hour_starts)s::timestamptz[], %(hour_ends)s::timestamptz[], %(day_starts)s::timestamptz[],
        %(day_ends)s::timestamptz[], %(windows)s::text[], %(lasts)s::bool[])
    AS asked (number, meter_id, customer_id, "start", "end", hour_start, hour_end, day_start, day_end, "window", has_last)
),
dirty AS (
    SELECT DISTINCT asked.number, asked.meter_id, asked.customer_id, mark.hour, date_trunc('day', mark.hour, 'UTC') AS day
      FROM asked JOIN usage_dirtyhour AS mark
        ON mark.environment_id = %(environment)s AND mark.meter_id = asked.meter_id
       {mark_is_theirs}
       AND mark.hour >= asked.hour_start AND mark.hour < asked.hour_end
),
event AS (
    SELECT asked.number, asked."window", event.*
      FROM asked
     CROSS JOIN LATERAL (VALUES (asked."start", asked.hour_start), (asked.hour_end, asked."end")) AS edge ("start", "end")
     CROSS JOIN LATERAL (
            SELECT {event_columns} FROM usage_meterevent AS event
             WHERE event.environment_id = %(environment)s AND event.meter_id = asked.meter_id
               {event_is_theirs}
               AND event."timestamp" >= edge."start" AND event."timestamp" < edge."end" AND {within_all} OFFSET 0) AS event
     WHERE edge."start" < edge."end"
    UNION ALL
    SELECT asked.number, asked."window", {event_columns}
      FROM asked JOIN usage_meterevent AS event
        ON event.meter_id = asked.meter_id {event_is_theirs}
       AND event."timestamp" >= asked.hour_start AND event."timestamp" < asked.hour_end
     WHERE event.environment_id = %(environment)s AND event.xid >= %(mark)s AND {within_all}
       AND NOT EXISTS (SELECT 1 FROM dirty WHERE dirty.number = asked.number
                          AND dirty.hour = date_trunc('hour', event."timestamp", 'UTC'))
    UNION ALL
    SELECT dirty.number, '', event.*
      FROM dirty CROSS JOIN LATERAL (
            SELECT {event_columns} FROM usage_meterevent AS event
             WHERE event.environment_id = %(environment)s AND event.meter_id = dirty.meter_id
               {marked_is_theirs}
               AND event."timestamp" >= dirty.hour AND event."timestamp" < dirty.hour + interval '1 hour'
               AND {within_all} OFFSET 0) AS event
)
"""

# Summaries are added up span by span: sorting the rows of all spans together would cost more than reading them.
# A span's marked hours are one array, made once, since an anti-join would look into an empty list at every row.
_OF_PIECE = """
      FROM {table} AS summary
     WHERE summary.environment_id = %(environment)s AND summary.meter_id = piece.meter_id
       {{summary_is_theirs}}
       AND summary.{unit} >= piece."start" AND summary.{unit} < piece."end"
       AND summary.{unit} <> ALL (ARRAY(SELECT dirty.{unit} FROM dirty WHERE dirty.number = piece.number))
       {{summary_filter}}
"""
_OF_DAYS = _OF_PIECE.format(table="usage_dailysummary", unit="day")
_OF_HOURS = _OF_PIECE.format(table="usage_usagesummary", unit="hour")
_VALUES_OF_HOURS = _OF_PIECE.format(table="usage_uniquevalue", unit="hour")

# All the whole hours of a span, for what days cannot tell.
_HOURS = (
    """(SELECT number, meter_id, customer_id, hour_start AS "start", hour_end AS "end", has_last FROM asked) AS piece"""
)

# What a piece amounts to, by group.
_SUMS = """
            SELECT {{summary_group}} AS "group", sum(event_count) AS event_count, sum(value_sum) AS value_sum,
                   min(value_min) AS value_min, max(value_max) AS value_max {rows}
             GROUP BY 1"""

# Beside a marked hour, the other hours of its day are read one by one.
_TOTALS = f""",
days AS (
    SELECT number, meter_id, customer_id, day_start AS "start", day_end AS "end" FROM asked WHERE day_start < day_end
),
hours AS (
    SELECT number, meter_id, customer_id, piece."start", piece."end"
      FROM asked CROSS JOIN LATERAL (VALUES (hour_start, day_start), (day_end, hour_end)) AS piece ("start", "end")
     WHERE piece."start" < piece."end"
    UNION ALL
    SELECT DISTINCT number, dirty.meter_id, dirty.customer_id, day, day + interval '24 hours'
      FROM dirty JOIN asked USING (number) WHERE day >= day_start AND day < day_end
),
part AS (
    SELECT piece.number, summary.*, NULL::numeric AS last_value, NULL::timestamptz AS at, NULL::uuid AS id
      FROM days AS piece CROSS JOIN LATERAL ({_SUMS.format(rows=_OF_DAYS)}) AS summary
    UNION ALL
    SELECT piece.number, summary.*, NULL, NULL, NULL
      FROM hours AS piece CROSS JOIN LATERAL ({_SUMS.format(rows=_OF_HOURS)}) AS summary
    {{latest}}
    UNION ALL
    SELECT number, {{event_group}}, 1, value, value, value, value, "timestamp", id
      FROM event WHERE {{counts}} {{event_filter}}
)
SELECT coalesce((SELECT xid FROM usage_watermark WHERE id = 1), 0), number, "group",
       sum(event_count), sum(value_sum), min(value_min), max(value_max), {{last}}, 0
  FROM part GROUP BY number, "group"
"""  # noqa: S608 (statements of ours, as all below)
_LAST = "(array_agg(last_value ORDER BY at DESC, id DESC) FILTER (WHERE id IS NOT NULL))[1]"

# The last value is that of the latest hour: one step into the index, however long the span is.
_LATEST = f"""
    UNION ALL
    SELECT piece.number, summary.* FROM {_HOURS} CROSS JOIN LATERAL (
            SELECT {{summary_group}}, 0, NULL::numeric, NULL::numeric, NULL::numeric, last_value, last_timestamp, last_event_id
            {_OF_HOURS}
             ORDER BY hour DESC, last_timestamp DESC, last_event_id DESC LIMIT 1) AS summary
     WHERE has_last"""  # noqa: S608
# Each group has a latest hour of its own.
_LATEST_OF_GROUPS = f"""
    UNION ALL
    SELECT piece.number, summary.* FROM {_HOURS} CROSS JOIN LATERAL (
            SELECT DISTINCT ON (1) {{summary_group}}, 0, NULL::numeric, NULL::numeric, NULL::numeric, last_value,
                   last_timestamp, last_event_id
            {_OF_HOURS}
             ORDER BY 1, last_timestamp DESC, last_event_id DESC) AS summary
     WHERE has_last"""  # noqa: S608

_UNIQUE_VALUES = f""",
part AS (
    SELECT piece.number, summary.*
      FROM {_HOURS} CROSS JOIN LATERAL (
            SELECT DISTINCT {{summary_group}} AS "group", summary.value {_VALUES_OF_HOURS}) AS summary
    UNION ALL
    SELECT number, {{event_group}}, unique_value FROM event WHERE {{counts}} {{event_filter}}
)
SELECT coalesce((SELECT xid FROM usage_watermark WHERE id = 1), 0), number, "group",
       0, NULL, NULL, NULL, NULL, count(DISTINCT value)
  FROM part GROUP BY number, "group"
"""  # noqa: S608

# Which event of a window counts is decided before anything is filtered or grouped, so that groups add up to what is billed.
_WINDOWED = """,
counted AS (
    SELECT DISTINCT ON (number, {each_customer}date_trunc("window", "timestamp", 'UTC')) *
      FROM event WHERE {counts}
     ORDER BY number, {each_customer}date_trunc("window", "timestamp", 'UTC'), "timestamp" DESC, id DESC
)
SELECT %(mark)s, number, {event_group}, count(*), sum(value), min(value), max(value),
       (array_agg(value ORDER BY "timestamp" DESC, id DESC))[1], count(DISTINCT unique_value)
  FROM counted AS event WHERE true {event_filter}
 GROUP BY number, 3
"""
