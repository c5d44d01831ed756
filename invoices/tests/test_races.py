"""Two processes at the same moment, on connections of their own."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.errors import CustomerDeleted
from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.errors import BillingError
from invoices import services
from invoices.errors import InvoiceNotDraft, InvoiceNotOpen
from invoices.models import Invoice, InvoiceLine, InvoiceNumbering
from invoices.services import GRACE, Swept
from invoices.tests.factories import FIRST_END, THIRD_END, draft_invoice, open_invoice, subscribe, use
from subscriptions.models import Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

LATER = FIRST_END + timedelta(days=1)


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Run jobs in threads that begin together; a refusal is an answer like any other."""
    ready = threading.Barrier(len(jobs))

    def run(job: Callable[[], Any]) -> Any:
        try:
            # Connected before the start, so that the jobs meet in the database and not on the way to it.
            connection.ensure_connection()
            ready.wait(timeout=20)
            return job()
        except BillingError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def kinds(outcomes: Sequence[Any]) -> list[str]:
    return sorted(type(outcome).__name__ for outcome in outcomes)


def test_two_billing_runs_at_once_make_one_invoice_per_period() -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    subscriptions = [subscribe(customer, price) for _ in range(12)]
    use(price, customer, 10, NOW)

    outcomes = at_once(*[lambda: services.close_due_periods(now=THIRD_END, chunk=5)] * 4)

    # What one run holds the others pass by; whoever comes later takes what is left, so that in the end all is done.
    again = services.close_due_periods(now=THIRD_END)
    assert sum(outcome.done for outcome in [*outcomes, again]) == 36
    assert not any(outcome.failed for outcome in [*outcomes, again])
    for subscription in subscriptions:
        totals = (
            Invoice.objects.filter(subscription=subscription).order_by("period_end").values_list("total", flat=True)
        )
        assert list(totals) == [5, 0, 0]
    assert InvoiceLine.objects.count() == 36


def test_a_run_does_not_wait_for_a_subscription_that_another_holds() -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    held, free = subscribe(customer, price), subscribe(customer, price)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Subscription.objects.select_for_update().get(pk=held.pk)
            holding.set()
            assert done.wait(timeout=20)

    def run() -> Swept:
        assert holding.wait(timeout=20)
        try:
            return services.close_due_periods(now=FIRST_END)
        finally:
            done.set()

    assert at_once(hold, run)[1] == Swept(done=1, failed=0)
    assert Invoice.objects.get().subscription == free


def test_of_two_finalizations_one_wins_and_one_number_is_used() -> None:
    draft = draft_invoice()

    outcomes = at_once(*[lambda: services.finalize_invoice(invoice=draft, now=LATER)] * 2)

    assert kinds(outcomes) == ["Invoice", "InvoiceNotDraft"]
    draft.refresh_from_db()
    assert (draft.status, draft.number[-6:]) == ("open", "000001")
    assert InvoiceNumbering.objects.get().last_number == 1


def test_a_finalization_by_hand_meets_the_beat_s() -> None:
    drafts = [draft_invoice(CustomerFactory.create()) for _ in range(5)]

    by_hand, swept = at_once(
        lambda: services.finalize_invoice(invoice=drafts[4], now=LATER),
        lambda: services.finalize_due_drafts(now=FIRST_END + GRACE),
    )

    assert swept.done == (5 if isinstance(by_hand, InvoiceNotDraft) else 4)
    assert {Invoice.objects.get(pk=draft.pk).number[-6:] for draft in drafts} == {"000001"}


def test_numbers_have_no_gap_under_eight_parallel_finalizations() -> None:
    customer = CustomerFactory.create()
    drafts = [draft_invoice(customer) for _ in range(24)]

    def finalize(some: Sequence[Invoice]) -> Callable[[], list[str]]:
        def job() -> list[str]:
            numbers = []
            for place, draft in enumerate(some):
                with transaction.atomic():
                    number = services.finalize_invoice(invoice=draft, now=LATER).number
                    # Every third one fails after it took its number, and tries again.
                    if place % 3 == 0:
                        transaction.set_rollback(True)
                if place % 3 == 0:
                    number = services.finalize_invoice(invoice=draft, now=LATER).number
                numbers.append(number)
            return numbers

        return job

    taken = at_once(*[finalize(drafts[start::8]) for start in range(8)])

    numbers = sorted(number[-6:] for numbers in taken for number in numbers)
    assert numbers == [f"{number:06d}" for number in range(1, 25)]
    assert sorted(Invoice.objects.values_list("number", flat=True)) == sorted(chain.from_iterable(taken))
    assert InvoiceNumbering.objects.get().last_number == 24


