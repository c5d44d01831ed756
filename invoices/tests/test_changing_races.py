"""Changes of one subscription at the same moment, on connections of their own: one after the other, and none lost."""

from datetime import timedelta

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import CustomerBalance, Invoice, InvoiceItem
from invoices.services import ProrationBehavior
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use
from invoices.tests.test_races import at_once, kinds
from subscriptions.models import ItemTerm, Price, Subscription, SubscriptionItem
from subscriptions.services import ItemChange, NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)

HALF = NOW + timedelta(days=15)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def seats(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment)


def test_two_quantities_at_once_are_two_changes_in_a_row(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    item = subscription.items.get()

    def to(quantity: int) -> Subscription:
        change = ItemChange(item=item, quantity=quantity)
        return services.update_subscription(subscription=subscription, now=HALF, items=[change])

    outcomes = at_once(*[lambda quantity=quantity: to(quantity) for quantity in (3, 5, 7, 9)])

    assert kinds(outcomes) == ["Subscription"] * 4
    item.refresh_from_db()
    # Whoever came last stands, and all that came before was given back: half of what the last one costs is left.
    assert sum(InvoiceItem.objects.values_list("amount", flat=True)) == 500 * ((item.quantity or 0) - 1)
    assert InvoiceItem.objects.count() == 8
    assert [term.quantity for term in ItemTerm.objects.all()] == [1]


def test_of_two_that_add_the_same_price_one_is_refused(customer: Customer, seats: Price) -> None:
    support = PriceFactory.create(environment=customer.environment)
    subscription = subscribe(customer, seats)

    outcomes = at_once(
        *[lambda: services.update_subscription(subscription=subscription, now=HALF, items=[ItemChange(price=support)])]
        * 2
    )

    assert kinds(outcomes) == ["PriceRepeated", "Subscription"]
    assert SubscriptionItem.objects.count() == 2
    assert [item.amount for item in InvoiceItem.objects.all()] == [500]


def test_a_change_meets_the_renewal(customer: Customer, seats: Price) -> None:
    for round_ in range(4):
        subscription = subscribe(customer, seats)
        item = subscription.items.get()

        # The change read the clock before the period was over, and may come after the renewal nevertheless.
        at_once(
            lambda: services.update_subscription(
                subscription=subscription,  # noqa: B023
                now=FIRST_END - timedelta(seconds=round_ % 2),  # noqa: B023
                items=[ItemChange(item=item, quantity=3)],  # noqa: B023
            ),
            lambda: services.close_due_periods(now=FIRST_END),
        )

        # The run passes by what is held at that moment.
        services.close_due_periods(now=FIRST_END)
        item.refresh_from_db()
        assert (item.quantity, item.current_period_start, item.current_period_end) == (3, FIRST_END, SECOND_END)
        cycle = Invoice.objects.get(subscription=subscription, billing_reason="subscription_cycle")
        prorated = sum(subscription.invoice_items.filter(invoice__isnull=True).values_list("amount", flat=True)) + sum(
            line.amount for line in cycle.lines.all()
        )
        # The next period costs three units, whichever came first.
        assert prorated == 3000


def test_a_change_meets_a_cancellation(customer: Customer, seats: Price) -> None:
    for _ in range(4):
        subscription = subscribe(customer, NewItem(seats, 4))
        item = subscription.items.get()

        changed, ended = at_once(
            lambda: services.update_subscription(
                subscription=subscription,  # noqa: B023
                now=HALF,
                items=[ItemChange(item=item, quantity=2)],  # noqa: B023
                proration_behavior=ProrationBehavior.INVOICE,
            ),
            lambda: services.cancel_subscription(
                subscription=subscription,  # noqa: B023
                now=HALF,
                invoice_now=True,
                prorate=True,
            ),
        )

        assert type(ended).__name__ == "Subscription"
        assert type(changed).__name__ in {"Subscription", "SubscriptionEnded"}
        # Half of what was paid comes back, once, on whatever way.
        assert sum(subscription.invoice_items.values_list("amount", flat=True)) == -2000
        assert not subscription.invoice_items.waiting().exists()


def test_usage_is_billed_at_one_price_whoever_comes_first(customer: Customer) -> None:
    old = MeteredPriceFactory.create(environment=customer.environment, unit_amount=1)
    new = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10, meter=old.meter)
    subscription = subscribe(customer, old)
    item = subscription.items.get()
    use(old, customer, 100, HALF - timedelta(seconds=1))
    use(old, customer, 7, HALF)

    at_once(
        *[
            lambda: services.update_subscription(
                subscription=subscription, now=HALF, items=[ItemChange(item=item, price=new)]
            )
        ]
        * 3
    )
    services.close_due_periods(now=FIRST_END)

    lines = Invoice.objects.get(subscription=subscription).lines.all()
    assert [(line.price, line.amount) for line in lines] == [(old, 100), (new, 70)]


def test_what_waits_for_a_customer_is_taken_once(customer: Customer, seats: Price) -> None:
    for _ in range(6):
        subscribe(customer, seats)
    for amount in (100, 10, 1):
        services.create_invoice_item(
            environment=customer.environment, customer=customer, currency="usd", now=NOW, amount=amount
        )

    at_once(*[lambda: services.close_due_periods(now=FIRST_END, chunk=1)] * 3)
    services.close_due_periods(now=FIRST_END)

    totals = Invoice.objects.filter(billing_reason="subscription_cycle").values_list("total", flat=True)
    assert sum(totals) == 6 * 1000 + 111
    assert not InvoiceItem.objects.waiting().exists()


def test_an_item_is_changed_before_it_is_taken_or_not_at_all(customer: Customer, seats: Price) -> None:
    for _ in range(4):
        subscription = subscribe(customer, seats)
        item = services.create_invoice_item(
            environment=customer.environment,
            customer=customer,
            currency="usd",
            now=NOW,
            amount=100,
            subscription=subscription,
        )

        at_once(
            lambda: services.update_invoice_item(item=item, now=HALF, amount=300),  # noqa: B023 - run before the next round
            lambda: services.close_due_periods(now=FIRST_END),
        )

        # On a draft it changes as well: whichever came first, the draft says what the item says.
        invoice = Invoice.objects.get(subscription=subscription, billing_reason="subscription_cycle")
        assert invoice.total == 1300
        assert sum(line.amount for line in invoice.lines.all()) == 1300


def test_a_balance_pays_what_it_can_and_no_more(customer: Customer, seats: Price) -> None:
    services.adjust_balance(customer=customer, amount=-2500, currency="usd", now=NOW)

    at_once(*[lambda: subscribe(customer, seats)] * 6)

    assert CustomerBalance.objects.get().amount == 0
    assert sum(Invoice.objects.values_list("amount_due", flat=True)) == 6000 - 2500
    entries = customer.balance_transactions.order_by("position")
    assert [entry.ending_balance for entry in entries] == [-2500, -1500, -500, 0]
