"""Credit is given, changed, ended and made undone; each refusal changes nothing."""

from datetime import timedelta
from typing import Any

import pytest

from accounts.errors import ClockAdvancing, CustomerDeleted
from accounts.models import TestClock
from accounts.services import delete_customer
from accounts.tests.factories import NOW, CustomerFactory, TestClockFactory
from core.errors import BillingError, NotFound
from core.metadata import MetadataChange, TooManyMetadataKeys
from credits import services
from credits.balances import standings
from credits.errors import (
    CreditAmountInvalid,
    CreditCurrencyUnknown,
    CreditExpiryInvalid,
    CreditGrantExpired,
    CreditGrantInUse,
    CreditGrantVoided,
    CreditPriceNotMetered,
    CreditScopeEmpty,
)
from credits.models import CreditAccount, CreditGrant, GrantedPrice, LedgerEntry
from credits.tests.factories import check_ledger, grant_credit, ledger, payable
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
State = CreditGrant.State


def told() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("type", flat=True))


def everything() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in (CreditGrant, GrantedPrice, LedgerEntry, Event)]


def test_a_grant_begins_its_ledger_with_its_amount() -> None:
    customer = CustomerFactory.create()

    grant = grant_credit(customer, 2500)

    grant.refresh_from_db()
    assert (grant.amount, grant.balance, grant.category, grant.priority) == (2500, 2500, "paid", 50)
    assert (grant.effective_at, grant.expires_at, grant.created_at) == (NOW, None, NOW)
    assert ledger(grant) == [("granted", 2500, 2500)]
    assert told() == ["billing.credit_grant.created", "billing.credit_balance_transaction.created"]
    assert CreditAccount.objects.get().customer == customer
    check_ledger()


def test_credit_that_begins_later_stands_on_the_ledger_from_its_beginning() -> None:
    grant = grant_credit(CustomerFactory.create(), effective_at=NOW + DAY, expires_at=NOW + 2 * DAY)

    entry = grant.entries.get()
    assert (entry.created_at, entry.effective_at) == (NOW, NOW + DAY)
    states = [grant.state(NOW + at) for at in (timedelta(0), DAY, 2 * DAY)]
    assert states == [State.PENDING, State.GRANTED, State.EXPIRED]
    assert not CreditGrant.objects.usable(NOW)
    assert CreditGrant.objects.usable(NOW + DAY).get() == grant
    assert not CreditGrant.objects.usable(NOW + 2 * DAY)


def test_a_grant_may_pay_for_certain_prices_only() -> None:
    customer = CustomerFactory.create()
    one, other = MeteredPriceFactory.create_batch(2, environment=customer.environment)

    grant = grant_credit(customer, prices=[one, other, one])

    assert grant.scope == "prices"
    assert list(grant.prices.order_by("granted_prices__pk")) == [one, other]
    assert grant.price_ids == frozenset({one.pk, other.pk})


def refusals() -> list[tuple[dict[str, Any], type[BillingError]]]:
    return [
        ({"amount": 0}, CreditAmountInvalid),
        ({"amount": -1}, CreditAmountInvalid),
        ({"currency": "xyz"}, CreditCurrencyUnknown),
        ({"prices": []}, CreditScopeEmpty),
        ({"expires_at": NOW}, CreditExpiryInvalid),
        ({"expires_at": NOW + DAY, "effective_at": NOW + DAY}, CreditExpiryInvalid),
        ({"expires_at": NOW - DAY, "effective_at": NOW - 2 * DAY}, CreditExpiryInvalid),
        ({"metadata": MetadataChange({str(key): "x" for key in range(51)})}, TooManyMetadataKeys),
    ]


@pytest.mark.parametrize(("terms", "refusal"), refusals())
def test_what_makes_no_grant(terms: dict[str, Any], refusal: type[BillingError]) -> None:
    customer = CustomerFactory.create()
    before = everything()

    with pytest.raises(refusal):
        grant_credit(customer, **terms)

    assert everything() == before
    assert not CreditAccount.objects.exists()


