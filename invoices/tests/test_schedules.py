"""Subscriptions that schedules manage: what is billed as phases begin, and how schedules end.

NOW is 10 June 2026, 12:30, where monthly periods begin: June's has 30 days, or 2,592,000 seconds.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.metadata import MetadataChange
from invoices import services
from invoices.models import BillingFailure, Invoice, InvoiceItem
from invoices.services import ProrationBehavior
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe, use, utc
from subscriptions.errors import (
    CancellationScheduled,
    PhaseContentRefused,
    PhaseEndInvalid,
    PhasesMissing,
    PhaseStartFixed,
    PhaseStartMissing,
    PriceInactive,
    ScheduleOver,
    SubscriptionScheduled,
    TooManyPhases,
)
from subscriptions.models import Interval, Price, SchedulePhase, Subscription, SubscriptionSchedule
from subscriptions.phases import Length
from subscriptions.services import (
    AddedItem,
    ItemChange,
    NewDiscount,
    NewItem,
    NewPhase,
    create_coupon,
    update_coupon,
    update_price,
)
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from webhooks.models import Event

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
HALF = NOW + 15 * DAY
MONTH = Length("month", 1)


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def seats(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, product__name="Seats")


@pytest.fixture
def premium(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, product__name="Premium", unit_amount=Decimal(5000))


def phase(price: Price, quantity: int | None = None, **fields: Any) -> NewPhase:
    return NewPhase([NewItem(price, quantity)], **fields)


def plan(customer: Customer, *phases: NewPhase, now: datetime = NOW, **terms: Any) -> SubscriptionSchedule:
    return services.create_schedule(
        environment=customer.environment, customer=customer, phases=phases, now=now, **terms
    )


def managed(schedule: SubscriptionSchedule) -> Subscription:
    return Subscription.objects.get(schedules=schedule)


def again(schedule: SubscriptionSchedule) -> SubscriptionSchedule:
    return SubscriptionSchedule.objects.get(pk=schedule.pk)


def live_until(now: datetime) -> None:
    services.start_due_schedules(now=now)
    services.close_due_periods(now=now)


def billed() -> list[list[tuple[str, int]]]:
    """What the lines of each invoice say, in the invoices' order."""
    return [
        [(line.description, line.amount) for line in invoice.lines.order_by("position")]
        for invoice in Invoice.objects.order_by("created_at", "pk")
    ]


def totals() -> list[int]:
    return list(Invoice.objects.order_by("created_at", "pk").values_list("total", flat=True))


def told() -> list[str]:
    return [kind for kind in Event.objects.order_by("pk").values_list("type", flat=True) if "schedule" in kind]


def test_three_phases_are_billed_one_after_another(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(
        customer,
        phase(seats, 1),
        phase(seats, 3),
        phase(premium, iterations=2),
        end_behavior="cancel",
    )
    subscription = managed(schedule)
    item = subscription.items.get()
    assert (schedule.status, subscription.phase_ends_at, subscription.cancel_at) == ("active", FIRST_END, None)

    for end in (FIRST_END, SECOND_END, THIRD_END, utc("2026-10-10T12:30")):
        live_until(end)

    # Each month in advance, at what its phase says, and nothing prorated.
    assert totals() == [1000, 3000, 5000, 5000]
    assert not InvoiceItem.objects.exists()
    item.refresh_from_db()
    assert (item.quantity, item.removed_at) == (3, SECOND_END)
    subscription.refresh_from_db()
    assert (subscription.status, subscription.ended_at) == ("canceled", utc("2026-10-10T12:30"))
    assert (subscription.schedule, subscription.phase_ends_at) == (None, None)
    schedule = again(schedule)
    assert (schedule.status, schedule.completed_at) == ("completed", utc("2026-10-10T12:30"))
    assert told() == ["subscription_schedule." + verb for verb in ("created", "updated", "updated", "completed")]


def test_a_schedule_lets_go_of_what_goes_on(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats, 2))

    live_until(FIRST_END)
    live_until(SECOND_END)

    schedule = again(schedule)
    assert (schedule.status, schedule.released_at) == ("released", FIRST_END)
    subscription = managed(schedule)
    assert (subscription.status, subscription.schedule, subscription.cancel_at) == ("active", None, None)
    assert totals() == [2000, 2000, 2000]
    assert told() == ["subscription_schedule.created", "subscription_schedule.released"]


