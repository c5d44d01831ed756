"""What happens to a subscription by itself, and what changes that: trials, pauses, waiting for payment, its end."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from accounts.models import Customer, OverdueOutcome
from accounts.services import update_company
from accounts.tests.factories import NOW, CustomerFactory
from invoices import services
from invoices.models import Invoice, InvoiceItem, InvoiceLine
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe, use, utc
from subscriptions.anchors import AnchorConfig
from subscriptions.errors import (
    AnchorConfigNotAllowed,
    CancelAtInPast,
    NotPaused,
    ResumesInPast,
    StatusMoveRefused,
    SubscriptionEnded,
    TrialEndInPast,
)
from subscriptions.models import Price, Subscription
from subscriptions.services import NewItem
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

MOMENT = timedelta(microseconds=1)
DAY = timedelta(days=1)
TRIAL_END = NOW + 14 * DAY


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment)


@pytest.fixture
def licensed(customer: Customer) -> Price:
    return PriceFactory.create(environment=customer.environment, product__name="Seats")


def pass_time(until: datetime) -> None:
    """What the beat's task does."""
    services.close_due_periods(now=until)
    services.finalize_due_drafts(now=until)
    services.escalate_due_invoices(now=until)


def state(subscription: Subscription) -> tuple[Any, ...]:
    subscription.refresh_from_db()
    item = subscription.items.first()
    assert item is not None
    return subscription.status, item.current_period_start, item.current_period_end


# Trials


def test_a_trial_begins_with_an_invoice_of_zero_and_is_its_own_period(
    customer: Customer, licensed: Price, metered: Price
) -> None:
    subscription = subscribe(customer, NewItem(licensed, 3), metered, trial_days=14)

    assert state(subscription) == ("trialing", NOW, TRIAL_END)
    assert (subscription.anchor_at, subscription.wakes_at) == (TRIAL_END, TRIAL_END - timedelta(days=3))
    assert (subscription.trial_start_at, subscription.trial_end_at) == (NOW, TRIAL_END)
    invoice = Invoice.objects.get()
    assert (invoice.status, invoice.total, invoice.billing_reason) == ("paid", 0, "subscription_create")
    line = invoice.lines.get()
    assert (line.description, line.quantity, line.amount) == ("Trial period for Seats", 3, 0)
    assert (line.period_start, line.period_end) == (NOW, TRIAL_END)


def test_after_a_trial_licensed_items_are_billed_and_its_usage_is_not(
    customer: Customer, licensed: Price, metered: Price
) -> None:
    subscription = subscribe(customer, licensed, metered, trial_end_at=TRIAL_END)
    for value, at in [(1000, NOW), (2000, TRIAL_END - MOMENT), (10, TRIAL_END)]:
        use(metered, customer, value, at)

    pass_time(TRIAL_END)

    assert state(subscription) == ("active", TRIAL_END, utc("2026-07-24T12:30"))
    invoice = Invoice.objects.get(billing_reason="subscription_cycle")
    assert list(invoice.lines.values_list("price", "amount")) == [(licensed.pk, 1000)]
    pass_time(utc("2026-07-24T12:30"))
    line = InvoiceLine.objects.get(price=metered)
    assert (line.quantity, line.period_start) == (10, TRIAL_END)


@pytest.mark.parametrize(("behavior", "status"), [("pause", "paused"), ("cancel", "canceled")])
def test_a_trial_may_end_in_a_pause_or_in_the_end_of_all(
    customer: Customer, licensed: Price, behavior: str, status: str
) -> None:
    subscription = subscribe(customer, licensed, trial_days=14, trial_end_behavior=behavior)

    pass_time(TRIAL_END - MOMENT)
    assert state(subscription)[0] == "trialing"
    pass_time(THIRD_END)

    assert state(subscription) == (status, NOW, TRIAL_END)
    assert (subscription.wakes_at, subscription.ended_at) == (None, TRIAL_END if status == "canceled" else None)
    assert Invoice.objects.get().total == 0


def test_an_anchor_after_the_trial_makes_a_short_first_period(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed, trial_end_at=utc("2026-06-16"), anchor_at=utc("2026-07-01"))

    pass_time(utc("2026-06-16"))

    assert state(subscription) == ("active", utc("2026-06-16"), utc("2026-07-01"))
    # 15 of the 30 days of June.
    assert Invoice.objects.get(billing_reason="subscription_cycle").total == 500


