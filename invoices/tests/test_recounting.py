"""What was invoiced is counted again, and the invoice stays as it is."""

from datetime import timedelta

import pytest

from accounts.tests.factories import CustomerFactory
from invoices import services, tasks
from invoices.models import Invoice
from invoices.tests.factories import FIRST_END, draft_invoice, use
from subscriptions.tests.factories import MeteredPriceFactory
from usage.models import RecountDifference, UsageSummary
from usage.services import recompute_dirty_hours
from usage.tests.factories import roll_up_all

WHEN_FINAL = FIRST_END + services.GRACE


@pytest.fixture
def invoice(transactional_db: None) -> Invoice:
    """A final invoice over one metered hour, rolled up."""
    invoice = draft_invoice()
    services.finalize_due_drafts(now=WHEN_FINAL)
    invoice.refresh_from_db()
    roll_up_all()
    return invoice


def test_given_right_summaries_when_recounted_then_there_is_no_alarm(invoice: Invoice) -> None:
    assert services.recount_invoiced_usage(now=WHEN_FINAL) == 0
    assert not RecountDifference.objects.exists()


def test_given_a_spoiled_summary_under_a_final_invoice_when_recounted_then_it_is_found_and_healed(
    invoice: Invoice,
) -> None:
    UsageSummary.objects.update(value_sum=11)

    found = services.recount_invoiced_usage(now=WHEN_FINAL + timedelta(days=services.RECOUNTED_DAYS))

    difference = RecountDifference.objects.get()
    assert found == 1
    assert (difference.environment, difference.customer) == (invoice.environment, invoice.customer)
    assert (difference.summarized or {})["value_sum"] == "11"
    assert (difference.counted or {})["value_sum"] == "10"
    recompute_dirty_hours()
    assert UsageSummary.objects.get().value_sum == 10
    total = invoice.total
    invoice.refresh_from_db()
    assert invoice.total == total


def test_given_drafts_and_invoices_of_long_ago_when_recounted_then_they_are_left_out(invoice: Invoice) -> None:
    other = draft_invoice(CustomerFactory.create())
    assert other.status == Invoice.Status.DRAFT
    roll_up_all()
    UsageSummary.objects.update(value_sum=11)

    later = WHEN_FINAL + timedelta(days=services.RECOUNTED_DAYS, microseconds=1)

    assert services.recount_invoiced_usage(now=later) == 0


def test_given_usage_after_the_period_when_recounted_then_only_what_was_invoiced_is_looked_at(invoice: Invoice) -> None:
    price = MeteredPriceFactory.create(environment=invoice.environment)
    use(price, invoice.customer, 5, FIRST_END + timedelta(hours=2))
    roll_up_all()
    UsageSummary.objects.filter(hour__gte=FIRST_END).update(value_sum=11)

    assert services.recount_invoiced_usage(now=WHEN_FINAL) == 0


def test_given_nothing_when_the_task_runs_then_it_does_nothing(db: None) -> None:
    tasks.recount_invoiced_usage()

    assert not RecountDifference.objects.exists()