@pytest.mark.parametrize(
    ("behavior", "invoiced"),
    [
        # Half of 30 days: 500 of 1000 come back, 2500 of 5000 are charged.
        (ProrationBehavior.CREATE, [1000, 7000]),
        (ProrationBehavior.INVOICE, [1000, 2000, 5000]),
        (ProrationBehavior.NONE, [1000, 5000]),
    ],
)
def test_a_phase_that_begins_in_mid_period(
    customer: Customer, seats: Price, premium: Price, behavior: str, invoiced: list[int]
) -> None:
    schedule = plan(
        customer, phase(seats, end_at=HALF), phase(premium, length=Length("month", 3), proration_behavior=behavior)
    )

    live_until(HALF)
    subscription = managed(schedule)
    assert [item.price for item in subscription.items.present()] == [premium]
    assert subscription.items.present().get().current_period_end == FIRST_END
    live_until(FIRST_END)

    assert totals() == invoiced


def test_a_late_sweep_begins_phases_at_their_own_time(customer: Customer, seats: Price, premium: Price) -> None:
    plan(customer, phase(seats, end_at=HALF), phase(premium, length=Length("month", 2)))

    # Nobody looked for two months.
    live_until(SECOND_END + DAY)

    assert totals() == [1000, 7000, 5000]
    assert sorted(InvoiceItem.objects.values_list("amount", flat=True)) == [-500, 2500]
    assert InvoiceItem.objects.filter(period_start=HALF, period_end=FIRST_END).count() == 2


def test_metered_usage_belongs_to_the_phase_it_took_place_in(customer: Customer) -> None:
    old = MeteredPriceFactory.create(environment=customer.environment, unit_amount=1)
    new = MeteredPriceFactory.create(environment=customer.environment, unit_amount=10, meter=old.meter)
    plan(customer, phase(old, end_at=HALF), phase(new, end_at=FIRST_END), phase(old))
    use(old, customer, 100, HALF - timedelta(seconds=1))
    use(old, customer, 7, HALF)
    use(old, customer, 5, FIRST_END)

    live_until(HALF)
    live_until(FIRST_END)
    live_until(SECOND_END)

    assert [[amount for _, amount in lines] for lines in billed()] == [[100, 70], [5]]


