"""Partitions of the events: one per UTC month of their timestamp, made ahead of time or when an import needs one."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction

from core.periods import Period, boundary

_PARENT = "usage_meterevent"
# Any constant will do: it only has to be the same in every process.
_LOCK = 7_201_001
MONTHS_BEHIND = 2
MONTHS_AHEAD = 2


def month_of(instant: datetime) -> Period:
    """The UTC month that holds an instant."""
    start = instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Period(start, boundary(start, "month", 1, 1))


def _name(month: Period) -> str:
    return f"{_PARENT}_{month.start:%Y_%m}"


def ensure_partitions(*, instants: Iterable[datetime]) -> None:
    """Make the partitions of these instants' months, where there are none."""
    for month in sorted({month_of(instant) for instant in instants}, key=lambda month: month.start):
        _ensure(month)


@transaction.atomic
def _ensure(month: Period) -> None:
    name = _name(month)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is not None:
            return
        # Made apart and attached, because CREATE … PARTITION OF would lock all ingestion out while it waits.
        cursor.execute(f"CREATE TABLE {name} (LIKE {_PARENT} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
        cursor.execute(
            f"ALTER TABLE {_PARENT} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [month.start, month.end]
        )


def maintain_partitions(*, now: datetime) -> None:
    """Make the partitions that events of the next months will need, and those of the last two."""
    this_month = month_of(now).start
    ensure_partitions(
        instants=[boundary(this_month, "month", 1, step) for step in range(-MONTHS_BEHIND, MONTHS_AHEAD + 1)]
    )


def drop_partitions(*, before: datetime) -> list[str]:
    """Drop the events of all months that end at or before an instant. Their summaries stay.

    :returns: the names of the partitions dropped
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [_PARENT])
        names = [name for (name,) in cursor.fetchall()]
    dropped = []
    for name in sorted(names):
        year, month = name.removeprefix(f"{_PARENT}_").split("_")
        if month_of(datetime(int(year), int(month), 1, tzinfo=UTC)).end > before:
            continue
        # A transaction each: detaching waits for readers, and must not hold back the partitions already done.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            cursor.execute(f"ALTER TABLE {_PARENT} DETACH PARTITION {name}")
            cursor.execute(f"DROP TABLE {name}")
        dropped.append(name)
    return dropped
