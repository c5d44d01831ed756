"""The billing run as a command: what it does, foretells, and leaves when it is killed."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Environment
from accounts.tests.factories import CustomerFactory, EnvironmentFactory
from core.tests.processes import manage
from invoices import services
from invoices.models import BillingFailure, Invoice, InvoiceLine
from invoices.services import running
from invoices.tests.factories import subscribe
from subscriptions.models import Price, Subscription
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.tests.factories import report
from webhooks.models import Event

STARTED = timezone.now() - timedelta(days=45)
BOOK = 40


@pytest.fixture
def environment() -> Environment:
    return EnvironmentFactory.create()


@pytest.fixture
def price(environment: Environment) -> Price:
    return MeteredPriceFactory.create(environment=environment, unit_amount=Decimal(2))


def book(environment: Environment, price: Price, size: int) -> list[Subscription]:
    """Subscriptions that are behind by a month, with a licensed price and a metered one of 1, 2, 3 … units."""
    licensed = PriceFactory.create(environment=environment)
    found = []
    for number in range(1, size + 1):
        customer = CustomerFactory.create(environment=environment)
        found.append(subscribe(customer, licensed, price, now=STARTED))
        assert price.meter is not None
        at = STARTED + timedelta(days=3)
        report(price.meter, customer, number, timestamp=at, now=at)
    return found


def run(**options: Any) -> str:
    out = StringIO()
    call_command("run_billing", stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def counts() -> dict[str, int]:
    return {model.__name__: model._default_manager.count() for model in (Invoice, InvoiceLine, Event, BillingFailure)}


@pytest.mark.django_db
def test_given_a_book_that_is_due_then_a_dry_run_says_what_would_come_and_stores_nothing(
    environment: Environment, price: Price
) -> None:
    book(environment, price, 3)
    before, woke = counts(), list(Subscription.objects.order_by("pk").values_list("wakes_at", flat=True))

    said = run(dry_run=True)

    # 10.00 for the next month and 2 cents a unit, 6 units in all.
    assert f"{environment}: 3 subscriptions and 0 drafts are due." in said
    assert "3 new drafts: 30.12 USD" in said
    assert said.endswith("Nothing was stored.\n")
    assert counts() == before
    assert list(Subscription.objects.order_by("pk").values_list("wakes_at", flat=True)) == woke

    assert "3 steps of subscriptions" in run()
    assert Invoice.objects.filter(status="draft").aggregate(total=Sum("total"))["total"] == 3012
    Invoice.objects.filter(status="draft").update(finalizes_at=timezone.now())
    assert "3 drafts to become final: 30.12 USD" in run(dry_run=True)
    assert Invoice.objects.filter(status="draft").count() == 3


@pytest.mark.django_db
def test_given_a_time_then_what_was_not_due_by_it_is_left(environment: Environment, price: Price) -> None:
    book(environment, price, 1)

    assert "0 steps" in run(until=STARTED + timedelta(days=5))
    assert "Nothing is due." in run(until=STARTED + timedelta(days=5), dry_run=True)
    assert "1 steps" in run(until=timezone.now())


@pytest.mark.django_db
def test_given_a_time_that_lies_ahead_then_it_is_refused(environment: Environment, price: Price) -> None:
    book(environment, price, 1)
    before = counts()

    with pytest.raises(CommandError, match="must not lie ahead"):
        run(until=timezone.now() + timedelta(minutes=1))
    with pytest.raises(CommandError, match="1 or more"):
        run(processes=0)

    assert counts() == before


@pytest.mark.django_db
def test_given_one_that_cannot_be_billed_then_the_others_are_and_both_ways_name_it(
    environment: Environment, price: Price
) -> None:
    bad, *_ = book(environment, price, 3)
    # More than an invoice can hold.
    huge = PriceFactory.create(environment=environment, unit_amount=Decimal(10**17))
    bad.items.filter(price__meter=None).update(price=huge, quantity=1000)

    foretold = run(dry_run=True)
    with pytest.raises(CommandError, match="1 could not be billed"):
        run()

    assert f"Subscription {bad.pk}: AmountTooLarge" in foretold
    assert "2 new drafts" in foretold
    assert BillingFailure.objects.get().subscription == bad
    assert Invoice.objects.filter(status="draft").count() == 2


def process(*options: str) -> "subprocess.Popen[str]":
    return manage("run_billing", *options)


def assert_billed_once(subscriptions: list[Subscription]) -> None:
    """One draft of each subscription's first period, with its own usage, and one event for each invoice made."""
    for number, subscription in enumerate(subscriptions, start=1):
        cycles = Invoice.objects.filter(subscription=subscription, billing_reason="subscription_cycle")
        assert [invoice.total for invoice in cycles] == [1000 + 2 * number]
    made = Event.objects.filter(type="invoice.created").values_list("subject_id", flat=True)
    assert len(made) == len(set(made)) == Invoice.objects.count()


@pytest.mark.django_db(transaction=True)
def test_given_runs_that_are_killed_at_any_moment_then_the_next_one_leaves_none_out_and_bills_none_twice(
    environment: Environment, price: Price
) -> None:
    subscriptions = book(environment, price, BOOK)
    dice = random.Random(7)

    for _ in range(3):
        running, billed = process("--processes", "2", "--chunk", "3"), drafts()
        # Once something is done, and something is left: in the middle of a chunk, or between two.
        until(partial(more_than, billed))
        time.sleep(dice.random() * 0.2)
        running.send_signal(signal.SIGKILL)
        running.wait()

    until(lambda: not busy())
    said, _ = process("--processes", "2", "--chunk", "3").communicate(timeout=120)

    assert "subscriptions with overdue" in said, said
    assert f"{BOOK} steps" not in said, "nothing was interrupted"
    assert_billed_once(subscriptions)


def more_than(number: int) -> bool:
    return drafts() > number


def drafts() -> int:
    return Invoice.objects.filter(billing_reason="subscription_cycle").count()


def busy() -> bool:
    """Whether somebody else is in a transaction on this database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL LIMIT 1"
        )
        return cursor.fetchone() is not None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.django_db(transaction=True)
def test_given_two_processes_then_they_share_the_work_and_say_what_both_did(
    environment: Environment, price: Price
) -> None:
    subscriptions = book(environment, price, BOOK)

    done = services.run_billing_side_by_side(2, now=timezone.now())

    assert (done.steps.done, done.failed) == (BOOK, 0)
    assert_billed_once(subscriptions)


@pytest.mark.django_db(transaction=True)
def test_given_two_processes_then_they_foretell_what_one_does(
    environment: Environment, price: Price, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *_ = book(environment, price, 20)
    # More than an invoice can hold.
    huge = PriceFactory.create(environment=environment, unit_amount=Decimal(10**17))
    bad.items.filter(price__meter=None).update(price=huge, quantity=1000)
    monkeypatch.setattr(running, "CHUNK", 3)
    now, shown, before = timezone.now(), list[int](), counts()

    together = services.forecast_billing_side_by_side(2, now=now, on_progress=shown.append)

    assert together == services.forecast_billing(now=now)
    assert together[environment.pk].drafted["usd"].invoices == 19
    assert [failure.pk for failure in together[environment.pk].failures] == [bad.pk]
    assert sum(shown) == 20
    assert counts() == before
