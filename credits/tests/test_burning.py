"""Events burn credit, on real connections: once each, in order, and never more than there is."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from core.errors import NotFound
from core.ids import new_id
from credits import balances, services
from credits.models import CreditGrant, EventCharge, LedgerEntry
from credits.tests.factories import burn_all, burned, grant_credit, ledger, paid_meter
from meters.models import Currency, Meter
from subscriptions.tests.factories import MeteredPriceFactory
from usage.services import cancel_event, roll_up
from usage.tests.factories import accepted, draft, report, roll_up_all

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def meter(customer: Customer) -> Meter:
    return paid_meter(customer.environment, decimals=2)


def give(customer: Customer, meter: Meter, amount: int, **terms: Any) -> CreditGrant:
    return grant_credit(customer, amount, currency=meter.currency, **terms)


def own_currency(meter: Meter) -> Currency:
    assert meter.currency is not None
    return meter.currency


def used(meter: Meter, customer: Customer, value: int | str, **more: Any) -> EventCharge:
    """An event, charged for."""
    event = report(meter, customer, value, timestamp=NOW, **more)
    burn_all()
    return EventCharge.objects.get(pk=event.event_id)


def test_usage_beyond_all_credit_is_owed_and_keeps_nobody_elses_from_being_paid(
    customer: Customer, meter: Meter
) -> None:
    grant = give(customer, meter, 500)
    other = CustomerFactory.create(environment=customer.environment)
    give(other, meter, 500)

    huge = report(meter, customer, "1e60", timestamp=NOW)
    assert balances.pending(customer) == {own_currency(meter).pk: 10**62}
    assert state(used(meter, other, 1)) == ("settled", 100, 0)
    assert state(EventCharge.objects.get(pk=huge.event_id)) == ("short", 500, 10**62 - 500)
    assert ledger(grant)[-1][2] == 0
    assert balances.pending(customer) == {own_currency(meter).pk: 10**62 - 500}


def state(charge: EventCharge) -> tuple[str, int, int]:
    charge.refresh_from_db()
    return charge.status, charge.consumed, charge.pending


def left(customer: Customer, meter: Meter) -> int:
    found = balances.balances(customer, NOW).get(meter.currency_id)  # type: ignore[arg-type]
    return found.left if found else 0


def test_an_event_burns_before_it_is_rolled_up_and_not_before_all_that_began_earlier_has_ended(
    customer: Customer, meter: Meter
) -> None:
    give(customer, meter, 1000)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            # A transaction that may yet store an event, with an earlier id than the next one's.
            cursor.execute("BEGIN; SELECT pg_current_xact_id()")
            event = report(meter, customer, 3, timestamp=NOW)
            assert services.burn_credit(now=NOW) == 0
            cursor.execute("COMMIT")
    finally:
        other.close()

    assert services.burn_credit(now=NOW) == 1
    roll_up_all()
    assert services.burn_credit(now=NOW) == 0
    assert state(EventCharge.objects.get(pk=event.event_id)) == ("settled", 300, 0)


def test_an_event_burns_its_value_in_smallest_units_once(customer: Customer, meter: Meter) -> None:
    grant = give(customer, meter, 1000)
    charge = used(meter, customer, "1.5")
    burn_all()

    assert state(charge) == ("settled", 150, 0)
    assert ledger(CreditGrant.objects.get()) == [("granted", 1000, 1000), ("burned", -150, 850)]
    assert burned(charge.pk) == [(grant.pk, 150)]
    assert left(customer, meter) == 850


def test_an_event_takes_from_several_grants_and_waits_for_what_is_short(customer: Customer, meter: Meter) -> None:
    later, sooner = give(customer, meter, 100), give(customer, meter, 50, expires_at=NOW + HOUR)
    charge = used(meter, customer, 2)

    assert state(charge) == ("short", 150, 50)
    assert burned(charge.pk) == [(sooner.pk, 50), (later.pk, 100)]
    assert balances.pending(customer) == {meter.currency_id: 50}
    assert left(customer, meter) == 0


def test_a_later_grant_settles_what_waits_oldest_first_in_its_own_transaction(customer: Customer, meter: Meter) -> None:
    first, second = used(meter, customer, 1), used(meter, customer, 1)
    assert [state(charge) for charge in (first, second)] == [("short", 0, 100)] * 2

    grant = give(customer, meter, 150)
    assert (grant.balance, grant.entry_count) == (0, 3)
    assert [state(charge) for charge in (first, second)] == [("settled", 100, 0), ("short", 50, 50)]
    give(customer, meter, 70)
    assert state(second) == ("settled", 100, 0)
    assert left(customer, meter) == 20
    assert balances.pending(customer) == {}


def test_a_grant_that_becomes_effective_by_itself_pays_then(customer: Customer, meter: Meter) -> None:
    charge = used(meter, customer, 1)
    give(customer, meter, 500, effective_at=NOW + HOUR)
    services.settle_waiting(now=NOW)
    assert state(charge) == ("short", 0, 100)

    services.settle_waiting(now=NOW + HOUR)
    assert state(charge) == ("settled", 100, 0)


def test_a_customer_on_a_clock_burns_by_the_clocks_time() -> None:
    environment = EnvironmentFactory.create()
    clock = TestClockFactory.create(environment=environment, frozen_at=NOW + HOUR)
    customer = CustomerFactory.create(environment=environment, test_clock=clock)
    meter = paid_meter(environment)
    ended = grant_credit(customer, 5, currency=meter.currency, expires_at=NOW + HOUR + HOUR / 2, now=NOW + HOUR)
    type(clock).objects.update(frozen_at=NOW + 2 * HOUR)
    grant = grant_credit(
        Customer.objects.get(pk=customer.pk), 5, currency=meter.currency, effective_at=NOW, now=NOW + 2 * HOUR
    )
    report(meter, customer, 3, timestamp=NOW)
    burn_all(NOW)

    assert CreditGrant.objects.get(pk=ended.pk).balance == 5
    assert CreditGrant.objects.get(pk=grant.pk).balance == 2
    assert LedgerEntry.objects.get(kind="burned").created_at == NOW + 2 * HOUR


def test_only_grants_of_the_meters_currency_and_customer_are_burned(customer: Customer, meter: Meter) -> None:
    other_meter = paid_meter(customer.environment)
    neighbor = CustomerFactory.create(environment=customer.environment)
    spared = [give(customer, other_meter, 900), give(neighbor, meter, 900), grant_credit(customer, 900)]
    charge = used(meter, customer, 1)

    assert state(charge) == ("short", 0, 100)
    assert [CreditGrant.objects.get(pk=grant.pk).balance for grant in spared] == [900] * 3


def test_a_grant_for_some_prices_pays_for_their_meters_only(customer: Customer, meter: Meter) -> None:
    other = paid_meter(customer.environment, currency=meter.currency)
    price = MeteredPriceFactory.create(environment=customer.environment, meter=other)
    grant = give(customer, meter, 150, prices=[price])
    waiting, paid = used(meter, customer, 1), used(other, customer, 1)

    assert (state(waiting), state(paid)) == (("short", 0, 100), ("settled", 100, 0))
    assert CreditGrant.objects.get(pk=grant.pk).balance == 50
    # What waits in front of it is no obstacle.
    assert state(used(other, customer, 1)) == ("short", 50, 50)


def test_a_meter_without_a_currency_and_usage_taken_back_cost_nothing(customer: Customer, meter: Meter) -> None:
    give(customer, meter, 1000)
    plain = MeteredPriceFactory.create(environment=customer.environment).meter
    assert plain is not None
    for one, value in ((plain, 5), (meter, 0), (meter, -3), (meter, "0.004")):
        report(one, customer, value, timestamp=NOW)
    burn_all()

    assert not EventCharge.objects.exists()
    assert left(customer, meter) == 1000


def test_what_the_currency_has_no_unit_for_is_rounded_half_up(customer: Customer, meter: Meter) -> None:
    assert [used(meter, customer, value).amount for value in ("0.005", "1.004", "1.0051")] == [1, 100, 101]


def test_a_canceled_event_gives_back_what_it_burned(customer: Customer, meter: Meter) -> None:
    grants = [give(customer, meter, 50), give(customer, meter, 100)]
    charge, waiting = used(meter, customer, 1, identifier="one"), used(meter, customer, 2)
    assert (state(charge), state(waiting)) == (("settled", 100, 0), ("short", 50, 150))

    cancel_event(environment=customer.environment, identifier="one", now=NOW)
    for _ in range(2):
        burn_all()
    assert state(charge) == ("canceled", 0, 0)
    # What came back went to the one that waited.
    assert state(waiting) == ("short", 150, 50)
    assert [ledger(grant)[-2:] for grant in grants] == [
        [("given_back", 50, 50), ("burned", -50, 0)],
        [("given_back", 50, 50), ("burned", -50, 0)],
    ]


def test_an_event_that_is_canceled_before_it_is_charged_for_costs_nothing(customer: Customer, meter: Meter) -> None:
    give(customer, meter, 100)
    report(meter, customer, 1, timestamp=NOW, identifier="one")
    cancel_event(environment=customer.environment, identifier="one", now=NOW)
    burn_all()

    assert not EventCharge.objects.exists()
    assert left(customer, meter) == 100


def test_credit_that_comes_back_to_an_expired_grant_expires(customer: Customer, meter: Meter) -> None:
    grant = give(customer, meter, 300, expires_at=NOW + HOUR)
    used(meter, customer, 1, identifier="one")
    services.expire_due_grants(now=NOW + HOUR)
    cancel_event(environment=customer.environment, identifier="one", now=NOW + HOUR)
    burn_all(NOW + HOUR)

    assert ledger(grant)[1:] == [
        ("burned", -100, 200),
        ("expired", -200, 0),
        ("given_back", 100, 100),
        ("expired", -100, 0),
    ]


def test_a_burned_grant_is_in_use_and_a_void_one_pays_nothing(customer: Customer, meter: Meter) -> None:
    grant = give(customer, meter, 100)
    services.void_grant(grant=grant, now=NOW)
    assert state(used(meter, customer, 1)) == ("short", 0, 100)


def test_events_of_this_moment_are_pending_before_anybody_looks_at_them(customer: Customer, meter: Meter) -> None:
    give(customer, meter, 1000)
    report(meter, customer, "2.5", timestamp=NOW)
    assert balances.pending(customer) == {meter.currency_id: 250}
    burn_all()
    assert balances.pending(customer) == {}


def test_the_balance_is_one_indexed_question(
    customer: Customer, meter: Meter, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(3):
        give(customer, meter, 10)
    with django_assert_num_queries(1):
        assert balances.balances(customer, NOW)[meter.currency_id].left == 30  # type: ignore[index]


def test_walls_hold_in_the_services_and_in_the_database(customer: Customer, meter: Meter) -> None:
    stranger = CustomerFactory.create()
    with pytest.raises(NotFound):
        give(stranger, meter, 5)
    assert not CreditGrant.objects.exists()
    charge = EventCharge(
        id=new_id(), environment=customer.environment, customer=stranger, currency=own_currency(meter), meter=meter,
        event_timestamp=NOW, amount=5, pending=5, created_at=NOW,
    )  # fmt: skip
    with pytest.raises(IntegrityError):
        charge.save(force_insert=True)
    assert not EventCharge.objects.exists()


def together(*jobs: Callable[[], object]) -> None:
    def run(job: Callable[[], object]) -> None:
        try:
            job()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(run, jobs))


def test_under_sixteen_writers_every_event_is_paid_once_and_to_the_unit() -> None:
    """Events, grants, expiries and burning at once; what each customer had and owes is added up at the end."""
    environment = EnvironmentFactory.create()
    customers = [CustomerFactory.create(environment=environment) for _ in range(3)]
    meter = paid_meter(environment)
    granted: list[int] = []
    done: list[int] = []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        for number in range(12):
            customer = dice.choice(customers)
            if dice.random() < 0.3:
                amount = dice.randint(1, 60)
                give(customer, meter, amount, priority=dice.randint(1, 3))
                granted.append(amount)
            drafts = [
                draft(
                    meter,
                    dice.choice(customers),
                    dice.randint(1, 9),
                    timestamp=NOW,
                    identifier=f"{seed} {number} {one}",
                )
                for one in range(3)
            ]
            accepted(environment_of=meter, drafts=drafts)
            if dice.random() < 0.2:
                accepted_again = drafts[0].identifier
                assert accepted_again
                cancel_event(environment=environment, identifier=accepted_again, now=NOW)
        done.append(seed)

    def burn() -> None:
        while len(done) < 16:
            roll_up()
            services.burn_credit(now=NOW)

    together(*[lambda seed=seed: write(seed) for seed in range(16)], burn, burn)
    roll_up_all()
    for _ in range(3):
        services.burn_credit(now=NOW)
    services.settle_waiting(now=NOW)

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, customer_id, value FROM usage_meterevent AS event WHERE NOT EXISTS "
            "(SELECT FROM usage_eventadjustment AS gone WHERE gone.event_id = event.id)"
        )
        events = {pk: (customer, int(value)) for pk, customer, value in cursor.fetchall()}
    charges = {charge.pk: charge for charge in EventCharge.objects.exclude(status="canceled")}
    assert {pk: (charge.customer_id, charge.amount) for pk, charge in charges.items()} == events
    assert {charge.status for charge in charges.values()} <= {"settled", "short"}
    for customer in customers:
        own = [charge for charge in charges.values() if charge.customer_id == customer.pk]
        grants = CreditGrant.objects.filter(customer=customer)
        given, rest = sum(grant.amount for grant in grants), sum(grant.balance for grant in grants)
        used_up, owed = sum(charge.amount for charge in own), sum(charge.pending for charge in own)
        assert given - rest == sum(charge.consumed for charge in own)
        assert (rest, owed) == (max(given - used_up, 0), max(used_up - given, 0))
        # Who came first was paid first.
        by_age = [charge.pending > 0 for charge in sorted(own, key=lambda charge: charge.pk)]
        assert by_age == sorted(by_age) or any(EventCharge.objects.filter(customer=customer, status="canceled"))
    for charge in charges.values():
        assert Decimal(sum(amount for _, amount in burned(charge.pk))) - sum(
            entry.amount for entry in LedgerEntry.objects.filter(charge=charge, kind="given_back")
        ) == Decimal(charge.consumed)
    assert sum(granted) == sum(CreditGrant.objects.values_list("amount", flat=True))
