"""Nothing crosses a wall: two companies, two modes, every address with every id of the others.

The table below must name every address and method of the dialect; a new one without a case here fails.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from django.apps import apps
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import License
from accounts.services import create_company
from accounts.tests.factories import TestClockFactory
from accounts.tests.walls import across_one_wall
from billing_project.api.stripe.kinds import EVENT, METER, TEST_CLOCK
from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_grant,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account, sdk
from core.ids import spell
from invoices.services import close_due_periods
from meters.services import create_currency
from usage.models import EventRejection, MeterEvent
from webhooks.kinds import Kind
from webhooks.services import record_report

DAY = 86400


@dataclass(frozen=True)
class World:
    """One of everything within one wall, and the ids it goes by."""

    account: Account
    ids: dict[str, str]


def populate(account: Account, name: str) -> World:
    meter, customer = new_meter(account, f"calls_{name}"), new_customer(account, name=name)
    own = account.v1.products.create({"name": name, "id": f"own_{name}"})
    price = new_price(account, product=own.id, lookup_key=name)
    metered = new_price(account, meter=meter.id)
    now = int(time.time())
    subscription = new_subscription(
        account, customer.id, price.id, metered.id,
        backdate_start_date=now - DAY, billing_cycle_anchor=now + DAY,
    )  # fmt: skip
    report(account, meter.event_name, customer.id, identifier="same everywhere")
    close_due_periods(now=datetime.fromtimestamp(now + DAY, UTC))
    draft = account.v1.invoices.list({"status": "draft", "subscription": subscription.id}).data[0]
    rejected = record_report(
        environment=account.environment,
        kind=Kind.METER_ERROR_REPORT,
        subject_id=METER.find(METER.rows(account.environment), meter.id).pk,  # type: ignore[union-attr]
        data={"first_received_at": "2026-01-01T00:00:00Z", "last_received_at": "2026-01-01T00:00:00Z", "errors": []},
        now=datetime.fromtimestamp(now, UTC),
    )
    # Of yen, which nothing else here is in, the one is reserved.
    yen = {"type": "monetary", "monetary": {"currency": "jpy", "value": 1}}
    new_grant(account, customer.id, amount=yen)
    grant = new_grant(account, customer.id, 1, name=name)
    reservation = account.sdk.raw_request(
        "post",
        "/v1/billing/credit_reservations",
        customer=customer.id,
        amount=yen,
    ).data["id"]
    unit = create_currency(
        environment=account.environment, name=name, symbol=name, now=datetime.fromtimestamp(now, UTC)
    )
    credited = account.v1.billing.credit_balance_transactions.list({"credit_grant": grant.id}).data[0]
    coupon = account.v1.coupons.create({"percent_off": 5, "duration": "forever"})
    code = account.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}})
    tax_rate = account.v1.tax_rates.create({"display_name": name, "percentage": 19, "inclusive": False})
    # As a row: there are none in live mode, but for the walls that makes no difference.
    clock = TestClockFactory.create(environment=account.environment)
    item = account.v1.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
    entry = account.v1.customers.balance_transactions.create(customer.id, {"amount": -5, "currency": "usd"})
    settled = account.v1.invoices.create({"customer": customer.id})
    account.v1.invoice_items.create({"customer": customer.id, "amount": 90, "currency": "usd", "invoice": settled.id})
    account.v1.invoices.finalize_invoice(settled.id)
    payment = account.sdk.raw_request("post", "/v1/invoice_payments", invoice=settled.id, amount=4).data["id"]
    note = account.v1.credit_notes.create({"invoice": settled.id, "amount": 2})
    schedule = account.v1.subscription_schedules.create(
        {"customer": customer.id, "start_date": now + DAY, "phases": [{"items": [{"price": price.id}]}]}
    )
    ids = {
        "settled": settled.id,
        "payment": payment,
        "credit_note": note.id,
        "credit_note_line": note.lines.data[0].id,
        "schedule": schedule.id,
        "invoice_item": item.id,
        "entry": entry.id,
        "coupon": coupon.id,
        "promotion_code": code.id,
        "tax_rate": tax_rate.id,
        "clock": TEST_CLOCK.id_of(clock),
        "meter": meter.id,
        "event_name": meter.event_name,
        "customer": customer.id,
        "product": own.id,
        "price": price.id,
        "subscription": subscription.id,
        "item": subscription["items"].data[0].id,
        "invoice": subscription.latest_invoice,
        "draft": draft.id,
        "line": draft.lines.data[0].id,
        "event": EVENT.spell(rejected.pk),
        "endpoint": account.v1.webhook_endpoints.create({"url": "https://example.com/", "enabled_events": ["*"]}).id,
        "happened": account.v1.events.list({"type": "customer.created"}).data[0].id,
        "raw_event": account.sdk.raw_request("get", "/v1/billing/meter_events").data["data"][0]["id"],
        "metered": metered.id,
        "grant": grant.id,
        "credit_transaction": credited.id,
        "reservation": reservation,
        "unit": spell("pcur", unit.pk),
        "name": name,
    }
    return World(account, ids)


@pytest.fixture(scope="module")
def _made_worlds(lasting_db: None) -> list[World]:
    companies = [create_company(name=name, licenses=License.Product.values) for name in ("Acme", "Globex")]
    pairs = product(companies, ("test", "live"))
    return [populate(Account(company, mode), f"{company.name}_{mode}") for company, mode in pairs]


@pytest.fixture
def worlds(_made_worlds: list[World], db: None) -> list[World]:
    return _made_worlds


@dataclass(frozen=True)
class Case:
    """A call with ids of another world in it: ``{customer}`` stands for that world's, ``{own.customer}`` for ours."""

    path: str
    params: dict[str, str] | None = None
    # What is answered: 404 for a foreign id in the address, 400 for one among the parameters.
    status: int = 404
    param: str = "id"
    # Below /v2 parameters are JSON, and errors are known by their code alone.
    body: dict[str, Any] | None = None
    code: str = "resource_missing"


