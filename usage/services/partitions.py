"""Partitions of the events: one per UTC month of their timestamp, made ahead of time or when an import needs one."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection, transaction

from core.periods import Period, boundary
from usage.models import DroppedMonth

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
    """Drop the events of all months that end at or before an instant. Their summaries and claims stay.

    :returns: the names of the partitions dropped
    """
    return [_name(month) for month in existing_months() if month.end <= before and _drop(month)]


@transaction.atomic
def _drop(month: Period) -> bool:
    """Drop one partition, unless it holds what the summaries do not have yet.

    A transaction each: detaching waits for readers, and must not hold back the partitions already done.
    """
    name = _name(month)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        cursor.execute("SELECT to_regclass(%s)", [name])
        if cursor.fetchone()[0] is None:
            return False
        cursor.execute(f"ALTER TABLE {_PARENT} DETACH PARTITION {name}")
        # Nothing can be added now. An import of old usage may be waiting for the roll-up; next time, then.
        cursor.execute(
            f"SELECT EXISTS (SELECT 1 FROM {name} WHERE xid >= "  # noqa: S608 (a name of ours)
            "coalesce((SELECT xid FROM usage_watermark WHERE id = 1), 0))"
        )
        if cursor.fetchone()[0]:
            transaction.set_rollback(True)
            return False
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name})")  # noqa: S608 (a name of ours)
        had_events = cursor.fetchone()[0]
        cursor.execute(f"DROP TABLE {name}")
    if had_events:
        DroppedMonth.objects.get_or_create(month=month.start)
    return True


def existing_months() -> list[Period]:
    """The months that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [_PARENT])
        names = [name.removeprefix(f"{_PARENT}_") for (name,) in cursor.fetchall()]
    return [month_of(datetime.strptime(name, "%Y_%m").replace(tzinfo=UTC)) for name in sorted(names)]


def has_all_events(period: Period) -> bool:
    """Whether retention has dropped none of a period's events. It stays so until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {_PARENT} IN ACCESS SHARE MODE")
    dropped = (month_of(month) for month in DroppedMonth.objects.values_list("month", flat=True))
    return not any(month.start < period.end and period.start < month.end for month in dropped)


def recountable_months() -> list[Period]:
    """The months that have all their events, oldest first: those that have a partition and never lost one.

    They stay that until the transaction ends: retention waits for it.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {_PARENT} IN ACCESS SHARE MODE")
    dropped = set(DroppedMonth.objects.values_list("month", flat=True))
    return [month for month in existing_months() if month.start not in dropped]
