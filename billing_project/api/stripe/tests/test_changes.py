"""Subscriptions that are changed, invoice items, manual invoices and balances, as the official SDK asks for them."""

import time
from typing import Any

import pytest
import stripe

from billing_project.api.stripe.tests.builders import new_customer, new_meter, new_price, new_subscription, report
from billing_project.api.stripe.tests.sdk import Account
from invoices.models import Invoice, InvoiceItem
from subscriptions.models import ItemTerm, Price

DAY = 86400


@pytest.fixture
def customer(account: Account) -> str:
    return str(new_customer(account).id)


@pytest.fixture
def price(account: Account) -> Any:
    return new_price(account, product_data={"name": "Seats"})


@pytest.fixture
def subscription(account: Account, customer: str, price: Any) -> Any:
    """Of a month that began ten days ago; one seat at 10.00 was paid for it."""
    now = int(time.time())
    # A first period that is a full one, wherever months end.
    return account.v1.subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price.id}],
            "backdate_start_date": now - 10 * DAY,
            "billing_cycle_anchor": now + 20 * DAY,
        }
    )


def item_of(subscription: Any) -> Any:
    return subscription["items"].data[0]


def refused(call: Any, param: str | None = None, code: str | None = None) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    assert caught.value.param == param
    if code is not None:
        assert caught.value.code == code
    return caught.value


# Subscriptions and their items


def test_a_quantity_is_changed_and_prorated(account: Account, subscription: Any, price: Any) -> None:
    item = item_of(subscription)
    at = item.current_period_end - 15 * DAY
    changed = account.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "quantity": 3}], "proration_date": at, "metadata": {"a": "1"}}
    )

    assert item_of(changed).quantity == 3
    assert changed.metadata.to_dict() == {"a": "1"}
    pending = account.v1.invoice_items.list({"customer": subscription.customer, "pending": True}).data
    charge, credit = pending
    assert (charge.proration, charge.quantity, charge.discountable, charge.invoice) == (True, 3, False, None)
    assert (credit.period.start, credit.period.end) == (at, item.current_period_end)
    assert charge.parent.subscription_details.subscription == subscription.id
    assert charge.parent.subscription_details.subscription_item == item.id
    assert charge.pricing.price_details.price == price.id
    # Half a month of three units, and of one, whose month was paid.
    assert abs(charge.amount + 3 * credit.amount) <= 3
    assert credit.amount < 0


def test_at_once_the_lines_tell_what_they_give_back(account: Account, subscription: Any) -> None:
    first = account.v1.invoices.retrieve(subscription.latest_invoice)
    item = item_of(subscription)
    changed = account.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "quantity": 2}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
            "expand": ["latest_invoice"],
        },
    )

    invoice = changed.latest_invoice
    assert (invoice.billing_reason, invoice.status) == ("subscription_update", "open")
    credit, charge = invoice.lines.data
    assert credit.amount + charge.amount == invoice.total
    details = credit.parent.invoice_item_details
    assert (credit.parent.type, details.proration, details.subscription) == (
        "invoice_item_details",
        True,
        subscription.id,
    )
    credited = details.proration_details.credited_items
    assert (credited.invoice, credited.invoice_line_items) == (first.id, [first.lines.data[0].id])
    assert charge.parent.invoice_item_details.proration_details.credited_items is None
    # The next change gives back what this one charged.
    account.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "quantity": 1}], "proration_behavior": "always_invoice"}
    )
    latest = account.v1.invoices.list({"subscription": subscription.id, "limit": 1}).data[0]
    credited = latest.lines.data[0].parent.invoice_item_details.proration_details.credited_items
    assert (credited.invoice, credited.invoice_line_items) == (invoice.id, [charge.id])
    assert (latest.status, latest.amount_due, latest.starting_balance) == ("paid", 0, 0)
    assert latest.ending_balance == latest.total < 0
    # What is to the customer's credit shows on a draft, too.
    draft = account.v1.invoices.create({"customer": subscription.customer})
    assert (draft.starting_balance, draft.ending_balance, draft.currency) == (latest.total, None, "usd")


