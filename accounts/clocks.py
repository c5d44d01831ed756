"""Test clocks: what they show, where they are going, and who may touch what lives by them.

Letting time pass for those who live by a clock is work for those who bill (:mod:`invoices.services.clocks`).
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from accounts import known
from accounts.errors import ClockAdvancing, ClockNotAhead, ClocksOnlyInTest, TooManyCustomers
from accounts.models import Customer, Environment, TestClock
from core.errors import NotFound
from webhooks.kinds import Kind
from webhooks.services import record

# As Stripe has it.
CUSTOMERS_ON_A_CLOCK = 3
KEPT = timedelta(days=30)


@transaction.atomic
def create_test_clock(*, environment: Environment, frozen_at: datetime, now: datetime, name: str = "") -> TestClock:
    """Make a clock that shows an instant until it is advanced.

    :param now: the wall's time
    :raises ClocksOnlyInTest: if the environment is live
    """
    if environment.is_live:
        raise ClocksOnlyInTest
    clock = TestClock.objects.create(
        environment=environment, name=name, frozen_at=frozen_at, created_at=now, deletes_at=now + KEPT
    )
    record(Kind.TEST_CLOCK_CREATED, rows=[clock], now=now)
    return clock


def hold_clock(customer: Customer, *, now: datetime | None = None) -> None:
    """Keep a customer's test clock from moving until this transaction ends. Every change of what lives by it begins so.

    The clock is locked before all else that is locked. Without a clock nothing is.

    :param now: the time that the caller took from the clock
    :raises ClockAdvancing: if it is on the move, or moved since
    """
    if customer.test_clock_id is not None:
        _refuse_moving(_locked(customer.test_clock_id), now)


def join_clock(clock: TestClock, environment: Environment) -> datetime:
    """Hold a clock for one more customer.

    :returns: the time that it shows
    :raises NotFound: if it is not the environment's, or was deleted
    :raises ClockAdvancing: if it is on the move
    :raises TooManyCustomers: if it has as many as it may have
    """
    locked = _locked(clock.pk)
    if locked.environment_id != environment.pk or locked.deleted_at is not None:
        raise NotFound("test clock", str(clock.pk))
    _refuse_moving(locked, None)
    if locked.customers.present().count() >= CUSTOMERS_ON_A_CLOCK:
        raise TooManyCustomers(CUSTOMERS_ON_A_CLOCK)
    return locked.frozen_at


def start_advance(clock: TestClock, *, target_at: datetime, furthest: datetime) -> TestClock:
    """Set a clock in motion. The caller holds it, by :func:`lock_clock`.

    One that failed on its way may be tried again.

    :param furthest: as far as it may go at once
    :raises ClockAdvancing: if it is on the move already
    :raises ClockNotAhead: if the target is not after what it shows, or beyond ``furthest``
    """
    _refuse_moving(clock, None)
    if not clock.frozen_at < target_at <= furthest:
        raise ClockNotAhead(clock.frozen_at, target_at, furthest)
    clock.status, clock.target_at, clock.failure = TestClock.Status.ADVANCING, target_at, ""
    clock.save(update_fields=["status", "target_at", "failure"])
    record(Kind.TEST_CLOCK_ADVANCING, rows=[clock], now=clock.frozen_at)
    return clock


def move_clock(clock: TestClock, at: datetime) -> None:
    """Let a clock on the move show an instant; at its target it is ready. The caller holds it."""
    clock.frozen_at = at
    arrives = at == clock.target_at
    if arrives:
        clock.status, clock.target_at = TestClock.Status.READY, None
    clock.save(update_fields=["frozen_at", "status", "target_at"])
    if arrives:
        record(Kind.TEST_CLOCK_READY, rows=[clock], now=at)
    _forget(clock)


@transaction.atomic
def stop_clock(clock_id: UUID, *, failure: str) -> None:
    """Note that a clock cannot go on. It shows the last instant at which all went well."""
    clock = _locked(clock_id)
    if clock.status == TestClock.Status.ADVANCING:
        clock.status, clock.failure = TestClock.Status.INTERNAL_FAILURE, failure
        clock.save(update_fields=["status", "failure"])
        record(Kind.TEST_CLOCK_FAILED, rows=[clock], now=clock.frozen_at)


def lock_clock(clock: TestClock) -> TestClock:
    """Take a clock's lock, and read it as it is now.

    :raises NotFound: if it was deleted
    """
    locked = _locked(clock.pk)
    if locked.deleted_at is not None:
        raise NotFound("test clock", str(clock.pk))
    return locked


def close_clock(clock: TestClock, *, now: datetime) -> None:
    """Delete a clock, whose customers are closed by now. The row stays, since they go on pointing at it.

    :param now: the wall's time
    :raises ClockAdvancing: if it is on the move
    """
    _refuse_moving(clock, None)
    # As it was: what is deleted can be shown no more.
    record(Kind.TEST_CLOCK_DELETED, rows=[clock], now=clock.frozen_at)
    clock.deleted_at = now
    clock.save(update_fields=["deleted_at"])


def _refuse_moving(clock: TestClock, now: datetime | None) -> None:
    if clock.status == TestClock.Status.ADVANCING or (now is not None and now < clock.frozen_at):
        raise ClockAdvancing(clock.pk)


def _locked(clock_id: UUID) -> TestClock:
    # no_key: rows that refer to it need not wait.
    return TestClock.objects.select_for_update(no_key=True).get(pk=clock_id)


def _forget(clock: TestClock) -> None:
    """Let this process see the clock's time at once; others follow within a second."""
    keys = [known.customer_key(clock.environment_id, pk) for pk in clock.customers.values_list("pk", flat=True)]

    def forget() -> None:
        for key in keys:
            known.customers.forget(key)

    transaction.on_commit(forget)