def test_boundaries_count_from_a_phase_that_says_so(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(customer, phase(seats, end_at=HALF), phase(premium, anchor="phase_start", iterations=2))

    live_until(HALF)

    subscription = managed(schedule)
    assert subscription.anchor_at == HALF
    assert subscription.items.present().get().current_period_end == HALF + 30 * DAY
    # Half a month of seats is given back, and a full month of premium begins at once.
    assert totals() == [1000, 4500]
    live_until(HALF + 30 * DAY)
    assert totals() == [1000, 4500, 5000]


def test_a_phase_of_years_after_one_of_months_counts_from_its_start(customer: Customer, seats: Price) -> None:
    yearly = PriceFactory.create(environment=customer.environment, interval=Interval.YEAR, unit_amount=Decimal(9000))
    schedule = plan(customer, phase(seats), phase(yearly))

    live_until(FIRST_END)

    subscription = managed(schedule)
    assert (subscription.anchor_at, subscription.phase_ends_at) == (FIRST_END, utc("2027-07-10T12:30"))
    assert subscription.items.present().get().current_period_end == utc("2027-07-10T12:30")
    assert totals() == [1000, 9000]


def test_a_trial_and_what_follows_it(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(customer, phase(seats, is_trial=True, length=Length("day", 14)), phase(premium))
    subscription = managed(schedule)
    assert (subscription.status, subscription.trial_end_at) == ("trialing", NOW + 14 * DAY)

    live_until(NOW + 14 * DAY)

    subscription.refresh_from_db()
    assert (subscription.status, subscription.anchor_at) == ("active", NOW + 14 * DAY)
    assert totals() == [0, 5000]


def test_a_trial_in_the_middle_gives_back_what_was_paid_for_its_time(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats, end_at=HALF), phase(seats, trial_end_at=FIRST_END, end_at=SECOND_END))

    live_until(HALF)
    subscription = managed(schedule)
    assert (subscription.status, subscription.trial_end_at) == ("trialing", FIRST_END)
    live_until(FIRST_END)

    subscription.refresh_from_db()
    assert subscription.status == "active"
    # 1000 for June, of which a half came back onto the first invoice after the trial.
    assert sum(totals()) == 1000 - 500 + 1000


def test_a_phase_that_is_no_trial_ends_one(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats, trial_end_at=FIRST_END)
    schedule = services.schedule_subscription(subscription=subscription, now=NOW)
    services.update_schedule(
        schedule=schedule,
        now=NOW,
        phases=[phase(seats, start_at=NOW, trial_end_at=HALF, end_at=HALF), phase(seats, 2)],
    )

    live_until(HALF)

    subscription.refresh_from_db()
    assert (subscription.status, subscription.trial_end_at) == ("active", HALF)
    assert totals() == [0, 2000]


def test_a_phase_says_more_than_prices(customer: Customer, seats: Price) -> None:
    coupon = create_coupon(environment=customer.environment, percent_off=Decimal(50), duration="forever", now=NOW)
    once = PriceFactory.create(environment=customer.environment, interval="", unit_amount=Decimal(700))
    schedule = plan(
        customer,
        phase(seats, description="Pilot", metadata=MetadataChange({"a": "1", "b": "1"}), added=[AddedItem(once, 2)]),
        phase(
            seats,
            discounts=[NewDiscount(coupon)],
            metadata=MetadataChange({"b": None, "c": "3"}),
            collection_method="send_invoice",
            days_until_due=10,
            added=[AddedItem(once)],
        ),
        phase(seats),
    )
    subscription = managed(schedule)
    assert subscription.description == "Pilot"

    live_until(FIRST_END)
    subscription.refresh_from_db()
    assert (subscription.metadata, subscription.days_until_due) == ({"a": "1", "c": "3"}, 10)
    live_until(SECOND_END)

    # Two at 700 with the first month; the second month and one of them for a half; the third one as at first.
    assert totals() == [1000 + 1400, (1000 + 700) // 2, 1000]
    subscription.refresh_from_db()
    assert (subscription.collection_method, subscription.days_until_due) == ("charge_automatically", None)
    assert not subscription.discounts.in_place().exists()


def test_what_expired_meanwhile_keeps_no_phase_from_beginning(customer: Customer, seats: Price, premium: Price) -> None:
    coupon = create_coupon(
        environment=customer.environment, percent_off=Decimal(50), duration="forever", now=NOW, redeem_by=HALF
    )
    good = create_coupon(environment=customer.environment, percent_off=Decimal(10), duration="forever", now=NOW)
    plan(customer, phase(seats), phase(premium, discounts=[NewDiscount(coupon), NewDiscount(good)]))
    update_price(price=premium, now=NOW, active=False)
    update_coupon(coupon=good, now=NOW, name="Good")

    live_until(FIRST_END)

    assert not BillingFailure.objects.exists()
    assert totals() == [1000, 4500]


def test_a_schedule_begins_by_itself(customer: Customer, seats: Price) -> None:
    start = NOW + 3 * DAY
    schedule = plan(customer, phase(seats), start_at=start)
    assert (schedule.status, schedule.subscription, Subscription.objects.count()) == ("not_started", None, 0)

    live_until(start - timedelta(seconds=1))
    assert not Subscription.objects.exists()
    # An hour late: it began when it was to begin.
    live_until(start + timedelta(hours=1))

    subscription = managed(schedule)
    assert (subscription.start_at, subscription.anchor_at) == (start, start)
    assert again(schedule).status == "active"
    assert totals() == [1000]
    assert told() == ["subscription_schedule.created", "subscription_schedule.updated"]


def test_one_that_cannot_begin_is_parked_and_keeps_no_other(customer: Customer, seats: Price) -> None:
    coupon = create_coupon(
        environment=customer.environment, percent_off=Decimal(50), duration="once", now=NOW, max_redemptions=1
    )
    for _ in range(2):
        plan(customer, phase(seats, discounts=[NewDiscount(coupon)]), start_at=FIRST_END)

    swept = services.start_due_schedules(now=FIRST_END)

    assert (swept.done, swept.failed) == (1, 1)
    failure = BillingFailure.objects.get()
    assert failure.schedule is not None
    assert failure.schedule.status == "not_started"
    assert "CouponInvalid" in failure.reason
    # Once it can, it is forgotten.
    services.update_schedule(schedule=failure.schedule, now=NOW, phases=[phase(seats, start_at=FIRST_END)])
    services.start_due_schedules(now=failure.retry_at)
    assert not BillingFailure.objects.exists()
    assert Subscription.objects.count() == 2


def test_one_that_begins_in_the_past_is_billed_from_there(customer: Customer, seats: Price) -> None:
    start = NOW - 10 * DAY
    schedule = plan(customer, phase(seats, iterations=2), start_at=start)

    subscription = managed(schedule)
    # From 31 May: boundaries are where they would have been.
    assert (subscription.start_at, subscription.anchor_at) == (start, start)
    assert subscription.items.get().current_period_end == utc("2026-06-30T12:30")
    assert subscription.phase_ends_at == utc("2026-07-31T12:30")
    assert totals() == [1000]


def test_a_running_subscription_is_managed_from_its_period_on(customer: Customer, seats: Price, premium: Price) -> None:
    subscription = subscribe(customer, NewItem(seats, 2))
    schedule = services.schedule_subscription(subscription=subscription, now=HALF)
    assert [(one.start_at, one.end_at) for one in schedule.phases.all()] == [(NOW, FIRST_END)]
    subscription.refresh_from_db()
    assert (subscription.schedule, subscription.phase_ends_at) == (schedule, FIRST_END)

    services.update_schedule(
        schedule=schedule, now=HALF, phases=[phase(seats, 2, start_at=NOW, end_at=FIRST_END), phase(premium)]
    )
    live_until(FIRST_END)

    assert totals() == [2000, 5000]
    with pytest.raises(SubscriptionScheduled):
        services.schedule_subscription(subscription=subscription, now=FIRST_END)


def test_one_that_was_to_end_ends_with_its_schedule(customer: Customer, seats: Price) -> None:
    subscription = subscribe(customer, seats, cancel_at_period_end=True)
    schedule = services.schedule_subscription(subscription=subscription, now=HALF)
    assert schedule.end_behavior == "cancel"

    live_until(FIRST_END)

    assert again(schedule).status == "completed"
    subscription.refresh_from_db()
    assert subscription.status == "canceled"


def test_the_current_phase_is_changed_at_once(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats, 1), phase(seats, 4))

    services.update_schedule(
        schedule=schedule,
        now=HALF,
        phases=[phase(seats, 3, start_at=NOW), phase(seats, 5), phase(seats, 6)],
        proration_behavior=ProrationBehavior.INVOICE,
    )
    live_until(FIRST_END)
    live_until(SECOND_END)

    # Half a month of two more seats.
    assert totals() == [1000, 1000, 5000, 6000]


def test_what_stays_the_same_is_not_billed_anew(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats, 1))
    subscription = managed(schedule)
    item = subscription.items.get()
    services.update_subscription(
        subscription=subscription, now=HALF, items=[ItemChange(item=item, quantity=9)], proration_behavior="none"
    )

    services.update_schedule(schedule=schedule, now=HALF, phases=[phase(seats, 1, start_at=NOW), phase(seats, 2)])

    # What was changed by hand stands until the next phase.
    item.refresh_from_db()
    assert item.quantity == 9
    live_until(FIRST_END)
    item.refresh_from_db()
    assert item.quantity == 2
    assert totals() == [1000, 2000]