def test_a_trial_that_ends_now_begins_the_first_full_period(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed, trial_days=14)
    now = NOW + 3 * DAY + timedelta(microseconds=5)

    services.change_trial_end(subscription=subscription, now=now, ends_at=None)

    second = now.replace(microsecond=0)
    assert state(subscription) == ("active", second, utc("2026-07-13T12:30"))
    assert (subscription.anchor_at, subscription.trial_end_at) == (second, second)
    invoice = Invoice.objects.get(billing_reason="subscription_update")
    assert (invoice.status, invoice.total) == ("open", 1000)


def test_a_trial_is_made_longer_and_an_active_one_is_put_into_one(customer: Customer, metered: Price) -> None:
    trialing = subscribe(customer, metered, trial_days=14)
    services.change_trial_end(subscription=trialing, now=NOW + DAY, ends_at=SECOND_END)
    assert state(trialing) == ("trialing", NOW, SECOND_END)

    active = subscribe(customer, metered)
    use(metered, customer, 10, NOW)
    use(metered, customer, 1000, NOW + DAY)
    services.change_trial_end(subscription=active, now=NOW + DAY, ends_at=FIRST_END)
    assert state(active) == ("trialing", NOW + DAY, FIRST_END)
    pass_time(FIRST_END)
    # What was used before the trial is billed, and nothing of the trial.
    assert [invoice.total for invoice in Invoice.objects.filter(subscription=active)] == [5]
    assert state(active)[0] == "active"


def test_only_a_trial_s_end_in_the_past_is_refused(customer: Customer, metered: Price) -> None:
    with pytest.raises(TrialEndInPast):
        subscribe(customer, metered, trial_end_at=NOW)
    assert not Subscription.objects.exists()
    subscription = subscribe(customer, metered, trial_days=14)
    with pytest.raises(TrialEndInPast):
        services.change_trial_end(subscription=subscription, now=NOW + DAY, ends_at=NOW + DAY)
    assert state(subscription) == ("trialing", NOW, TRIAL_END)


# Waiting for the first payment


def test_it_waits_for_its_first_invoice_and_is_active_once_that_is_paid(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed, incomplete=True)
    assert state(subscription)[0] == "incomplete"
    assert subscription.wakes_at == subscription.expires_at == NOW + timedelta(hours=23)

    services.pay_invoice_out_of_band(invoice=Invoice.objects.get(), now=NOW + timedelta(hours=22))

    assert state(subscription) == ("active", NOW, FIRST_END)
    assert (subscription.wakes_at, subscription.expires_at) == (FIRST_END, None)


def test_unpaid_for_23_hours_it_is_given_up_with_its_invoice(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed, incomplete=True)

    pass_time(NOW + timedelta(hours=23) - MOMENT)
    assert state(subscription)[0] == "incomplete"
    pass_time(NOW + timedelta(hours=23))

    assert state(subscription)[0] == "incomplete_expired"
    assert subscription.ended_at == NOW + timedelta(hours=23)
    assert Invoice.objects.get().status == "void"
    pass_time(THIRD_END)
    assert Invoice.objects.count() == 1
    with pytest.raises(SubscriptionEnded):
        services.cancel_subscription(subscription=subscription, now=THIRD_END)


@pytest.mark.parametrize(
    ("terms", "status"),
    [({"collection_method": "send_invoice", "days_until_due": 5}, "active"), ({"trial_days": 5}, "trialing"), ({}, "active")],
)  # fmt: skip
def test_it_does_not_wait_where_there_is_nothing_to_wait_for(
    customer: Customer, licensed: Price, metered: Price, terms: dict[str, Any], status: str
) -> None:
    subscription = subscribe(customer, licensed if terms else metered, incomplete=True, **terms)

    assert state(subscription)[0] == status
    assert subscription.expires_at is None


# Past due, unpaid, canceled


def sent(customer: Customer, licensed: Price, days: int = 10) -> Subscription:
    return subscribe(customer, licensed, collection_method="send_invoice", days_until_due=days)


