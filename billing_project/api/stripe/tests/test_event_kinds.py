"""Which calls and runs are told of, in which order, with what on them."""

from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_project.api.stripe.tests.builders import new_customer, new_meter, new_price, new_subscription, report
from billing_project.api.stripe.tests.sdk import Account
from invoices.services import close_due_periods, finalize_due_drafts

HOUR = 3600


def happened(account: Account, since: Any = None) -> list[Any]:
    """The events after one of them, in order."""
    cursor = {"ending_before": since.id} if since else {}
    return list(account.v1.events.list({"limit": 100, **cursor}).data)[::-1]


def types(events: list[Any]) -> list[str]:
    return [event.type for event in events]


def at(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def test_a_meters_life_is_told(account: Account) -> None:
    meter = new_meter(account)
    account.v1.billing.meters.update(meter.id, {"display_name": "Searches"})
    account.v1.billing.meters.deactivate(meter.id)
    account.v1.billing.meters.deactivate(meter.id)
    account.v1.billing.meters.reactivate(meter.id)

    events = happened(account)

    assert types(events) == [
        "billing.meter.created",
        "billing.meter.updated",
        "billing.meter.deactivated",
        "billing.meter.reactivated",
    ]
    assert events[1].data.previous_attributes.display_name == "Calls"
    assert events[2].data.object.status == "inactive"


def test_a_subscriptions_life_is_told_with_its_invoices(account: Account) -> None:
    meter = new_meter(account)
    customer, price, metered = new_customer(account), new_price(account), new_price(account, meter=meter.id)
    start = happened(account)[-1]

    subscription = new_subscription(account, customer.id, price.id, metered.id)
    begun = happened(account, start)
    assert types(begun) == ["invoice.created", "invoice.finalized", "customer.subscription.created"]
    assert begun[0].data.object.status == "draft"
    assert begun[1].data.object.status == "open"
    assert begun[1].data.object.number
    assert begun[2].data.object.to_dict() == subscription.to_dict()
    assert {event.request.id for event in begun} == {subscription.last_response.request_id}

    report(account, "calls", customer.id, "40")
    end = subscription["items"].data[0].current_period_end
    close_due_periods(now=at(end))
    renewed = happened(account, begun[-1])
    assert types(renewed) == ["invoice.created", "customer.subscription.updated"]
    draft, updated = renewed[0].data.object, renewed[1].data
    assert draft.lines.data[0].amount + draft.lines.data[1].amount == draft.total
    assert updated.object["items"].data[0].current_period_start == end
    assert updated.previous_attributes["items"].data[0].current_period_end == end
    assert updated.previous_attributes.latest_invoice == subscription.latest_invoice
    assert renewed[0].request.id is None

    finalize_due_drafts(now=at(end + 2 * HOUR))
    account.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    account.v1.invoices.void_invoice(subscription.latest_invoice)
    account.v1.subscriptions.cancel(subscription.id)
    ended = happened(account, renewed[-1])
    assert types(ended) == [
        "invoice.finalized",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.voided",
        "customer.subscription.deleted",
    ]
    assert ended[-1].data.object.status == "canceled"


def test_an_invoice_of_nothing_is_paid_when_it_is_final(account: Account) -> None:
    meter = new_meter(account)
    customer, metered = new_customer(account), new_price(account, meter=meter.id)
    subscription = new_subscription(account, customer.id, metered.id)
    start = happened(account)[-1]

    end = subscription["items"].data[0].current_period_end
    close_due_periods(now=at(end))
    finalize_due_drafts(now=at(end + 2 * HOUR))

    assert types(happened(account, start)) == [
        "invoice.created",
        "customer.subscription.updated",
        "invoice.finalized",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]


def test_a_customers_subscriptions_end_before_they_go(account: Account) -> None:
    customer, price = new_customer(account), new_price(account)
    new_subscription(account, customer.id, price.id)
    start = happened(account)[-1]

    account.v1.customers.delete(customer.id)

    assert types(happened(account, start)) == ["customer.subscription.deleted", "customer.deleted"]


def test_a_chunk_of_periods_is_told_in_as_many_statements_as_one(account: Account) -> None:
    price = new_price(account)

    def statements(count: int) -> int:
        started = [new_subscription(account, new_customer(account).id, price.id) for _ in range(count)]
        ends = {item.current_period_end for each in started for item in each["items"].data}
        with CaptureQueriesContext(connection) as queries:
            closed = close_due_periods(now=at(max(ends)), chunk=50)
        assert (closed.done, closed.failed) == (count, 0)
        return len(queries)

    assert statements(1) == statements(12)


def test_the_catalog_is_told_in_both_generations_words(account: Account) -> None:
    product = account.v1.products.create({"name": "Tokens"})
    price = new_price(account, product=product.id, lookup_key="standard")
    once = account.v1.prices.create({"product": product.id, "currency": "usd", "unit_amount": 5})
    account.v1.prices.update(price.id, {"nickname": "N"})
    start = happened(account)

    assert types(start) == [
        "product.created",
        "price.created",
        "plan.created",
        "price.created",
        "price.updated",
        "plan.updated",
    ]
    assert start[1].data.object.to_dict() == price.to_dict()
    assert start[2].data.object.object == "plan"
    assert start[2].data.object.amount == 1000
    assert start[3].data.object.id == once.id

    account.v1.prices.update(once.id, {"lookup_key": "standard", "transfer_lookup_key": True})
    moved = happened(account, start[-1])
    assert [(event.type, event.data.object.id) for event in moved] == [
        ("price.updated", price.id),
        ("price.updated", once.id),
    ]
    assert moved[0].data.previous_attributes.lookup_key == "standard"

    plan = account.v1.plans.create({"product": product.id, "currency": "usd", "interval": "day", "amount": 7})
    account.v1.plans.delete(plan.id)
    assert types(happened(account, moved[-1])) == ["price.created", "plan.created", "price.deleted", "plan.deleted"]


def test_a_deleted_product_is_told_as_it_last_was(account: Account) -> None:
    product = account.v1.products.create({"name": "Tokens"})
    account.v1.products.update(product.id, {"name": "Words"})
    account.v1.products.delete(product.id)

    created, updated, deleted = happened(account)

    assert (created.type, updated.type, deleted.type) == ("product.created", "product.updated", "product.deleted")
    assert updated.data.previous_attributes.name == "Tokens"
    assert (deleted.data.object.id, deleted.data.object.name) == (product.id, "Words")
