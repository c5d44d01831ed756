"""The commands that make summaries anew and cancel old events."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from meters.models import Meter
from meters.tests.factories import MeterFactory
from usage import services
from usage.models import DroppedMonth, EventAdjustment, UsageSummary
from usage.tests.factories import report, roll_up_all
from usage.tests.repairs import JANUARY, read, restored_elsewhere


@pytest.fixture
def meter(transactional_db: None) -> Meter:
    return MeterFactory.create()


@pytest.fixture
def customer(meter: Meter) -> Customer:
    return CustomerFactory.create(environment=meter.environment)


def rebuild(*options: str) -> str:
    out = StringIO()
    call_command("rebuild_summaries", *options, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_given_a_company_and_a_range_when_the_command_rebuilds_then_it_says_what_it_made(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 5, timestamp=NOW)
    elsewhere = MeterFactory.create()
    report(elsewhere, CustomerFactory.create(environment=elsewhere.environment), 5, timestamp=NOW)
    roll_up_all()
    UsageSummary.objects.update(value_sum=999)
    company = meter.environment.company.name

    said = rebuild("--company", company, "--mode", "test", "--meter", meter.event_name, "--from", "2026-06-10T12:59")

    assert "1 summaries of 1 meters made anew from 1 events." in said
    assert UsageSummary.objects.get(meter=meter).value_sum == 5
    assert UsageSummary.objects.get(meter=elsewhere).value_sum == 999
    rebuild("--company", company, "--until", "2026-06-10T12:00:00+00:00")
    assert UsageSummary.objects.get(meter=meter).value_sum == 5
    rebuild()
    assert UsageSummary.objects.get(meter=elsewhere).value_sum == 5


def test_given_a_dropped_month_when_the_command_rebuilds_then_it_says_what_it_left(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 5, timestamp=JANUARY)
    roll_up_all()
    services.drop_partitions(before=NOW)

    assert "2026-01: its events were dropped by retention" in rebuild()
    assert DroppedMonth.objects.get().month == datetime(2026, 1, 1, tzinfo=UTC)
    assert read(meter, customer) == 5


def test_given_a_restored_database_when_the_command_runs_then_only_after_restore_helps(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 5, timestamp=NOW)
    roll_up_all()
    restored_elsewhere(1 << 40)

    with pytest.raises(CommandError, match="--after-restore"):
        rebuild()
    assert "made anew from 1 events" in rebuild("--after-restore")
    services.roll_up()


@pytest.mark.parametrize(
    "options",
    [
        ["--after-restore", "--company", "any"],
        ["--meter", "unheard_of"],
        ["--company", "unheard of"],
        ["--from", "2026-06-02", "--until", "2026-06-01"],
        ["--from", "yesterday"],
    ],
)
def test_given_options_that_make_no_sense_when_the_command_runs_then_it_refuses(
    transactional_db: None, options: list[str]
) -> None:
    with pytest.raises(CommandError):
        rebuild(*options)


def test_given_an_old_event_when_the_command_cancels_it_then_it_counts_no_more_and_the_reason_stands(
    meter: Meter, customer: Customer
) -> None:
    report(meter, customer, 5, timestamp=NOW - timedelta(days=50), identifier="old", now=NOW - timedelta(days=50))
    command = ["cancel_event", "--company", meter.environment.company.name, "--mode", "test", "old"]
    out = StringIO()

    with pytest.raises(CommandError):
        call_command(*command, "--reason", " ")
    assert read(meter, customer) == 5
    call_command(*command, "--reason", "Sent by a broken sensor", stdout=out)
    call_command(*command, "--reason", "again", stdout=out)

    assert read(meter, customer) == 0
    assert EventAdjustment.objects.get().reason == "Sent by a broken sensor"
    assert "counts no more" in out.getvalue()
    assert "was canceled before" in out.getvalue()
    with pytest.raises(CommandError, match="unheard"):
        call_command(*command[:-1], "unheard of", "--reason", "x")
