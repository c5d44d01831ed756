"""Nonsense in every parameter of every call: refused or taken, but never a crash."""

import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import Environment
from billing_project.api.stripe import (
    analytics,
    balance_transactions,
    clocks,
    coupons,
    credit_balance_summary,
    credit_balance_transactions,
    credit_grants,
    credit_notes,
    credit_reservations,
    customers,
    events,
    invoice_items,
    invoice_params,
    invoice_payments,
    meter_event_adjustments,
    meter_event_list,
    meter_events,
    meters,
    plans,
    previews,
    prices,
    products,
    promotion_codes,
    subscription_items,
    subscription_schedules,
    subscription_times,
    subscriptions,
    tax_rates,
    viewsets,
    webhook_endpoints,
)
from billing_project.api.stripe.fields import Array, CreatedListParams, ListParams, Params, RetrieveParams, checked
from billing_project.api.stripe.parsers import Tree, decode
from billing_project.api.stripe.searching import SearchParams
from billing_project.api.stripe.tests.builders import new_meter
from billing_project.api.stripe.tests.foreign_ids import CASES
from billing_project.api.stripe.tests.sdk import new_account
from billing_project.api.stripe.tests.worlds import World, populate
from billing_project.api.stripe.wire import StripeError
from core.tests.examples import costly

RANGE = {"start_time": "1735689600", "end_time": "1735776000"}
NEW_METER = {"display_name": "M", "event_name": "m", "default_aggregation[formula]": "sum"}
EVENT = {"event_name": "calls_x", "payload[stripe_customer_id]": "{customer}", "payload[value]": "1"}
NEW_TAX_RATE = {"display_name": "VAT", "percentage": "19", "inclusive": "false"}
NEW_GRANT = {
    "customer": "{customer}",
    "amount[type]": "monetary",
    "amount[monetary][currency]": "usd",
    "amount[monetary][value]": "100",
    "applicability_config[scope][price_type]": "metered",
}
NEW_RESERVATION = {
    "customer": "{customer}",
    "amount[type]": "monetary",
    "amount[monetary][currency]": "usd",
    "amount[monetary][value]": "1",
}
NEW_PAYMENT = {"invoice": "{settled}", "amount": "1"}
NEW_CREDIT_NOTE = {"invoice": "{settled}", "amount": "1"}
NEW_PLAN = {"currency": "usd", "product": "{product}", "amount": "1", "interval": "month"}
NEW_PRICE = {"currency": "usd", "product": "{product}", "unit_amount": "1", "recurring[interval]": "month"}
NEW_SUBSCRIPTION = {"customer": "{customer}", "items[0][price]": "{price}"}
NEW_SCHEDULE = {"customer": "{customer}", "phases[0][items][0][price]": "{price}"}

