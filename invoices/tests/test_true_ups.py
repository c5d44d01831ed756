"""Late usage: it comes onto the next invoice as a line of its own, to the cent, once, and final invoices stay."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import Customer
from accounts.tests.factories import NOW, CustomerFactory
from core.ids import new_id
from core.tests.walls import bend
from invoices import services
from invoices.models import Invoice, InvoiceLine
from invoices.services import GRACE
from invoices.tests.factories import FIRST_END, SECOND_END, THIRD_END, draft_invoice, subscribe, use, utc
from invoices.tests.late import DAY, ENDS, LATE, TWICE_LATE, bill, lines_of, meter_of, use_late
from invoices.true_ups import LateUsage, late_usage
from meters.models import LatePolicy
from meters.services import set_late_policy
from subscriptions.models import Price, Subscription
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory
from usage.models import DroppedMonth

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer() -> Customer:
    return CustomerFactory.create()


@pytest.fixture
def metered(customer: Customer) -> Price:
    return MeteredPriceFactory.create(
        environment=customer.environment, product__name="Calls", product__unit_label="call"
    )


@pytest.fixture
def subscription(customer: Customer, metered: Price) -> Subscription:
    return subscribe(customer, metered)


def stored(end: datetime) -> dict[str, Any]:
    return {
        "invoice": Invoice.objects.values().get(period_end=end),
        "lines": list(InvoiceLine.objects.filter(invoice__period_end=end).order_by("position").values()),
    }


@pytest.mark.usefixtures("subscription")
def test_late_usage_is_a_line_of_its_own_on_the_next_invoice(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    final = stored(FIRST_END)
    use_late(metered, customer, 20, of=NOW + DAY, at=LATE)
    use(metered, customer, 8, LATE)

    bill(SECOND_END)

    assert stored(FIRST_END) == final
    invoice = Invoice.objects.get(period_end=SECOND_END)
    assert lines_of(SECOND_END) == [(SECOND_END, 8, 4, 4), (FIRST_END, 20, 10, 10)]
    assert (invoice.subtotal, invoice.total, invoice.amount_due, invoice.status) == (14, 14, 14, "open")
    line = invoice.lines.get(trues_up__isnull=False)
    original = InvoiceLine.objects.get(invoice__period_end=FIRST_END)
    assert (line.trues_up, line.price, line.subscription_item) == (original, metered, original.subscription_item)
    assert (line.period, line.unit_amount) == (original.period, Decimal("0.5"))
    assert line.description == (
        "Calls: late usage of 10 Jun 2026 – 10 Jul 2026: 20 × 0.005 USD per call"  # noqa: RUF001
    )
    assert line.basis == original.basis | {
        "event_count": "2",
        "used": "120",
        "quantity": "120",
        "amount": "60",
        "billed_quantity": "100",
        "billed_amount": "50",
        "trues_up": str(original.pk),
        "read_at": (SECOND_END + GRACE).isoformat(),
    }


@pytest.mark.usefixtures("subscription")
def test_without_late_usage_there_is_no_such_line_whatever_was_rounded(customer: Customer, metered: Price) -> None:
    use(metered, customer, 1, NOW)
    bill(FIRST_END)
    bill(SECOND_END)

    assert [lines_of(end) for end in ENDS[:2]] == [
        [(FIRST_END, 1, Decimal("0.5"), 1)],
        [(SECOND_END, 0, 0, 0)],
    ]


@pytest.mark.usefixtures("subscription")
def test_what_is_twice_late_is_billed_on_top_of_what_was_billed_for_it(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END)
    use_late(metered, customer, 2, of=NOW, at=TWICE_LATE)
    use_late(metered, customer, 6, of=LATE, at=TWICE_LATE)
    bill(THIRD_END)
    bill(ENDS[3])

    assert lines_of(THIRD_END) == [(THIRD_END, 0, 0, 0), (FIRST_END, 2, 1, 1), (SECOND_END, 6, 3, 3)]
    assert lines_of(ENDS[3]) == [(ENDS[3], 0, 0, 0)]


@pytest.mark.usefixtures("subscription")
def test_all_lines_of_a_period_add_up_to_its_cost_rounded_once(customer: Customer, metered: Price) -> None:
    # A third of a cent each: 1 is 0.3 and so 0; 2 are 0.6 and so 1; 3 are 0.9 and so 1; 5 are 1.5 and so 2.
    Price.objects.filter(pk=metered.pk).update(unit_amount=Decimal("0.3"))
    use(metered, customer, 1, NOW)
    bill(FIRST_END)
    for end, more in [(SECOND_END, 1), (THIRD_END, 1)]:
        use_late(metered, customer, more, of=NOW, at=end - DAY)
        bill(end)

    assert lines_of(FIRST_END) == [(FIRST_END, 1, Decimal("0.3"), 0)]
    assert lines_of(SECOND_END)[1:] == [(FIRST_END, 1, Decimal("0.6"), 1)]
    assert lines_of(THIRD_END)[1:] == [(FIRST_END, 1, Decimal("-0.1"), 0)]


@pytest.mark.usefixtures("subscription")
def test_a_tie_is_rounded_as_the_whole_period_s_cost(customer: Customer, metered: Price) -> None:
    use(metered, customer, 4, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -1, of=NOW, at=LATE)
    use(metered, customer, 100, LATE)
    bill(SECOND_END)

    # 1.5 cents are 2, which were billed. Rounding the difference of -0.5 would give one back.
    assert lines_of(SECOND_END)[1:] == [(FIRST_END, -1, Decimal("-0.5"), 0)]


@pytest.mark.usefixtures("subscription")
def test_what_was_billed_too_much_is_given_back(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -30, of=NOW, at=LATE)
    use(metered, customer, 50, LATE)
    bill(SECOND_END)

    assert lines_of(SECOND_END) == [(SECOND_END, 50, 25, 25), (FIRST_END, -30, -15, -15)]
    assert Invoice.objects.get(period_end=SECOND_END).amount_due == 10
    line = InvoiceLine.objects.get(trues_up__isnull=False)
    assert line.description.startswith("Calls: correction of 10 Jun 2026 – 10 Jul 2026: -30 ×")  # noqa: RUF001


@pytest.mark.usefixtures("subscription")
def test_an_invoice_is_never_negative_and_the_rest_is_given_back_with_the_next(
    customer: Customer, metered: Price
) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -100, of=NOW, at=LATE)
    use(metered, customer, 20, LATE)
    bill(SECOND_END)
    use(metered, customer, 1000, TWICE_LATE)
    bill(THIRD_END)

    assert lines_of(SECOND_END) == [(SECOND_END, 20, 10, 10), (FIRST_END, -100, -50, -10)]
    assert InvoiceLine.objects.get(invoice__period_end=SECOND_END, position=1).basis["left_over"] == "-40"
    assert lines_of(THIRD_END) == [(THIRD_END, 1000, 500, 500), (FIRST_END, 0, -40, -40)]
    assert list(Invoice.objects.order_by("period_end").values_list("total", "status")) == [
        (50, "open"),
        (0, "paid"),
        (460, "open"),
    ]
    rest = InvoiceLine.objects.get(invoice__period_end=THIRD_END, position=1)
    assert rest.description == "Calls: rest of the correction for 10 Jun 2026 – 10 Jul 2026"  # noqa: RUF001


@pytest.mark.usefixtures("subscription")
def test_where_nothing_can_be_given_back_the_correction_waits_whole(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -100, of=NOW, at=LATE)
    bill(SECOND_END)
    use(metered, customer, 200, TWICE_LATE)
    bill(THIRD_END)

    assert lines_of(SECOND_END) == [(SECOND_END, 0, 0, 0)]
    assert lines_of(THIRD_END) == [(THIRD_END, 200, 100, 100), (FIRST_END, -100, -50, -50)]


@pytest.mark.usefixtures("subscription")
def test_one_correction_is_paid_for_by_another_and_the_oldest_comes_first(customer: Customer, metered: Price) -> None:
    for value, at in [(100, NOW), (100, LATE)]:
        use(metered, customer, value, at)
    bill(FIRST_END)
    bill(SECOND_END)
    use_late(metered, customer, -20, of=NOW, at=TWICE_LATE)
    use_late(metered, customer, 14, of=LATE, at=TWICE_LATE)
    bill(THIRD_END)

    assert lines_of(THIRD_END) == [(THIRD_END, 0, 0, 0), (FIRST_END, -20, -10, -7), (SECOND_END, 14, 7, 7)]


@pytest.mark.usefixtures("subscription")
def test_a_total_below_zero_costs_nothing(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -500, of=NOW, at=LATE)
    use(metered, customer, 1000, LATE)
    bill(SECOND_END)

    assert lines_of(SECOND_END)[1:] == [(FIRST_END, -100, -50, -50)]
    assert InvoiceLine.objects.get(trues_up__isnull=False).basis["used"] == "-400"


@pytest.mark.usefixtures("subscription")
def test_what_is_only_reported_is_never_billed_until_the_policy_says_so(customer: Customer, metered: Price) -> None:
    set_late_policy(meter=meter_of(metered), late_policy=LatePolicy.REPORT_ONLY, now=NOW)
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END)
    assert lines_of(SECOND_END) == [(SECOND_END, 0, 0, 0)]

    set_late_policy(meter=meter_of(metered), late_policy=LatePolicy.BILL_NEXT, now=TWICE_LATE)
    bill(THIRD_END)

    assert lines_of(THIRD_END)[1:] == [(FIRST_END, 20, 10, 10)]


@pytest.mark.usefixtures("subscription")
def test_a_void_invoice_billed_nothing_and_is_not_trued_up(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    services.void_invoice(invoice=Invoice.objects.get(), now=LATE)
    use_late(metered, customer, 20, of=NOW, at=LATE)

    bill(SECOND_END)

    assert lines_of(SECOND_END) == [(SECOND_END, 0, 0, 0)]


@pytest.mark.usefixtures("subscription")
def test_what_was_trued_up_on_a_void_invoice_comes_again(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END)
    services.void_invoice(invoice=Invoice.objects.get(period_end=SECOND_END), now=TWICE_LATE)

    bill(THIRD_END)

    assert lines_of(THIRD_END)[1:] == [(FIRST_END, 20, 10, 10)]


@pytest.mark.usefixtures("subscription")
def test_a_true_up_is_counted_again_when_its_draft_becomes_final(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END, final=False)
    assert lines_of(SECOND_END)[1:] == [(FIRST_END, 20, 10, 10)]
    use_late(metered, customer, 4, of=NOW, at=SECOND_END)

    services.finalize_due_drafts(now=SECOND_END + GRACE)

    assert lines_of(SECOND_END)[1:] == [(FIRST_END, 24, 12, 12)]
    assert Invoice.objects.get(period_end=SECOND_END).total == 12


@pytest.mark.parametrize("what", ["taken back", "voided", "reported only"])
@pytest.mark.usefixtures("subscription")
def test_a_true_up_that_comes_to_nothing_is_taken_off_its_draft(customer: Customer, metered: Price, what: str) -> None:
    use(metered, customer, 100, NOW)
    use(metered, customer, 6, LATE)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END, final=False)
    assert len(lines_of(SECOND_END)) == 2
    if what == "taken back":
        use_late(metered, customer, -20, of=NOW, at=SECOND_END)
    elif what == "voided":
        services.void_invoice(invoice=Invoice.objects.get(period_end=FIRST_END), now=SECOND_END)
    else:
        set_late_policy(meter=meter_of(metered), late_policy=LatePolicy.REPORT_ONLY, now=SECOND_END)

    services.finalize_due_drafts(now=SECOND_END + GRACE)

    assert lines_of(SECOND_END) == [(SECOND_END, 6, 3, 3)]
    assert Invoice.objects.get(period_end=SECOND_END).total == 3


@pytest.mark.usefixtures("subscription")
def test_of_two_drafts_at_once_one_has_the_true_up(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)

    # After a standstill, both periods end at the same moment.
    services.close_due_periods(now=THIRD_END)
    assert [len(lines_of(end)) for end in (SECOND_END, THIRD_END)] == [2, 1]
    use_late(metered, customer, 2, of=NOW, at=THIRD_END)
    services.finalize_due_drafts(now=THIRD_END + GRACE)

    assert lines_of(SECOND_END)[1:] == [(FIRST_END, 22, 11, 11)]
    assert lines_of(THIRD_END)[1:] == []


@pytest.mark.usefixtures("subscription")
def test_a_draft_counts_its_own_late_usage_and_is_not_trued_up(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END, final=False)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END)

    assert lines_of(FIRST_END) == [(FIRST_END, 120, 60, 60)]
    assert lines_of(SECOND_END) == [(SECOND_END, 0, 0, 0)]


def test_the_last_bill_of_a_canceled_subscription_has_it_too(
    customer: Customer, metered: Price, subscription: Subscription
) -> None:
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    use(metered, customer, 8, FIRST_END)

    services.cancel_subscription(subscription=subscription, now=LATE, invoice_now=True)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    assert lines_of(LATE) == [(LATE, 8, 4, 4), (FIRST_END, 20, 10, 10)]
    assert (invoice.status, invoice.total, invoice.period_start) == ("open", 14, FIRST_END)
    use_late(metered, customer, 2, of=NOW, at=LATE)
    bill(SECOND_END)
    assert Invoice.objects.count() == 2


def test_given_nothing_but_late_usage_a_cancellation_bills_that(
    customer: Customer, metered: Price, subscription: Subscription
) -> None:
    use(metered, customer, 100, NOW)
    services.close_due_periods(now=FIRST_END)
    services.finalize_invoice(invoice=Invoice.objects.get(), now=FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=FIRST_END)

    services.cancel_subscription(subscription=subscription, now=FIRST_END, invoice_now=True)

    invoice = Invoice.objects.get(billing_reason="subscription_update")
    assert (invoice.period_start, invoice.period_end, invoice.total) == (FIRST_END, FIRST_END, 10)


def test_the_preview_has_what_the_billing_run_then_bills(
    customer: Customer, metered: Price, subscription: Subscription
) -> None:
    licensed = PriceFactory.create(environment=customer.environment)
    both = subscribe(customer, licensed, metered)
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    use_late(metered, customer, -20, of=NOW, at=LATE)

    preview = services.preview_invoice(environment=customer.environment, now=SECOND_END, subscription=both)
    services.close_due_periods(now=SECOND_END)

    invoice = Invoice.objects.get(subscription=both, period_end=SECOND_END)
    assert invoice.total == preview.invoice.total == 990
    fields = ("position", "trues_up", "quantity", "exact_amount", "amount", "description", "basis")
    assert [tuple(row) for row in invoice.lines.values_list(*fields)] == [
        (line.position, line.trues_up_id, line.quantity, line.exact_amount, line.amount, line.description, line.basis)
        for line in preview.lines
    ]


@pytest.mark.usefixtures("subscription")
def test_periods_of_long_ago_are_left_alone(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    for end in ENDS[:3]:
        bill(end)
    use_late(metered, customer, 20, of=NOW, at=THIRD_END + DAY)
    use_late(metered, customer, 6, of=LATE, at=THIRD_END + DAY)

    bill(ENDS[3])

    # The first ended 92 days before this one, the second 61.
    assert lines_of(ENDS[3]) == [(ENDS[3], 0, 0, 0), (SECOND_END, 6, 3, 3)]


def test_of_a_year_the_one_before_is_looked_at(customer: Customer) -> None:
    yearly = MeteredPriceFactory.create(environment=customer.environment, interval="year")
    subscribe(customer, yearly)
    first, second = utc("2027-06-10T12:30"), utc("2028-06-10T12:30")
    use(yearly, customer, 100, NOW)
    bill(first)
    use_late(yearly, customer, 20, of=first - DAY, at=first + 30 * DAY)

    bill(second)

    assert lines_of(second)[1:] == [(first, 20, 10, 10)]


@pytest.mark.usefixtures("subscription")
def test_what_retention_has_dropped_in_part_is_not_given_back(customer: Customer, metered: Price) -> None:
    use(metered, customer, 100, NOW)
    use(metered, customer, 100, LATE)
    bill(FIRST_END)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM usage_meterevent")
    DroppedMonth.objects.create(month=utc("2026-07-01T00:00"))
    # Room for what must not be given back.
    use(metered, customer, 1000, LATE)

    bill(SECOND_END)

    assert lines_of(SECOND_END) == [(SECOND_END, 1000, 500, 500)]


@pytest.mark.parametrize(
    ("policy", "becomes"), [(LatePolicy.BILL_NEXT, "on the next invoice"), (LatePolicy.REPORT_ONLY, "reported only")]
)
@pytest.mark.usefixtures("subscription")
def test_a_final_line_s_page_says_what_is_counted_by_now(
    customer: Customer, metered: Price, admin_client: Client, policy: str, becomes: str
) -> None:
    set_late_policy(meter=meter_of(metered), late_policy=policy, now=NOW)
    use(metered, customer, 100, NOW)
    bill(FIRST_END)
    line = InvoiceLine.objects.get()
    address = reverse("admin:invoices_invoiceline_change", args=[line.pk])
    assert "As billed" in admin_client.get(address).content.decode()
    assert late_usage(line) == LateUsage(Decimal(100), Decimal(100), 0)

    use_late(metered, customer, 2000, of=NOW, at=LATE)

    assert late_usage(line) == LateUsage(Decimal(2100), Decimal(100), 1000)
    shown = admin_client.get(address).content.decode()
    assert "2,100" in shown
    assert "10.00 USD" in shown
    assert becomes in shown
    bill(SECOND_END)
    is_billed = policy == LatePolicy.BILL_NEXT
    assert ("As billed" in admin_client.get(address).content.decode()) is is_billed


def test_the_database_keeps_true_ups_single_and_within_their_environment(customer: Customer, metered: Price) -> None:
    line, foreign = draft_invoice(customer).lines.get(), draft_invoice().lines.get()
    with pytest.raises(IntegrityError, match="trues_up_id_wall"):
        bend(line, trues_up_id=foreign.pk)
    subscribe(customer, metered)
    bill(FIRST_END)
    use_late(metered, customer, 20, of=NOW, at=LATE)
    bill(SECOND_END, final=False)
    twin = InvoiceLine.objects.get(trues_up__isnull=False)
    twin.pk, twin.position, twin._state.adding = new_id(), 9, True
    with pytest.raises(IntegrityError, match="invoice_line_one_true_up_per_line"), transaction.atomic():
        twin.save(force_insert=True)
