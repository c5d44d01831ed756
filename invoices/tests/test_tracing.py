"""From an event to its invoice lines: every fate that it can have."""

from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory, TestClockFactory
from core.tests.walls import bend
from invoices import services
from invoices.models import Invoice, InvoiceLine
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, subscribe
from invoices.tracing import Fate, Trace, trace
from meters.models import LatePolicy
from meters.services import set_late_policy
from subscriptions.models import Price, Subscription
from subscriptions.tests.factories import MeteredPriceFactory
from usage.models import DroppedMonth, MeterEvent
from usage.services import cancel_event
from usage.tests.factories import report

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LATE = FIRST_END + DAY
USED_AT = NOW + DAY


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(environment=customer.environment)


@pytest.fixture
def subscription(customer: Customer, metered: Price) -> Subscription:
    return subscribe(customer, metered)


def use(price: Price, customer: Customer, *, of: datetime = USED_AT, at: datetime | None = None) -> MeterEvent:
    assert price.meter is not None
    accepted = report(price.meter, customer, 10, timestamp=of, now=at or of)
    return MeterEvent.objects.get(pk=accepted.event_id)


def bill(end: datetime) -> None:
    services.close_due_periods(now=end)
    services.finalize_due_drafts(now=end + GRACE)


def line_of(end: datetime, **which: object) -> InvoiceLine:
    return InvoiceLine.objects.get(invoice__period_end=end, **{"trues_up__isnull": True, **which})


def cancel(event: MeterEvent, at: datetime) -> None:
    cancel_event(environment=event.environment, identifier=event.identifier, now=at, reason="test")


def test_an_event_that_no_subscription_bills_has_no_trace(customer: Customer, metered: Price) -> None:
    assert trace(use(metered, customer)) == []
    subscribe(CustomerFactory.create(environment=customer.environment), metered)
    subscribe(customer, MeteredPriceFactory.create(environment=customer.environment))
    assert trace(use(metered, customer)) == []


@pytest.mark.usefixtures("subscription")
def test_an_event_goes_from_its_period_to_the_draft_to_the_final_line(customer: Customer, metered: Price) -> None:
    event = use(metered, customer)
    assert trace(event) == [Trace(Fate.CURRENT)]
    services.close_due_periods(now=FIRST_END)
    assert trace(event) == [Trace(Fate.DRAFTED, line_of(FIRST_END))]
    during_grace = use(metered, customer, at=FIRST_END + GRACE / 2)
    services.finalize_due_drafts(now=FIRST_END + GRACE)
    assert trace(event) == trace(during_grace) == [Trace(Fate.BILLED, line_of(FIRST_END))]
    # The period's end is the next one's beginning.
    assert trace(use(metered, customer, of=FIRST_END)) == [Trace(Fate.CURRENT)]
    services.void_invoice(invoice=Invoice.objects.get(), now=LATE)
    assert [found.fate for found in trace(event)] == [Fate.VOID]


@pytest.mark.usefixtures("subscription")
def test_a_late_event_waits_and_is_billed_by_a_true_up(customer: Customer, metered: Price) -> None:
    bill(FIRST_END)
    event = use(metered, customer, at=LATE)
    original = line_of(FIRST_END)
    assert trace(event) == [Trace(Fate.WAITING, original)]
    services.close_due_periods(now=SECOND_END)
    true_up = line_of(SECOND_END, trues_up__isnull=False)
    assert trace(event) == [Trace(Fate.TRUED_UP, original, true_up)]
    services.finalize_due_drafts(now=SECOND_END + GRACE)
    assert trace(event) == [Trace(Fate.TRUED_UP, original, true_up)]
    # Later still than that.
    assert trace(use(metered, customer, at=SECOND_END + DAY)) == [Trace(Fate.WAITING, original)]


@pytest.mark.usefixtures("subscription")
def test_a_late_event_whose_meter_only_reports_it_is_not_billed(customer: Customer, metered: Price) -> None:
    assert metered.meter is not None
    set_late_policy(meter=metered.meter, late_policy=LatePolicy.REPORT_ONLY, now=NOW)
    bill(FIRST_END)
    event = use(metered, customer, at=LATE)
    assert [found.fate for found in trace(event)] == [Fate.REPORTED]
    bill(SECOND_END)
    assert [found.fate for found in trace(event)] == [Fate.REPORTED]


