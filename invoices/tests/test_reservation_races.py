"""Reservations at the same moment, on connections of their own: what is reserved was there, once."""

from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import F, Sum

from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from credits.errors import CreditGrantInUse, CreditGrantReserved, CreditInsufficient, CreditReservationEnded
from credits.models import CreditGrant, CreditHold, CreditReservation
from credits.services import (
    commit_reservation,
    expire_due_reservations,
    release_reservation,
    reserve_credit,
    void_grant,
)
from credits.tests.factories import grant_credit
from invoices.tests.test_credit_races import FINAL, check_sums, drafts, finalize
from invoices.tests.test_races import at_once, kinds

pytestmark = pytest.mark.django_db(transaction=True)


def check_holds() -> None:
    check_sums()
    assert not CreditGrant.objects.filter(reserved__gt=F("balance")).exists()
    held = CreditHold.objects.aggregate(Sum("amount"))["amount__sum"] or 0
    assert CreditGrant.objects.aggregate(Sum("reserved"))["reserved__sum"] == held
    assert (CreditReservation.objects.aggregate(Sum("reserved"))["reserved__sum"] or 0) == held


def test_of_32_callers_as_many_reserve_as_there_is_credit_for() -> None:
    customer = CustomerFactory.create()
    for amount in (100, 37, 63):
        grant_credit(customer, amount, now=FINAL)
    reserve = partial(
        reserve_credit, environment=customer.environment, customer=customer, currency="usd", amount=9, now=FINAL
    )

    outcomes = at_once(*[reserve] * 32)

    assert Counter(kinds(outcomes)) == {"CreditReservation": 22, "CreditInsufficient": 10}
    check_holds()
    assert CreditGrant.objects.aggregate(Sum("reserved"))["reserved__sum"] == 198
    # Half of them use what they have, the others give it back, all at once.
    reservations = [outcome for outcome in outcomes if isinstance(outcome, CreditReservation)]
    ended = at_once(
        *[partial(commit_reservation, reservation=one, amount=5, now=FINAL) for one in reservations[:11]],
        *[partial(release_reservation, reservation=one, now=FINAL) for one in reservations[11:]],
    )
    assert not [outcome for outcome in ended if isinstance(outcome, BillingError)]
    check_holds()
    assert CreditGrant.objects.aggregate(Sum("reserved"), Sum("balance")) == {"reserved__sum": 0, "balance__sum": 145}


def test_a_reservation_ends_once() -> None:
    customer = CustomerFactory.create()
    for _ in range(5):
        grant_credit(customer, 10, now=FINAL)
        reservation = reserve_credit(
            environment=customer.environment, customer=customer, currency="usd", amount=10, now=FINAL,
            duration=timedelta(seconds=1),
        )  # fmt: skip

        outcomes = at_once(
            partial(commit_reservation, reservation=reservation, now=FINAL),
            partial(release_reservation, reservation=reservation, now=FINAL),
            partial(commit_reservation, reservation=reservation, amount=4, now=FINAL),
            partial(expire_due_reservations, now=FINAL + timedelta(seconds=1)),
        )

        ended = [outcome for outcome in outcomes[:3] if isinstance(outcome, CreditReservation)]
        assert len(ended) + outcomes[3] == 1
        assert sum(isinstance(outcome, CreditReservationEnded) for outcome in outcomes) == 3 - len(ended)
        check_holds()


def test_invoices_and_reservations_share_what_there_is() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 1000)
    invoices = drafts(customer, 300, 300, 300)
    reserve = partial(
        reserve_credit, environment=customer.environment, customer=customer, currency="usd", amount=200, now=FINAL
    )

    outcomes = at_once(*[partial(finalize, invoice) for invoice in invoices], *[reserve] * 4)

    check_holds()
    refused = sum(isinstance(outcome, CreditInsufficient) for outcome in outcomes)
    grant.refresh_from_db()
    assert grant.reserved == 200 * (4 - refused)
    # An invoice takes what is left, and a reservation is refused only when that is less than it needs.
    assert grant.available < 200 if refused else grant.available >= 0


def test_void_against_reservation_one_of_them_has_it() -> None:
    for _ in range(5):
        customer = CustomerFactory.create()
        grant = grant_credit(customer, 100, now=NOW)

        voided, reserved = at_once(
            partial(void_grant, grant=grant, now=NOW),
            partial(
                reserve_credit, environment=customer.environment, customer=customer, currency="usd", amount=1, now=NOW
            ),
        )

        if isinstance(reserved, CreditReservation):
            assert isinstance(voided, CreditGrantReserved | CreditGrantInUse)
        else:
            assert isinstance(reserved, CreditInsufficient)
            assert isinstance(voided, CreditGrant)
        check_holds()