def test_items_are_made_changed_and_deleted(account: Account, subscription: Any) -> None:
    other = new_price(account, unit_amount=500)
    added = account.v1.subscription_items.create(
        {"subscription": subscription.id, "price": other.id, "quantity": 4, "proration_behavior": "none"}
    )
    assert (added.object, added.price.id, added.quantity) == ("subscription_item", other.id, 4)
    changed = account.v1.subscription_items.update(
        added.id, {"quantity": 6, "metadata": {"a": "b"}, "proration_behavior": "none"}
    )
    assert (changed.id, changed.quantity, changed.metadata.to_dict()) == (added.id, 6, {"a": "b"})
    listed = account.v1.subscription_items.list({"subscription": subscription.id}).data
    assert [item.id for item in listed] == [item_of(subscription).id, added.id]

    gone = account.v1.subscription_items.delete(added.id, {"proration_behavior": "none", "clear_usage": True})

    assert (gone.id, gone.deleted) == (added.id, True)
    refused(lambda: account.v1.subscription_items.retrieve(added.id), "id", "resource_missing")
    refused(lambda: account.v1.subscription_items.delete(item_of(subscription).id), "items", "parameter_missing")
    assert not InvoiceItem.objects.exists()
    left = account.v1.subscriptions.retrieve(subscription.id)
    assert [item.id for item in left["items"].data] == [item_of(subscription).id]


def test_a_price_is_made_for_one_use(account: Account, subscription: Any, price: Any) -> None:
    data = {
        "currency": "usd",
        "product": price.product,
        "unit_amount_decimal": "12.5",
        "recurring": {"interval": "month"},
    }
    item = account.v1.subscription_items.create({"subscription": subscription.id, "price_data": data})

    # The SDK makes a Decimal of it.
    assert (str(item.price.unit_amount_decimal), item.price.active) == ("12.5", False)
    refused(
        lambda: account.v1.subscription_items.create({"subscription": subscription.id, "price": item.price.id}),
        "price",
    )
    # Refused, nothing stays behind.
    before = Price.objects.count()
    bad = {**data, "recurring": {"interval": "week"}}
    refused(lambda: account.v1.subscription_items.create({"subscription": subscription.id, "price_data": bad}), "price")
    assert Price.objects.count() == before


def test_a_metered_price_takes_another_s_place(account: Account, customer: str) -> None:
    meter = new_meter(account)
    old = new_price(account, meter=meter.id, unit_amount=1)
    new = new_price(account, meter=meter.id, unit_amount=10)
    now = int(time.time())
    subscription = new_subscription(
        account, customer, old.id, backdate_start_date=now - 2 * DAY, billing_cycle_anchor=now + DAY
    )
    report(account, meter.event_name, customer, "100", timestamp=now - DAY)

    account.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item_of(subscription).id, "price": new.id, "clear_usage": True}]}
    )

    preview = account.v1.invoices.create_preview({"subscription": subscription.id})
    assert [(line.pricing.price_details.price, line.amount) for line in preview.lines.data] == [
        (old.id, 100),
        (new.id, 0),
    ]


@pytest.mark.parametrize("anchor", ["now", {"type": "now"}])
def test_the_anchor_is_set_to_now(account: Account, subscription: Any, anchor: Any) -> None:
    before = int(time.time())
    changed = account.v1.subscriptions.update(
        subscription.id, {"billing_cycle_anchor": anchor, "proration_behavior": "create_prorations"}
    )

    assert before <= changed.billing_cycle_anchor <= int(time.time())
    assert item_of(changed).current_period_start == changed.billing_cycle_anchor
    invoice = account.v1.invoices.retrieve(changed.latest_invoice)
    assert sorted(line.amount < 0 for line in invoice.lines.data) == [False, True]


