"""Meters: one active per event name, whoever asks at the same moment."""

import threading
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.tests.factories import EnvironmentFactory
from meters import services
from meters.errors import EventNameTaken
from meters.models import Formula, LatePolicy, Meter, Status
from meters.tests.factories import MeterFactory

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.mark.django_db
def test_a_meter_starts_active_with_the_usual_keys() -> None:
    meter = services.create_meter(
        environment=EnvironmentFactory.create(), display_name="Calls", event_name="calls", formula=Formula.SUM, now=NOW
    )

    meter.refresh_from_db()
    assert (meter.status, meter.deactivated_at) == (Status.ACTIVE, None)
    assert (meter.customer_key, meter.value_key, meter.event_time_window) == ("stripe_customer_id", "value", "")
    assert meter.created_at == meter.updated_at == NOW


@pytest.mark.django_db
def test_a_second_active_meter_of_the_name_is_refused_within_one_environment_only() -> None:
    meter = MeterFactory.create(event_name="calls")
    again = partial(services.create_meter, display_name="Calls", event_name="calls", formula=Formula.COUNT, now=NOW)

    with pytest.raises(EventNameTaken):
        again(environment=meter.environment)
    assert Meter.objects.get() == meter

    again(environment=EnvironmentFactory.create())
    services.deactivate_meter(meter=meter, now=NOW)
    again(environment=meter.environment)


@pytest.mark.django_db
def test_deactivating_and_reactivating_are_noted_once() -> None:
    meter = MeterFactory.create()

    for at in (NOW, LATER):
        services.deactivate_meter(meter=meter, now=at)
        meter.refresh_from_db()
        assert (meter.status, meter.deactivated_at, meter.updated_at) == (Status.INACTIVE, NOW, NOW)
    for at in (LATER, LATER + timedelta(hours=1)):
        services.reactivate_meter(meter=meter, now=at)
        meter.refresh_from_db()
        assert (meter.status, meter.deactivated_at, meter.updated_at) == (Status.ACTIVE, None, LATER)


@pytest.mark.django_db
def test_a_meter_does_not_come_back_under_a_name_that_was_given_away() -> None:
    old = MeterFactory.create(event_name="calls")
    services.deactivate_meter(meter=old, now=NOW)
    MeterFactory.create(environment=old.environment, event_name="calls")

    with pytest.raises(EventNameTaken):
        services.reactivate_meter(meter=old, now=LATER)

    old.refresh_from_db()
    assert (old.status, old.deactivated_at) == (Status.INACTIVE, NOW)


@pytest.mark.django_db
def test_only_the_display_name_changes() -> None:
    meter = MeterFactory.create(event_name="calls")
    services.update_meter(meter=meter, display_name="Searches", now=LATER)
    meter.refresh_from_db()
    assert (meter.display_name, meter.event_name, meter.updated_at) == ("Searches", "calls", LATER)


@pytest.mark.django_db
def test_late_usage_is_billed_next_unless_the_meter_says_otherwise() -> None:
    meter = services.create_meter(
        environment=EnvironmentFactory.create(), display_name="Calls", event_name="calls", formula=Formula.SUM, now=NOW
    )
    assert meter.late_policy == LatePolicy.BILL_NEXT

    for at in (LATER, LATER + timedelta(hours=1)):
        services.set_late_policy(meter=meter, late_policy=LatePolicy.REPORT_ONLY, now=at)
        meter.refresh_from_db()
        assert (meter.late_policy, meter.updated_at) == (LatePolicy.REPORT_ONLY, LATER)

    with pytest.raises(IntegrityError, match="meter_late_policy_is_known"), transaction.atomic():
        services.set_late_policy(meter=meter, late_policy="never", now=LATER)
    reported = services.create_meter(
        environment=meter.environment,
        display_name="Hits",
        event_name="hits",
        formula=Formula.COUNT,
        late_policy=LatePolicy.REPORT_ONLY,
        now=NOW,
    )
    reported.refresh_from_db()
    assert reported.late_policy == LatePolicy.REPORT_ONLY


@pytest.mark.django_db(transaction=True)
def test_of_many_writers_of_one_name_one_wins() -> None:
    environment = EnvironmentFactory.create()
    barrier = threading.Barrier(6)
    outcomes: list[bool] = []

    def write() -> None:
        try:
            barrier.wait(10)
            services.create_meter(
                environment=environment, display_name="Calls", event_name="calls", formula=Formula.SUM, now=NOW
            )
        except EventNameTaken:
            outcomes.append(False)
        else:
            outcomes.append(True)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == [False] * 5 + [True]
    assert Meter.objects.get().event_name == "calls"
