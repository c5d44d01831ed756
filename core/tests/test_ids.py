"""Ids and the time they were made at."""

from datetime import UTC, datetime, timedelta

from core.ids import first_id, new_id


def test_ids_lie_between_the_first_ones_of_the_instants_around_them() -> None:
    before = datetime.now(UTC)
    identifier = new_id()
    after = datetime.now(UTC) + timedelta(milliseconds=1)

    assert first_id(before) <= identifier < first_id(after)
    assert first_id(before - timedelta(milliseconds=1)) < first_id(before)
