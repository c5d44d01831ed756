"""What is billed when a subscription begins and when it is cancelled."""

from datetime import timedelta
from decimal import Decimal

import pytest

from accounts.errors import CustomerDeleted
from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.errors import AmountTooLarge
from invoices.models import Invoice, InvoiceLine, InvoiceNumbering
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use, utc
from subscriptions.errors import PriceInactive, SubscriptionEnded
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

MOMENT = timedelta(microseconds=1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment, product__name="Tokens")


@pytest.fixture
def licensed(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, product__name="Seats", product__unit_label="seat")


def test_metered_items_alone_owe_nothing_yet(customer: Customer, metered: Price) -> None:
    subscribe(customer, metered)

    assert not Invoice.objects.exists()


def test_licensed_items_are_billed_in_advance_at_once(customer: Customer, metered: Price, licensed: Price) -> None:
    now = NOW + timedelta(seconds=5, microseconds=7)
    subscription = subscribe(customer, metered, NewItem(licensed, 3), now=now)

    invoice = Invoice.objects.get()
    line = invoice.lines.get()
    assert invoice.subscription == subscription
    assert (invoice.status, invoice.billing_reason) == ("open", "subscription_create")
    assert (invoice.subtotal, invoice.total, invoice.amount_due, invoice.amount_remaining) == (3000, 3000, 3000, 3000)
    assert (invoice.period_start, invoice.period_end) == (subscription.start_at, subscription.start_at)
    assert (invoice.created_at, invoice.finalized_at, invoice.due_at) == (now, now, None)
    assert line.quantity == 3
    assert line.unit_amount == 1000
    assert line.exact_amount == line.amount == 3000
    assert line.period == subscription.items.get(price=licensed).current_period
    assert line.description == "Seats: 3 × 10.00 USD per seat"  # noqa: RUF001
    assert line.basis == {
        "price": str(line.price_id),
        "scheme": "per_unit",
        "quantity": "3",
        "unit_amount": "1000",
        "full_periods": "1",
    }


def test_nothing_to_pay_is_paid_at_once(customer: Customer, licensed: Price) -> None:
    subscribe(customer, NewItem(licensed, 0))

    invoice = Invoice.objects.get()
    assert (invoice.status, invoice.total, invoice.paid_at, invoice.paid_out_of_band) == ("paid", 0, NOW, False)
    assert invoice.number.endswith("-000001")


@pytest.mark.parametrize(
    ("terms", "exact", "amount", "remark"),
    [
        # 20 days, 11 hours and a half of a June's 30 days: 1,769,400 of 2,592,000 seconds.
        ({"anchor_at": "2026-07-01T00:00"}, "682.63" + "8" * 58, 683, "(prorated)"),
        # Exactly three full periods before the one that has begun.
        ({"backdated_to": "2026-03-10T12:30"}, "4000", 4000, "(for 4 periods)"),
        # A full period, and 14 of the 31 days from May 10.
        ({"backdated_to": "2026-05-27T12:30"}, "1451." + "612903225806451" * 4, 1452, "(prorated)"),
        # Cut after 3 of the 30 days from June 10.
        ({"cancel_at": "2026-06-13T12:30"}, "100", 100, "(prorated)"),
    ],
)
def test_a_first_period_that_is_no_full_one_is_prorated_by_time(
    customer: Customer, licensed: Price, terms: dict[str, str], exact: str, amount: int, remark: str
) -> None:
    subscribe(customer, licensed, **{name: utc(text) for name, text in terms.items()})

    line = InvoiceLine.objects.get()
    assert line.exact_amount == Decimal(exact)
    assert line.amount == line.invoice.total == amount
    assert line.description == f"Seats: 1 × 10.00 USD per seat {remark}"  # noqa: RUF001


def test_when_something_is_refused_nothing_has_begun(customer: Customer, licensed: Price) -> None:
    with pytest.raises(AmountTooLarge):
        subscribe(customer, NewItem(licensed, 2**63 - 1))
    with pytest.raises(PriceInactive):
        subscribe(customer, licensed, PriceFactory.create(environment=customer.environment, active=False))

    assert not Subscription.objects.exists()
    assert not Invoice.objects.exists()
    assert not InvoiceNumbering.objects.exists()


def test_the_largest_amount_fits(customer: Customer, licensed: Price) -> None:
    one = PriceFactory.create(environment=customer.environment, unit_amount=1)
    subscribe(customer, NewItem(one, 2**63 - 1))
    assert Invoice.objects.get().total == 2**63 - 1

    with pytest.raises(AmountTooLarge):
        subscribe(customer, NewItem(one, 2**63 - 1), licensed)
    assert Invoice.objects.count() == 1