def reference(path: str, param: str, value: str, /, **more: str) -> Case:
    """A foreign id among parameters that are good otherwise."""
    return Case(path, {**more, param: value}, 400, param)


def cursors(path: str, value: str, /, **more: str) -> list[Case]:
    return [reference(path, name, value, **more) for name in ("starting_after", "ending_before")]


RANGE = {"start_time": "1735689600", "end_time": "1735776000"}
CREDIT = {"amount[type]": "monetary", "amount[monetary][currency]": "usd", "amount[monetary][value]": "1"}
UNIT = "amount[custom_pricing_unit][custom_pricing_unit]"
UNITS = {"amount[type]": "custom_pricing_unit", "amount[custom_pricing_unit][value]": "1"}
SCOPE = {"applicability_config[scope][price_type]": "metered"}
ALL_CREDIT = {"filter[type]": "applicability_scope", "filter[applicability_scope][price_type]": "metered"}
CURRENCY = {"currency": "usd", "unit_amount": "1"}
METERED = {**CURRENCY, "product": "{own.product}", "recurring[interval]": "month", "recurring[usage_type]": "metered"}

# Empty lists are for calls that take no id at all; the lists among them are looked at in a test of their own.
CASES: dict[tuple[str, str], list[Case]] = {
    ("meter-list", "get"): cursors("billing/meters", "{meter}"),
    ("meter-list", "post"): [],
    ("meter-detail", "get"): [Case("billing/meters/{meter}")],
    ("meter-detail", "post"): [Case("billing/meters/{meter}", {"display_name": "stolen"})],
    ("meter-deactivate", "post"): [Case("billing/meters/{meter}/deactivate")],
    ("meter-reactivate", "post"): [Case("billing/meters/{meter}/reactivate")],
    ("meter-event-summaries", "get"): [
        Case("billing/meters/{meter}/event_summaries", {"customer": "{own.customer}", **RANGE}),
        reference("billing/meters/{own.meter}/event_summaries", "customer", "{customer}", **RANGE),
    ],
    # A foreign customer among the payload is looked at in a test of its own.
    ("meter_event-list", "post"): [
        Case(
            "billing/meter_events",
            {"event_name": "{event_name}", "payload[stripe_customer_id]": "{customer}", "payload[value]": "1"},
            400,
            "event_name",
        )
    ],
    ("analytics-meter-usage", "get"): [
        reference("billing/analytics/meter_usage", "customer", "{customer}", **RANGE),
        reference("billing/analytics/meter_usage", "meters[0][meter]", "{meter}", customer="{own.customer}", **RANGE),
    ],
    ("meter_event-list", "get"): [
        *cursors("billing/meter_events", "{raw_event}"),
        *cursors("billing/meter_events", "{raw_event}", customer="{own.customer}"),
        reference("billing/meter_events", "customer", "{customer}"),
        reference("billing/meter_events", "meter", "{meter}", customer="{own.customer}"),
        reference("billing/meter_events", "meter", "{meter}", state="rejected"),
    ],
    ("meter_event_adjustment-list", "post"): [
        Case(
            "billing/meter_event_adjustments",
            {"event_name": "{event_name}", "type": "cancel", "cancel[identifier]": "same everywhere"},
            400,
            "cancel[identifier]",
        ),
    ],
    # Answered line by line: looked at in a test of its own.
    ("meter_event-bulk", "post"): [],
    ("v2-meter_event-list", "post"): [
        Case(
            "/v2/billing/meter_events",
            status=400,
            body={"event_name": "{event_name}", "payload": {"stripe_customer_id": "{customer}", "value": "1"}},
            code="no_meter",
        ),
    ],
    # Of a session's events nothing can be said in the call: they are looked at in a test of their own.
    ("v2-meter_event_session-list", "post"): [],
    ("v2-meter_event_stream-list", "post"): [],
    ("v2-meter_event_adjustment-list", "post"): [
        Case(
            "/v2/billing/meter_event_adjustments",
            status=400,
            body={"event_name": "{event_name}", "type": "cancel", "cancel": {"identifier": "same everywhere"}},
            code="invalid_cancel_configuration",
        ),
    ],
    # A filter by a foreign object finds nothing: looked at in a test of its own.
    ("v2-event-list", "get"): [
        Case("/v2/core/events", {"page": "next_{event}"}, status=400),
        Case("/v2/core/events", {"page": "prev_{event}"}, status=400),
    ],
    ("v2-event-detail", "get"): [Case("/v2/core/events/{event}")],
    ("event-list", "get"): cursors("events", "{happened}"),
    ("event-detail", "get"): [Case("events/{happened}")],
    ("event-retry", "post"): [
        Case("events/{happened}/retry", {"webhook_endpoint": "{own.endpoint}"}),
        reference("events/{own.happened}/retry", "webhook_endpoint", "{endpoint}"),
    ],
    ("webhook_endpoint-list", "get"): cursors("webhook_endpoints", "{endpoint}"),
    ("webhook_endpoint-list", "post"): [],
    ("webhook_endpoint-detail", "get"): [Case("webhook_endpoints/{endpoint}")],
    ("webhook_endpoint-detail", "post"): [Case("webhook_endpoints/{endpoint}", {"description": "stolen"})],
    ("webhook_endpoint-detail", "delete"): [Case("webhook_endpoints/{endpoint}")],
    ("webhook_endpoint-roll-secret", "post"): [Case("webhook_endpoints/{endpoint}/roll_secret")],
    ("customer-list", "get"): [
        *cursors("customers", "{customer}"),
        reference("customers", "test_clock", "{clock}"),
    ],
    # A search finds nothing of others': looked at in test_search.py.
    **{(f"{name}-search", "get"): [] for name in ("customer", "product", "price", "subscription", "invoice")},
    ("customer-list", "post"): [
        reference("customers", "test_clock", "{clock}"),
        reference("customers", "default_tax_rates[0]", "{tax_rate}"),
    ],
    ("customer-detail", "get"): [Case("customers/{customer}")],
    ("customer-detail", "post"): [Case("customers/{customer}", {"name": "stolen"})],
    ("customer-detail", "delete"): [Case("customers/{customer}")],
    ("product-list", "get"): cursors("products", "{product}"),
    ("product-list", "post"): [],
    ("product-detail", "get"): [Case("products/{product}")],
    ("product-detail", "post"): [Case("products/{product}", {"name": "stolen"})],
    ("product-detail", "delete"): [Case("products/{product}")],
    ("price-list", "get"): [
        *cursors("prices", "{price}"),
        reference("prices", "product", "{product}"),
        reference("prices", "recurring[meter]", "{meter}"),
    ],
    ("price-list", "post"): [
        reference("prices", "product", "{product}", **CURRENCY),
        reference("prices", "recurring[meter]", "{meter}", **METERED),
    ],
    ("plan-list", "get"): [*cursors("plans", "{price}"), reference("plans", "product", "{product}")],
    ("plan-list", "post"): [
        reference("plans", "product", "{product}", currency="usd", interval="month", amount="1"),
        reference(
            "plans",
            "meter",
            "{meter}",
            currency="usd",
            interval="month",
            amount="1",
            product="{own.product}",
            usage_type="metered",
        ),
    ],
    ("plan-detail", "get"): [Case("plans/{price}", param="plan")],
    ("plan-detail", "post"): [Case("plans/{price}", {"nickname": "stolen"}, param="plan")],
    ("plan-detail", "delete"): [Case("plans/{price}", param="plan")],
    ("coupon-list", "get"): cursors("coupons", "{coupon}"),
    ("coupon-list", "post"): [reference("coupons", "applies_to[products][0]", "{product}", percent_off="5")],
    ("coupon-detail", "get"): [Case("coupons/{coupon}", param="coupon")],
    ("coupon-detail", "post"): [Case("coupons/{coupon}", {"name": "stolen"}, param="coupon")],
    ("coupon-detail", "delete"): [Case("coupons/{coupon}", param="coupon")],
    ("promotion_code-list", "get"): [
        *cursors("promotion_codes", "{promotion_code}"),
        reference("promotion_codes", "coupon", "{coupon}"),
        reference("promotion_codes", "customer", "{customer}"),
    ],
    ("promotion_code-list", "post"): [
        reference("promotion_codes", "coupon", "{coupon}"),
        reference("promotion_codes", "promotion[coupon]", "{coupon}", **{"promotion[type]": "coupon"}),
        reference("promotion_codes", "customer", "{customer}", coupon="{own.coupon}"),
    ],
    ("promotion_code-detail", "get"): [Case("promotion_codes/{promotion_code}", param="promotion_code")],
    ("promotion_code-detail", "post"): [
        Case("promotion_codes/{promotion_code}", {"active": "false"}, param="promotion_code")
    ],
    ("tax_rate-list", "get"): cursors("tax_rates", "{tax_rate}"),
    ("tax_rate-list", "post"): [],
    ("tax_rate-detail", "get"): [Case("tax_rates/{tax_rate}", param="tax_rate")],
    ("tax_rate-detail", "post"): [Case("tax_rates/{tax_rate}", {"active": "false"}, param="tax_rate")],
    ("customer-discount", "delete"): [Case("customers/{customer}/discount")],
    ("subscription-discount", "delete"): [Case("subscriptions/{subscription}/discount")],
    ("price-detail", "get"): [Case("prices/{price}", param="price")],
    ("price-detail", "post"): [Case("prices/{price}", {"nickname": "stolen"}, param="price")],
    ("test_clock-list", "get"): cursors("test_helpers/test_clocks", "{clock}"),
    ("test_clock-list", "post"): [],
    ("test_clock-detail", "get"): [Case("test_helpers/test_clocks/{clock}")],
    ("test_clock-detail", "delete"): [Case("test_helpers/test_clocks/{clock}", {})],
    ("test_clock-advance", "post"): [Case("test_helpers/test_clocks/{clock}/advance", {"frozen_time": "4102444800"})],
    ("subscription-pause", "post"): [Case("subscriptions/{subscription}/pause")],
    ("subscription-resume", "post"): [Case("subscriptions/{subscription}/resume")],
    ("subscription-list", "get"): [
        *cursors("subscriptions", "{subscription}"),
        reference("subscriptions", "customer", "{customer}"),
        reference("subscriptions", "price", "{price}"),
        reference("subscriptions", "plan", "{price}"),
        reference("subscriptions", "test_clock", "{clock}"),
    ],
    ("subscription-list", "post"): [
        reference("subscriptions", "customer", "{customer}", **{"items[0][price]": "{own.price}"}),
        reference("subscriptions", "items[0][price]", "{price}", customer="{own.customer}"),
        reference("subscriptions", "items[0][plan]", "{price}", customer="{own.customer}"),
    ],
    ("subscription-detail", "get"): [Case("subscriptions/{subscription}")],
    ("subscription-detail", "post"): [
        Case("subscriptions/{subscription}", {"metadata[a]": "stolen"}),
        reference("subscriptions/{own.subscription}", "items[0][id]", "{item}"),
        reference("subscriptions/{own.subscription}", "items[0][price]", "{price}"),
        reference("subscriptions/{own.subscription}", "items[0][plan]", "{price}"),
        reference(
            "subscriptions/{own.subscription}", "items[0][tax_rates][0]", "{tax_rate}", **{"items[0][id]": "{own.item}"}
        ),
        reference(
            "subscriptions/{own.subscription}",
            "items[0][discounts][0][coupon]",
            "{coupon}",
            **{"items[0][id]": "{own.item}"},
        ),
        reference(
            "subscriptions/{own.subscription}",
            "items[0][price_data][product]",
            "{product}",
            **{
                "items[0][price_data][currency]": "usd",
                "items[0][price_data][unit_amount]": "1",
                "items[0][price_data][recurring][interval]": "month",
            },
        ),
    ],
    ("subscription-detail", "delete"): [Case("subscriptions/{subscription}", {"invoice_now": "true"})],
    ("subscription_schedule-list", "get"): [
        *cursors("subscription_schedules", "{schedule}"),
        reference("subscription_schedules", "customer", "{customer}"),
    ],
    ("subscription_schedule-list", "post"): [
        reference("subscription_schedules", "customer", "{customer}", **{"phases[0][items][0][price]": "{own.price}"}),
        reference("subscription_schedules", "from_subscription", "{subscription}"),
        reference("subscription_schedules", "phases[0][items][0][price]", "{price}", customer="{own.customer}"),
        reference("subscription_schedules", "phases[0][items][0][plan]", "{price}", customer="{own.customer}"),
        reference(
            "subscription_schedules",
            "phases[0][add_invoice_items][0][price]",
            "{price}",
            **{"customer": "{own.customer}", "phases[0][items][0][price]": "{own.price}"},
        ),
        reference(
            "subscription_schedules",
            "phases[0][discounts][0][coupon]",
            "{coupon}",
            **{"customer": "{own.customer}", "phases[0][items][0][price]": "{own.price}"},
        ),
        reference(
            "subscription_schedules",
            "phases[0][default_tax_rates][0]",
            "{tax_rate}",
            **{"customer": "{own.customer}", "phases[0][items][0][price]": "{own.price}"},
        ),
    ],
    ("subscription_schedule-detail", "get"): [Case("subscription_schedules/{schedule}")],
    ("subscription_schedule-detail", "post"): [
        Case("subscription_schedules/{schedule}", {"metadata[a]": "stolen"}),
        reference("subscription_schedules/{own.schedule}", "phases[0][items][0][price]", "{price}"),
    ],
    ("subscription_schedule-release", "post"): [Case("subscription_schedules/{schedule}/release")],
    ("subscription_schedule-cancel", "post"): [Case("subscription_schedules/{schedule}/cancel")],
    ("subscription_item-list", "get"): [
        reference("subscription_items", "subscription", "{subscription}"),
        *cursors("subscription_items", "{item}", subscription="{own.subscription}"),
    ],
    ("subscription_item-list", "post"): [
        reference("subscription_items", "subscription", "{subscription}", price="{own.price}"),
        reference("subscription_items", "price", "{price}", subscription="{own.subscription}"),
    ],
    ("subscription_item-detail", "get"): [Case("subscription_items/{item}")],
    ("credit_grant-list", "get"): [
        *cursors("billing/credit_grants", "{grant}"),
        reference("billing/credit_grants", "customer", "{customer}"),
    ],
    ("credit_grant-list", "post"): [
        reference("billing/credit_grants", "customer", "{customer}", **CREDIT, **SCOPE),
        reference("billing/credit_grants", UNIT, "{unit}", **UNITS, **SCOPE, customer="{own.customer}"),
        reference(
            "billing/credit_grants",
            "applicability_config[scope][prices][0][id]",
            "{metered}",
            customer="{own.customer}",
            **CREDIT,
        ),
    ],
    ("credit_grant-detail", "get"): [Case("billing/credit_grants/{grant}")],
    ("credit_grant-detail", "post"): [Case("billing/credit_grants/{grant}", {"metadata[name]": "stolen"})],
    ("credit_grant-expire", "post"): [Case("billing/credit_grants/{grant}/expire")],
    ("credit_grant-void", "post"): [Case("billing/credit_grants/{grant}/void")],
    ("credit_reservation-list", "get"): [
        *cursors("billing/credit_reservations", "{reservation}"),
        reference("billing/credit_reservations", "customer", "{customer}"),
    ],
    ("credit_reservation-list", "post"): [
        reference("billing/credit_reservations", "customer", "{customer}", **CREDIT),
        reference("billing/credit_reservations", UNIT, "{unit}", **UNITS, customer="{own.customer}"),
    ],
    ("credit_reservation-detail", "get"): [Case("billing/credit_reservations/{reservation}")],
    ("credit_reservation-commit", "post"): [Case("billing/credit_reservations/{reservation}/commit")],
    ("credit_reservation-release", "post"): [Case("billing/credit_reservations/{reservation}/release")],
    ("credit_balance_summary", "get"): [
        reference("billing/credit_balance_summary", "customer", "{customer}", **ALL_CREDIT),
        reference(
            "billing/credit_balance_summary",
            "filter[credit_grant]",
            "{grant}",
            customer="{own.customer}",
            **{"filter[type]": "credit_grant"},
        ),
        reference(
            "billing/credit_balance_summary",
            "filter[applicability_scope][prices][0][id]",
            "{metered}",
            customer="{own.customer}",
            **{"filter[type]": "applicability_scope"},
        ),
    ],
    ("credit_balance_transaction-list", "get"): [
        *cursors("billing/credit_balance_transactions", "{credit_transaction}"),
        reference("billing/credit_balance_transactions", "customer", "{customer}"),
        reference("billing/credit_balance_transactions", "credit_grant", "{grant}"),
    ],
    ("credit_balance_transaction-detail", "get"): [Case("billing/credit_balance_transactions/{credit_transaction}")],
    ("subscription_item-detail", "post"): [
        Case("subscription_items/{item}", {"quantity": "5"}),
        reference("subscription_items/{own.item}", "price", "{price}"),
        reference("subscription_items/{own.item}", "tax_rates[0]", "{tax_rate}"),
        reference("subscription_items/{own.item}", "discounts[0][promotion_code]", "{promotion_code}"),
    ],
    ("subscription_item-detail", "delete"): [Case("subscription_items/{item}")],
    ("invoice_item-list", "get"): [
        *cursors("invoiceitems", "{invoice_item}"),
        reference("invoiceitems", "customer", "{customer}"),
        reference("invoiceitems", "invoice", "{invoice}"),
    ],
    ("invoice_item-list", "post"): [
        reference("invoiceitems", "customer", "{customer}", amount="1"),
        reference("invoiceitems", "price", "{price}", customer="{own.customer}"),
        reference(
            "invoiceitems",
            "price_data[product]",
            "{product}",
            customer="{own.customer}",
            **{"price_data[currency]": "usd", "price_data[unit_amount]": "1"},
        ),
        reference("invoiceitems", "subscription", "{subscription}", customer="{own.customer}", amount="1"),
        reference("invoiceitems", "invoice", "{draft}", customer="{own.customer}", amount="1"),
        reference("invoiceitems", "tax_rates[0]", "{tax_rate}", customer="{own.customer}", amount="1"),
        reference("invoiceitems", "discounts[0][coupon]", "{coupon}", customer="{own.customer}", amount="1"),
    ],
    ("invoice_item-detail", "get"): [Case("invoiceitems/{invoice_item}")],
    ("invoice_item-detail", "post"): [
        Case("invoiceitems/{invoice_item}", {"amount": "1"}),
        reference("invoiceitems/{own.invoice_item}", "price", "{price}"),
        reference("invoiceitems/{own.invoice_item}", "tax_rates[0]", "{tax_rate}"),
        reference("invoiceitems/{own.invoice_item}", "discounts[0][promotion_code]", "{promotion_code}"),
    ],
    ("invoice_item-detail", "delete"): [Case("invoiceitems/{invoice_item}")],
    ("balance_transaction-list", "get"): [
        Case("customers/{customer}/balance_transactions", param="customer"),
        *cursors("customers/{own.customer}/balance_transactions", "{entry}"),
        reference("customers/{own.customer}/balance_transactions", "invoice", "{invoice}"),
    ],
    ("balance_transaction-list", "post"): [
        Case("customers/{customer}/balance_transactions", {"amount": "-1", "currency": "usd"}, param="customer"),
    ],
    ("balance_transaction-detail", "get"): [
        Case("customers/{customer}/balance_transactions/{entry}", param="customer"),
        Case("customers/{own.customer}/balance_transactions/{entry}"),
    ],
    ("balance_transaction-detail", "post"): [
        Case("customers/{customer}/balance_transactions/{entry}", {"description": "stolen"}, param="customer"),
        Case("customers/{own.customer}/balance_transactions/{entry}", {"description": "stolen"}),
    ],
    ("invoice-list", "get"): [
        *cursors("invoices", "{invoice}"),
        reference("invoices", "customer", "{customer}"),
        reference("invoices", "subscription", "{subscription}"),
    ],
    ("invoice-list", "post"): [
        reference("invoices", "customer", "{customer}"),
        reference("invoices", "subscription", "{subscription}", customer="{own.customer}"),
        reference("invoices", "default_tax_rates[0]", "{tax_rate}", customer="{own.customer}"),
        reference("invoices", "discounts[0][coupon]", "{coupon}", customer="{own.customer}"),
        reference("invoices", "from_invoice[invoice]", "{invoice}", **{"from_invoice[action]": "revision"}),
    ],
    ("invoice-detail", "get"): [Case("invoices/{invoice}"), Case("invoices/{draft}")],
    ("invoice-detail", "post"): [
        Case("invoices/{invoice}", {"description": "stolen"}),
        reference("invoices/{own.draft}", "default_tax_rates[0]", "{tax_rate}"),
        reference("invoices/{own.draft}", "discounts[0][promotion_code]", "{promotion_code}"),
    ],
    ("invoice-detail", "delete"): [Case("invoices/{draft}")],
    ("invoice-mark-uncollectible", "post"): [Case("invoices/{invoice}/mark_uncollectible")],
    ("invoice-lines", "get"): [
        Case("invoices/{invoice}/lines"),
        *cursors("invoices/{own.draft}/lines", "{line}"),
    ],
    ("invoice-create-preview", "post"): [
        reference("invoices/create_preview", "customer", "{customer}"),
        reference("invoices/create_preview", "subscription", "{subscription}"),
        reference("invoices/create_preview", "discounts[0][coupon]", "{coupon}", customer="{own.customer}"),
        reference("invoices/create_preview", "subscription", "{subscription}", customer="{own.customer}"),
    ],
    ("invoice-finalize", "post"): [Case("invoices/{draft}/finalize")],
    ("invoice-pay", "post"): [Case("invoices/{invoice}/pay", {"paid_out_of_band": "true"})],
    ("invoice-reissue", "post"): [Case("invoices/{invoice}/reissue")],
    ("invoice-send", "post"): [Case("invoices/{invoice}/send")],
    ("invoice-void", "post"): [Case("invoices/{invoice}/void")],
    ("invoice_payment-list", "get"): [
        *cursors("invoice_payments", "{payment}"),
        reference("invoice_payments", "invoice", "{settled}"),
    ],
    ("invoice_payment-list", "post"): [reference("invoice_payments", "invoice", "{settled}", amount="1")],
    ("invoice_payment-detail", "get"): [Case("invoice_payments/{payment}")],
    ("invoice_payment-reverse", "post"): [Case("invoice_payments/{payment}/reverse")],
    ("credit_note-list", "get"): [
        *cursors("credit_notes", "{credit_note}"),
        reference("credit_notes", "invoice", "{settled}"),
        reference("credit_notes", "customer", "{customer}"),
    ],
    ("credit_note-list", "post"): [
        reference("credit_notes", "invoice", "{settled}", amount="1"),
        reference(
            "credit_notes",
            "lines[0][invoice_line_item]",
            "{line}",
            invoice="{own.settled}",
            **{"lines[0][type]": "invoice_line_item"},
        ),
    ],
    ("credit_note-preview", "get"): [reference("credit_notes/preview", "invoice", "{settled}", amount="1")],
    ("credit_note-preview-lines", "get"): [reference("credit_notes/preview/lines", "invoice", "{settled}", amount="1")],
    ("credit_note-detail", "get"): [Case("credit_notes/{credit_note}")],
    ("credit_note-detail", "post"): [Case("credit_notes/{credit_note}", {"memo": "stolen"})],
    ("credit_note-lines", "get"): [
        Case("credit_notes/{credit_note}/lines"),
        *cursors("credit_notes/{own.credit_note}/lines", "{credit_note_line}"),
    ],
    ("credit_note-void", "post"): [Case("credit_notes/{credit_note}/void")],
}