# Address, its parameters, and a call of it that is good.
CALLS: dict[tuple[str, str], tuple[str, type[Params], dict[str, str]]] = {
    ("meter-list", "get"): ("billing/meters", meters.MeterListParams, {}),
    ("meter-list", "post"): ("billing/meters", meters.MeterParams, NEW_METER),
    ("meter-detail", "get"): ("billing/meters/{meter}", RetrieveParams, {}),
    ("meter-detail", "post"): ("billing/meters/{meter}", meters.MeterUpdateParams, {}),
    ("meter-deactivate", "post"): ("billing/meters/{spare_meter}/deactivate", RetrieveParams, {}),
    ("meter-reactivate", "post"): ("billing/meters/{meter}/reactivate", RetrieveParams, {}),
    ("meter-event-summaries", "get"): (
        "billing/meters/{meter}/event_summaries",
        meters.SummaryListParams,
        {"customer": "{customer}", **RANGE},
    ),
    ("meter_event-list", "post"): ("billing/meter_events", meter_events.MeterEventParams, EVENT),
    ("analytics-meter-usage", "get"): (
        "billing/analytics/meter_usage",
        analytics.MeterUsageParams,
        {"customer": "{customer}", "meters[0][meter]": "{meter}", **RANGE},
    ),
    ("meter_event-list", "get"): (
        "billing/meter_events",
        meter_event_list.MeterEventListParams,
        {"customer": "{customer}"},
    ),
    ("meter_event_adjustment-list", "post"): (
        "billing/meter_event_adjustments",
        meter_event_adjustments.AdjustmentParams,
        {"event_name": "calls_x", "type": "cancel", "cancel[identifier]": "same everywhere"},
    ),
    ("customer-list", "get"): ("customers", customers.CustomerListParams, {}),
    ("customer-list", "post"): ("customers", customers.NewCustomerParams, {}),
    ("customer-detail", "get"): ("customers/{customer}", RetrieveParams, {}),
    ("customer-detail", "post"): ("customers/{customer}", customers.CustomerParams, {}),
    ("customer-detail", "delete"): ("customers/{spare_customer}", RetrieveParams, {}),
    ("customer-search", "get"): ("customers/search", SearchParams, {"query": 'name~"Ada"'}),
    ("product-search", "get"): ("products/search", SearchParams, {"query": 'name~"Pro"'}),
    ("price-search", "get"): ("prices/search", SearchParams, {"query": 'type:"recurring"'}),
    ("subscription-search", "get"): ("subscriptions/search", SearchParams, {"query": "canceled_at:null"}),
    ("invoice-search", "get"): ("invoices/search", SearchParams, {"query": "total>0"}),
    ("product-list", "get"): ("products", products.ProductListParams, {}),
    ("product-list", "post"): ("products", products.ProductParams, {"name": "P"}),
    ("product-detail", "get"): ("products/{product}", RetrieveParams, {}),
    ("product-detail", "post"): ("products/{product}", products.ProductUpdateParams, {}),
    ("product-detail", "delete"): ("products/{product}", RetrieveParams, {}),
    ("price-list", "get"): ("prices", prices.PriceListParams, {}),
    ("price-list", "post"): ("prices", prices.PriceParams, NEW_PRICE),
    ("price-detail", "get"): ("prices/{price}", RetrieveParams, {}),
    ("price-detail", "post"): ("prices/{price}", prices.PriceUpdateParams, {}),
    ("plan-list", "get"): ("plans", plans.PlanListParams, {}),
    ("plan-list", "post"): ("plans", plans.PlanParams, NEW_PLAN),
    ("plan-detail", "get"): ("plans/{price}", RetrieveParams, {}),
    ("plan-detail", "post"): ("plans/{price}", plans.PlanUpdateParams, {}),
    ("plan-detail", "delete"): ("plans/{price}", RetrieveParams, {}),
    ("coupon-list", "get"): ("coupons", CreatedListParams, {}),
    ("coupon-list", "post"): ("coupons", coupons.CouponParams, {"percent_off": "5"}),
    ("coupon-detail", "get"): ("coupons/{coupon}", RetrieveParams, {}),
    ("coupon-detail", "post"): ("coupons/{coupon}", coupons.CouponUpdateParams, {}),
    ("coupon-detail", "delete"): ("coupons/{coupon}", RetrieveParams, {}),
    ("promotion_code-list", "get"): ("promotion_codes", promotion_codes.PromotionCodeListParams, {}),
    ("promotion_code-list", "post"): ("promotion_codes", promotion_codes.PromotionCodeParams, {"coupon": "{coupon}"}),
    ("promotion_code-detail", "get"): ("promotion_codes/{promotion_code}", RetrieveParams, {}),
    ("promotion_code-detail", "post"): (
        "promotion_codes/{promotion_code}",
        promotion_codes.PromotionCodeUpdateParams,
        {},
    ),
    ("tax_rate-list", "get"): ("tax_rates", tax_rates.TaxRateListParams, {}),
    ("tax_rate-list", "post"): ("tax_rates", tax_rates.TaxRateParams, NEW_TAX_RATE),
    ("tax_rate-detail", "get"): ("tax_rates/{tax_rate}", RetrieveParams, {}),
    ("tax_rate-detail", "post"): ("tax_rates/{tax_rate}", tax_rates.TaxRateUpdateParams, {}),
    ("customer-discount", "delete"): ("customers/{customer}/discount", RetrieveParams, {}),
    ("subscription-discount", "delete"): ("subscriptions/{subscription}/discount", RetrieveParams, {}),
    ("subscription-list", "get"): ("subscriptions", subscriptions.SubscriptionListParams, {}),
    ("subscription-list", "post"): ("subscriptions", subscriptions.SubscriptionParams, NEW_SUBSCRIPTION),
    ("subscription-detail", "get"): ("subscriptions/{subscription}", RetrieveParams, {}),
    ("subscription-detail", "post"): (
        "subscriptions/{subscription}",
        subscriptions.SubscriptionUpdateParams,
        {},
    ),
    ("subscription-detail", "delete"): ("subscriptions/{subscription}", subscriptions.CancelParams, {}),
    ("subscription_schedule-list", "get"): (
        "subscription_schedules",
        subscription_schedules.ScheduleListParams,
        {},
    ),
    ("subscription_schedule-list", "post"): (
        "subscription_schedules",
        subscription_schedules.ScheduleCreationParams,
        NEW_SCHEDULE,
    ),
    ("subscription_schedule-detail", "get"): ("subscription_schedules/{schedule}", RetrieveParams, {}),
    ("subscription_schedule-detail", "post"): (
        "subscription_schedules/{schedule}",
        subscription_schedules.ScheduleUpdateParams,
        {},
    ),
    ("subscription_schedule-release", "post"): (
        "subscription_schedules/{schedule}/release",
        subscription_schedules.ReleaseParams,
        {},
    ),
    ("subscription_schedule-cancel", "post"): (
        "subscription_schedules/{schedule}/cancel",
        subscription_schedules.CancelScheduleParams,
        {},
    ),
    ("subscription_item-list", "get"): (
        "subscription_items",
        subscription_items.ItemListParams,
        {"subscription": "{subscription}"},
    ),
    ("subscription_item-list", "post"): (
        "subscription_items",
        subscription_items.NewItemParams,
        {"subscription": "{subscription}", "price": "{price}"},
    ),
    ("subscription_item-detail", "get"): ("subscription_items/{item}", RetrieveParams, {}),
    ("subscription_item-detail", "post"): ("subscription_items/{item}", subscription_items.ItemUpdateParams, {}),
    ("subscription_item-detail", "delete"): ("subscription_items/{item}", subscription_items.ItemRemovalParams, {}),
    ("invoice_item-list", "get"): ("invoiceitems", invoice_items.InvoiceItemListParams, {}),
    ("invoice_item-list", "post"): (
        "invoiceitems",
        invoice_items.NewInvoiceItemParams,
        {"customer": "{customer}", "amount": "5"},
    ),
    ("invoice_item-detail", "get"): ("invoiceitems/{invoice_item}", RetrieveParams, {}),
    ("invoice_item-detail", "post"): ("invoiceitems/{invoice_item}", invoice_items.InvoiceItemParams, {}),
    ("invoice_item-detail", "delete"): ("invoiceitems/{invoice_item}", RetrieveParams, {}),
    ("balance_transaction-list", "get"): (
        "customers/{customer}/balance_transactions",
        balance_transactions.EntryListParams,
        {},
    ),
    ("balance_transaction-list", "post"): (
        "customers/{customer}/balance_transactions",
        balance_transactions.NewEntryParams,
        {"amount": "-5", "currency": "usd"},
    ),
    ("balance_transaction-detail", "get"): (
        "customers/{customer}/balance_transactions/{entry}",
        RetrieveParams,
        {},
    ),
    ("balance_transaction-detail", "post"): (
        "customers/{customer}/balance_transactions/{entry}",
        balance_transactions.EntryParams,
        {},
    ),
    ("invoice_payment-list", "get"): ("invoice_payments", invoice_payments.PaymentListParams, {}),
    ("invoice_payment-list", "post"): ("invoice_payments", invoice_payments.NewPaymentParams, NEW_PAYMENT),
    ("invoice_payment-detail", "get"): ("invoice_payments/{payment}", RetrieveParams, {}),
    ("invoice_payment-reverse", "post"): (
        "invoice_payments/{payment}/reverse",
        invoice_payments.ReversalParams,
        {},
    ),
    ("credit_note-list", "get"): ("credit_notes", credit_notes.CreditNoteListParams, {}),
    ("credit_note-list", "post"): ("credit_notes", credit_notes.CreditNoteParams, NEW_CREDIT_NOTE),
    ("credit_note-preview", "get"): ("credit_notes/preview", credit_notes.CreditNoteParams, NEW_CREDIT_NOTE),
    ("credit_note-preview-lines", "get"): (
        "credit_notes/preview/lines",
        credit_notes.PreviewLinesParams,
        NEW_CREDIT_NOTE,
    ),
    ("credit_note-detail", "get"): ("credit_notes/{credit_note}", RetrieveParams, {}),
    ("credit_note-detail", "post"): ("credit_notes/{credit_note}", credit_notes.CreditNoteUpdateParams, {}),
    ("credit_note-lines", "get"): ("credit_notes/{credit_note}/lines", ListParams, {}),
    ("credit_note-void", "post"): ("credit_notes/{credit_note}/void", RetrieveParams, {}),
    ("invoice-list", "get"): ("invoices", invoice_params.InvoiceListParams, {}),
    ("invoice-list", "post"): ("invoices", invoice_params.NewInvoiceParams, {"customer": "{customer}"}),
    ("invoice-detail", "post"): ("invoices/{invoice}", invoice_params.InvoiceWordsParams, {}),
    ("invoice-detail", "delete"): ("invoices/{draft}", RetrieveParams, {}),
    ("invoice-mark-uncollectible", "post"): ("invoices/{invoice}/mark_uncollectible", RetrieveParams, {}),
    ("invoice-detail", "get"): ("invoices/{invoice}", RetrieveParams, {}),
    ("invoice-lines", "get"): ("invoices/{draft}/lines", ListParams, {}),
    ("invoice-create-preview", "post"): ("invoices/create_preview", previews.PreviewParams, {"customer": "{customer}"}),
    ("invoice-reissue", "post"): ("invoices/{invoice}/reissue", RetrieveParams, {}),
    ("invoice-send", "post"): ("invoices/{invoice}/send", RetrieveParams, {}),
    ("invoice-finalize", "post"): ("invoices/{draft}/finalize", invoice_params.FinalizeParams, {}),
    ("invoice-pay", "post"): ("invoices/{invoice}/pay", invoice_params.PayParams, {"paid_out_of_band": "true"}),
    ("invoice-void", "post"): ("invoices/{invoice}/void", RetrieveParams, {}),
    ("subscription-pause", "post"): ("subscriptions/{subscription}/pause", subscription_times.PauseParams, {}),
    ("subscription-resume", "post"): ("subscriptions/{subscription}/resume", subscription_times.ResumeParams, {}),
    ("test_clock-list", "get"): ("test_helpers/test_clocks", ListParams, {}),
    ("test_clock-list", "post"): ("test_helpers/test_clocks", clocks.TestClockParams, {"frozen_time": "1735689600"}),
    ("test_clock-detail", "get"): ("test_helpers/test_clocks/{clock}", RetrieveParams, {}),
    ("test_clock-detail", "delete"): ("test_helpers/test_clocks/{clock}", RetrieveParams, {}),
    ("test_clock-advance", "post"): ("test_helpers/test_clocks/{clock}/advance", clocks.AdvanceParams, {}),
    ("credit_grant-list", "get"): ("billing/credit_grants", credit_grants.GrantListParams, {}),
    ("credit_grant-list", "post"): ("billing/credit_grants", credit_grants.GrantParams, NEW_GRANT),
    ("credit_grant-detail", "get"): ("billing/credit_grants/{grant}", RetrieveParams, {}),
    ("credit_grant-detail", "post"): ("billing/credit_grants/{grant}", credit_grants.GrantUpdateParams, {}),
    ("credit_grant-expire", "post"): ("billing/credit_grants/{grant}/expire", RetrieveParams, {}),
    ("credit_grant-void", "post"): ("billing/credit_grants/{grant}/void", RetrieveParams, {}),
    ("credit_reservation-list", "get"): (
        "billing/credit_reservations",
        credit_reservations.ReservationListParams,
        {},
    ),
    ("credit_reservation-list", "post"): (
        "billing/credit_reservations",
        credit_reservations.ReservationParams,
        NEW_RESERVATION,
    ),
    ("credit_reservation-detail", "get"): ("billing/credit_reservations/{reservation}", RetrieveParams, {}),
    ("credit_reservation-commit", "post"): (
        "billing/credit_reservations/{reservation}/commit",
        credit_reservations.CommitParams,
        {},
    ),
    ("credit_reservation-release", "post"): (
        "billing/credit_reservations/{reservation}/release",
        RetrieveParams,
        {},
    ),
    ("credit_balance_summary", "get"): (
        "billing/credit_balance_summary",
        credit_balance_summary.SummaryParams,
        {"customer": "{customer}", "filter[type]": "credit_grant", "filter[credit_grant]": "{grant}"},
    ),
    ("credit_balance_transaction-list", "get"): (
        "billing/credit_balance_transactions",
        credit_balance_transactions.TransactionListParams,
        {"customer": "{customer}"},
    ),
    ("credit_balance_transaction-detail", "get"): (
        "billing/credit_balance_transactions/{credit_transaction}",
        RetrieveParams,
        {},
    ),
    ("event-list", "get"): ("events", events.EventListParams, {}),
    ("event-detail", "get"): ("events/{happened}", RetrieveParams, {}),
    ("event-retry", "post"): ("events/{happened}/retry", events.RetryParams, {"webhook_endpoint": "{endpoint}"}),
    ("webhook_endpoint-list", "get"): ("webhook_endpoints", ListParams, {}),
    ("webhook_endpoint-list", "post"): (
        "webhook_endpoints",
        webhook_endpoints.EndpointParams,
        {"url": "https://example.com/", "enabled_events[0]": "*"},
    ),
    ("webhook_endpoint-detail", "get"): ("webhook_endpoints/{endpoint}", RetrieveParams, {}),
    ("webhook_endpoint-detail", "post"): ("webhook_endpoints/{endpoint}", webhook_endpoints.EndpointUpdateParams, {}),
    ("webhook_endpoint-detail", "delete"): ("webhook_endpoints/{endpoint}", RetrieveParams, {}),
    ("webhook_endpoint-roll-secret", "post"): ("webhook_endpoints/{endpoint}/roll_secret", RetrieveParams, {}),
}