def test_a_phase_ends_now(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(customer, phase(seats, iterations=3))

    services.update_schedule(
        schedule=schedule, now=HALF, phases=[phase(seats, start_at=NOW, end_at=HALF), phase(premium)]
    )

    subscription = managed(schedule)
    assert [item.price for item in subscription.items.present()] == [premium]
    assert sorted(InvoiceItem.objects.values_list("amount", flat=True)) == [-500, 2500]
    assert subscription.phase_ends_at == HALF + 30 * DAY


def test_a_plan_is_changed_before_it_begins(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(customer, phase(seats), start_at=FIRST_END, metadata=MetadataChange({"a": "1"}))

    changed = services.update_schedule(
        schedule=schedule,
        now=NOW,
        phases=[phase(premium, start_at=SECOND_END)],
        metadata=MetadataChange({"b": "2"}),
        end_behavior="cancel",
    )

    assert (changed.start_at, changed.metadata, changed.status) == (SECOND_END, {"a": "1", "b": "2"}, "not_started")
    live_until(FIRST_END)
    assert not Subscription.objects.exists()
    live_until(SECOND_END)
    assert totals() == [5000]


def test_released_it_goes_on_as_it_is(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats), phase(seats, 5), end_behavior="cancel")
    live_until(FIRST_END)
    assert managed(schedule).cancel_at == SECOND_END

    released = services.release_schedule(schedule=schedule, now=FIRST_END + DAY)

    assert (released.status, released.released_at) == ("released", FIRST_END + DAY)
    subscription = managed(schedule)
    assert (subscription.cancel_at, subscription.canceled_at, subscription.schedule) == (None, None, None)
    live_until(SECOND_END)
    assert totals() == [1000, 5000, 5000]


def test_released_it_may_keep_its_end(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats), end_behavior="cancel")

    services.release_schedule(schedule=schedule, now=HALF, keeps_cancellation=True)

    assert managed(schedule).cancel_at == FIRST_END
    live_until(FIRST_END)
    assert managed(schedule).status == "canceled"
    assert again(schedule).status == "released"


