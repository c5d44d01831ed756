"""Credit is put aside, used, given back, and lost to time; what is held nothing else can have."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from core.errors import BillingError, NotFound
from core.ids import new_id
from credits import balances, services
from credits.errors import (
    CreditAmountInvalid,
    CreditCurrencyUnknown,
    CreditGrantReserved,
    CreditInsufficient,
    CreditReservationEnded,
    CreditReservationExceeded,
    CreditReservationTooLong,
)
from credits.models import CreditGrant, CreditHold, CreditReservation, EventCharge
from credits.tests.factories import check_ledger, grant_credit, ledger, paid_meter, payable
from meters.models import Currency
from subscriptions.tests.factories import MeteredPriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


def reserve(customer: Customer, amount: int, *, now: datetime = NOW, **terms: Any) -> CreditReservation:
    terms = {"currency": "usd", **terms}
    return services.reserve_credit(environment=customer.environment, customer=customer, amount=amount, now=now, **terms)


def commit(reservation: CreditReservation, amount: int | None = None, *, now: datetime = NOW, **more: Any) -> Any:
    return services.commit_reservation(reservation=reservation, amount=amount, now=now, **more)


def release(reservation: CreditReservation, *, now: datetime = NOW) -> CreditReservation:
    return services.release_reservation(reservation=reservation, now=now)


def standing(customer: Customer, now: datetime = NOW) -> tuple[int, int, int]:
    """What can be used, what is reserved, and what is on the ledger, of one currency."""
    [one] = balances.standings(customer, now)
    return one.available, one.held, one.left


def facts(reservation: CreditReservation) -> tuple[str, int, int, int]:
    found = CreditReservation.objects.get(pk=reservation.pk)
    return found.status, found.reserved, found.committed, found.released


def pay(customer: Customer, amount: int, now: datetime = NOW) -> int:
    """What credit pays for an invoice of the amount."""
    price = MeteredPriceFactory.create(environment=customer.environment)
    invoice = payable(customer, (price, amount), at=now)
    shares = services.preview_credit(environment_id=customer.environment_id, invoice=invoice)
    entries = services.apply_credit(environment_id=customer.environment_id, invoices=[invoice])
    # What is shown before is what is taken then.
    assert [share.amount for share in shares] == [-entry.amount for entry in entries]
    paid: int = -sum(entry.amount for entry in entries)
    return paid


def test_what_is_reserved_is_seen_at_once_and_is_used_in_the_order_of_the_grants(customer: Customer) -> None:
    later, sooner = grant_credit(customer, 100), grant_credit(customer, 50, expires_at=NOW + 9 * HOUR)
    reservation = reserve(customer, 70)

    assert standing(customer) == (80, 70, 150)
    assert dict(reservation.holds.values_list("grant", "amount")) == {sooner.pk: 50, later.pk: 20}
    assert ledger(later) == [("granted", 100, 100)]

    commit(reservation, 60, keeps_rest=True)
    assert facts(reservation) == ("active", 10, 60, 0)
    assert ledger(sooner)[1:] == [("committed", -50, 0)]
    assert ledger(later)[1:] == [("committed", -10, 90)]
    assert standing(customer) == (80, 10, 90)

    commit(reservation)
    assert facts(reservation) == ("committed", 0, 70, 0)
    assert standing(customer) == (80, 0, 80)
    check_ledger()


def test_what_is_not_committed_is_given_back(customer: Customer) -> None:
    grant_credit(customer, 100)
    used, unused = reserve(customer, 60), reserve(customer, 40)

    commit(used, 25)
    release(unused)

    assert facts(used) == ("committed", 0, 25, 35)
    assert facts(unused) == ("released", 0, 0, 40)
    assert standing(customer) == (75, 0, 75)
    check_ledger()


def test_what_ended_has_ended(customer: Customer) -> None:
    grant_credit(customer, 100)
    over = reserve(customer, 10, duration=HOUR)
    ended = [commit(reserve(customer, 10)), release(reserve(customer, 10))]

    for reservation, now in [(ended[0], NOW), (ended[1], NOW), (over, NOW + HOUR)]:
        before = facts(reservation)
        for act in (commit, release):
            with pytest.raises(CreditReservationEnded):
                act(reservation, now=now)
        assert facts(reservation) == before


@pytest.mark.parametrize("amount", [0, -1, 11])
def test_no_more_is_committed_than_is_reserved(customer: Customer, amount: int) -> None:
    grant_credit(customer, 100)
    reservation = reserve(customer, 10)
    with pytest.raises(CreditReservationExceeded):
        commit(reservation, amount)
    assert facts(reservation) == ("active", 10, 0, 0)


def elsewhere() -> Currency:
    return paid_meter(EnvironmentFactory.create()).currency  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"amount": 101}, CreditInsufficient),
        ({"amount": 1, "currency": "eur"}, CreditInsufficient),
        ({"amount": 0}, CreditAmountInvalid),
        ({"amount": 1, "currency": "xxx"}, CreditCurrencyUnknown),
        ({"amount": 1, "duration": timedelta(0)}, CreditReservationTooLong),
        ({"amount": 1, "duration": timedelta(days=7, seconds=1)}, CreditReservationTooLong),
    ],
)
def test_what_cannot_be_reserved_changes_nothing(
    customer: Customer, terms: dict[str, Any], error: type[BillingError]
) -> None:
    grant_credit(customer, 100)
    with pytest.raises(error):
        reserve(customer, **terms)
    assert standing(customer) == (100, 0, 100)
    assert not CreditReservation.objects.exists()


def test_nothing_is_reserved_across_a_wall_or_of_who_has_nothing(customer: Customer) -> None:
    with pytest.raises(CreditInsufficient):
        reserve(customer, 1)
    with pytest.raises(NotFound):
        reserve(customer, 1, currency=elsewhere())
    with pytest.raises(NotFound):
        services.reserve_credit(
            environment=EnvironmentFactory.create(), customer=customer, currency="usd", amount=1, now=NOW
        )


def test_only_what_can_be_used_for_anything_now_is_reserved(customer: Customer) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment)
    grant_credit(customer, 10, prices=[price])
    grant_credit(customer, 20, effective_at=NOW + HOUR)
    grant_credit(customer, 30, expires_at=NOW + HOUR)

    with pytest.raises(CreditInsufficient, match=r"0\.30 USD"):
        reserve(customer, 31)
    reserve(customer, 30)
    with pytest.raises(CreditInsufficient, match=r"0\.20 USD"):
        reserve(customer, 21, now=NOW + HOUR)


def test_invoices_are_paid_from_what_is_not_reserved_and_from_what_lapsed(customer: Customer) -> None:
    grant_credit(customer, 100)
    reservation = reserve(customer, 70, duration=HOUR)

    assert pay(customer, 90) == 30
    # Nothing has booked the end of the reservation when the invoice comes.
    assert standing(customer, NOW + HOUR) == (70, 0, 70)
    assert pay(customer, 60, NOW + HOUR) == 60
    assert facts(reservation) == ("expired", 0, 0, 70)
    check_ledger()


def test_events_burn_what_is_not_reserved_and_what_comes_back_pays_what_waits(customer: Customer) -> None:
    meter = paid_meter(customer.environment)
    currency = meter.currency
    assert currency is not None
    grant_credit(customer, 100, currency=currency)
    released, partly, lapsed = (reserve(customer, 30, currency=currency, duration=HOUR) for _ in range(3))
    charge = EventCharge.objects.create(
        id=new_id(), environment=customer.environment, customer=customer, currency=currency, meter=meter,
        event_timestamp=NOW, amount=90, pending=90, created_at=NOW,
    )  # fmt: skip

    def pending() -> int:
        charge.refresh_from_db()
        return int(charge.pending)

    services.settle_customer(environment_id=customer.environment_id, customer_id=customer.pk, now=NOW)
    assert pending() == 80
    assert balances.balances(customer, NOW)[currency.pk].left == 0
    release(released)
    assert pending() == 50
    commit(partly, 10)
    assert pending() == 30
    services.expire_due_reservations(now=NOW + HOUR)
    assert facts(lapsed) == ("expired", 0, 0, 30)
    assert pending() == 0
    check_ledger()


def test_a_grant_that_expires_loses_what_is_not_reserved_and_the_rest_when_it_comes_back(customer: Customer) -> None:
    by_itself, by_hand = grant_credit(customer, 50, expires_at=NOW + HOUR), grant_credit(customer, 50)
    first, second = reserve(customer, 40, duration=2 * HOUR), reserve(customer, 20, duration=2 * HOUR)
    assert dict(second.holds.values_list("grant", "amount")) == {by_itself.pk: 10, by_hand.pk: 10}

    later = NOW + HOUR
    services.expire_due_grants(now=later)
    assert ledger(by_itself) == [("granted", 50, 50)]
    services.expire_grant(grant=by_hand, now=later)
    assert ledger(by_hand)[1:] == [("expired", -40, 10)]
    assert standing(customer, later) == (0, 60, 60)

    # What was promised is kept.
    commit(first, 30, now=later)
    assert ledger(by_itself)[1:] == [("committed", -30, 20), ("expired", -10, 10)]
    release(second, now=later)
    assert ledger(by_itself)[3:] == [("expired", -10, 0)]
    assert ledger(by_hand)[2:] == [("expired", -10, 0)]
    assert services.expire_due_grants(now=later) == 0
    check_ledger()


def test_what_comes_back_to_an_expired_grant_leaves_what_is_reserved_of_it(customer: Customer) -> None:
    grant = grant_credit(customer, 100, expires_at=NOW + HOUR)
    price = MeteredPriceFactory.create(environment=customer.environment)
    invoice = payable(customer, (price, 30))
    services.apply_credit(environment_id=customer.environment_id, invoices=[invoice])
    reservation = reserve(customer, 50, duration=2 * HOUR)

    services.give_back_credit(
        environment_id=customer.environment_id,
        customer_ids=[customer.pk],
        invoice_ids=[invoice.invoice_id],
        now=NOW + HOUR,
    )
    assert ledger(grant)[2:] == [("given_back", 30, 100), ("expired", -50, 50)]
    commit(reservation, now=NOW + HOUR)
    assert CreditGrant.objects.get().balance == 0
    check_ledger()


def test_a_grant_is_not_void_while_some_of_it_is_reserved(customer: Customer) -> None:
    grant = grant_credit(customer, 100)
    reserve(customer, 10, duration=HOUR)
    with pytest.raises(CreditGrantReserved):
        services.void_grant(grant=grant, now=NOW)

    # That its time is over needs no job to be seen.
    services.void_grant(grant=grant, now=NOW + HOUR)
    assert ledger(grant)[1:] == [("voided", -100, 0)]
    check_ledger()


def test_on_a_clock_a_reservation_lasts_by_the_clocks_time() -> None:
    clock = TestClockFactory.create(frozen_at=NOW + 9 * HOUR)
    customer = CustomerFactory.create(environment=clock.environment, test_clock=clock)
    there = NOW + 9 * HOUR
    grant_credit(customer, 100, now=there)
    reservation = reserve(customer, 60, now=there, duration=HOUR)

    assert services.expire_due_reservations(now=NOW + 99 * HOUR) == 0
    assert services.expire_reservations_on_clock(clock=clock, now=there + HOUR) == 1
    assert facts(reservation) == ("expired", 0, 0, 60)


def test_reservations_are_found_by_the_state_that_their_date_says(customer: Customer) -> None:
    grant_credit(customer, 100)
    lapsed, active = reserve(customer, 1, duration=HOUR), reserve(customer, 1, duration=3 * HOUR)
    done, back = commit(reserve(customer, 1)), release(reserve(customer, 1))

    def found(state: str) -> list[CreditReservation]:
        return list(CreditReservation.objects.in_state(state, NOW + 2 * HOUR))

    states = ("active", "committed", "released", "expired")
    assert [found(state) for state in states] == [[active], [done], [back], [lapsed]]
    services.expire_due_reservations(now=NOW + 2 * HOUR)
    assert [found(state) for state in states] == [[active], [done], [back], [lapsed]]


def test_reservations_are_not_told_one_by_one(customer: Customer) -> None:
    grant_credit(customer, 100)
    before = Event.objects.count()
    commit(reserve(customer, 10))
    release(reserve(customer, 10))
    assert Event.objects.count() == before


@transaction.atomic
def write(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    check_ledger()


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE credits_creditgrant SET reserved = 0 WHERE reserved > 0", "credit_grant_reserved_follows_from_holds"),
        ("UPDATE credits_creditgrant SET balance = 39 WHERE reserved > 0", "credit_grant_reserved_is_left"),
        ("UPDATE credits_credithold SET amount = amount + 1", "credit_hold_is_kept"),
        ("UPDATE credits_credithold SET amount = amount - 1", "credit_reservation_is_what_it_holds"),
        ("UPDATE credits_credithold SET amount = -1", "credit_hold_not_negative"),
        ("DELETE FROM credits_credithold", "credit_reservation_is_kept"),
        ("DELETE FROM credits_creditreservation", "credit_reservation_is_kept"),
        ("UPDATE credits_creditreservation SET amount = 41, reserved = 41", "credit_reservation_is_kept"),
        ("UPDATE credits_creditreservation SET expires_at = expires_at + interval '1 day'", "credit_reservation_is_kept"),
        ("UPDATE credits_creditreservation SET reserved = 39", "credit_reservation_adds_up"),
        (
            "UPDATE credits_creditreservation SET reserved = 39, committed = 1",
            "credit_reservation_is_what_it_holds",
        ),
        (
            "UPDATE credits_creditreservation SET reserved = 0, released = 40, status = 'released', ended_at = now()",
            "credit_reservation_is_what_it_holds",
        ),
        ("UPDATE credits_creditreservation SET status = 'committed'", "credit_reservation_holds_until_it_ends"),
        (
            """
            INSERT INTO credits_credithold (id, environment_id, customer_id, reservation_id, grant_id, amount)
            SELECT gen_random_uuid(), environment_id, customer_id, reservation_id,
                   (SELECT id FROM credits_creditgrant WHERE currency = 'eur'), 5 FROM credits_credithold
            """,
            "credit_reservation_holds_its_currency",
        ),
    ],
)  # fmt: skip
def test_the_database_holds_whatever_code_runs_to_it(customer: Customer, statement: str, constraint: str) -> None:
    grant_credit(customer, 100)
    grant_credit(customer, 100, currency="eur")
    reserve(customer, 40)
    check_ledger()

    with pytest.raises(IntegrityError) as refusal:
        write(statement)
    assert refusal.value.__cause__.diag.constraint_name == constraint  # type: ignore[union-attr]
    assert CreditHold.objects.get().amount == 40
