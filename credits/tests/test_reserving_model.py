"""Random lives of a customer's credit against a model that moves it unit by unit and keeps no sums."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from core.ids import new_id
from credits import balances, services
from credits.models import CreditGrant, CreditReservation, EventCharge
from credits.tests.factories import check_ledger, grant_credit, paid_meter

HOUR = timedelta(hours=1)
FAR = NOW + 999 * HOUR

AMOUNTS = st.integers(1, 12)
HOURS = st.integers(1, 5)


@dataclass
class Given:
    row: CreditGrant
    amount: int
    rank: tuple[Any, ...]
    starts: datetime
    ends: datetime
    used: int = 0
    is_void: bool = False

    @property
    def order(self) -> tuple[Any, ...]:
        """The order in which grants are used up, in which they may end sooner than they began with."""
        priority, *rest = self.rank
        return (priority, self.ends, *rest)

    def is_usable(self, now: datetime) -> bool:
        return self.starts <= now < self.ends and not self.is_void


@dataclass
class Kept:
    row: CreditReservation
    ends: datetime
    # A grant for each unit.
    units: list[Given]
    committed: int = 0
    closed: str = ""

    def state(self, now: datetime) -> str:
        return self.closed or ("expired" if self.ends <= now else "active")

    def held(self, now: datetime) -> list[Given]:
        return self.units if self.state(now) == "active" else []


@dataclass
class Model:
    grants: list[Given] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    waiting: list[list[Any]] = field(default_factory=list)

    def free(self, grant: Given, now: datetime) -> int:
        """What any use may take of a grant."""
        held = sum(unit is grant for kept in self.kept for unit in kept.held(now))
        return grant.amount - grant.used - held if grant.is_usable(now) else 0

    def next_unit(self, now: datetime) -> Given | None:
        usable = [grant for grant in self.grants if self.free(grant, now) > 0]
        return min(usable, key=lambda grant: grant.order, default=None)

    def settle(self, now: datetime) -> None:
        for charge in self.waiting:
            while charge[1] and (grant := self.next_unit(now)):
                grant.used += 1
                charge[1] -= 1


class Credit(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.customer = CustomerFactory.create()
        self.meter = paid_meter(self.customer.environment)
        assert self.meter.currency is not None
        self.currency = self.meter.currency
        self.now = NOW
        self.model = Model()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @rule(
        amount=AMOUNTS,
        priority=st.integers(1, 2),
        ends=st.none() | st.integers(2, 6),
        starts=st.sampled_from([0, 0, 1]),
        promotional=st.booleans(),
    )
    def grant(self, amount: int, priority: int, ends: int | None, starts: int, *, promotional: bool) -> None:
        starts_at, ends_at = self.now + starts * HOUR, FAR if ends is None else self.now + ends * HOUR
        row = grant_credit(
            self.customer, amount, currency=self.currency, now=self.now, priority=priority, effective_at=starts_at,
            expires_at=None if ends is None else ends_at, category="promotional" if promotional else "paid",
        )  # fmt: skip
        rank = (priority, not promotional, starts_at, len(self.model.grants))
        self.model.grants.append(Given(row, amount, rank, starts_at, ends_at))
        self.model.settle(self.now)

    @rule(amount=AMOUNTS, hours=HOURS)
    def reserve(self, amount: int, hours: int) -> None:
        units: list[Given] = []
        kept = Kept(CreditReservation(), self.now + hours * HOUR, units)
        self.model.kept.append(kept)
        while len(units) < amount and (grant := self.model.next_unit(self.now)):
            units.append(grant)
        try:
            kept.row = services.reserve_credit(
                environment=self.customer.environment, customer=self.customer, currency=self.currency, amount=amount,
                duration=hours * HOUR, now=self.now,
            )  # fmt: skip
        except BillingError:
            assert len(units) < amount
            self.model.kept.remove(kept)
        else:
            assert len(units) == amount

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data(), keeps_rest=st.booleans())
    def commit(self, data: st.DataObject, *, keeps_rest: bool) -> None:
        kept = data.draw(st.sampled_from(self.model.kept))
        amount = data.draw(st.none() | AMOUNTS)
        held = sorted(kept.held(self.now), key=lambda grant: grant.order)
        try:
            services.commit_reservation(reservation=kept.row, amount=amount, keeps_rest=keeps_rest, now=self.now)
        except BillingError:
            assert not held or (amount or 0) > len(held)
            return
        wanted = len(held) if amount is None else amount
        assert 0 < wanted <= len(held)
        for grant in held[:wanted]:
            grant.used += 1
        kept.committed += wanted
        kept.units = held[wanted:]
        if not keeps_rest or not kept.units:
            frees = bool(kept.units)
            kept.closed, kept.units = "committed", []
            if frees:
                self.model.settle(self.now)

    @precondition(lambda self: self.model.kept)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        kept = data.draw(st.sampled_from(self.model.kept))
        held = kept.held(self.now)
        try:
            services.release_reservation(reservation=kept.row, now=self.now)
        except BillingError:
            assert not held
            return
        assert held
        kept.closed, kept.units = "released", []
        self.model.settle(self.now)

    @rule(amount=AMOUNTS)
    def burn(self, amount: int) -> None:
        charge = EventCharge.objects.create(
            id=new_id(), environment=self.customer.environment, customer=self.customer, currency=self.currency,
            meter=self.meter, event_timestamp=self.now, amount=amount, pending=amount, created_at=self.now,
        )  # fmt: skip
        self.model.waiting.append([charge.pk, amount])
        services.settle_customer(
            environment_id=self.customer.environment_id, customer_id=self.customer.pk, now=self.now
        )
        self.model.settle(self.now)

    @precondition(lambda self: self.model.grants)
    @rule(data=st.data(), voids=st.booleans())
    def end_grant(self, data: st.DataObject, *, voids: bool) -> None:
        grant = data.draw(st.sampled_from(self.model.grants))
        alive = not grant.is_void and self.now < grant.ends
        untouched = not grant.used and not any(grant in kept.held(self.now) for kept in self.model.kept)
        end = services.void_grant if voids else services.expire_grant
        try:
            end(grant=grant.row, now=self.now)
        except BillingError:
            assert not alive or (voids and not untouched)
            return
        assert alive
        if voids:
            assert untouched
            grant.is_void = True
        else:
            grant.ends = self.now

    @rule(hours=HOURS, books=st.booleans())
    def pass_time(self, hours: int, *, books: bool) -> None:
        self.now += hours * HOUR
        if books:
            services.expire_due_reservations(now=self.now)
            services.expire_due_grants(now=self.now)
            services.settle_waiting(now=self.now)
            self.model.settle(self.now)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        now, model = self.now, self.model
        found = balances.balances(self.customer, now).get(self.currency.pk)
        assert (found.left if found else 0) == sum(model.free(grant, now) for grant in model.grants)
        assert dict(EventCharge.objects.values_list("pk", "pending")) == {
            charge[0]: charge[1] for charge in model.waiting
        }
        rows = CreditReservation.objects.in_bulk([kept.row.pk for kept in model.kept])
        for kept in model.kept:
            row = rows[kept.row.pk]
            assert (row.state(now), row.committed) == (kept.state(now), kept.committed)
            if row.state(now) == "active":
                assert row.reserved == len(kept.units)
        for grant in model.grants:
            taken = grant.row.entries.filter(kind__in=["burned", "committed"]).aggregate(Sum("amount"))
            assert -int(taken["amount__sum"] or 0) == grant.used
        check_ledger()


@pytest.mark.django_db
def test_credit_lives_as_the_model_says() -> None:
    run_state_machine_as_test(
        Credit,
        settings=settings(
            max_examples=20, stateful_step_count=20, deadline=None, derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