# Below /v2 parameters are JSON: nonsense of its own kind is sent there (v2/tests/test_grammar.py, test_bulk.py).
JSON_CALLS = {call for call in CASES if call[0].startswith("v2-")} | {("meter_event-bulk", "post")}

# What a parameter may be made to look like: the text behind its name, for each.
NONSENSE = [
    ("", ""),
    ("", "x"),
    ("", "-1"),
    ("", "0"),
    ("", "1"),
    ("", "1e5"),
    ("", "0.000000000001"),
    ("", "7258118400"),
    ("", "9223372036854775807"),
    ("", "99999999999999999999999999"),
    ("", "true"),
    ("", "\u0661\u202e\ud7ff\U0010ffff"),
    ("", "x" * 6000),
    ("", "'; DROP TABLE accounts_customer; --"),
    ("", "cus_" + "z" * 26),
    ("", "{customer}"),
    ("", "{meter}"),
    ("", "{price}"),
    ("", "usd"),
    ("", "month"),
    ("", "data.customer"),
    ("[]", ""),
    ("[]", "x"),
    ("[0]", "x"),
    ("[0][price]", "{price}"),
    ("[-1]", "x"),
    ("[99999]", "x"),
    ("[x]", "y"),
    ("[gt]", "99999999999999999999"),
    ("[gt]", "1"),
    ("[x][y][z]", "w"),
    ("[" + "k" * 300 + "]", "v"),
]


