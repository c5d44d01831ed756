"""The main job, whole: an hour of real usage in, an exact invoice out, by the official SDK on the real stack."""

from datetime import UTC, datetime

import pytest
import stripe

from billing_project.demo.load import TRACE
from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key

HOUR_18 = int(datetime(2023, 11, 16, 18, tzinfo=UTC).timestamp())
HOUR_19 = HOUR_18 + 3600
HOUR_20 = HOUR_19 + 3600
# The table's totals, by clock hour.
CONTEXT_TOKENS = {HOUR_18: 15_710_990, HOUR_19: 2_348_984}
ALL_CONTEXT_TOKENS = 18_059_974
ALL_GENERATED_TOKENS = 245_896


@pytest.fixture(scope="module")
def company(running_stack: RunningStack) -> str:
    return new_company(running_stack)


@pytest.fixture(scope="module")
def client(running_stack: RunningStack, company: str) -> stripe.StripeClient:
    return client_of(running_stack, new_key(running_stack, company))


def test_given_the_trace_when_imported_and_priced_then_summaries_and_invoice_are_exact(
    running_stack: RunningStack, company: str, client: stripe.StripeClient
) -> None:
    customer = client.v1.customers.create({"name": "Code completion service"})
    meters = {
        name: client.v1.billing.meters.create(
            {"display_name": name, "event_name": name, "default_aggregation": {"formula": "sum"}}
        )
        for name in ("context_tokens", "generated_tokens")
    }
    import_trace = [
        *("import_events", str(TRACE), "--company", company, "--mode", "test", "--customer", customer.id),
        *("--timestamp-column", "TIMESTAMP"),
        *("--meter", "context_tokens=ContextTokens", "--meter", "generated_tokens=GeneratedTokens"),
    ]
    first = running_stack.manage(*import_trace).stdout
    second = running_stack.manage(*import_trace).stdout

    assert first == "8,819 rows: 17,638 events accepted, 0 known already, 0 refused.\n"
    assert second == "8,819 rows: 0 events accepted, 17,638 known already, 0 refused.\n"
    by_hour = client.v1.billing.meters.event_summaries.list(
        meters["context_tokens"].id,
        {"customer": customer.id, "start_time": HOUR_18, "end_time": HOUR_20, "value_grouping_window": "hour"},
    )
    assert [(row.start_time, row.aggregated_value) for row in by_hour.data] == sorted(CONTEXT_TOKENS.items())[::-1]
    for name, total in (("context_tokens", ALL_CONTEXT_TOKENS), ("generated_tokens", ALL_GENERATED_TOKENS)):
        (whole,) = client.v1.billing.meters.event_summaries.list(
            meters[name].id, {"customer": customer.id, "start_time": HOUR_18 - 60, "end_time": HOUR_20 + 60}
        ).data
        assert whole.aggregated_value == total

    product = client.v1.products.create({"name": "Code completion"})
    prices = [
        client.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount_decimal": cents,  # type: ignore[typeddict-item]  # the SDK writes a text as it is
                "recurring": {"interval": "month", "usage_type": "metered", "meter": meters[name].id},
            }
        )
        for name, cents in (("context_tokens", "0.00025"), ("generated_tokens", "0.001"))
    ]
    subscription = client.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price.id} for price in prices],
            "backdate_start_date": HOUR_18,
        }
    )
    preview = client.v1.invoices.create_preview({"subscription": subscription.id})

    assert [line.amount for line in preview.lines.data] == [4515, 246]
    assert preview.total == 4761

    client.v1.subscriptions.cancel(subscription.id, {"invoice_now": True})
    (invoice,) = client.v1.invoices.list({"subscription": subscription.id}).data

    assert [line.amount for line in invoice.lines.data] == [4515, 246]
    assert [line.quantity for line in invoice.lines.data] == [ALL_CONTEXT_TOKENS, ALL_GENERATED_TOKENS]
    assert (invoice.status, invoice.subtotal, invoice.total, invoice.amount_due) == ("open", 4761, 4761, 4761)
    paid = client.v1.invoices.pay(invoice.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 4761, 0)