def test_what_is_asked_wrongly_is_blamed_on_its_parameter(account: Account, subscription: Any, price: Any) -> None:
    item = item_of(subscription)
    update = account.v1.subscriptions.update
    other = new_price(account, recurring={"interval": "week"})
    euros = new_price(account, currency="eur")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"items": [{"quantity": 2}]}, "items[0][id]"),
        ({"items": [{"deleted": True, "price": price.id}]}, "items[0][id]"),
        ({"items": [{"price": price.id}]}, "items[0][price]"),
        ({"items": [{"price": other.id}]}, "items[0][price]"),
        ({"items": [{"id": item.id, "price": euros.id}]}, "items[0][price]"),
        ({"items": [{"id": item.id}, {"id": item.id}]}, "items[1][id]"),
        ({"items": [{"id": item.id, "quantity": -1}]}, "items[0][quantity]"),
        ({"items": [{"id": item.id, "quantity": 2}], "proration_date": 1}, "proration_date"),
        ({"proration_behavior": "sometimes"}, "proration_behavior"),
        ({"billing_cycle_anchor": "later"}, "billing_cycle_anchor"),
        ({"billing_cycle_anchor": {"type": "later"}}, "billing_cycle_anchor[type]"),
        ({"collection_method": "send_invoice"}, "days_until_due"),
        ({"itmes": "x"}, "itmes"),
    ]
    for params, param in cases:
        with pytest.raises(stripe.InvalidRequestError) as caught:
            update(subscription.id, params)
        assert caught.value.param == param, params
    assert not ItemTerm.objects.exists()
    assert not InvoiceItem.objects.exists()
    assert item_of(account.v1.subscriptions.retrieve(subscription.id)).quantity == 1


def test_words_and_collection_change(account: Account, subscription: Any) -> None:
    update = account.v1.subscriptions.update
    changed = update(
        subscription.id, {"collection_method": "send_invoice", "days_until_due": 14, "description": "Yours"}
    )
    assert (changed.collection_method, changed.days_until_due, changed.description) == ("send_invoice", 14, "Yours")
    changed = update(subscription.id, {"collection_method": "charge_automatically", "description": ""})
    assert (changed.collection_method, changed.days_until_due, changed.description) == (
        "charge_automatically",
        None,
        None,
    )


# Previews


def test_a_change_is_previewed_to_the_cent_and_not_made(account: Account, subscription: Any) -> None:
    item = item_of(subscription)
    at = int(time.time())
    change = {"items": [{"id": item.id, "quantity": 7}], "proration_date": at}

    preview = account.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": {**change, "proration_behavior": "always_invoice"}}
    )

    assert not InvoiceItem.objects.exists()
    assert item_of(account.v1.subscriptions.retrieve(subscription.id)).quantity == 1
    assert Invoice.objects.count() == 1
    account.v1.subscriptions.update(subscription.id, {**change, "proration_behavior": "always_invoice"})
    made = account.v1.invoices.list({"limit": 1}).data[0]
    assert (preview.status, preview.number, preview.id[:12]) == ("draft", None, "upcoming_in_")
    assert preview.total == made.total
    assert [(line.amount, line.description) for line in preview.lines.data] == [
        (line.amount, line.description) for line in made.lines.data
    ]


def test_a_change_that_waits_shows_on_the_next_invoice(account: Account, subscription: Any) -> None:
    item = item_of(subscription)
    details = {"items": [{"id": item.id, "quantity": 2}]}
    account.v1.customers.balance_transactions.create(subscription.customer, {"amount": -100, "currency": "usd"})

    preview = account.v1.invoices.create_preview(
        {
            "subscription": subscription.id,
            "subscription_details": details,
            "invoice_items": [{"amount": 250, "currency": "usd", "description": "Setup"}],
        }
    )

    renewal, *rest = preview.lines.data
    assert (renewal.amount, {line.description for line in rest} >= {"Setup"}, len(rest)) == (2000, True, 3)
    assert preview.total == sum(line.amount for line in preview.lines.data)
    assert (preview.starting_balance, preview.amount_due) == (-100, preview.total - 100)
    assert not InvoiceItem.objects.exists()


