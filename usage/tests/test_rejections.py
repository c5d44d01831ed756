"""Rejections are kept for a while."""

from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone

from accounts.models import Environment
from accounts.tests.factories import NOW, EnvironmentFactory
from usage import services, tasks
from usage.events import EventDraft
from usage.models import EventRejection, Source
from usage.services import rejections

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


def reject(environment: Environment, *, days_ago: int) -> None:
    draft = EventDraft("unheard_of", {}, f"{days_ago} days ago")
    services.take_in_stream(environment=environment, drafts=[draft], source=Source.STREAM, now=NOW - days_ago * DAY)


def left() -> set[str]:
    return set(EventRejection.objects.values_list("identifier", flat=True))


def test_given_old_and_young_rejections_when_pruned_then_the_old_ones_go_once_they_were_reported(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "_AT_ONCE", 2)
    for days in (5, 10, 11, 12, 13):
        reject(environment, days_ago=days)
    reject(EnvironmentFactory.create(), days_ago=30)

    assert services.prune_rejections(now=NOW, retention=10 * DAY) == 0
    assert len(left()) == 6
    services.report_rejections(now=NOW)
    assert services.prune_rejections(now=NOW, retention=10 * DAY) == 4
    assert left() == {"5 days ago", "10 days ago"}
    assert services.prune_rejections(now=NOW, retention=10 * DAY) == 0


@pytest.mark.parametrize(("days", "kept"), [(0, 1), (90, 0)])
def test_the_job_keeps_to_the_setting(environment: Environment, days: int, kept: int) -> None:
    reject(environment, days_ago=0)
    services.report_rejections(now=NOW)
    EventRejection.objects.update(received_at=timezone.now() - 91 * DAY)

    with override_settings(REJECTION_RETENTION_DAYS=days):
        tasks.prune_rejections()

    assert EventRejection.objects.count() == kept