def test_canceled_it_takes_its_subscription_with_it(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats, 2), phase(seats))

    canceled = services.cancel_schedule(schedule=schedule, now=HALF)

    assert (canceled.status, canceled.canceled_at) == ("canceled", HALF)
    assert managed(schedule).status == "canceled"
    # Half of the month that was paid comes back.
    assert totals() == [2000, -1000]


def test_with_its_subscription_a_schedule_ends(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats), phase(seats))

    services.cancel_subscription(subscription=managed(schedule), now=HALF)

    assert (again(schedule).status, again(schedule).canceled_at) == ("canceled", HALF)
    live_until(SECOND_END)
    assert totals() == [1000]


def test_with_its_customer_a_plan_ends(customer: Customer, seats: Price) -> None:
    begun, waiting = plan(customer, phase(seats)), plan(customer, phase(seats), start_at=FIRST_END)

    services.delete_customer(customer=customer, now=HALF)

    assert [again(one).status for one in (begun, waiting)] == ["canceled", "canceled"]
    live_until(FIRST_END)
    assert Subscription.objects.count() == 1


def test_while_it_is_paused_phases_change_it_and_bill_nothing(customer: Customer, seats: Price, premium: Price) -> None:
    schedule = plan(customer, phase(seats), phase(premium))
    services.pause_subscription(subscription=managed(schedule), now=HALF, prorate=False)

    live_until(FIRST_END)

    subscription = managed(schedule)
    assert subscription.status == "paused"
    assert [item.price for item in subscription.items.present()] == [premium]
    assert totals() == [1000]
    services.resume_subscription(subscription=subscription, now=FIRST_END + DAY)
    assert totals() == [1000, 5000]


def test_what_a_schedule_refuses(customer: Customer, seats: Price) -> None:
    closed = PriceFactory.create(environment=customer.environment, active=False)
    with pytest.raises(PhasesMissing):
        plan(customer)
    with pytest.raises(TooManyPhases):
        plan(customer, *[phase(seats)] * 11)
    with pytest.raises(PhaseContentRefused) as refused:
        plan(customer, phase(seats), phase(closed))
    assert (refused.value.position, type(refused.value.refusal)) == (1, PriceInactive)
    with pytest.raises(PhaseEndInvalid):
        plan(customer, phase(seats, end_at=NOW - DAY), start_at=NOW - 2 * DAY)
    assert not SubscriptionSchedule.objects.exists()
    assert not Subscription.objects.exists()


def test_what_a_change_of_one_refuses(customer: Customer, seats: Price) -> None:
    schedule = plan(customer, phase(seats), phase(seats, 2))
    refusals: list[tuple[type[Exception], list[NewPhase]]] = [
        (PhaseStartMissing, [phase(seats)]),
        (PhaseStartFixed, [phase(seats, start_at=HALF)]),
        (PhaseStartFixed, [phase(seats, start_at=NOW - DAY)]),
        (PhaseEndInvalid, [phase(seats, start_at=NOW, end_at=NOW + DAY)]),
    ]
    for refusal, phases in refusals:
        with pytest.raises(refusal):
            services.update_schedule(schedule=schedule, now=HALF, phases=phases)
    with pytest.raises(CancellationScheduled):
        services.cancel_later(subscription=managed(schedule), now=HALF, at_period_end=True)
    assert [one.items.get().quantity for one in SchedulePhase.objects.order_by("start_at")] == [1, 2]
    assert managed(schedule).cancel_at is None

    services.release_schedule(schedule=schedule, now=HALF)
    changes: list[Callable[[], object]] = [
        lambda: services.release_schedule(schedule=schedule, now=HALF),
        lambda: services.cancel_schedule(schedule=schedule, now=HALF),
        lambda: services.update_schedule(schedule=schedule, now=HALF, end_behavior="cancel"),
    ]
    for change in changes:
        with pytest.raises(ScheduleOver):
            change()
    assert managed(schedule).status == "active"
