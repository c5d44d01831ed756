"""Every call that writes leaves the events that Stripe's clients wait for, in its own transaction, or there is a reason."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.test import Client

from billing_project.api.stripe.tests.builders import new_meter, new_price, new_subscription
from billing_project.api.stripe.tests.sdk import new_account
from billing_project.api.stripe.tests.test_hostile import CALLS, JSON_CALLS
from billing_project.api.stripe.tests.worlds import World, populate
from webhooks.models import Event

Call = tuple[str, str]
NOT_TOLD = "usage is no object that is told of; what of it cannot be counted is reported in thin events"
OUR_OWN = "of endpoints themselves nobody is told"
# Stripe has had no invoiceitem.updated since 2020, and never one for entries of a balance.
NO_SUCH_TYPE = "no type of event is for it"

NOT_ONE_BY_ONE = "as what events burn, of which there are thousands: a balance is asked for, not told"

# What a good call (test_hostile.py), with these parameters beside its own, leaves in the outbox.
TOLD: dict[Call, tuple[dict[str, str], Sequence[str]]] = {
    ("meter-list", "post"): ({}, ["billing.meter.created"]),
    ("meter-detail", "post"): ({"display_name": "Another"}, ["billing.meter.updated"]),
    ("meter-deactivate", "post"): ({}, ["billing.meter.deactivated"]),
    ("meter-reactivate", "post"): ({}, ["billing.meter.reactivated"]),
    ("customer-list", "post"): ({}, ["customer.created"]),
    ("customer-detail", "post"): ({"name": "Another"}, ["customer.updated"]),
    ("customer-detail", "delete"): ({}, ["customer.deleted"]),
    ("product-list", "post"): ({}, ["product.created"]),
    ("product-detail", "post"): ({"name": "Another"}, ["product.updated"]),
    ("product-detail", "delete"): ({}, ["product.deleted"]),
    ("price-list", "post"): ({}, ["price.created", "plan.created"]),
    ("price-detail", "post"): ({"nickname": "Another"}, ["price.updated", "plan.updated"]),
    ("plan-list", "post"): ({}, ["price.created", "plan.created"]),
    ("plan-detail", "post"): ({"nickname": "Another"}, ["price.updated", "plan.updated"]),
    ("plan-detail", "delete"): ({}, ["price.deleted", "plan.deleted"]),
    ("coupon-list", "post"): ({}, ["coupon.created"]),
    ("coupon-detail", "post"): ({"name": "Another"}, ["coupon.updated"]),
    ("coupon-detail", "delete"): ({}, ["coupon.deleted"]),
    ("promotion_code-list", "post"): ({}, ["promotion_code.created"]),
    ("promotion_code-detail", "post"): ({"active": "false"}, ["promotion_code.updated"]),
    ("tax_rate-list", "post"): ({}, ["tax_rate.created"]),
    ("tax_rate-detail", "post"): ({"active": "false"}, ["tax_rate.updated"]),
    ("customer-discount", "delete"): ({}, ["customer.discount.deleted", "customer.updated"]),
    ("subscription-discount", "delete"): ({}, ["customer.discount.deleted", "customer.subscription.updated"]),
    ("subscription-list", "post"): (
        {},
        ["invoice.created", "invoice.finalized", "customer.subscription.created"],
    ),
    ("subscription-detail", "post"): ({"metadata[a]": "b"}, ["customer.subscription.updated"]),
    ("subscription-detail", "delete"): ({}, ["customer.subscription.deleted"]),
    ("subscription-pause", "post"): (
        {},
        [
            "invoiceitem.created",
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "customer.subscription.updated",
            "customer.subscription.paused",
        ],
    ),
    ("subscription-resume", "post"): (
        {},
        # The pause has given back what pays for it.
        [
            "invoice.created",
            "invoice.finalized",
            "invoice.paid",
            "invoice.payment_succeeded",
            "customer.subscription.updated",
            "customer.subscription.resumed",
        ],
    ),
    ("subscription_item-list", "post"): (
        {"price": "{other_price}"},
        ["invoiceitem.created", "customer.subscription.updated"],
    ),
    ("subscription_item-detail", "post"): (
        {"quantity": "5"},
        ["invoiceitem.created", "invoiceitem.created", "customer.subscription.updated"],
    ),
    ("subscription_item-detail", "delete"): ({}, ["invoiceitem.created", "customer.subscription.updated"]),
    ("invoice_item-list", "post"): ({"invoice": "{manual}"}, ["invoiceitem.created", "invoice.updated"]),
    ("invoice_item-detail", "post"): ({"amount": "6"}, ["invoice.updated"]),
    ("invoice_item-detail", "delete"): ({}, ["invoiceitem.deleted", "invoice.updated"]),
    ("balance_transaction-list", "post"): ({}, ["customer.updated"]),
    ("invoice-list", "post"): ({}, ["invoice.created"]),
    ("invoice-detail", "post"): ({"description": "Another"}, ["invoice.updated"]),
    ("invoice-detail", "delete"): ({}, ["invoice.deleted"]),
    ("invoice-mark-uncollectible", "post"): ({}, ["invoice.marked_uncollectible"]),
    ("invoice-finalize", "post"): ({}, ["billing.credit_balance_transaction.created", "invoice.finalized"]),
    ("invoice-pay", "post"): ({}, ["invoice_payment.paid", "invoice.paid"]),
    ("invoice-void", "post"): ({}, ["invoice.voided"]),
    ("invoice_payment-list", "post"): ({}, ["invoice_payment.paid", "invoice.updated"]),
    ("invoice_payment-reverse", "post"): ({}, ["invoice.updated"]),
    ("credit_note-list", "post"): ({}, ["credit_note.created", "invoice.updated"]),
    ("credit_note-detail", "post"): ({"memo": "Another"}, ["credit_note.updated"]),
    ("credit_note-void", "post"): ({}, ["credit_note.voided", "invoice.updated"]),
    ("invoice-reissue", "post"): ({}, ["invoice.voided", "invoice.created"]),
    ("invoice-send", "post"): ({}, ["invoice.sent"]),
    ("subscription_schedule-list", "post"): (
        {},
        [
            "invoice.created",
            "invoice.finalized",
            "customer.subscription.created",
            "subscription_schedule.created",
        ],
    ),
    ("subscription_schedule-detail", "post"): ({"metadata[a]": "b"}, ["subscription_schedule.updated"]),
    ("subscription_schedule-cancel", "post"): ({}, ["subscription_schedule.canceled"]),
    ("subscription_schedule-release", "post"): (
        {},
        ["subscription_schedule.released", "subscription_schedule.updated"],
    ),
    ("test_clock-list", "post"): ({}, ["test_helpers.test_clock.created"]),
    ("test_clock-detail", "delete"): ({}, ["test_helpers.test_clock.deleted"]),
    ("test_clock-advance", "post"): ({"frozen_time": "{later}"}, ["test_helpers.test_clock.advancing"]),
    ("credit_grant-list", "post"): ({}, ["billing.credit_grant.created", "billing.credit_balance_transaction.created"]),
    ("credit_grant-detail", "post"): ({"metadata[a]": "b"}, ["billing.credit_grant.updated"]),
    ("credit_grant-expire", "post"): (
        {},
        ["billing.credit_grant.updated", "billing.credit_balance_transaction.created"],
    ),
    ("credit_grant-void", "post"): ({}, ["billing.credit_balance_transaction.created", "billing.credit_grant.updated"]),
}
SILENT: dict[Call, str] = {
    **dict.fromkeys(JSON_CALLS, NOT_TOLD),
    ("meter_event-list", "post"): NOT_TOLD,
    ("meter_event_adjustment-list", "post"): NOT_TOLD,
    ("credit_reservation-list", "post"): NOT_ONE_BY_ONE,
    ("credit_reservation-commit", "post"): NOT_ONE_BY_ONE,
    ("credit_reservation-release", "post"): NOT_ONE_BY_ONE,
    ("balance_transaction-detail", "post"): NO_SUCH_TYPE,
    ("invoice-create-preview", "post"): "it changes nothing",
    ("event-retry", "post"): OUR_OWN,
    ("webhook_endpoint-list", "post"): OUR_OWN,
    ("webhook_endpoint-detail", "post"): OUR_OWN,
    ("webhook_endpoint-detail", "delete"): OUR_OWN,
    ("webhook_endpoint-roll-secret", "post"): OUR_OWN,
}
# Calls whose object has to be in a state of its own, instead of the one that they are called with elsewhere.
ADDRESSES = {
    ("meter-reactivate", "post"): "billing/meters/{closed_meter}/reactivate",
    ("product-detail", "delete"): "products/{unused_product}",
    ("subscription-discount", "delete"): "subscriptions/{discounted}/discount",
    ("subscription-resume", "post"): "subscriptions/{paused}/resume",
    ("invoice_item-detail", "post"): "invoiceitems/{drafted_item}",
    ("invoice_item-detail", "delete"): "invoiceitems/{drafted_item}",
    ("invoice-detail", "delete"): "invoices/{manual}",
}


@pytest.fixture
def world(db: None) -> World:
    world = populate(new_account(), "x")
    v1, ids = world.account.v1, world.ids
    closed_meter = new_meter(world.account, "closed")
    v1.billing.meters.deactivate(closed_meter.id)
    customer = v1.customers.create({"name": "Eve", "coupon": ids["coupon"]}).id
    price = new_price(world.account, product=ids["product"]).id
    discounted = new_subscription(world.account, customer, price, discounts=[{"coupon": ids["coupon"]}])
    paused = new_subscription(world.account, customer, price)
    v1.subscriptions.pause(paused.id, {})
    manual = v1.invoices.create({"customer": ids["customer"], "currency": "usd"}).id
    drafted = {"customer": ids["customer"], "amount": 5, "currency": "usd", "invoice": manual}
    ids |= {
        "closed_meter": closed_meter.id,
        "spare_meter": new_meter(world.account, "spare").id,
        "spare_customer": v1.customers.create({"name": "Spare"}).id,
        "unused_product": v1.products.create({"name": "Unused"}).id,
        "other_price": price,
        "discounted": discounted.id,
        "paused": paused.id,
        "manual": manual,
        "drafted_item": v1.invoice_items.create(drafted).id,
        "later": str(v1.test_helpers.test_clocks.retrieve(ids["clock"]).frozen_time + 60),
    }
    v1.customers.update(ids["customer"], {"coupon": ids["coupon"], "email": "ada@example.com"})
    return world


def test_every_call_that_writes_is_told_of_or_has_a_reason_not_to_be() -> None:
    writing = {call for call in {*CALLS, *JSON_CALLS} if call[1] != "get"}
    assert set(TOLD) | set(SILENT) >= writing
    assert not set(TOLD) & set(SILENT)


def test_every_call_that_writes_leaves_its_events_or_nothing_at_all(world: World) -> None:
    client = Client(headers={"Authorization": f"Bearer {world.account.secret}"}, raise_request_exception=False)

    def fill(text: str) -> str:
        for name, value in world.ids.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def send(call: Call, params: Mapping[str, str]) -> tuple[int, Any, list[str]]:
        """Status and answer, and the types of the events that are new."""
        path = f"/v1/{fill(ADDRESSES.get(call, CALLS[call][0]))}"
        encoded = urlencode({fill(name): fill(value) for name, value in params.items()})
        known = set(Event.objects.values_list("pk", flat=True))
        if call[1] == "post":
            response = client.generic("POST", path, encoded, "application/x-www-form-urlencoded")
        else:
            response = client.generic("DELETE", path, QUERY_STRING=encoded)
        fresh = Event.objects.exclude(pk__in=known).order_by("pk").values_list("type", flat=True)
        return response.status_code, json.loads(response.content), list(fresh)

    left = {}
    for call, (_, _, good) in CALLS.items():
        if call[1] == "get":
            continue
        params, expected = TOLD.get(call, ({}, []))
        with transaction.atomic():
            status, body, told = send(call, {**good, **params})
            assert status == 200, (call, body)
            left[call] = (told, list(expected))
            transaction.set_rollback(True)
        # What is refused at the very end, when all was written, leaves no event behind.
        with transaction.atomic():
            status, body, told = send(call, {**good, **params, "expand[0]": "nonsense"})
            deleted = call[1] == "delete" and status == 200
            assert deleted or (status, told) == (400, []), (call, body)
            transaction.set_rollback(True)
    wrong = {call: told for call, (told, expected) in left.items() if told != expected}
    assert wrong == {}, json.dumps([[*call, *told] for call, told in wrong.items()])


def test_a_discount_is_told_beside_what_it_is_of(world: World) -> None:
    v1, ids = world.account.v1, world.ids
    start = v1.events.list({"limit": 1}).data[0]

    v1.customers.update(ids["spare_customer"], {"coupon": ids["coupon"]})
    v1.subscriptions.update(ids["subscription"], {"discounts": [{"promotion_code": ids["promotion_code"]}]})

    events = list(v1.events.list({"ending_before": start.id}).data)[::-1]
    assert [event.type for event in events] == [
        "customer.discount.created",
        "customer.updated",
        "customer.discount.created",
        "customer.subscription.updated",
    ]
    assert events[1].data.previous_attributes.discount is None
    assert events[3].data.previous_attributes.discounts == []
