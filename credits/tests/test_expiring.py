"""Grants end by themselves, by the wall's time or their customer's clock."""

from datetime import timedelta

import pytest

from accounts.tests.factories import NOW, CustomerFactory, TestClockFactory
from credits import services, tasks
from credits.models import LedgerEntry
from credits.tests.factories import check_ledger, grant_credit, ledger

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
GRAIN = timedelta(microseconds=1)


def test_a_grant_is_written_off_at_its_end_and_not_before() -> None:
    grant = grant_credit(CustomerFactory.create(), 100, expires_at=NOW + DAY)

    assert services.expire_due_grants(now=NOW + DAY - GRAIN) == 0
    assert services.expire_due_grants(now=NOW + DAY) == 1
    assert services.expire_due_grants(now=NOW + DAY) == 0

    assert ledger(grant) == [("granted", 100, 100), ("expired", -100, 0)]


def test_what_was_missed_is_caught_up_with_in_order_and_counts_from_its_end() -> None:
    customer = CustomerFactory.create()
    ends = [NOW + days * DAY for days in (3, 1, 2)]
    grants = [grant_credit(customer, 100, expires_at=end) for end in ends]
    lasting = grant_credit(customer, 100)

    assert services.expire_due_grants(now=NOW + 9 * DAY) == 3

    entries = LedgerEntry.objects.filter(kind="expired").order_by("pk")
    assert [(entry.grant, entry.effective_at, entry.created_at) for entry in entries] == [
        (grants[1], ends[1], NOW + 9 * DAY),
        (grants[2], ends[2], NOW + 9 * DAY),
        (grants[0], ends[0], NOW + 9 * DAY),
    ]
    assert ledger(lasting) == [("granted", 100, 100)]
    check_ledger()


def test_customers_on_a_test_clock_live_at_its_time() -> None:
    clock = TestClockFactory.create(frozen_at=NOW)
    faster = TestClockFactory.create(environment=clock.environment, frozen_at=NOW)
    behind, ahead = (CustomerFactory.create(environment=clock.environment, test_clock=one) for one in (clock, faster))
    late, early = (grant_credit(customer, 100, expires_at=NOW + DAY) for customer in (behind, ahead))

    # Years have passed by the wall, and none by their clocks.
    assert services.expire_due_grants(now=NOW + 999 * DAY) == 0

    assert services.expire_grants_on_clock(clock=faster, now=NOW + 9 * DAY) == 1
    assert ledger(early)[-1] == ("expired", -100, 0)
    assert early.entries.get(kind="expired").created_at == NOW + 9 * DAY
    assert services.expire_grants_on_clock(clock=clock, now=NOW) == 0
    assert ledger(late) == [("granted", 100, 100)]


def test_many_are_written_off_in_chunks() -> None:
    environment = CustomerFactory.create().environment
    for customer in CustomerFactory.create_batch(5, environment=environment):
        for _ in range(2):
            grant_credit(customer, 100, expires_at=NOW + DAY)
    elsewhere = grant_credit(CustomerFactory.create(), 100, expires_at=NOW + DAY)

    assert services.expire_due_grants(now=NOW + DAY, chunk=2) == 11
    assert ledger(elsewhere)[-1] == ("expired", -100, 0)
    check_ledger()


def test_beat_finds_what_is_due() -> None:
    grant = grant_credit(CustomerFactory.create(), 100, expires_at=NOW + DAY, now=NOW)

    # The wall is past that day by now.
    tasks.expire_due_grants()

    assert ledger(grant)[-1] == ("expired", -100, 0)