def test_the_first_numbers_of_an_environment_are_taken_by_eight_at_once() -> None:
    customer = CustomerFactory.create()
    price = PriceFactory.create(environment=customer.environment)

    outcomes = at_once(*[lambda: subscribe(customer, price)] * 8)

    assert kinds(outcomes) == ["Subscription"] * 8
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert [number[-6:] for number in numbers] == [f"{number:06d}" for number in range(1, 9)]


def test_of_voiding_and_paying_at_once_one_is_refused() -> None:
    for _ in range(5):
        invoice = open_invoice()

        outcomes = at_once(
            lambda: services.void_invoice(invoice=invoice, now=LATER),  # noqa: B023 - run before the next round
            lambda: services.pay_invoice_out_of_band(invoice=invoice, now=LATER),  # noqa: B023
        )

        assert kinds(outcomes) == ["Invoice", "InvoiceNotOpen"]
        invoice.refresh_from_db()
        refused = next(outcome for outcome in outcomes if isinstance(outcome, InvoiceNotOpen))
        assert refused.status == invoice.status
        assert (invoice.paid_at is None) == (invoice.status == "void")
        assert (invoice.voided_at is None) == (invoice.status == "paid")


def test_of_two_cancellations_one_bills_and_the_other_finds_nothing() -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    subscription = subscribe(customer, price)
    use(price, customer, 10, NOW)
    now = NOW + timedelta(days=1)

    outcomes = at_once(
        *[lambda: services.cancel_subscription(subscription=subscription, now=now, invoice_now=True)] * 2
    )

    assert kinds(outcomes) == ["Subscription", "SubscriptionEnded"]
    assert Invoice.objects.get().total == 5


def test_a_cancellation_meets_the_billing_run() -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    subscription = subscribe(customer, price)
    use(price, customer, 10, NOW)
    use(price, customer, 20, FIRST_END)
    now = FIRST_END + timedelta(hours=1)

    at_once(
        lambda: services.cancel_subscription(subscription=subscription, now=now, invoice_now=True),
        lambda: services.close_due_periods(now=now),
    )

    billed = Invoice.objects.order_by("period_end").values_list("billing_reason", "total")
    assert list(billed) == [("subscription_cycle", 5), ("subscription_update", 10)]
    subscription.refresh_from_db()
    assert subscription.status == "canceled"


def test_late_usage_is_billed_once_however_many_runs_meet() -> None:
    customer = CustomerFactory.create()
    price = MeteredPriceFactory.create(environment=customer.environment)
    for _ in range(6):
        subscribe(customer, price)
    services.close_due_periods(now=FIRST_END)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    use(price, customer, 10, NOW)

    # Closing several periods while their drafts become final: a true-up moves from a draft to what was billed meanwhile.
    def run() -> None:
        services.close_due_periods(now=THIRD_END, chunk=2)
        services.finalize_due_drafts(now=THIRD_END + GRACE, chunk=2)

    at_once(*[run] * 4)
    run()

    true_ups = InvoiceLine.objects.filter(trues_up__isnull=False, period_end=FIRST_END)
    assert list(true_ups.values_list("amount", flat=True)) == [5] * 6
    assert len(set(true_ups.values_list("trues_up", flat=True))) == 6


def test_no_subscription_begins_with_a_customer_that_is_being_deleted() -> None:
    for _ in range(5):
        customer: Customer = CustomerFactory.create()
        price = PriceFactory.create(environment=customer.environment)

        begun, _ = at_once(
            lambda: subscribe(customer, NewItem(price)),  # noqa: B023 - run before the next round
            lambda: services.delete_customer(customer=customer, now=NOW + timedelta(seconds=1)),  # noqa: B023
        )

        assert isinstance(begun, Subscription | CustomerDeleted)
        assert not Subscription.objects.filter(customer=customer, status="active").exists()


def test_a_line_written_during_a_finalization_is_refused() -> None:
    draft = draft_invoice()
    line = draft.lines.get()
    finalized, written = threading.Event(), threading.Event()

    def finalize() -> None:
        with transaction.atomic():
            services.finalize_invoice(invoice=draft, now=LATER)
            finalized.set()
            # The writer cannot be waited for: it waits for this transaction.
            written.wait(timeout=0.3)

    def write() -> str:
        assert finalized.wait(timeout=20)
        try:
            InvoiceLine.objects.filter(pk=line.pk).update(amount=1)
        except Exception as error:  # noqa: BLE001 - looked at below
            return str(error)
        finally:
            written.set()
        return "written"

    assert "cannot be changed" in at_once(finalize, write)[1]
    line.refresh_from_db()
    assert line.amount == 5
