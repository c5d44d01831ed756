"""A subscription that is changed in mid-period: the arithmetic of each case stands beside it.

The period is June 10 to July 10, 12:30: 30 days, or 2,592,000 seconds.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.metadata import MetadataChange
from core.tests.examples import costly
from invoices import services
from invoices.errors import ProrationDateOutsidePeriod
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.services import GRACE, ProrationBehavior
from invoices.tests.factories import FIRST_END, SECOND_END, subscribe, use, utc
from subscriptions.errors import (
    AnchorInTrial,
    IntervalMismatch,
    ItemsMissing,
    MeterRepeated,
    PriceRepeated,
    SubscriptionEnded,
)
from subscriptions.models import ItemTerm, Price, Subscription, SubscriptionItem, TiersMode
from subscriptions.services import ItemChange, NewDiscount, NewItem, create_coupon
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory, tiered

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
PERIOD_SECONDS = 2_592_000


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def seats(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, product__name="Seats")


def item_of(subscription: Subscription, price: Price | None = None) -> SubscriptionItem:
    items = subscription.items.present()
    return items.get() if price is None else items.get(price=price)


def change(
    subscription: Subscription,
    at: datetime,
    *changes: ItemChange,
    behavior: str = ProrationBehavior.CREATE,
    **terms: object,
) -> Subscription:
    return services.update_subscription(
        subscription=subscription,
        now=at,
        items=changes,
        proration_behavior=behavior,
        **terms,  # type: ignore[arg-type]
    )


def to(subscription: Subscription, quantity: int | None = None, price: Price | None = None) -> ItemChange:
    return ItemChange(item=item_of(subscription), quantity=quantity, price=price)


def prorations() -> list[tuple[str, int]]:
    return list(InvoiceItem.objects.order_by("pk").values_list("description", "amount"))


def amounts() -> list[int]:
    return [amount for _, amount in prorations()]


def bill_the_period(at: datetime = FIRST_END) -> Invoice:
    services.close_due_periods(now=at)
    services.finalize_due_drafts(now=at + GRACE)
    return Invoice.objects.get(billing_reason="subscription_cycle", period_end=at)


# Up, down, and both ends of the period


def test_more_units_are_charged_for_the_rest_of_the_period(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, NOW + 15 * DAY, to(subscription, 3))

    # Half of the period is left: 1 x 10.00 / 2 comes back, 3 x 10.00 / 2 is charged.
    assert prorations() == [
        ("Unused time on Seats after 25 Jun 2026", -500),
        ("Remaining time on 3 × Seats after 25 Jun 2026", 1500),  # noqa: RUF001
    ]
    assert Invoice.objects.count() == 1
    # With the next period's 3 x 10.00.
    assert bill_the_period().total == 3000 - 500 + 1500
    assert set(InvoiceItem.objects.values_list("invoice__billing_reason", flat=True)) == {"subscription_cycle"}


def test_fewer_units_are_given_back(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, NewItem(seats, 10))

    change(subscription, NOW + 20 * DAY, to(subscription, 4))

    # A third is left: 100.00 / 3 = 33.33 comes back, 40.00 / 3 = 13.33 is charged.
    assert amounts() == [-3333, 1333]
    credit, charge = InvoiceItem.objects.order_by("pk")
    assert credit.exact_amount == Decimal("-3333." + "3" * 60)
    assert charge.exact_amount == Decimal("1333." + "3" * 60)
    assert (credit.credits_line, charge.credits_line) == (InvoiceLine.objects.get(quantity=10), None)
    assert credit.period.start == charge.period.start == NOW + 20 * DAY
    assert (credit.basis["quantity"], credit.basis["full_periods"], charge.basis["full_periods"]) == (
        "10",
        "1/3",
        "1/3",
    )
    assert bill_the_period().total == 4000 - 3333 + 1333


def test_another_price_takes_the_place_of_the_first(customer: Customer, seats: Price) -> None:
    dearer = PriceFactory.create(environment=customer.environment, unit_amount=2500, product__name="Suites")
    subscription = subscribe(customer, NewItem(seats, 2))

    change(subscription, NOW + 10 * DAY, to(subscription, price=dearer))

    # Two thirds are left: 2 x 10.00 x 2/3 = 13.33 comes back, 2 x 25.00 x 2/3 = 33.33 is charged.
    assert amounts() == [-1333, 3333]
    item = item_of(subscription)
    assert (item.price, item.quantity, item.effective_at) == (dearer, 2, NOW + 10 * DAY)
    term = ItemTerm.objects.get()
    assert (term.price, term.quantity, term.period.start, term.period.end) == (seats, 2, NOW, NOW + 10 * DAY)


@pytest.mark.parametrize(
    ("at", "credit", "charge"),
    [
        # In the first second all of the period is left.
        (NOW + SECOND / 2, "-1000", "3000"),
        # One second of 2,592,000 less: 1000 x 2591999 / 2592000.
        (NOW + SECOND, "-999.999614197530", "2999.998842592592"),
        # In the last second that one is left.
        (FIRST_END - SECOND, "-0.000385802469", "0.001157407407"),
        (FIRST_END - SECOND / 1000, "-0.000385802469", "0.001157407407"),
    ],
)
def test_the_first_and_the_last_second(
    customer: Customer, seats: Price, at: datetime, credit: str, charge: str
) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, at, to(subscription, 3))

    exact = InvoiceItem.objects.order_by("pk").values_list("exact_amount", flat=True)
    assert [str(amount)[: len(text)] for amount, text in zip(exact, (credit, charge), strict=True)] == [credit, charge]


def test_at_the_very_end_it_is_the_next_period_that_changes(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, FIRST_END, to(subscription, 3))

    # The period was closed first, at one unit; the next one is changed in its first second.
    assert Invoice.objects.get(billing_reason="subscription_cycle").total == 1000
    assert amounts() == [-1000, 3000]


# Several changes


def test_each_change_gives_back_what_was_charged_for_the_time_that_is_left(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    for day, quantity in ((10, 4), (20, 2), (25, 7)):
        change(subscription, NOW + day * DAY, to(subscription, quantity))

    # 10.00 for a third each: 1 x 2/3 back, 4 x 2/3; 4 x 1/3 back, 2 x 1/3; 2 x 1/6 back, 7 x 1/6.
    assert amounts() == [-667, 2667, -1333, 667, -333, 1167]
    # 1 x 10 days + 4 x 10 + 2 x 5 + 7 x 5 = 95 unit days of 10.00 / 30: 31.67.
    exact = sum((Fraction(item.exact_amount) for item in InvoiceItem.objects.all()), Fraction(1000))
    assert abs(exact - Fraction(95000, 30)) < Fraction(1, 10**50)
    first, second, third = InvoiceItem.objects.filter(amount__lt=0).order_by("pk")
    assert first.credits_line is not None
    assert [credit.credits_item.amount for credit in (second, third) if credit.credits_item] == [2667, 667]
    assert [(term.quantity, term.follows_at) for term in ItemTerm.objects.all()] == [
        (1, None),
        (4, NOW + 10 * DAY),
        (2, NOW + 20 * DAY),
    ]


def test_two_changes_in_one_second_come_to_the_last_one(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    at = NOW + 15 * DAY

    change(subscription, at, to(subscription, 3))
    change(subscription, at + SECOND / 2, to(subscription, 2))

    assert amounts() == [-500, 1500, -1500, 1000]
    assert [term.quantity for term in ItemTerm.objects.all()] == [1]


def test_the_same_again_changes_nothing(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, NewItem(seats, 3))

    change(subscription, NOW + DAY, to(subscription, 3, seats), metadata=MetadataChange({"a": "1"}))

    assert not InvoiceItem.objects.exists()
    assert not ItemTerm.objects.exists()
    subscription.refresh_from_db()
    assert subscription.metadata == {"a": "1"}


# Without prorations, and at once


def test_without_prorations_the_next_period_is_the_first_that_costs_more(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, NOW + 15 * DAY, to(subscription, 3), behavior=ProrationBehavior.NONE)

    assert not InvoiceItem.objects.exists()
    assert bill_the_period().total == 3000


def test_what_was_not_charged_is_not_given_back(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    change(subscription, NOW + 10 * DAY, to(subscription, 5), behavior=ProrationBehavior.NONE)

    change(subscription, NOW + 15 * DAY, to(subscription, 2))

    # One unit was paid, not the five that it had by then: 1 x 10.00 / 2 comes back.
    assert amounts() == [-500, 1000]


def test_at_once_the_difference_is_an_invoice_of_its_own(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, NOW + 15 * DAY, to(subscription, 3), behavior=ProrationBehavior.INVOICE)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    assert (invoice.status, invoice.total, invoice.amount_due) == ("open", 1000, 1000)
    assert [(line.amount, line.invoice_item is not None) for line in invoice.lines.all()] == [
        (-500, True),
        (1500, True),
    ]
    assert bill_the_period().total == 3000


def test_what_is_given_back_at_once_goes_to_the_balance(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, NewItem(seats, 3))

    change(subscription, NOW + 15 * DAY, to(subscription, 1), behavior=ProrationBehavior.INVOICE)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    assert (invoice.status, invoice.total, invoice.amount_due) == ("paid", -1000, 0)
    assert (invoice.starting_balance, invoice.ending_balance) == (0, -1000)
    # It pays the next one.
    following = bill_the_period()
    assert (following.total, following.amount_due, following.ending_balance) == (1000, 0, 0)


def test_a_day_may_be_what_is_prorated_by(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, NOW + 15 * DAY + 5 * SECOND, to(subscription, 3), prorated_at=NOW + 15 * DAY)

    assert amounts() == [-500, 1500]
    assert item_of(subscription).effective_at == NOW + 15 * DAY + 5 * SECOND


def test_a_date_before_an_earlier_change_gives_each_of_them_back(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    change(subscription, NOW + 20 * DAY, to(subscription, 4))

    change(subscription, NOW + 21 * DAY, to(subscription, 2), prorated_at=NOW + 10 * DAY)

    # One unit from day 10 to 20 and four from there on come back, two are charged from day 10.
    assert amounts() == [-333, 1333, -333, -1333, 1333]


@pytest.mark.parametrize("at", [NOW - SECOND, FIRST_END + SECOND])
def test_only_the_current_period_can_be_prorated(customer: Customer, seats: Price, at: datetime) -> None:
    subscription = subscribe(customer, seats)

    with pytest.raises(ProrationDateOutsidePeriod):
        change(subscription, NOW + DAY, to(subscription, 3), prorated_at=at)
    assert item_of(subscription).quantity == 1
    assert not InvoiceItem.objects.exists()


# Items that come and go


def test_items_are_added_and_removed(customer: Customer, seats: Price) -> None:
    support = PriceFactory.create(environment=customer.environment, unit_amount=600, product__name="Support")
    subscription = subscribe(customer, NewItem(seats, 2))
    old = item_of(subscription)

    change(subscription, NOW + 10 * DAY, ItemChange(price=support, quantity=5))
    change(subscription, NOW + 20 * DAY, ItemChange(item=old, is_removed=True))

    # 5 x 6.00 x 2/3 for what came; 2 x 10.00 / 3 back for what went.
    assert amounts() == [2000, -667]
    old.refresh_from_db()
    assert (old.removed_at, ItemTerm.objects.get().item) == (NOW + 20 * DAY, old)
    assert bill_the_period().total == 3000 + 2000 - 667
    # It can come back, as an item of its own.
    change(subscription, FIRST_END + GRACE, ItemChange(price=seats))
    assert item_of(subscription, seats) != old


def test_two_items_take_each_others_price(customer: Customer, seats: Price) -> None:
    support = PriceFactory.create(environment=customer.environment, unit_amount=600)
    subscription = subscribe(customer, NewItem(seats, 2), NewItem(support, 5))
    first, second = item_of(subscription, seats), item_of(subscription, support)

    change(subscription, NOW + 15 * DAY, ItemChange(item=first, price=support), ItemChange(item=second, price=seats))

    assert amounts() == [-1000, 600, -1500, 2500]
    assert (item_of(subscription, support), item_of(subscription, seats)) == (first, second)


def test_what_cannot_be_changes_nothing(customer: Customer, seats: Price) -> None:
    metered = MeteredPriceFactory.create(environment=customer.environment)
    again = MeteredPriceFactory.create(environment=customer.environment, meter=metered.meter)
    weekly = PriceFactory.create(environment=customer.environment, interval="week")
    subscription = subscribe(customer, seats, metered)
    item = item_of(subscription, seats)
    cases: list[tuple[list[ItemChange], type[Exception]]] = [
        ([ItemChange(price=seats)], PriceRepeated),
        ([ItemChange(price=again)], MeterRepeated),
        ([ItemChange(price=weekly)], IntervalMismatch),
        ([ItemChange(item=item, price=weekly)], IntervalMismatch),
        ([ItemChange(item=one, is_removed=True) for one in subscription.items.all()], ItemsMissing),
    ]
    for changes, refusal in cases:
        with pytest.raises(refusal):
            change(subscription, NOW + DAY, *changes)
    assert set(subscription.items.present().values_list("price", "quantity")) == {(seats.pk, 1), (metered.pk, None)}
    assert not InvoiceItem.objects.exists()
    assert not ItemTerm.objects.exists()


def test_what_is_over_is_not_changed(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    services.cancel_subscription(subscription=subscription, now=NOW + DAY)

    with pytest.raises(SubscriptionEnded):
        change(subscription, NOW + 2 * DAY, ItemChange(item=subscription.items.get(), quantity=2))
    with pytest.raises(SubscriptionEnded):
        change(subscription, NOW + 2 * DAY, description="x")
    change(subscription, NOW + 2 * DAY, metadata=MetadataChange({"a": "1"}))

    subscription.refresh_from_db()
    assert (subscription.description, subscription.metadata) == ("", {"a": "1"})
    assert subscription.items.get().quantity == 1


# Metered prices


def test_a_metered_price_that_changes_bills_usage_at_the_price_of_its_time(customer: Customer) -> None:
    old = MeteredPriceFactory.create(environment=customer.environment, unit_amount=Decimal("0.5"))
    new = MeteredPriceFactory.create(environment=customer.environment, unit_amount=2, meter=old.meter)
    subscription = subscribe(customer, old)
    moment = NOW + 15 * DAY
    use(old, customer, 100, moment - SECOND / 1000)
    use(old, customer, 30, moment)

    change(subscription, moment, to(subscription, price=new))
    use(old, customer, 40, FIRST_END - SECOND)

    assert not InvoiceItem.objects.exists()
    invoice = bill_the_period()
    # 100 x 0.5 before the change, 70 x 2 from that very instant on.
    assert [(line.price, line.quantity, line.amount) for line in invoice.lines.all()] == [
        (old, 100, 50),
        (new, 70, 140),
    ]
    assert [line.period.start for line in invoice.lines.all()] == [NOW, moment]
    # The next period is the new one's alone.
    use(old, customer, 10, FIRST_END)
    assert bill_the_period(SECOND_END).total == 20


def test_late_usage_of_what_was_changed_or_removed_is_billed_at_its_price(customer: Customer, seats: Price) -> None:
    old = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10)
    subscription = subscribe(customer, old, seats)
    use(old, customer, 100, NOW)
    change(subscription, NOW + 15 * DAY, ItemChange(item=item_of(subscription, old), is_removed=True))
    use(old, customer, 50, NOW + 20 * DAY)
    assert [line.amount for line in bill_the_period().lines.all()] == [1000, 1000]

    use(old, customer, 7, NOW + DAY)

    late = bill_the_period(SECOND_END).lines.get(trues_up__isnull=False)
    assert (late.price, late.quantity, late.amount, late.period.end) == (old, 7, 70, NOW + 15 * DAY)


def test_metered_and_licensed_prices_take_each_others_place(customer: Customer, seats: Price) -> None:
    metered = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10)
    subscription = subscribe(customer, NewItem(seats, 3))

    change(subscription, NOW + 10 * DAY, to(subscription, price=metered))
    use(metered, customer, 50, NOW + 15 * DAY)
    change(subscription, NOW + 20 * DAY, to(subscription, price=seats))

    # 3 x 10.00 x 2/3 back; then one unit for a third.
    assert amounts() == [-2000, 333]
    assert [line.amount for line in bill_the_period().lines.all()] == [500, 1000, -2000, 333]


# Cancellations


@pytest.mark.parametrize("invoice_now", [True, False])
def test_a_cancellation_gives_back_what_is_left(customer: Customer, seats: Price, *, invoice_now: bool) -> None:
    metered = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10)
    other = subscribe(customer, MeteredPriceFactory.create(environment=customer.environment))
    subscription = subscribe(customer, NewItem(seats, 3), metered)
    use(metered, customer, 20, NOW + DAY)

    services.cancel_subscription(subscription=subscription, now=NOW + 20 * DAY, invoice_now=invoice_now, prorate=True)

    assert prorations() == [("Unused time on 3 × Seats after 30 Jun 2026", -1000)]  # noqa: RUF001
    if invoice_now:
        invoice = Invoice.objects.get(billing_reason="subscription_update")
        assert [line.amount for line in invoice.lines.all()] == [200, -1000]
        assert (invoice.status, invoice.ending_balance) == ("paid", -800)
    else:
        # Its usage is not billed; what is given back goes onto the customer's next invoice.
        following = bill_the_period()
        assert (following.subscription, following.total, following.ending_balance) == (other, -1000, -1000)


def test_a_cancellation_gives_nothing_back_unless_it_is_asked_to(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, NewItem(seats, 3))

    services.cancel_subscription(subscription=subscription, now=NOW + 20 * DAY, invoice_now=True)

    assert not InvoiceItem.objects.exists()


# Boundaries that are counted anew


def test_another_interval_begins_a_period_at_once(customer: Customer, seats: Price) -> None:
    yearly = PriceFactory.create(environment=customer.environment, interval="year", unit_amount=10000)
    subscription = subscribe(customer, seats)
    moment = NOW + 15 * DAY

    change(subscription, moment, to(subscription, price=yearly))

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    # A whole year, less the half month that was paid.
    assert [line.amount for line in invoice.lines.all()] == [10000, -500]
    assert (invoice.status, invoice.total, invoice.period.start, invoice.period.end) == ("open", 9500, NOW, moment)
    item = item_of(subscription)
    assert (item.current_period_start, item.current_period_end) == (moment, utc("2027-06-25T12:30"))
    subscription.refresh_from_db()
    assert (subscription.anchor_at, subscription.wakes_at) == (moment, utc("2027-06-25T12:30"))


def test_the_anchor_is_set_to_now(customer: Customer, seats: Price) -> None:
    metered = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10)
    subscription = subscribe(customer, seats, metered)
    use(metered, customer, 5, NOW + DAY)
    moment = NOW + 15 * DAY

    change(subscription, moment, resets_anchor=True)
    use(metered, customer, 7, moment)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    # Usage until now, a full period from now, and half a period back.
    assert sorted(line.amount for line in invoice.lines.all()) == [-500, 50, 1000]
    following = bill_the_period(utc("2026-07-25T12:30"))
    assert sorted(line.amount for line in following.lines.all()) == [70, 1000]


def test_without_prorations_nothing_comes_back_when_the_anchor_moves(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)

    change(subscription, NOW + 15 * DAY, behavior=ProrationBehavior.NONE, resets_anchor=True)
    # What the old period was paid is not given back by a later change either.
    change(subscription, NOW + 16 * DAY, to(subscription, 2))

    assert Invoice.objects.get(billing_reason="subscription_update").total == 1000
    # 29 of 30 days.
    assert amounts() == [-967, 1933]


def test_nothing_is_prorated_in_a_trial(customer: Customer, seats: Price) -> None:
    yearly = PriceFactory.create(environment=customer.environment, interval="year", unit_amount=10000)
    subscription = subscribe(customer, seats, trial_days=14)

    with pytest.raises(AnchorInTrial):
        change(subscription, NOW + DAY, resets_anchor=True)
    change(subscription, NOW + DAY, to(subscription, price=yearly, quantity=2))

    assert not InvoiceItem.objects.exists()
    services.close_due_periods(now=NOW + 14 * DAY)
    assert Invoice.objects.get(billing_reason="subscription_cycle").total == 20000
    assert item_of(subscription).current_period_end == utc("2027-06-24T12:30")


# What stands and what does not


def test_what_stands_on_a_void_invoice_is_given_back_to_nobody(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    services.void_invoice(invoice=Invoice.objects.get(), now=NOW)

    change(subscription, NOW + 15 * DAY, to(subscription, 3))

    assert amounts() == [1500]


def test_a_credit_that_was_taken_away_is_not_made_again(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats)
    change(subscription, NOW + 15 * DAY, to(subscription, 3))
    credit, charge = InvoiceItem.objects.order_by("pk")
    services.remove_invoice_item(item=credit, now=NOW + 15 * DAY)
    services.remove_invoice_item(item=charge, now=NOW + 15 * DAY)

    change(subscription, NOW + 20 * DAY, to(subscription, 6))

    assert list(InvoiceItem.objects.present().values_list("amount", flat=True)) == [2000]


def test_tiers_are_prorated_as_a_whole(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment, unit_amount=None, tiers_mode=TiersMode.GRADUATED)
    tiered(price, (5, "500", "1000"), (None, "300", "0"))
    subscription = subscribe(customer, NewItem(price, 4))

    change(subscription, NOW + 15 * DAY, to(subscription, 7))

    # 4 x 5.00 + 10.00 = 30.00; 5 x 5.00 + 10.00 + 2 x 3.00 = 41.00; half of each.
    assert amounts() == [-1500, 2050]


def test_what_was_discounted_comes_back_as_it_was_paid(customer: Customer, seats: Price) -> None:
    half = create_coupon(environment=customer.environment, now=NOW, percent_off=Decimal(50), duration="forever")
    subscription = subscribe(customer, NewItem(seats, 2), discounts=[NewDiscount(coupon=half)])
    assert Invoice.objects.get().total == 1000

    change(subscription, NOW + 15 * DAY, to(subscription, 4))
    change(subscription, NOW + 20 * DAY, to(subscription, 1))

    # Half price: 20.00 / 2 x 1/2 back, 40.00 / 2 x 1/2; 40.00 / 3 x 1/2 back, 10.00 / 3 x 1/2.
    assert amounts() == [-500, 1000, -667, 167]
    # Neither is discounted once more: 10.00 x 1/2 for July, and these.
    assert bill_the_period().total == 500 - 500 + 1000 - 667 + 167


def test_an_amount_off_comes_back_with_its_line(customer: Customer, seats: Price) -> None:
    once = create_coupon(environment=customer.environment, now=NOW, amount_off=600, currency="usd", duration="once")
    subscription = subscribe(customer, NewItem(seats, 2), discounts=[NewDiscount(coupon=once)])
    assert Invoice.objects.get().total == 1400

    change(subscription, NOW + 15 * DAY, to(subscription, 1))

    # Half of the 14.00 that were paid; the coupon is used up, so half of 10.00 is charged.
    assert amounts() == [-700, 500]


def test_yen_have_no_cents(customer: Customer) -> None:
    price = PriceFactory.create(environment=customer.environment, currency="jpy", unit_amount=1000)
    subscription = subscribe(customer, price)

    change(subscription, NOW + 10 * DAY, to(subscription, 2))

    # Two thirds of 1,000 and 2,000 yen.
    assert amounts() == [-667, 1333]


steps = st.lists(
    st.tuples(st.integers(0, PERIOD_SECONDS - 1), st.integers(0, 50), st.sampled_from([Decimal("0.5"), Decimal(999)])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=costly(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_all_of_it_together_is_the_price_over_time(steps: list[tuple[int, int, Decimal]]) -> None:
    customer = CustomerFactory.create()
    prices = {
        amount: PriceFactory.create(environment=customer.environment, unit_amount=amount)
        for amount in (Decimal("0.5"), Decimal(999))
    }
    subscription = subscribe(customer, NewItem(prices[Decimal(999)], 10))
    changes = sorted(steps, key=lambda step: step[0])
    for offset, quantity, amount in changes:
        change(subscription, NOW + offset * SECOND, to(subscription, quantity, prices[amount]))

    # Second by second: what it was, for as long as it was that.
    owed, since, rate = Fraction(0), 0, Fraction(9990)
    for offset, quantity, amount in changes:
        owed += rate * (offset - since)
        since, rate = offset, quantity * Fraction(amount)
    owed = (owed + rate * (PERIOD_SECONDS - since)) / PERIOD_SECONDS
    made = InvoiceItem.objects.filter(subscription=subscription)
    exact = Fraction(9990) + sum((Fraction(item.exact_amount) for item in made), Fraction(0))
    assert abs(exact - owed) < Fraction(1, 10**50)
    assert abs(9990 + sum(item.amount for item in made) - owed) <= Fraction(len(made), 2) + Fraction(1, 10**50)