def test_a_licensed_price_is_not_paid_by_credit() -> None:
    customer = CustomerFactory.create()
    metered = MeteredPriceFactory.create(environment=customer.environment)
    licensed = PriceFactory.create(environment=customer.environment)

    with pytest.raises(CreditPriceNotMetered) as refusal:
        grant_credit(customer, prices=[metered, licensed])

    assert refusal.value.position == 1
    assert not CreditGrant.objects.exists()


def test_prices_and_customers_of_others_are_not_found() -> None:
    customer, stranger = CustomerFactory.create_batch(2)

    with pytest.raises(NotFound):
        grant_credit(customer, prices=[MeteredPriceFactory.create(environment=stranger.environment)])
    with pytest.raises(NotFound):
        services.create_grant(environment=customer.environment, customer=stranger, currency="usd", amount=1, now=NOW)
    assert not CreditGrant.objects.exists()


def test_a_deleted_customer_is_given_nothing() -> None:
    customer = CustomerFactory.create()
    delete_customer(customer=customer, now=NOW)
    before = everything()

    with pytest.raises(CustomerDeleted):
        grant_credit(customer)

    assert everything() == before


def test_an_update_changes_what_it_names() -> None:
    grant = grant_credit(CustomerFactory.create(), metadata=MetadataChange({"order": "1", "by": "me"}))

    services.update_grant(grant=grant, now=NOW + DAY, metadata=MetadataChange({"by": None}))
    services.update_grant(grant=grant, now=NOW + 2 * DAY, changes_expiry=True, expires_at=NOW + 9 * DAY)
    grant.refresh_from_db()
    assert (grant.metadata, grant.expires_at, grant.updated_at) == ({"order": "1"}, NOW + 9 * DAY, NOW + 2 * DAY)

    services.update_grant(grant=grant, now=NOW + 3 * DAY, changes_expiry=True, expires_at=None)
    grant.refresh_from_db()
    assert grant.expires_at is None
    assert told()[2:] == ["billing.credit_grant.updated"] * 3


def test_an_update_cannot_end_a_grant_in_the_past_or_before_it_begins() -> None:
    grant = grant_credit(CustomerFactory.create(), effective_at=NOW + 5 * DAY)
    before = everything()

    for expires_at in (NOW + DAY, NOW + 5 * DAY):
        with pytest.raises(CreditExpiryInvalid):
            services.update_grant(grant=grant, now=NOW + DAY, changes_expiry=True, expires_at=expires_at)

    assert everything() == before


def test_expiring_writes_off_what_is_left() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 1000)
    price = MeteredPriceFactory.create(environment=customer.environment)
    services.apply_credit(environment_id=customer.environment_id, invoices=[payable(customer, (price, 300))])

    ended = services.expire_grant(grant=grant, now=NOW + DAY)

    assert (ended.expires_at, ended.balance, ended.state(NOW + DAY)) == (NOW + DAY, 0, State.EXPIRED)
    assert ledger(grant) == [("granted", 1000, 1000), ("applied", -300, 700), ("expired", -700, 0)]
    assert told()[-2:] == ["billing.credit_grant.updated", "billing.credit_balance_transaction.created"]
    check_ledger()


def test_expiring_what_is_used_up_or_has_not_begun() -> None:
    customer = CustomerFactory.create()
    used_up, pending = grant_credit(customer, 300), grant_credit(customer, 50, effective_at=NOW + DAY)
    price = MeteredPriceFactory.create(environment=customer.environment)
    services.apply_credit(environment_id=customer.environment_id, invoices=[payable(customer, (price, 300))])

    for grant in (used_up, pending):
        services.expire_grant(grant=grant, now=NOW)

    assert ledger(used_up) == [("granted", 300, 300), ("applied", -300, 0)]
    assert ledger(pending) == [("granted", 50, 50), ("expired", -50, 0)]
    check_ledger()


def test_voiding_takes_back_all_of_an_unused_grant() -> None:
    grant = grant_credit(CustomerFactory.create(), 1000)

    voided = services.void_grant(grant=grant, now=NOW + DAY)

    assert (voided.voided_at, voided.balance, voided.state(NOW + DAY)) == (NOW + DAY, 0, State.VOIDED)
    assert ledger(grant) == [("granted", 1000, 1000), ("voided", -1000, 0)]
    assert told()[-2:] == ["billing.credit_balance_transaction.created", "billing.credit_grant.updated"]
    check_ledger()