@pytest.mark.usefixtures("subscription")
def test_a_late_event_of_a_dropped_month_and_one_beyond_reach_are_not_billed(
    customer: Customer, metered: Price
) -> None:
    bill(FIRST_END)
    event = use(metered, customer, at=LATE)
    dropped = DroppedMonth.objects.create(month=NOW.replace(day=1, hour=0, minute=0))
    assert [found.fate for found in trace(event)] == [Fate.DROPPED]
    dropped.delete()
    bill(SECOND_END)
    assert [found.fate for found in trace(use(metered, customer, at=THIRD_END - DAY))] == [Fate.WAITING]
    bill(THIRD_END)
    assert [found.fate for found in trace(use(metered, customer, at=THIRD_END + DAY))] == [Fate.BEYOND_REACH]


def test_a_late_event_of_a_subscription_that_ended_has_no_further_invoice(
    customer: Customer, metered: Price, subscription: Subscription
) -> None:
    bill(FIRST_END)
    bend(subscription, wakes_at=None)
    event = use(metered, customer, at=LATE)
    assert [found.fate for found in trace(event)] == [Fate.NO_INVOICE]


@pytest.mark.usefixtures("subscription")
def test_a_canceled_event_was_billed_or_not(customer: Customer, metered: Price) -> None:
    before, after, late = use(metered, customer), use(metered, customer), None
    cancel(before, USED_AT)
    assert trace(before) == []
    bill(FIRST_END)
    cancel(after, LATE)
    late = use(metered, customer, at=LATE)
    cancel(late, LATE)
    assert [found.fate for found in trace(before)] == [Fate.CANCELED]
    assert [found.fate for found in trace(after)] == [Fate.TAKEN_BACK]
    assert [found.fate for found in trace(late)] == [Fate.CANCELED]


def test_an_event_that_two_subscriptions_bill_is_on_a_line_of_each(customer: Customer, metered: Price) -> None:
    for _ in range(2):
        subscribe(customer, metered)
    event = use(metered, customer)
    bill(FIRST_END)
    assert [found.fate for found in trace(event)] == [Fate.BILLED, Fate.BILLED]
    assert len({found.line.invoice_id for found in trace(event) if found.line}) == 2


@pytest.mark.usefixtures("subscription")
def test_on_a_test_clock_only_a_period_that_is_billed_in_full_tells(customer: Customer, metered: Price) -> None:
    event = use(metered, customer)
    bill(FIRST_END)
    clock = TestClockFactory.create(environment=customer.environment)
    bend(customer, test_clock=clock)
    assert [found.fate for found in trace(event)] == [Fate.BILLED]
    bend(customer, test_clock=None)
    late = use(metered, customer, at=LATE)
    bend(customer, test_clock=clock)
    assert [found.fate for found in trace(event)] == [found.fate for found in trace(late)] == [Fate.ON_A_CLOCK]


@pytest.mark.usefixtures("subscription")
def test_the_console_tells_an_event_s_way_to_its_lines(
    customer: Customer, metered: Price, admin_client: Client
) -> None:
    def page(event: MeterEvent) -> str:
        return admin_client.get(reverse("admin:usage_meterevent_change", args=[event.pk])).content.decode()

    event, other = use(metered, customer), use(metered, CustomerFactory.create(environment=customer.environment))
    assert "In a period that is not over yet" in page(event)
    assert "No subscription of the customer bills this meter" in page(other)
    bill(FIRST_END)
    late = use(metered, customer, at=LATE)
    bill(SECOND_END)

    line, true_up = line_of(FIRST_END), line_of(SECOND_END, trues_up__isnull=False)
    assert line.invoice.number in page(event)
    assert reverse("admin:invoices_invoiceline_explain", args=[line.pk]) in page(event)
    assert "Late: it came after the invoice was final, and is billed as late usage" in page(late)
    assert reverse("admin:invoices_invoiceline_explain", args=[true_up.pk]) in page(late)