def test_a_subscription_that_is_not_there_is_previewed(account: Account, customer: str, price: Any) -> None:
    details = {"items": [{"price": price.id, "quantity": 3}]}
    preview = account.v1.invoices.create_preview({"customer": customer, "subscription_details": details})

    assert (preview.billing_reason, preview.total) == ("subscription_create", 3000)
    assert account.v1.subscriptions.list().data == []
    refused(
        lambda: account.v1.invoices.create_preview(
            {"customer": customer, "subscription_details": {"proration_behavior": "none"}}
        ),
        "subscription_details[items]",
    )


def test_a_cancellation_is_previewed(account: Account, subscription: Any) -> None:
    preview = account.v1.invoices.create_preview(
        {"subscription": subscription.id, "subscription_details": {"cancel_now": True}}
    )

    assert preview.total < 0
    assert account.v1.subscriptions.retrieve(subscription.id).status == "active"


# Invoice items and manual invoices


def test_items_wait_for_an_invoice_that_is_made_by_hand(account: Account, customer: str) -> None:
    once = account.v1.prices.create({"currency": "usd", "unit_amount": 250, "product_data": {"name": "Setup"}})
    new = account.v1.invoice_items.create
    amount = new({"customer": customer, "amount": 700, "currency": "usd", "description": "Work"})
    priced = new({"customer": customer, "pricing": {"price": once.id}, "quantity": 3})
    units = new({"customer": customer, "unit_amount_decimal": "0.5", "quantity": 3, "currency": "usd"})
    assert [item.amount for item in (amount, priced, units)] == [700, 750, 2]
    assert (priced.description, priced.object, amount.proration) == ("Setup: 3 × 2.50 USD", "invoiceitem", False)  # noqa: RUF001
    changed = account.v1.invoice_items.update(priced.id, {"quantity": 4, "metadata": {"a": "b"}})
    assert (changed.amount, changed.metadata.to_dict()) == (1000, {"a": "b"})
    assert account.v1.invoice_items.delete(units.id).deleted is True

    empty = account.v1.invoices.create({"customer": customer})
    assert (empty.total, empty.billing_reason, empty.auto_advance) == (0, "manual", False)
    invoice = account.v1.invoices.create(
        {
            "customer": customer,
            "pending_invoice_items_behavior": "include",
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "description": "Thanks",
            "footer": "Acme",
            "custom_fields": [{"name": "PO", "value": "17"}],
            "metadata": {"k": "v"},
            "auto_advance": True,
        }
    )

    assert (invoice.total, [line.amount for line in invoice.lines.data]) == (1700, [700, 1000])
    assert (invoice.auto_advance, invoice.footer, invoice.custom_fields[0].value) == (True, "Acme", "17")
    assert [item.id for item in account.v1.invoice_items.list({"invoice": invoice.id}).data] == [priced.id, amount.id]
    # On a draft items still change, come and go.
    account.v1.invoice_items.update(amount.id, {"amount": 100})
    late = new({"customer": customer, "invoice": invoice.id, "amount": -50})
    assert account.v1.invoices.retrieve(invoice.id).total == 1050
    account.v1.invoice_items.delete(late.id)
    final = account.v1.invoices.finalize_invoice(invoice.id)
    assert (final.total, final.status, final.due_date is not None) == (1100, "open", True)
    refused(lambda: account.v1.invoice_items.update(amount.id, {"amount": 1}), None, "invoice_not_editable")
    refused(lambda: account.v1.invoice_items.delete(amount.id), None, "invoice_not_editable")
    refused(lambda: new({"customer": customer, "invoice": invoice.id, "amount": 1}), None, "invoice_not_editable")
    assert account.v1.invoices.retrieve(invoice.id).total == 1100


def test_a_draft_made_by_hand_is_changed_and_deleted(account: Account, customer: str) -> None:
    item = account.v1.invoice_items.create({"customer": customer, "amount": 700, "currency": "usd"})
    invoice = account.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    changed = account.v1.invoices.update(
        invoice.id, {"description": "x", "collection_method": "send_invoice", "days_until_due": 3, "auto_advance": True}
    )
    assert (changed.description, changed.collection_method, changed.auto_advance) == ("x", "send_invoice", True)
    refused(lambda: account.v1.invoices.update(invoice.id, {"days_until_due": ""}), "days_until_due")

    assert account.v1.invoices.delete(invoice.id).deleted is True

    refused(lambda: account.v1.invoices.retrieve(invoice.id), "id", "resource_missing")
    # What it had taken waits again.
    assert account.v1.invoice_items.list({"pending": True}).data[0].id == item.id