def names(params: Params, prefix: str = "") -> Iterator[str]:
    """The wire names of all parameters, with those within hashes and arrays."""
    for name, field in params.get_fields().items():
        path = f"{prefix}[{name}]" if prefix else name
        yield path
        inner = field.child if isinstance(field, Array) else field
        if isinstance(inner, Params):
            yield from names(inner, f"{path}[0]" if isinstance(field, Array) else path)


def test_every_address_is_called() -> None:
    assert set(CALLS) | JSON_CALLS == set(CASES)


@pytest.fixture(scope="module")
def _made_world(lasting_db: None) -> World:
    world = populate(new_account(), "x")
    world.ids["spare_meter"] = new_meter(world.account, "spare").id
    world.ids["spare_customer"] = world.account.v1.customers.create({"name": "Spare"}).id
    return world


@pytest.fixture
def world(_made_world: World, db: None) -> World:
    return _made_world


class Door:
    """Notes by which class of parameters a view checks its calls, and so can tell what it would refuse there."""

    def __init__(self, patch: pytest.MonkeyPatch, environment: Environment) -> None:
        self.environment = environment
        self.params: type[Params] | None = None
        patch.setattr(viewsets, "checked", self._checked)

    def _checked(self, params: type[Params], tree: Tree, environment: Environment) -> dict[str, Any]:
        self.params = params
        return checked(params, tree, environment)

    def refusal(self, encoded: str) -> StripeError | None:
        """Why the view that was called last would get no further than the check. What breaks there breaks here."""
        if self.params is None:
            return None
        try:
            checked(self.params, decode(encoded.encode()), self.environment)
        except StripeError as refusal:
            return refusal
        return None


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_nonsense_never_crashes(world: World, call: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All that gets past the check of parameters is sent, and one thing that does not for each of them: it is the same
    check, and all of its refusals are said in the same way. Runs differ in which nonsense each
    parameter is given.
    """
    path, params, good = CALLS[call]
    client = Client(headers={"Authorization": f"Bearer {world.account.secret}"}, raise_request_exception=False)
    door = Door(monkeypatch, world.account.environment)

    def fill(text: str) -> str:
        for name, value in world.ids.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def send(encoded: str) -> tuple[int, dict[str, Any]]:
        kind = "application/x-www-form-urlencoded"
        if call[1] == "post":
            response = client.generic("POST", f"/v1/{fill(path)}", encoded, kind)
        else:
            response = client.generic(call[1].upper(), f"/v1/{fill(path)}", QUERY_STRING=encoded)
        return response.status_code, json.loads(response.content)

    for name in names(params()):
        refused = False
        for suffix, value in random.sample(NONSENSE, costly(len(NONSENSE), part=6)):
            rest = {other: text for other, text in good.items() if other != name and not other.startswith(f"{name}[")}
            fields = {**rest, name + suffix: value}
            encoded = urlencode({fill(name): fill(text) for name, text in fields.items()})
            refusal = door.refusal(encoded)
            if refusal is not None and refused:
                assert refusal.status in {400, 404}
                assert refusal.message
                assert len(json.dumps([refusal.message, refusal.param])) < 1800
                continue
            refused = refused or refusal is not None
            status, body = send(encoded)
            assert status in {200, 400, 404}, (status, name + suffix, value, body)
            if status != 200:
                assert body["error"]["message"]
                assert len(json.dumps(body)) < 2000
