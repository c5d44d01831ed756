"""Two workers at once: every rejection gets into one report, and a report that fails takes nothing with it."""

import threading
from unittest.mock import patch

import pytest
from django.db import connection

from accounts.tests.factories import NOW
from meters.tests.factories import MeterFactory
from usage import services
from usage.models import EventRejection, Source
from usage.services import error_reports
from usage.tests.factories import draft
from webhooks.models import Event


def reject(count: int) -> None:
    meter = MeterFactory.create()
    drafts = [draft(meter, "cus_nobody", identifier=f"e{number}") for number in range(count)]
    services.take_in_stream(environment=meter.environment, drafts=drafts, source=Source.STREAM, now=NOW)


def reported() -> int:
    return sum(error["count"] for event in Event.objects.all() for error in event.data["errors"])


@pytest.mark.django_db(transaction=True)
def test_given_workers_at_once_when_they_report_then_each_rejection_is_in_one_report() -> None:
    reject(200)

    def work() -> None:
        try:
            services.report_rejections(now=NOW)
        finally:
            connection.close()

    with patch.object(error_reports, "_BATCH", 30):
        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        services.report_rejections(now=NOW)

    assert reported() == 200
    assert not EventRejection.objects.filter(reported_at=None).exists()


@pytest.mark.django_db
def test_given_a_failure_when_reporting_then_the_rejections_wait_for_the_next_run() -> None:
    reject(3)
    with patch.object(error_reports, "record_report", side_effect=RuntimeError), pytest.raises(RuntimeError):
        services.report_rejections(now=NOW)
    assert EventRejection.objects.filter(reported_at=None).count() == 3
    assert services.report_rejections(now=NOW) == 1
    assert reported() == 3


@pytest.mark.django_db
def test_given_more_than_one_batch_when_reporting_then_nothing_is_left() -> None:
    reject(7)
    with patch.object(error_reports, "_BATCH", 3):
        assert services.report_rejections(now=NOW) == 3
    assert reported() == 7