def test_final_invoices_keep_all_but_their_words(account: Account, subscription: Any) -> None:
    invoice = account.v1.invoices.retrieve(subscription.latest_invoice)
    changed = account.v1.invoices.update(invoice.id, {"metadata": {"a": "b"}, "description": "Paid by wire"})
    assert (changed.metadata.to_dict(), changed.description) == ({"a": "b"}, "Paid by wire")
    refused(lambda: account.v1.invoices.update(invoice.id, {"auto_advance": True}), None, "invoice_not_editable")
    refused(lambda: account.v1.invoices.delete(invoice.id), None, "invoice_not_editable")

    given_up = account.v1.invoices.mark_uncollectible(invoice.id)
    assert given_up.status == "uncollectible"
    assert given_up.status_transitions.marked_uncollectible_at is not None


def test_items_are_refused_where_they_do_not_belong(account: Account, customer: str, subscription: Any) -> None:
    new = account.v1.invoice_items.create
    recurring = new_price(account)
    other = new_customer(account).id
    draft = account.v1.invoices.create({"customer": customer, "currency": "eur"})
    refused(lambda: new({"customer": customer}), "amount", "parameter_missing")
    refused(lambda: new({"amount": 5}), "customer", "parameter_missing")
    refused(lambda: new({"customer": customer, "price": recurring.id}), "price")
    refused(lambda: new({"customer": customer, "amount": 5, "currency": "xxx"}), "currency")
    refused(lambda: new({"customer": customer, "amount": 5, "currency": "usd", "invoice": draft.id}), "currency")
    refused(lambda: new({"customer": other, "amount": 5, "subscription": subscription.id}), "customer")
    refused(lambda: new({"customer": customer, "amount": 5, "quantity": 2}), "amount", "parameters_exclusive")
    assert not InvoiceItem.objects.exists()


# Balances


def test_a_balance_is_a_ledger(account: Account, customer: str) -> None:
    entries = account.v1.customers.balance_transactions
    first = entries.create(customer, {"amount": -500, "currency": "usd", "description": "Sorry"})
    second = entries.create(customer, {"amount": 200, "currency": "USD", "metadata": {"a": "b"}})

    assert (first.object, first.type, first.ending_balance, first.customer) == (
        "customer_balance_transaction",
        "adjustment",
        -500,
        customer,
    )
    assert (second.ending_balance, second.invoice) == (-300, None)
    assert [entry.id for entry in entries.list(customer).data] == [second.id, first.id]
    assert entries.update(customer, first.id, {"description": ""}).description is None
    assert account.v1.customers.retrieve(customer).balance == -300
    changed = account.v1.customers.update(customer, {"balance": -1000})
    assert (changed.balance, changed.currency) == (-1000, "usd")
    refused(lambda: entries.create(customer, {"amount": 5}), "currency", "parameter_missing")
    refused(lambda: entries.retrieve(new_customer(account).id, first.id), "id", "resource_missing")


def test_an_invoice_is_paid_from_the_balance(account: Account, price: Any) -> None:
    customer = account.v1.customers.create({"name": "Ada", "balance": -400})
    assert customer.balance == -400
    subscription = new_subscription(account, customer.id, price.id)

    invoice = account.v1.invoices.retrieve(subscription.latest_invoice)

    assert (invoice.total, invoice.amount_due, invoice.starting_balance, invoice.ending_balance) == (1000, 600, -400, 0)
    applied = account.v1.customers.balance_transactions.list(customer.id, {"invoice": invoice.id}).data
    assert [(entry.type, entry.amount, entry.invoice) for entry in applied] == [("applied_to_invoice", 400, invoice.id)]
