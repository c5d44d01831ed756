"""Drafts become final once, with the next number; final invoices are paid or voided, and nothing else."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import Environment, Mode
from accounts.tests.factories import NOW, CustomerFactory, EnvironmentFactory
from core.tests.walls import bend
from invoices import services
from invoices.errors import AmountTooLarge, InvoiceNotDraft, InvoiceNotOpen
from invoices.models import BillingFailure, Invoice, InvoiceLine, InvoiceNumbering
from invoices.services import GRACE, Swept
from invoices.tests.factories import FIRST_END, draft_invoice, open_invoice, subscribe, use
from subscriptions.models import Price
from subscriptions.tests.factories import MeteredPriceFactory, PriceFactory

pytestmark = pytest.mark.django_db

MOMENT = timedelta(microseconds=1)
LATER = FIRST_END + timedelta(days=1)


def reloaded(invoice: Invoice) -> dict[str, Any]:
    """All that is stored of an invoice and its lines."""
    return {
        "invoice": Invoice.objects.values().get(pk=invoice.pk),
        "lines": list(InvoiceLine.objects.filter(invoice=invoice).order_by("position").values()),
    }


def price_of(invoice: Invoice) -> Price:
    price = invoice.lines.get().price
    assert price is not None
    return price


def test_a_draft_becomes_open_with_its_number() -> None:
    draft = draft_invoice(value=1000)

    invoice = services.finalize_invoice(invoice=draft, now=LATER)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.total, invoice.amount_due, invoice.amount_paid) == ("open", 500, 500, 0)
    assert (invoice.finalized_at, invoice.due_at, invoice.paid_at) == (LATER, None, None)
    numbering = InvoiceNumbering.objects.get(environment=invoice.environment)
    assert invoice.number == f"{numbering.prefix}-000001"


def test_a_draft_over_nothing_is_paid_on_finalizing() -> None:
    invoice = services.finalize_invoice(invoice=draft_invoice(value=0), now=LATER)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.total, invoice.amount_paid, invoice.paid_at) == ("paid", 0, 0, LATER)
    assert not invoice.paid_out_of_band


def test_what_is_sent_is_due_days_after_it_became_final() -> None:
    draft = draft_invoice(collection_method="send_invoice", days_until_due=30)

    invoice = services.finalize_invoice(invoice=draft, now=LATER)

    assert Invoice.objects.get(pk=invoice.pk).due_at == LATER + timedelta(days=30)


def test_numbers_run_per_environment_and_tell_test_from_live() -> None:
    test = EnvironmentFactory.create()
    live = EnvironmentFactory.create(company=test.company, mode=Mode.LIVE)

    def numbers(environment: Environment) -> list[str]:
        customer = CustomerFactory.create(environment=environment)
        return [open_invoice(customer).number for _ in range(3)]

    in_test, in_live = numbers(test), numbers(live)

    assert [number[-7:] for number in in_test] == ["-000001", "-000002", "-000003"]
    assert [number[-7:] for number in in_live] == ["-000001", "-000002", "-000003"]
    assert all(number.startswith("TEST-") for number in in_test)
    assert not any(number.startswith("TEST-") for number in in_live)
    assert len({number[:-7] for number in in_test}) == 1


def test_late_usage_counts_until_the_draft_is_final_and_then_changes_nothing() -> None:
    draft = draft_invoice(value=10)
    price, customer = price_of(draft), draft.customer
    use(price, customer, 20, FIRST_END - MOMENT)
    use(price, customer, 4000, FIRST_END)

    invoice = services.finalize_invoice(invoice=draft, now=FIRST_END + GRACE)

    line = invoice.lines.get()
    assert (line.quantity, line.exact_amount, line.amount, invoice.total) == (30, 15, 15, 15)
    assert line.basis["event_count"] == "2"
    assert line.basis["read_at"] == (FIRST_END + GRACE).isoformat()
    assert "30" in line.description
    final = reloaded(invoice)
    use(price, customer, 100, FIRST_END - MOMENT)
    services.close_due_periods(now=LATER)
    services.finalize_due_drafts(now=LATER)
    assert reloaded(invoice) == final


def test_licensed_lines_stay_when_usage_is_counted_again() -> None:
    customer = CustomerFactory.create()
    metered = MeteredPriceFactory.create(environment=customer.environment)
    licensed = PriceFactory.create(environment=customer.environment)
    subscribe(customer, licensed, metered)
    services.close_due_periods(now=FIRST_END)
    use(metered, customer, 10, NOW)

    services.finalize_invoice(invoice=Invoice.objects.get(status="draft"), now=LATER)

    invoice = Invoice.objects.get(billing_reason="subscription_cycle")
    assert list(invoice.lines.values_list("amount", flat=True)) == [1000, 5]
    assert (invoice.subtotal, invoice.total, invoice.amount_due) == (1005, 1005, 1005)


def test_due_drafts_become_final_when_their_grace_is_over() -> None:
    customer = CustomerFactory.create()
    drafts = [draft_invoice(customer, value=10), draft_invoice(customer, value=0)]
    elsewhere = draft_invoice(value=30)

    assert services.finalize_due_drafts(now=FIRST_END + GRACE - MOMENT) == Swept(done=0, failed=0)
    assert services.finalize_due_drafts(now=FIRST_END + GRACE) == Swept(done=3, failed=0)
    assert services.finalize_due_drafts(now=LATER) == Swept(done=0, failed=0)

    for draft, status, total in [(drafts[0], "open", 5), (drafts[1], "paid", 0), (elsewhere, "open", 15)]:
        draft.refresh_from_db()
        assert (draft.status, draft.total, draft.finalized_at) == (status, total, FIRST_END + GRACE)
    assert sorted(draft.number[-6:] for draft in drafts) == ["000001", "000002"]
    assert elsewhere.number.endswith("000001")


def test_a_draft_that_cannot_become_final_is_parked_and_stops_nobody() -> None:
    customer = CustomerFactory.create()
    good, bad = draft_invoice(customer), draft_invoice(customer)
    dear = price_of(bad)
    Price.objects.filter(pk=dear.pk).update(unit_amount=Decimal(10) ** 17)
    use(dear, customer, 10**14, NOW)

    assert services.finalize_due_drafts(now=LATER) == Swept(done=1, failed=1)

    good.refresh_from_db()
    bad.refresh_from_db()
    assert (good.status, good.number[-6:], bad.status) == ("open", "000001", "draft")
    failure = BillingFailure.objects.get()
    assert (failure.invoice, failure.subscription, failure.attempts) == (bad, None, 1)
    assert failure.reason.startswith("AmountTooLarge")
    with pytest.raises(AmountTooLarge):
        services.finalize_invoice(invoice=bad, now=LATER)
    assert services.finalize_due_drafts(now=LATER) == Swept(done=0, failed=0)

    use(dear, customer, -(10**14) - 10, NOW)
    assert services.finalize_due_drafts(now=failure.retry_at) == Swept(done=1, failed=0)
    bad.refresh_from_db()
    # No number was lost on the failures.
    assert (bad.status, bad.number[-6:]) == ("paid", "000002")
    assert not BillingFailure.objects.exists()


def test_an_open_invoice_is_paid_outside() -> None:
    invoice = services.pay_invoice_out_of_band(invoice=open_invoice(), now=LATER)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.paid_at, invoice.paid_out_of_band) == ("paid", LATER, True)
    assert (invoice.amount_due, invoice.amount_paid, invoice.amount_remaining) == (1000, 1000, 0)


def test_an_open_invoice_is_voided_and_keeps_its_amounts_and_number() -> None:
    before = open_invoice()

    invoice = services.void_invoice(invoice=before, now=LATER)

    invoice.refresh_from_db()
    assert (invoice.status, invoice.voided_at, invoice.paid_at) == ("void", LATER, None)
    assert (invoice.number, invoice.total, invoice.amount_due) == (before.number, 1000, 1000)


def paid_invoice() -> Invoice:
    return services.pay_invoice_out_of_band(invoice=open_invoice(), now=NOW)


def void_invoice() -> Invoice:
    return services.void_invoice(invoice=open_invoice(), now=NOW)


Step = Callable[..., Invoice]


@pytest.mark.parametrize(
    ("make", "step", "refusal"),
    [
        (open_invoice, services.finalize_invoice, InvoiceNotDraft),
        (paid_invoice, services.finalize_invoice, InvoiceNotDraft),
        (void_invoice, services.finalize_invoice, InvoiceNotDraft),
        (draft_invoice, services.pay_invoice_out_of_band, InvoiceNotOpen),
        (paid_invoice, services.pay_invoice_out_of_band, InvoiceNotOpen),
        (void_invoice, services.pay_invoice_out_of_band, InvoiceNotOpen),
        (draft_invoice, services.void_invoice, InvoiceNotOpen),
        (paid_invoice, services.void_invoice, InvoiceNotOpen),
        (void_invoice, services.void_invoice, InvoiceNotOpen),
    ],
)
def test_a_step_in_the_wrong_state_is_refused_and_changes_nothing(
    make: Callable[[], Invoice], step: Step, refusal: type[InvoiceNotDraft | InvoiceNotOpen]
) -> None:
    invoice = make()
    before, numbering = reloaded(invoice), list(InvoiceNumbering.objects.values())

    with pytest.raises(refusal) as caught:
        step(invoice=invoice, now=LATER)

    assert caught.value.status == before["invoice"]["status"]
    assert reloaded(invoice) == before
    assert list(InvoiceNumbering.objects.values()) == numbering


def test_a_rolled_back_finalization_gives_its_number_back() -> None:
    customer = CustomerFactory.create()
    first, second = draft_invoice(customer), draft_invoice(customer)
    with transaction.atomic():
        services.finalize_invoice(invoice=first, now=LATER)
        transaction.set_rollback(True)
    assert services.finalize_invoice(invoice=second, now=LATER).number.endswith("-000001")
    assert services.finalize_invoice(invoice=first, now=LATER).number.endswith("-000002")


FORBIDDEN = [
    "UPDATE invoices_invoice SET total = 1 WHERE id = %s",
    "UPDATE invoices_invoice SET subtotal = 1 WHERE id = %s",
    "UPDATE invoices_invoice SET amount_due = 0 WHERE id = %s",
    "UPDATE invoices_invoice SET currency = 'eur' WHERE id = %s",
    "UPDATE invoices_invoice SET number = 'X-1' WHERE id = %s",
    "UPDATE invoices_invoice SET period_end = now() WHERE id = %s",
    "UPDATE invoices_invoice SET finalized_at = now() WHERE id = %s",
    "UPDATE invoices_invoice SET customer_id = gen_random_uuid() WHERE id = %s",
    "UPDATE invoices_invoice SET status = 'draft', number = '', finalized_at = NULL WHERE id = %s",
    "DELETE FROM invoices_invoice WHERE id = %s",
    "UPDATE invoices_invoiceline SET amount = 1 WHERE invoice_id = %s",
    "UPDATE invoices_invoiceline SET description = 'x' WHERE invoice_id = %s",
    "UPDATE invoices_invoiceline SET basis = '{}' WHERE invoice_id = %s",
    "DELETE FROM invoices_invoiceline WHERE invoice_id = %s",
    """
    INSERT INTO invoices_invoiceline (id, environment_id, invoice_id, position, subscription_item_id, price_id,
        description, quantity, unit_amount, exact_amount, amount, period_start, period_end, is_discountable, basis)
    SELECT gen_random_uuid(), environment_id, invoice_id, position + 1, subscription_item_id, price_id,
        description, quantity, unit_amount, exact_amount, amount, period_start, period_end, is_discountable, basis
      FROM invoices_invoiceline WHERE invoice_id = %s
    """,
]


def execute(statement: str, *parameters: Any) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


@pytest.mark.parametrize("make", [open_invoice, paid_invoice, void_invoice])
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_database_itself_refuses_to_change_a_final_invoice(make: Callable[[], Invoice], statement: str) -> None:
    invoice = make()
    before = reloaded(invoice)

    with pytest.raises(IntegrityError, match="final"):
        execute(statement, invoice.pk)

    assert reloaded(invoice) == before


def test_the_database_lets_no_paid_invoice_become_void_nor_the_reverse() -> None:
    now = datetime.now(tz=NOW.tzinfo)
    with pytest.raises(IntegrityError, match="final"):
        execute(
            "UPDATE invoices_invoice SET status = 'void', voided_at = %s, paid_at = NULL WHERE id = %s",
            now,
            paid_invoice().pk,
        )
    with pytest.raises(IntegrityError, match="final"):
        execute(
            "UPDATE invoices_invoice SET status = 'paid', paid_at = %s, voided_at = NULL WHERE id = %s",
            now,
            void_invoice().pk,
        )


def test_a_line_cannot_be_moved_between_a_draft_and_a_final_invoice() -> None:
    customer = CustomerFactory.create()
    draft, final = draft_invoice(customer), open_invoice(customer)
    for source, target in [(draft, final), (final, draft)]:
        with pytest.raises(IntegrityError, match="final"):
            execute(
                "UPDATE invoices_invoiceline SET invoice_id = %s, position = 9 WHERE invoice_id = %s",
                target.pk,
                source.pk,
            )


def test_the_statements_above_would_work_on_a_draft() -> None:
    draft = draft_invoice()

    assert execute("UPDATE invoices_invoice SET total = 1 WHERE id = %s", draft.pk) == 1
    assert execute(FORBIDDEN[-1], draft.pk) == 1
    assert execute("UPDATE invoices_invoiceline SET amount = 1 WHERE invoice_id = %s", draft.pk) == 2
    assert execute("DELETE FROM invoices_invoiceline WHERE invoice_id = %s", draft.pk) == 2
    assert execute("DELETE FROM invoices_invoice WHERE id = %s", draft.pk) == 1


def test_the_database_keeps_invoices_within_their_environment() -> None:
    draft, foreign = draft_invoice(), draft_invoice()
    line, foreign_line = draft.lines.get(), foreign.lines.get()
    failure = BillingFailure.objects.create(
        environment=draft.environment, invoice=draft, reason="-", failed_at=NOW, retry_at=NOW
    )
    other_failure = BillingFailure.objects.create(
        environment=draft.environment, subscription=draft.subscription, reason="-", failed_at=NOW, retry_at=NOW
    )
    cases: list[tuple[Any, str, Any]] = [
        (draft, "customer_id", foreign.customer_id),
        (draft, "subscription_id", foreign.subscription_id),
        (line, "invoice_id", foreign.pk),
        (line, "subscription_item_id", foreign_line.subscription_item_id),
        (line, "price_id", foreign_line.price_id),
        (failure, "invoice_id", foreign.pk),
        (other_failure, "subscription_id", foreign.subscription_id),
    ]
    for row, column, value in cases:
        with pytest.raises(IntegrityError, match=f"{column}_wall"):
            bend(row, **{column: value})


def test_one_invoice_per_subscription_and_period_is_a_constraint() -> None:
    draft = draft_invoice()
    twin = Invoice.objects.get(pk=draft.pk)
    twin.pk = None

    with pytest.raises(IntegrityError, match="invoice_one_per_subscription_period"), transaction.atomic():
        twin.save(force_insert=True)
