"""Cancelling events: at once in every read, once, and never without a trace."""

from datetime import timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.errors import BillingError
from core.periods import Period
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import errors, services
from usage.models import DirtyHour, EventAdjustment, MeterEvent, Source, UsageSummary
from usage.reports import summaries
from usage.tests.factories import draft, report, roll_up_all

DAY = timedelta(days=1)


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def read(meter: Meter, customer: Customer) -> int:
    (row,) = summaries(meter=meter, customer_id=customer.pk, period=Period.hour(NOW))
    return int(row.value)


@pytest.mark.parametrize("rolled_up_before", [True, False])
def test_given_an_event_when_canceled_then_no_read_counts_it_and_it_stays_on_record(
    meter: Meter, customer: Customer, *, rolled_up_before: bool
) -> None:
    report(meter, customer, 3, timestamp=NOW, identifier="a")
    report(meter, customer, 4, timestamp=NOW, identifier="b")
    if rolled_up_before:
        roll_up_all()

    services.cancel_event(environment=meter.environment, identifier="a", now=NOW)

    assert read(meter, customer) == 4
    roll_up_all()
    assert read(meter, customer) == 4
    services.recompute_dirty_hours()
    assert read(meter, customer) == 4
    assert UsageSummary.objects.get().value_sum == 4
    assert MeterEvent.objects.count() == 2


def test_given_the_only_event_of_an_hour_when_canceled_then_its_summary_goes(meter: Meter, customer: Customer) -> None:
    report(meter, customer, 3, timestamp=NOW, identifier="a")
    roll_up_all()

    services.cancel_event(environment=meter.environment, identifier="a", now=NOW)
    services.recompute_dirty_hours()

    assert not UsageSummary.objects.exists()
    assert read(meter, customer) == 0


def test_given_a_canceled_event_when_canceled_again_then_the_first_cancellation_stands(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, timestamp=NOW, identifier="a")

    first = services.cancel_event(environment=meter.environment, identifier="a", now=NOW)
    second = services.cancel_event(environment=meter.environment, identifier="a", now=NOW + DAY, reason="again")

    assert first == second
    assert second.created_at == NOW
    assert DirtyHour.objects.count() == 1


def test_given_a_canceled_identifier_when_it_is_reported_again_then_it_is_still_taken(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, timestamp=NOW, identifier="a")
    services.cancel_event(environment=meter.environment, identifier="a", now=NOW)

    (answer,) = services.accept_events(
        environment=meter.environment,
        drafts=[draft(meter, customer, identifier="a")],
        source=Source.API,
        now=NOW,
    )

    assert isinstance(answer, errors.EventExists)


def test_given_a_day_has_passed_when_canceling_then_only_a_reason_makes_it_possible(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, timestamp=NOW, identifier="a")

    with pytest.raises(errors.CancellationTooLate):
        services.cancel_event(environment=meter.environment, identifier="a", now=NOW + DAY + timedelta(seconds=1))
    assert not EventAdjustment.objects.exists()
    late = services.cancel_event(
        environment=meter.environment, identifier="a", now=NOW + 30 * DAY, reason="Reported for the wrong customer"
    )

    assert late.reason == "Reported for the wrong customer"


def test_given_exactly_a_day_has_passed_when_canceling_then_it_is_possible(meter: Meter, customer: Customer) -> None:
    report(meter, customer, timestamp=NOW, identifier="a")

    services.cancel_event(environment=meter.environment, identifier="a", now=NOW + DAY)

    assert EventAdjustment.objects.exists()


@pytest.mark.parametrize(
    ("identifier", "event_name", "elsewhere"),
    [("unheard of", None, False), ("a", "other_name", False), ("a", None, True)],
)
def test_given_no_such_event_here_when_canceling_then_it_is_not_found_and_nothing_changes(
    meter: Meter, customer: Customer, identifier: str, event_name: str | None, *, elsewhere: bool
) -> None:
    report(meter, customer, 3, timestamp=NOW, identifier="a")
    environment = EnvironmentFactory.create() if elsewhere else meter.environment

    with pytest.raises(BillingError) as refusal:
        services.cancel_event(environment=environment, identifier=identifier, event_name=event_name, now=NOW)

    assert isinstance(refusal.value, errors.EventNotFound)
    assert not EventAdjustment.objects.exists()
    assert read(meter, customer) == 3