def test_a_used_grant_cannot_be_voided_until_all_of_it_came_back() -> None:
    customer = CustomerFactory.create()
    grant = grant_credit(customer, 1000)
    price = MeteredPriceFactory.create(environment=customer.environment)
    invoice = payable(customer, (price, 1))
    services.apply_credit(environment_id=customer.environment_id, invoices=[invoice])
    before = everything()

    with pytest.raises(CreditGrantInUse):
        services.void_grant(grant=grant, now=NOW)
    assert everything() == before

    services.give_back_credit(
        environment_id=customer.environment_id, customer_ids=[customer.pk], invoice_ids=[invoice.invoice_id], now=NOW
    )
    services.void_grant(grant=grant, now=NOW)
    assert [kind for kind, _, _ in ledger(grant)] == ["granted", "applied", "given_back", "voided"]


@pytest.mark.parametrize("end", [services.void_grant, services.expire_grant])
def test_nothing_more_is_done_about_a_grant_that_has_ended(end: Any) -> None:
    grant = grant_credit(CustomerFactory.create())
    end(grant=grant, now=NOW + DAY)
    before = everything()
    refusal = CreditGrantVoided if end is services.void_grant else CreditGrantExpired

    with pytest.raises(refusal):
        services.void_grant(grant=grant, now=NOW + DAY)
    with pytest.raises(refusal):
        services.expire_grant(grant=grant, now=NOW + DAY)
    with pytest.raises(refusal):
        services.update_grant(grant=grant, now=NOW + DAY, changes_expiry=True, expires_at=None)

    assert everything() == before
    services.update_grant(grant=grant, now=NOW + 2 * DAY, metadata=MetadataChange({"note": "as agreed"}))


def test_a_grant_has_ended_at_its_end_whether_that_was_booked_or_not() -> None:
    grant = grant_credit(CustomerFactory.create(), expires_at=NOW + DAY)

    with pytest.raises(CreditGrantExpired):
        services.update_grant(grant=grant, now=NOW + DAY, changes_expiry=True, expires_at=NOW + 2 * DAY)
    with pytest.raises(CreditGrantExpired):
        services.void_grant(grant=grant, now=NOW + DAY)
    assert ledger(grant) == [("granted", 1000, 1000)]


def test_nothing_is_done_while_the_customers_clock_is_on_the_move() -> None:
    clock = TestClockFactory.create()
    customer = CustomerFactory.create(environment=clock.environment, test_clock=clock)
    grant = grant_credit(customer)
    TestClock.objects.filter(pk=clock.pk).update(status="advancing", target_at=NOW + DAY)
    before = everything()

    for change in (services.void_grant, services.expire_grant, services.update_grant):
        with pytest.raises(ClockAdvancing):
            change(grant=grant, now=NOW)
    with pytest.raises(ClockAdvancing):
        grant_credit(customer)

    assert everything() == before


def test_balances_are_told_by_currency_and_scope() -> None:
    customer = CustomerFactory.create()
    one, other = MeteredPriceFactory.create_batch(2, environment=customer.environment)
    grant_credit(customer, 100)
    grant_credit(customer, 20, prices=[one])
    of_both = grant_credit(customer, 3, prices=[one, other], currency="eur")

    def left(**counted: Any) -> dict[str, int]:
        return {one.currency: one.left for one in standings(customer, NOW, **counted)}

    assert CreditGrant.objects.filter(customer=customer).balances() == {"eur": 3, "usd": 120}
    assert left() == {"usd": 100}
    assert left(prices=[one]) == {"eur": 3, "usd": 120}
    assert left(prices=[other]) == {"eur": 3, "usd": 100}
    assert left(grant=of_both) == {"eur": 3}


def test_amounts_beyond_64_bits_are_kept_to_the_last_digit() -> None:
    huge = 10**36 - 1
    grant = grant_credit(CustomerFactory.create(), huge)

    grant.refresh_from_db()
    assert (grant.balance, type(grant.balance)) == (huge, int)
    assert CreditGrant.objects.balances() == {"usd": huge}
    check_ledger()