def test_cancelled_without_an_invoice_the_usage_stays_unbilled(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    use(metered, customer, 100, NOW)
    now = NOW + timedelta(days=3)

    ended = services.cancel_subscription(subscription=subscription, now=now, comment="Too dear", feedback="expensive")

    assert (ended.status, ended.ended_at, ended.canceled_at, ended.wakes_at) == ("canceled", now, now, None)
    assert ended.cancellation_details == {"comment": "Too dear", "feedback": "expensive"}
    services.close_due_periods(now=SECOND_END)
    assert not Invoice.objects.exists()


def test_cancelled_with_an_invoice_usage_before_the_instant_is_billed_and_none_at_it(
    customer: Customer, metered: Price, licensed: Price
) -> None:
    subscription = subscribe(customer, metered, licensed)
    now = NOW + timedelta(days=3)
    for value, at in [(1, NOW - MOMENT), (10, NOW), (100, now - MOMENT), (1000, now)]:
        use(metered, customer, value, at)

    services.cancel_subscription(subscription=subscription, now=now, invoice_now=True)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    line = invoice.lines.get()
    assert (line.quantity, line.amount, invoice.total) == (110, 55, 55)
    assert (invoice.period_start, invoice.period_end) == (NOW, now)
    assert (invoice.status, invoice.finalized_at) == ("open", now)


def test_cancelled_twice_it_is_not_found_and_stays_as_it_was(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    first = services.cancel_subscription(subscription=subscription, now=NOW + timedelta(days=1), comment="first")

    with pytest.raises(SubscriptionEnded):
        services.cancel_subscription(
            subscription=subscription, now=NOW + timedelta(days=2), invoice_now=True, comment="second"
        )

    subscription.refresh_from_db()
    assert (subscription.ended_at, subscription.cancellation_details) == (first.ended_at, {"comment": "first"})
    assert not Invoice.objects.exists()


def test_cancelled_before_the_sweep_came_by_the_periods_that_were_over_are_billed_first(
    customer: Customer, metered: Price
) -> None:
    subscription = subscribe(customer, metered)
    use(metered, customer, 10, NOW)
    use(metered, customer, 20, FIRST_END)
    use(metered, customer, 40, SECOND_END)
    now = SECOND_END + timedelta(days=1)

    services.cancel_subscription(subscription=subscription, now=now, invoice_now=True)

    billed = Invoice.objects.order_by("period_end").values_list("billing_reason", "period_end", "total")
    assert list(billed) == [
        ("subscription_cycle", FIRST_END, 5),
        ("subscription_cycle", SECOND_END, 10),
        ("subscription_update", now, 20),
    ]


def test_cancelled_at_the_very_end_of_a_period_there_is_one_invoice(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    use(metered, customer, 10, FIRST_END - MOMENT)
    use(metered, customer, 20, FIRST_END)

    services.cancel_subscription(subscription=subscription, now=FIRST_END, invoice_now=True)

    assert (Invoice.objects.get().billing_reason, Invoice.objects.get().total) == ("subscription_cycle", 5)


def test_what_ended_by_its_own_date_cannot_be_cancelled_and_is_still_billed(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered, cancel_at_period_end=True)
    use(metered, customer, 10, NOW)

    with pytest.raises(SubscriptionEnded):
        services.cancel_subscription(subscription=subscription, now=FIRST_END)
    assert not Invoice.objects.exists()

    services.close_due_periods(now=FIRST_END)
    subscription.refresh_from_db()
    assert subscription.ended_at == FIRST_END
    assert Invoice.objects.get().total == 5


def test_what_is_paid_afterwards_has_nothing_to_give_back(customer: Customer, metered: Price) -> None:
    arrears = subscribe(customer, metered)
    services.cancel_subscription(subscription=arrears, now=NOW + timedelta(days=1), prorate=True)

    arrears.refresh_from_db()
    assert arrears.status == Subscription.Status.CANCELED
    assert not Invoice.objects.exists()


def test_a_customer_goes_with_all_its_subscriptions(customer: Customer, metered: Price, licensed: Price) -> None:
    running = subscribe(customer, metered)
    ending = subscribe(customer, licensed, cancel_at_period_end=True)
    over = services.cancel_subscription(subscription=subscribe(customer, licensed), now=NOW + timedelta(hours=1))
    use(metered, customer, 10, NOW)
    other = subscribe(CustomerFactory.create(environment=customer.environment), licensed)
    now = FIRST_END + timedelta(days=1)

    services.delete_customer(customer=customer, now=now)

    for subscription, ended_at in [(running, now), (ending, FIRST_END), (over, over.ended_at), (other, None)]:
        subscription.refresh_from_db()
        assert subscription.ended_at == ended_at
    # The period that was over is billed.
    assert Invoice.objects.get(billing_reason="subscription_cycle").total == 5
    with pytest.raises(CustomerDeleted):
        services.delete_customer(customer=customer, now=now)