def test_an_invoice_that_is_open_at_its_due_date_makes_it_past_due_until_it_is_paid(
    customer: Customer, licensed: Price
) -> None:
    subscription = sent(customer, licensed)
    pass_time(NOW + 10 * DAY - MOMENT)
    assert state(subscription)[0] == "active"

    pass_time(NOW + 10 * DAY)
    assert state(subscription)[0] == "past_due"
    # It goes on as before.
    pass_time(FIRST_END)
    assert state(subscription) == ("past_due", FIRST_END, SECOND_END)
    services.pay_invoice_out_of_band(invoice=Invoice.objects.earliest("created_at"), now=FIRST_END)
    assert state(subscription) == ("active", FIRST_END, SECOND_END)


@pytest.mark.parametrize("give_up", [services.void_invoice, services.mark_invoice_uncollectible])
def test_it_is_active_again_once_nothing_is_overdue(customer: Customer, licensed: Price, give_up: Any) -> None:
    subscription = sent(customer, licensed)
    pass_time(FIRST_END)
    pass_time(FIRST_END + GRACE)
    pass_time(FIRST_END + GRACE + 10 * DAY)
    first, second = Invoice.objects.order_by("created_at")

    give_up(invoice=first, now=SECOND_END - DAY)
    assert state(subscription)[0] == "past_due"
    give_up(invoice=second, now=SECOND_END - DAY)
    assert state(subscription)[0] == "active"


@pytest.mark.parametrize(
    ("outcome", "status"), [("unpaid", "unpaid"), ("canceled", "canceled"), ("past_due", "past_due")]
)
def test_what_follows_when_the_company_has_waited_long_enough(
    customer: Customer, licensed: Price, outcome: str, status: str
) -> None:
    company = customer.environment.company
    update_company(company=company, overdue_days=7, overdue_outcome=OverdueOutcome(outcome))
    subscription = sent(customer, licensed)

    pass_time(NOW + 10 * DAY)
    pass_time(NOW + 17 * DAY - MOMENT)
    assert state(subscription)[0] == "past_due"
    pass_time(NOW + 17 * DAY)

    assert state(subscription)[0] == status
    assert subscription.ended_at == (NOW + 17 * DAY if status == "canceled" else None)
    assert subscription.cancellation_details == ({"reason": "payment_failed"} if status == "canceled" else {})


def test_while_it_is_unpaid_its_invoices_stay_drafts(customer: Customer, licensed: Price) -> None:
    update_company(company=customer.environment.company, overdue_days=0, overdue_outcome=OverdueOutcome.UNPAID)
    subscription = sent(customer, licensed)
    pass_time(NOW + 10 * DAY)
    assert state(subscription)[0] == "unpaid"

    for instant in (FIRST_END, FIRST_END + GRACE):
        pass_time(instant)

    draft = Invoice.objects.latest("created_at")
    assert (draft.status, draft.finalizes_at, draft.total) == ("draft", None, 1000)
    services.pay_invoice_out_of_band(invoice=Invoice.objects.earliest("created_at"), now=FIRST_END + DAY)
    assert state(subscription)[0] == "active"