def addresses(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and method of everything that is mounted below /v1 and /v2."""
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.lstrip("^").startswith(("v1/", "v2/")):
            # Viewsets know their methods, and so do plain views; the oldest of these takes POST only.
            for method in getattr(pattern.callback, "actions", {"post": "post"}):
                # Which methods a router lists it adds HEAD to, once it was called; ours answers none.
                if method != "head":
                    yield str(pattern.name), method


def test_every_address_has_a_case() -> None:
    assert set(addresses(get_resolver().url_patterns)) == set(CASES)


class Names:
    """Fills in ids: the other world's by their name, our own behind ``own.``."""

    def __init__(self, own: World, other: World) -> None:
        self.values = {f"{{{name}}}": value for name, value in other.ids.items()}
        self.values |= {f"{{own.{name}}}": value for name, value in own.ids.items()}

    def __call__(self, text: str) -> str:
        for name, value in self.values.items():
            text = text.replace(name, value)
        assert not re.search(r"\{[a-z]", text)
        return text


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that belongs to an environment, but for what looking leaves behind."""
    kept = {}
    for model in apps.get_models():
        if "environment" in {field.name for field in model._meta.get_fields()} and model._meta.managed:
            rows = model._default_manager.order_by("pk").values()
            kept[model._meta.label] = [{k: v for k, v in row.items() if k != "last_used_at"} for row in rows]
    return kept


def test_every_address_given_anothers_ids_finds_nothing_and_changes_nothing(worlds: list[World]) -> None:
    before = everything()
    assert len(before["invoices.Invoice"]) == 12
    calls = 0
    for own, other in across_one_wall(worlds):
        client = Client(headers={"Authorization": f"Bearer {own.account.secret}"})
        fill = Names(own, other)
        for (_, method), cases in CASES.items():
            for case in cases:
                params = {fill(name): fill(value) for name, value in (case.params or {}).items()}
                path = fill(case.path if case.path.startswith("/") else f"/v1/{case.path}")
                sent: dict[str, Any]
                if case.body is not None:
                    sent = {"data": fill(json.dumps(case.body)), "content_type": "application/json"}
                else:
                    sent = {"query_params": params} if method != "post" else form(params)
                response = getattr(client, method)(path, **sent)
                error = json.loads(response.content)["error"]
                assert response.status_code == case.status, (method, case, error)
                if not path.startswith("/v2/"):
                    assert error["param"] == case.param, (method, case, error)
                if case.param != "event_name":
                    assert error["code"] == case.code, (method, case, error)
                # The refusal tells nothing of what is behind the wall.
                assert other.ids["name"] not in json.dumps(error).replace(other.ids["product"], "").replace(
                    other.ids["event_name"], ""
                )
                calls += 1
    assert calls > 500
    assert everything() == before


def form(params: dict[str, str]) -> dict[str, Any]:
    return {"data": urlencode(params), "content_type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "path",
    [
        "billing/meters",
        "customers",
        "products",
        "prices",
        "subscriptions",
        "invoices",
        "billing/credit_grants",
        "billing/credit_reservations",
        "billing/credit_balance_transactions",
    ],
)
def test_lists_never_mix(worlds: list[World], path: str) -> None:
    seen: list[str] = []
    for world in worlds:
        client = Client(headers={"Authorization": f"Bearer {world.account.secret}"})
        listed = json.loads(client.get(f"/v1/{path}", {"limit": 100}).content)
        own = [row["id"] for row in listed["data"]]
        assert own
        assert {row["livemode"] for row in listed["data"]} == {world.account.environment.is_live}
        seen += own
    assert len(seen) == len(set(seen))
    for world in worlds:
        client = Client(headers={"Authorization": f"Bearer {world.account.secret}"})
        # Filters by a caller's own words find the caller's own rows only.
        for other in worlds:
            for query in (
                {"email": other.ids["name"]},
                {"ids[]": other.ids["product"]},
                {"lookup_keys[]": other.ids["name"]},
            ):
                if (path, *query) in {("products", "ids[]"), ("prices", "lookup_keys[]")}:
                    found = json.loads(client.get(f"/v1/{path}", query).content)["data"]
                    assert len(found) == (1 if other is world else 0)


def test_usage_for_a_foreign_customer_is_nobodys(worlds: list[World]) -> None:
    counted = MeterEvent.objects.count()
    for own in worlds:
        for other in worlds:
            if other is not own:
                report(own.account, own.ids["event_name"], other.ids["customer"])
    assert MeterEvent.objects.count() == counted == 4
    assert EventRejection.objects.count() == 12


def test_a_backfill_stays_within_its_own_wall(worlds: list[World]) -> None:
    before = everything()
    for own in worlds:
        client = Client(headers={"Authorization": f"Bearer {own.account.secret}"})
        for other in (world for world in worlds if world is not own):
            lines = [
                {"event_name": event, "payload": {"stripe_customer_id": customer, "value": "1"}, "identifier": "i"}
                for event, customer in (
                    (other.ids["event_name"], own.ids["customer"]),
                    (own.ids["event_name"], other.ids["customer"]),
                )
            ]
            body = "\n".join(json.dumps({**line, "timestamp": int(time.time())}) for line in lines)
            response = client.post("/v1/billing/meter_events/bulk", body, content_type="application/x-ndjson")
            results = json.loads(response.content)["results"]
            assert [result["error"]["param"] for result in results] == ["event_name", "payload"]
    assert everything() == before


def test_thin_events_are_each_worlds_own(worlds: list[World]) -> None:
    for own in worlds:
        events = own.account.sdk.v2.core.events
        (event,) = events.list().data
        assert event.id == own.ids["event"]
        assert event.livemode is own.account.environment.is_live
        for other in worlds:
            assert len(events.list({"object_id": other.ids["meter"]}).data) == (other is own)


def test_a_session_reports_within_its_own_wall(worlds: list[World]) -> None:
    counted = MeterEvent.objects.count()
    for own in worlds:
        token = own.account.sdk.v2.billing.meter_event_session.create({}).authentication_token
        foreign = [
            {"event_name": event, "payload": {"stripe_customer_id": customer, "value": "1"}}
            for other in worlds
            if other is not own
            for event, customer in (
                (other.ids["event_name"], own.ids["customer"]),
                (own.ids["event_name"], other.ids["customer"]),
            )
        ]
        sdk(token).v2.billing.meter_event_stream.create({"events": foreign})  # type: ignore[typeddict-item]
    assert MeterEvent.objects.count() == counted
    for own in worlds:
        rejected = EventRejection.objects.filter(environment=own.account.environment)
        assert (
            sorted(rejected.values_list("code", flat=True)) == ["meter_event_customer_not_found"] * 3 + ["no_meter"] * 3
        )


def test_the_same_names_do_not_meet(worlds: list[World]) -> None:
    """Event names, product ids, lookup keys, identifiers and idempotency keys are each world's own."""
    for world in worlds:
        new_meter(world.account, "shared")
        world.account.v1.products.create({"name": "P", "id": "shared"})
        new_price(world.account, lookup_key="shared")
        options = {"idempotency_key": "shared"}
        customer = world.account.v1.customers.create({"name": world.ids["name"]}, options)
        assert customer.name == world.ids["name"]
        event = report(world.account, "shared", customer.id, identifier="shared")
        assert event.livemode is world.account.environment.is_live
    with pytest.raises(stripe.InvalidRequestError):
        new_meter(worlds[0].account, "shared")
