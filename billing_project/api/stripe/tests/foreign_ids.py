"""Every address of the dialect, and where ids of another world could be put into a call of it.

The table must name every address and method; a new one without a case here fails (test_tenancy.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver


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
