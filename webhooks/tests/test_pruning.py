"""Events are forgotten thirty days after they were recorded."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from accounts.tests.factories import EnvironmentFactory
from core.ids import first_id
from webhooks.kinds import Kind
from webhooks.models import Event
from webhooks.services import prune_events

NOW = datetime(2026, 8, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.django_db
def test_what_was_recorded_thirty_days_ago_is_forgotten_whatever_its_clock_showed() -> None:
    environment = EnvironmentFactory.create()

    def recorded(at: datetime, shown: datetime) -> UUID:
        kind = Kind.CUSTOMER_CREATED
        return Event.objects.create(
            id=first_id(at), environment=environment, kind=kind, type=kind, snapshot="{}", created_at=shown
        ).pk

    limit = NOW - timedelta(days=30)
    recorded(limit - MILLISECOND, shown=NOW + timedelta(days=900))
    kept = [recorded(limit, shown=limit - timedelta(days=900)), recorded(NOW, shown=NOW)]

    assert prune_events(now=NOW) == 1
    assert prune_events(now=NOW) == 0
    assert sorted(Event.objects.values_list("pk", flat=True)) == kept