def test_an_invoice_without_a_due_date_is_never_overdue(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    pass_time(FIRST_END - MOMENT)
    assert state(subscription)[0] == "active"
    assert Invoice.objects.get().status == "open"


# Pauses


@pytest.mark.parametrize(
    ("behavior", "status"), [("void", "void"), ("mark_uncollectible", "uncollectible"), ("keep_as_draft", "draft")]
)
def test_while_collection_is_paused_it_goes_on_and_its_invoices_are_not_collected(
    customer: Customer, licensed: Price, behavior: str, status: str
) -> None:
    subscription = subscribe(customer, licensed)
    services.pause_collection(subscription=subscription, now=NOW + DAY, behavior=behavior)

    for instant in (FIRST_END, FIRST_END + GRACE):
        pass_time(instant)

    assert state(subscription) == ("active", FIRST_END, SECOND_END)
    paused = Invoice.objects.get(billing_reason="subscription_cycle")
    assert (paused.status, paused.total, paused.pause_behavior) == (status, 1000, behavior)
    services.collect_again(subscription=subscription, now=FIRST_END + DAY)
    for instant in (SECOND_END, SECOND_END + GRACE):
        pass_time(instant)
    assert Invoice.objects.latest("created_at").status == "open"
    paused.refresh_from_db()
    assert paused.status == status


def test_collection_resumes_by_itself_in_time_for_what_is_made_at_that_instant(
    customer: Customer, licensed: Price
) -> None:
    early, late = subscribe(customer, licensed), subscribe(customer, licensed)
    services.pause_collection(subscription=early, now=NOW, behavior="void", resumes_at=FIRST_END)
    services.pause_collection(subscription=late, now=NOW, behavior="void", resumes_at=FIRST_END + MOMENT)

    for instant in (FIRST_END, FIRST_END + GRACE):
        pass_time(instant)

    cycles = Invoice.objects.filter(billing_reason="subscription_cycle")
    assert [cycles.get(subscription=one).status for one in (early, late)] == ["open", "void"]
    for subscription in (early, late):
        subscription.refresh_from_db()
        assert (subscription.pause_behavior, subscription.pause_resumes_at) == ("", None)
    with pytest.raises(ResumesInPast):
        services.pause_collection(subscription=early, now=SECOND_END, behavior="void", resumes_at=SECOND_END)


def test_paused_nothing_is_billed_until_it_is_resumed_with_a_period_of_its_own(
    customer: Customer, licensed: Price, metered: Price
) -> None:
    subscription = subscribe(customer, licensed, metered)
    for value, at in [(10, NOW), (20, NOW + DAY - MOMENT), (1000, NOW + DAY), (4000, SECOND_END + MOMENT)]:
        use(metered, customer, value, at)
    services.pause_subscription(subscription=subscription, now=NOW + DAY, prorate=False)
    assert Invoice.objects.latest("created_at").total == 15
    pass_time(SECOND_END)
    assert state(subscription) == ("paused", NOW, FIRST_END)
    assert Invoice.objects.count() == 2

    now = SECOND_END + DAY
    services.resume_subscription(subscription=subscription, now=now)

    assert state(subscription) == ("active", now, utc("2026-09-11T12:30"))
    assert (Invoice.objects.latest("created_at").total, Invoice.objects.count()) == (1000, 3)
    with pytest.raises(NotPaused):
        services.resume_subscription(subscription=subscription, now=now + DAY)


def test_usage_before_a_pause_is_billed_once_though_it_is_resumed_in_the_same_second(
    customer: Customer, metered: Price
) -> None:
    subscription = subscribe(customer, metered)
    second = NOW + DAY
    for value, after in [(400, 1), (800, 4)]:
        use(metered, customer, value, second + timedelta(milliseconds=100 * after))

    services.pause_subscription(subscription=subscription, now=second + timedelta(milliseconds=200))
    services.resume_subscription(
        subscription=subscription, now=second + timedelta(milliseconds=300), anchor="unchanged"
    )
    services.cancel_subscription(subscription=subscription, now=second + timedelta(milliseconds=500), invoice_now=True)

    billed = InvoiceLine.objects.filter(price=metered).order_by("period_start")
    assert [(line.quantity, line.amount) for line in billed] == [(400, 200), (800, 400)]


def test_resumed_by_the_old_anchor_the_first_period_is_a_part_of_one(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    services.pause_subscription(subscription=subscription, now=NOW + DAY, prorate=False)
    now = utc("2026-08-26T00:30")

    services.resume_subscription(subscription=subscription, now=now, anchor="unchanged")

    assert state(subscription) == ("active", now, THIRD_END)
    # 15.5 of the 31 days from 10 August to 10 September.
    assert Invoice.objects.latest("created_at").total == 500


def test_what_is_paused_or_over_cannot_be_paused(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    services.pause_subscription(subscription=subscription, now=NOW + DAY)
    with pytest.raises(StatusMoveRefused):
        services.pause_subscription(subscription=subscription, now=NOW + 2 * DAY)
    services.cancel_subscription(subscription=subscription, now=NOW + 3 * DAY)
    with pytest.raises(SubscriptionEnded):
        services.pause_subscription(subscription=subscription, now=NOW + 4 * DAY)
    assert state(subscription)[0] == "canceled"
    # The first one, and what was given back.
    assert Invoice.objects.count() == 2


def test_what_was_paid_for_the_rest_of_a_paused_period_is_given_back(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)

    services.pause_subscription(subscription=subscription, now=NOW + 10 * DAY)
    services.resume_subscription(subscription=subscription, now=FIRST_END)

    # 20 of 30 days, off the first invoice after the pause.
    invoices = Invoice.objects.order_by("created_at")
    assert [invoice.total for invoice in invoices] in ([1000, -667, 1000], [1000, 333])
    assert sum(invoice.total for invoice in invoices) == 1333


def test_an_active_one_that_was_paid_for_is_put_into_a_trial(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)

    services.change_trial_end(subscription=subscription, now=NOW + 15 * DAY, ends_at=SECOND_END)
    assert state(subscription) == ("trialing", NOW + 15 * DAY, SECOND_END)
    pass_time(SECOND_END)

    assert state(subscription) == ("active", SECOND_END, THIRD_END)
    # Half of the month is given back.
    assert sum(invoice.total for invoice in Invoice.objects.all()) == 1500


# Its end


def test_canceled_at_period_end_and_taken_back(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)

    services.cancel_later(subscription=subscription, now=NOW + DAY, at_period_end=True)
    subscription.refresh_from_db()
    assert (subscription.status, subscription.cancel_at, subscription.canceled_at) == ("active", FIRST_END, NOW + DAY)
    assert subscription.cancel_at_period_end

    services.cancel_later(subscription=subscription, now=NOW + 2 * DAY)
    assert state(subscription) == ("active", NOW, FIRST_END)
    assert (subscription.cancel_at, subscription.canceled_at, subscription.cancel_at_period_end) == (None, None, False)
    pass_time(FIRST_END)
    assert state(subscription) == ("active", FIRST_END, SECOND_END)


def test_canceled_at_a_date_usage_counts_to_the_instant(customer: Customer, metered: Price) -> None:
    subscription = subscribe(customer, metered)
    at = NOW + 3 * DAY
    for value, used_at in [(10, NOW), (20, at - MOMENT), (1000, at)]:
        use(metered, customer, value, used_at)
    services.cancel_later(subscription=subscription, now=NOW + DAY, at=at)
    pass_time(at - MOMENT)
    assert state(subscription) == ("active", NOW, FIRST_END)

    pass_time(FIRST_END)

    assert state(subscription) == ("canceled", NOW, at)
    assert (subscription.ended_at, subscription.wakes_at) == (at, None)
    invoice = Invoice.objects.get()
    assert (invoice.total, invoice.period_end) == (15, at)


def test_usage_before_an_end_is_billed_once_though_the_next_subscription_begins_in_the_same_second(
    customer: Customer, metered: Price
) -> None:
    first = subscribe(customer, metered)
    second = NOW + DAY
    for value, after in [(400, 1), (800, 4)]:
        use(metered, customer, value, second + timedelta(milliseconds=100 * after))

    services.cancel_subscription(subscription=first, now=second + timedelta(milliseconds=200), invoice_now=True)
    then = subscribe(customer, metered, now=second + timedelta(milliseconds=300))
    services.cancel_subscription(subscription=then, now=second + timedelta(milliseconds=500), invoice_now=True)

    assert then.start_at == second
    billed = InvoiceLine.objects.filter(price=metered).order_by("period_start")
    assert [(line.quantity, line.amount) for line in billed] == [(400, 200), (800, 400)]


def test_canceled_at_a_date_in_mid_period_gives_back_what_was_paid_for_the_rest(
    customer: Customer, licensed: Price, metered: Price
) -> None:
    subscription = subscribe(customer, licensed, metered)
    at = NOW + 12 * DAY
    use(metered, customer, 200, NOW + DAY)
    services.cancel_later(subscription=subscription, now=NOW + 2 * DAY, at=NOW + 3 * DAY, prorate=True)
    # Set anew before it came.
    services.cancel_later(subscription=subscription, now=NOW + 2 * DAY, at=at, prorate=True)
    assert not InvoiceItem.objects.exists()

    pass_time(FIRST_END)

    assert (state(subscription)[0], subscription.ended_at) == ("canceled", at)
    last = Invoice.objects.get(billing_reason="subscription_cycle")
    # 18 of 30 days of 10.00 come back, and 200 units at half a cent are charged.
    assert sorted(line.amount for line in last.lines.all()) == [-600, 100]
    assert (last.total, last.amount_due, last.period_end) == (-500, 0, at)


def test_canceled_at_a_date_that_was_taken_back_gives_nothing_back(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    services.cancel_later(subscription=subscription, now=NOW + DAY, at=NOW + 12 * DAY, prorate=True)
    services.cancel_later(subscription=subscription, now=NOW + 2 * DAY)

    pass_time(FIRST_END)

    assert state(subscription) == ("active", FIRST_END, SECOND_END)
    assert [invoice.total for invoice in Invoice.objects.order_by("created_at")] == [1000, 1000]


def test_canceled_at_a_date_without_proration_gives_nothing_back(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    services.cancel_later(subscription=subscription, now=NOW + DAY, at=NOW + 12 * DAY)

    pass_time(FIRST_END)

    assert subscription.items.get().current_period_end == NOW + 12 * DAY
    assert [invoice.total for invoice in Invoice.objects.all()] == [1000]


def test_a_date_that_is_taken_back_leaves_two_short_periods_that_cost_one(customer: Customer, licensed: Price) -> None:
    cut = FIRST_END + 10 * DAY
    subscription = subscribe(customer, licensed, cancel_at=cut)
    pass_time(FIRST_END)
    assert state(subscription) == ("active", FIRST_END, cut)

    services.cancel_later(subscription=subscription, now=FIRST_END + DAY)
    pass_time(cut)

    assert state(subscription) == ("active", cut, SECOND_END)
    # 10 and 21 of 31 days.
    cycles = Invoice.objects.filter(billing_reason="subscription_cycle").order_by("created_at")
    assert [invoice.total for invoice in cycles] == [323, 677]


def test_an_end_in_the_past_is_refused(customer: Customer, licensed: Price) -> None:
    subscription = subscribe(customer, licensed)
    with pytest.raises(CancelAtInPast):
        services.cancel_later(subscription=subscription, now=NOW + DAY, at=NOW + DAY)
    subscription.refresh_from_db()
    assert (subscription.cancel_at, subscription.canceled_at) == (None, None)


def test_trialing_and_paused_ones_end_where_they_were_canceled(customer: Customer, licensed: Price) -> None:
    trialing = subscribe(customer, licensed, trial_days=14, cancel_at_period_end=True)
    paused = subscribe(customer, licensed, cancel_at=SECOND_END)
    services.pause_subscription(subscription=paused, now=NOW + DAY, prorate=False)

    pass_time(THIRD_END)

    assert (state(trialing)[0], trialing.ended_at) == ("canceled", TRIAL_END)
    assert (state(paused)[0], paused.ended_at) == ("canceled", SECOND_END)
    assert sorted(invoice.total for invoice in Invoice.objects.all()) == [0, 1000]


# Where boundaries are


def test_a_company_that_bills_by_local_midnight_does_so_for_what_begins_then(
    customer: Customer, licensed: Price
) -> None:
    before = subscribe(customer, licensed)
    update_company(company=customer.environment.company, billing_zone="Europe/Berlin")
    customer.refresh_from_db()
    start = utc("2026-01-31T11:00")
    customer.environment.company.refresh_from_db()

    subscription = subscribe(customer, licensed, now=start)

    # Midnight in Berlin, in winter time.
    assert state(subscription) == ("active", start, utc("2026-02-27T23:00"))
    pass_time(utc("2026-02-27T23:00"))
    assert state(subscription)[1:] == (utc("2026-02-27T23:00"), utc("2026-03-30T22:00"))
    lines = InvoiceLine.objects.filter(invoice__subscription=subscription).order_by("period_start")
    # Half a day less than the 28 days from 31 January; then a whole period, an hour short of 31 days.
    assert [line.amount for line in lines] == [982, 1000]
    update_company(company=customer.environment.company, billing_zone="")
    pass_time(utc("2026-03-30T22:00"))
    assert state(subscription)[2] == utc("2026-04-29T22:00")
    assert state(before) == ("active", NOW, FIRST_END)


def test_an_anchor_by_the_day_of_the_month(customer: Customer, licensed: Price) -> None:
    config = AnchorConfig(31, hour=0, minute=0, second=0)
    subscription = subscribe(customer, licensed, now=utc("2026-02-14"), anchor_config=config)

    assert state(subscription) == ("active", utc("2026-02-14"), utc("2026-02-28"))
    # Half of the 28 days since 31 January.
    assert Invoice.objects.get().total == 500
    pass_time(utc("2026-02-28"))
    assert state(subscription)[2] == utc("2026-03-31")

    weekly = PriceFactory.create(environment=customer.environment, interval="week")
    with pytest.raises(AnchorConfigNotAllowed):
        subscribe(customer, weekly, anchor_config=config)
    assert Subscription.objects.count() == 1
