"""The billing run: what it bills, to the microsecond and the cent, in what order, and what it does with trouble."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Customer, TestClock
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory, TestClockFactory
from invoices import services, tasks
from invoices.models import BillingFailure, Invoice, InvoiceLine
from invoices.services import Swept
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe, use, utc
from meters.models import Formula
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment)


@pytest.fixture
def licensed(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment)


def test_nothing_is_billed_a_moment_before_the_period_is_over(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)

    assert services.close_due_periods(now=FIRST_END - MOMENT) == Swept(done=0, failed=0)
    assert not Invoice.objects.exists()
    assert services.close_due_periods(now=FIRST_END) == Swept(done=1, failed=0)


def test_the_real_hour_comes_to_4761_cents(customer: Customer) -> None:
    environment = customer.environment
    context = MeteredPriceFactory.create(
        environment=environment,
        unit_amount=Decimal("0.00025"),
        product__name="Context tokens",
        product__unit_label="token",
    )
    generated = MeteredPriceFactory.create(
        environment=environment, unit_amount=Decimal("0.001"), product__name="Generated tokens"
    )
    subscribe(customer, context, generated)
    for price, values in [(context, [15_710_990, 2_348_984]), (generated, [245_895, 1])]:
        for hours, value in enumerate(values):
            use(price, customer, value, NOW + timedelta(hours=hours))

    services.close_due_periods(now=FIRST_END)

    invoice = Invoice.objects.get()
    first, second = invoice.lines.all()
    assert (first.quantity, first.exact_amount, first.amount) == (18_059_974, Decimal("4514.9935"), 4515)
    assert (second.quantity, second.exact_amount, second.amount) == (245_896, Decimal("245.896"), 246)
    assert (invoice.subtotal, invoice.total, invoice.amount_due) == (4761, 4761, 4761)
    assert (invoice.status, invoice.billing_reason, invoice.currency) == ("draft", "subscription_cycle", "usd")
    assert (invoice.period_start, invoice.period_end) == (NOW, FIRST_END)
    assert first.description == "Context tokens: 18,059,974 × 0.0000025 USD per token"  # noqa: RUF001
    assert second.description == "Generated tokens: 245,896 × 0.00001 USD"  # noqa: RUF001
    meter = context.meter
    assert meter is not None
    assert first.basis == {
        "meter": str(meter.pk),
        "event_name": meter.event_name,
        "formula": "sum",
        "event_time_window": "",
        "customer": str(customer.pk),
        "event_count": "2",
        "used": "18059974",
        "quantity": "18059974",
        "price": str(context.pk),
        "scheme": "per_unit",
        "unit_amount": "0.00025",
        "read_at": FIRST_END.isoformat(),
    }


def test_a_period_has_its_start_and_not_its_end(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    for value, at in [(1, NOW - MOMENT), (10, NOW), (100, FIRST_END - MOMENT), (1000, FIRST_END)]:
        use(metered, customer, value, at)

    services.close_due_periods(now=FIRST_END + HOUR)
    assert InvoiceLine.objects.get().quantity == 110

    services.close_due_periods(now=SECOND_END)
    assert InvoiceLine.objects.get(period_end=SECOND_END).quantity == 1000


def test_a_backdated_subscription_bills_its_usage_from_the_start(customer: Customer, metered: Price) -> None:
    start = utc("2023-11-16T18:00")
    subscribe(customer, metered, backdated_to=start)
    for value, at in [(1, start - MOMENT), (10, start), (100, NOW - timedelta(days=365))]:
        use(metered, customer, value, at)

    services.close_due_periods(now=FIRST_END)

    line = InvoiceLine.objects.get()
    assert (line.quantity, line.period_start, line.period_end) == (110, start, FIRST_END)


def test_several_periods_are_billed_in_order_and_only_once(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    for value, at in [(10, NOW), (20, FIRST_END), (40, SECOND_END), (80, THIRD_END)]:
        use(metered, customer, value, at)

    assert services.close_due_periods(now=THIRD_END) == Swept(done=3, failed=0)
    assert services.close_due_periods(now=THIRD_END) == Swept(done=0, failed=0)

    billed = Invoice.objects.order_by("pk").values_list("period_start", "period_end", "total")
    assert list(billed) == [(NOW, FIRST_END, 5), (FIRST_END, SECOND_END, 10), (SECOND_END, THIRD_END, 20)]
    subscription.refresh_from_db()
    assert subscription.wakes_at == utc("2026-10-10T12:30")


def test_licensed_items_are_billed_for_the_next_period_beside_the_usage_of_this_one(
    customer: Customer, metered: Price, licensed: Price
) -> None:
    subscribe(customer, NewItem(licensed, 2), metered)
    use(metered, customer, 10, NOW)

    services.close_due_periods(now=FIRST_END)

    lines = InvoiceLine.objects.filter(invoice__billing_reason="subscription_cycle")
    assert list(lines.values_list("price", "amount", "period_start", "period_end")) == [
        (licensed.pk, 2000, FIRST_END, SECOND_END),
        (metered.pk, 5, NOW, FIRST_END),
    ]


def test_the_last_bill_has_the_usage_and_no_next_period(customer: Customer, metered: Price, licensed: Price) -> None:
    both = subscribe(customer, licensed, metered, cancel_at=FIRST_END + timedelta(days=15, hours=12))
    alone = subscribe(customer, licensed, cancel_at_period_end=True)
    use(metered, customer, 10, FIRST_END + timedelta(days=15, hours=12) - MOMENT)
    use(metered, customer, 20, FIRST_END + timedelta(days=15, hours=12))

    services.close_due_periods(now=THIRD_END)

    cycles = Invoice.objects.filter(billing_reason="subscription_cycle").order_by("period_end")
    lines = [list(invoice.lines.values_list("price", "amount")) for invoice in cycles]
    # The second period is half of its 31 days, and so is what is paid for it in advance.
    assert lines == [[(licensed.pk, 500), (metered.pk, 0)], [(metered.pk, 5)]]
    assert {invoice.subscription for invoice in cycles} == {both}
    for subscription, ended_at in [(both, both.cancel_at), (alone, FIRST_END)]:
        subscription.refresh_from_db()
        assert (subscription.status, subscription.ended_at, subscription.wakes_at) == ("canceled", ended_at, None)


def test_a_total_below_zero_is_billed_as_nothing_and_says_so(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)
    use(metered, customer, 5, NOW)
    use(metered, customer, "-7.5", NOW + HOUR)

    services.close_due_periods(now=FIRST_END)

    line = InvoiceLine.objects.get()
    assert (line.quantity, line.amount, line.basis["used"], line.basis["quantity"]) == (0, 0, "-2.5", "0")


@pytest.mark.parametrize(
    ("formula", "quantity"), [(Formula.COUNT, 3), (Formula.LAST, 2), (Formula.MAX, 9), (Formula.MIN, 2)]
)
def test_the_meter_s_formula_makes_the_quantity(customer: Customer, formula: Formula, quantity: int) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment, meter__formula=formula)
    subscribe(customer, price)
    for hours, value in enumerate([4, 9, 2]):
        use(price, customer, value, NOW + timedelta(hours=hours))

    services.close_due_periods(now=FIRST_END)

    assert InvoiceLine.objects.get().quantity == quantity


def test_not_a_digit_of_a_long_value_is_lost(customer: Customer) -> None:
    price = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal("0.000000000001"))
    subscribe(customer, price)
    tiny = "0." + "0" * 80 + "123456789012345"
    use(price, customer, tiny, NOW)
    use(price, customer, 999_999_999_999_999, NOW)

    services.close_due_periods(now=FIRST_END)

    line = InvoiceLine.objects.get()
    text = f"999999999999999{tiny[1:]}"
    assert line.quantity == Decimal(text)
    assert line.exact_amount == Decimal(f"{text}E-12")
    assert line.amount == 1000


def test_a_chunk_asks_for_all_its_usage_once(customer: Customer, metered: Price) -> None:
    customers = CustomerFactory.create_batch(12, environment=customer.environment)

    def queries(count: int) -> tuple[int, int]:
        wall = FIRST_END
        for one in customers[:count]:
            subscribe(one, metered)
            use(metered, one, 10, NOW)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert services.close_due_periods(now=wall).done == count
        reads = [query for query in captured.captured_queries if "usage_meterevent" in query["sql"]]
        return len(reads), len(captured)

    few, many = queries(2), queries(12)

    assert few[0] == many[0] == 1
    assert few[1] == many[1]


def test_chunks_go_on_until_nothing_is_left_in_any_environment(customer: Customer, metered: Price) -> None:
    for _ in range(5):
        subscribe(customer, metered)
    elsewhere = MeteredPriceFactory.create()
    subscribe(CustomerFactory.create(environment=elsewhere.environment), elsewhere)

    assert services.close_due_periods(now=SECOND_END, chunk=2) == Swept(done=12, failed=0)

    assert Invoice.objects.of(customer.environment).count() == 10
    assert Invoice.objects.of(elsewhere.environment).count() == 2


def test_one_customer_s_usage_is_never_another_s(customer: Customer, metered: Price) -> None:
    other = CustomerFactory.create(environment=customer.environment)
    one, two = subscribe(customer, metered), subscribe(other, metered)
    use(metered, customer, 10, NOW)
    use(metered, other, 1000, NOW)

    services.close_due_periods(now=FIRST_END)

    assert Invoice.objects.get(subscription=one).total == 5
    assert Invoice.objects.get(subscription=two).total == 500


@pytest.fixture
def clock() -> TestClock:
    return TestClockFactory.create(frozen_at=NOW)


def test_a_customer_on_a_clock_is_billed_when_its_clock_says_so(clock: TestClock) -> None:
    bound = CustomerFactory.create(environment=clock.environment, test_clock=clock)
    price = MeteredPriceFactory.create(environment=clock.environment)
    subscribe(bound, price, collection_method="send_invoice", days_until_due=14)
    use(price, bound, 10, NOW)

    services.close_due_periods(now=THIRD_END)
    assert not Invoice.objects.exists()

    services.advance_test_clock(clock=clock, target_at=SECOND_END)
    assert services.run_test_clocks() == 1

    # As if time had passed: the first one's grace is over, the second one's has just begun.
    first, second = Invoice.objects.order_by("period_end")
    assert (first.status, first.total, first.created_at, first.finalized_at) == ("open", 5, FIRST_END, FIRST_END + HOUR)
    assert first.due_at == FIRST_END + HOUR + timedelta(days=14)
    assert (second.status, second.created_at, second.finalizes_at) == ("draft", SECOND_END, SECOND_END + HOUR)


def test_after_a_standstill_the_grace_counts_from_the_closing(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)

    services.close_due_periods(now=FIRST_END + timedelta(days=2))

    assert Invoice.objects.get().finalizes_at == FIRST_END + timedelta(days=2) + HOUR


def test_what_cannot_be_billed_is_parked_with_its_reason_and_stops_nobody(customer: Customer, metered: Price) -> None:
    environment = customer.environment
    dear = MeteredPriceFactory.create(environment=environment, unit_amount=Decimal(10) ** 17)
    good, bad = subscribe(customer, metered), subscribe(customer, dear)
    use(dear, customer, 10**14, NOW)

    assert services.close_due_periods(now=FIRST_END) == Swept(done=1, failed=1)

    assert Invoice.objects.get().subscription == good
    failure = BillingFailure.objects.get()
    assert (failure.environment, failure.subscription, failure.invoice) == (environment, bad, None)
    assert failure.reason == "AmountTooLarge: The amount is too large for an invoice: 1.00000e+31"
    assert (failure.attempts, failure.failed_at) == (1, FIRST_END)
    bad.refresh_from_db()
    assert bad.wakes_at == FIRST_END


def test_a_parked_subscription_is_tried_again_ever_more_rarely_until_it_works(
    customer: Customer, metered: Price
) -> None:
    dear = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal(10) ** 17)
    subscribe(customer, dear)
    use(dear, customer, 10**14, NOW)
    waits, wall = [], FIRST_END
    for _ in range(9):
        assert services.close_due_periods(now=wall) == Swept(done=0, failed=1)
        failure = BillingFailure.objects.get()
        assert services.close_due_periods(now=failure.retry_at - MOMENT) == Swept(done=0, failed=0)
        waits.append((failure.retry_at - wall) // timedelta(minutes=1))
        wall = failure.retry_at
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert BillingFailure.objects.get().attempts == 9

    use(dear, customer, -(10**14), NOW)
    assert services.close_due_periods(now=wall) == Swept(done=1, failed=0)
    assert not BillingFailure.objects.exists()
    assert Invoice.objects.get().total == 0


def test_the_beat_s_task_closes_and_finalizes_by_the_wall() -> None:
    environment = EnvironmentFactory.create()
    customer = CustomerFactory.create(environment=environment)
    price = MeteredPriceFactory.create(environment=environment)
    subscription = subscribe(customer, price, now=utc("2024-01-15T00:00"), cancel_at=utc("2024-01-20T00:00"))

    tasks.run_billing()

    subscription.refresh_from_db()
    assert subscription.status == Subscription.Status.CANCELED
    invoice = Invoice.objects.get()
    # Its grace began just now.
    assert invoice.status == Invoice.Status.DRAFT
    Invoice.objects.update(finalizes_at=invoice.created_at)
    tasks.run_billing()
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
