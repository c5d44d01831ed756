"""Instants as the database says them."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, connection


def read(text: str, zone: str = "UTC") -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
        cursor.execute("SELECT %s::timestamptz", [text])
        instant: datetime = cursor.fetchone()[0]
    return instant


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-21 16:45:00Z", datetime(2026, 11, 21, 16, 45, tzinfo=UTC)),
        ("2026-11-21 18:45:00.5+02", datetime(2026, 11, 21, 16, 45, 0, 500_000, tzinfo=UTC)),
        ("2026-11-21 16:45:00.000001Z", datetime(2026, 11, 21, 16, 45, 0, 1, tzinfo=UTC)),
        ("0001-01-01 00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31 23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_to_the_microsecond_and_in_utc(text: str, instant: datetime) -> None:
    found = read(text)

    assert found == instant
    assert found.tzinfo is UTC


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["infinity", "-infinity", "0044-03-15 12:00:00Z BC"])
def test_what_python_has_no_instant_for_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        read(text)


@pytest.mark.django_db
def test_the_hot_loader_is_the_one_that_connections_use() -> None:
    connection.ensure_connection()
    oid = connection.connection.adapters.types["timestamptz"].oid

    assert connection.connection.adapters.get_loader(oid, 0).__name__ == "_UtcLoader"
