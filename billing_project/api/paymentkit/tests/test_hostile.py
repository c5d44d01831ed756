"""Nonsense in every field of every call: refused or taken, but never a crash."""

import json
import random
from typing import Any
from urllib.parse import urlencode

import pytest

from accounts.models import Mode
from accounts.services import create_company
from billing_project.api.paymentkit.tests.caller import BOTH, Caller
from billing_project.api.paymentkit.tests.test_grammar import ROUTES
from billing_project.api.paymentkit.tests.test_tenancy import World, ask, calls

NONSENSE: list[Any] = [
    "", " ", "\0", "\ud800", "x" * 5000, "ключ", "null", "1e999", "-0", "0", -1, 0, 2**63, 10**400, 1.5, 1e308, True, [], [[]],
    [None], {}, {"a": {}}, {"\0": "\0"}, [{"a": 1}], "../..", "prod_" + "z" * 26, "'; DROP TABLE x; --", "2026-01-01",
]  # fmt: skip
# What bodies may say, by route, beside what the walk over the walls says; the rest is a path.
WORDS: dict[str, list[str]] = {
    "products": ["name", "type", "description", "images", "features", "unit_label", "metadata", "active", "prices"],
    "prices": [
        "product_id", "type", "model", "unit_amount", "currency_id", "currency_options", "recurring", "tiers",
        "tiers_mode", "transform_quantity", "lookup_key", "nickname", "metadata", "active", "tax_behavior",
        "custom_unit_amount",
    ],
    "price": ["nickname", "active", "lookup_key", "metadata", "unit_amount"],
    "product": ["name", "description", "unit_label", "active", "default_price_id", "metadata", "images"],
    "subscriptions": [
        "customer_id", "items", "currency_id", "trial_period_days", "trial_end", "description", "metadata",
        "days_until_due", "billing_cycle_anchor", "collection_method", "proration_behavior", "service_actions",
        "cancel_at", "cancel_at_period_end",
    ],
    "subscription": [
        "items", "description", "metadata", "collection_method", "days_until_due", "trial_end", "cancel_at",
        "cancel_at_period_end", "proration_behavior",
    ],
    "subscription-cancel": ["at", "time", "refund", "feedback", "comment", "reason", "staking", "slashReason"],
    "subscription-items": ["subscription_id", "price_id", "quantity", "metadata"],
    "subscription-item": ["price_id", "quantity", "metadata", "billing_thresholds"],
    "usage-records": ["subscription_item_id", "quantity", "action", "timestamp", "metadata", "identifier"],
    "invoice": ["metadata"],
    "recharge-submit": [
        "customer_id", "currency_id", "enabled", "threshold", "recharge_currency_id", "price_id", "quantity",
        "daily_limits", "payment_method_id",
    ],
    "recharge-config": ["base_price_id", "checkout_url", "settings", "payment_link_id"],
    "recurring-support": ["currency_ids"],
    "meters": ["name", "event_name", "unit", "description", "metadata", "aggregation_method", "currency_id", "decimal"],
    "meter": ["name", "unit", "description", "metadata", "status"],
    "meter-events": ["event_name", "identifier", "timestamp", "payload", "metadata", "source_data"],
    "grants": [
        "customer_id", "currency_id", "amount", "category", "name", "priority", "effective_at", "expires_at",
        "applicability_config", "metadata",
    ],
    "grant": ["metadata", "expired"],
    "customer": ["name", "email", "phone", "address", "metadata", "create"],
    "currency": ["name", "symbol", "description", "metadata"],
}  # fmt: skip
QUERIES = [
    "page", "pageSize", "status", "customer_id", "customer_did", "subscription_id", "currency_id", "product_id", "active",
    "type", "lookup_key", "name", "description", "query", "q", "metadata.a", "metadata.\0", "order", "activeFirst",
    "ignore_zero", "include_staking", "subscription_item_id", "meter_id", "start", "end", "granularity", "did",
    "event_name", "include_grants", "livemode", "pending_amount", "category", "timezone_offset",
    "max_recharge_times", "max_pending_amount", "credit_grant_id", "source",
]  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    return World(Caller(create_company(name="Acme", licenses=BOTH), Mode.TEST))


def sure(world: World, method: str, path: str, body: Any, query: str = "livemode=false") -> None:
    sent = None if body is None else json.dumps(body).encode("utf-8", "surrogatepass")
    content = None if body is None else "application/json"
    answer = world.call(method, path, sent, query=query, content_type=content)
    assert answer.status_code in {200, 400, 404}, (method, path, body, query, answer.content)
    assert len(answer.content) < 200_000


def writes(world: World) -> dict[str, tuple[str, str, Any]]:
    """One write of each route, good but for what is done to it."""
    found: dict[str, tuple[str, str, Any]] = {}
    for route, method, path, body in calls(world.ids, world.ids):
        if method in {"PUT", "POST"} and route in WORDS and isinstance(body, dict):
            found.setdefault(route, (method, path, body))
    price, did = {"currency_id": "usd", "unit_amount": "1"}, world.ids["did"]
    found["products"] = ("POST", "/products", {"name": "P", "prices": [price]})
    found["subscription-cancel"] = ("PUT", f"/subscriptions/{world.ids['subscription']}/cancel", {"at": "custom"})
    found["subscriptions"] = (
        "POST",
        "/subscriptions",
        {"customer_id": did, "items": [{"price_id": world.ids["price"]}]},
    )
    return found


def test_every_route_that_reads_a_body_is_here(world: World) -> None:
    assert set(writes(world)) == set(WORDS)
    bare = {"meter-activate", "meter-deactivate", "product-archive", "price-archive", "invoice-void", "currencies"}
    assert {f"paymentkit-{route}" for route in set(WORDS) | bare} <= set(ROUTES)


def test_nonsense_in_bodies_never_crashes(world: World) -> None:
    # A fixed walk: each word of each route with each nonsense, the larger part of it by chance, the same one every time.
    chance = random.Random(7)
    for route, (method, path, body) in writes(world).items():
        for word in WORDS[route]:
            for nonsense in chance.sample(NONSENSE, 4):
                sure(world, method, path, {**body, word: nonsense})
            for nonsense in chance.sample(NONSENSE, 1):
                # One level down, for those that are objects or lists of these.
                inner = chance.choice(
                    ["price_id", "unit_amount", "up_to", "interval", "meter_id", "divide_by", "quantity", "id"]
                )
                sure(world, method, path, {**body, word: {inner: nonsense}})
                sure(world, method, path, {**body, word: [{inner: nonsense}]})


def test_nonsense_in_queries_and_addresses_never_crashes(world: World) -> None:
    chance = random.Random(11)
    texts = ["nothing", *(str(nonsense) for nonsense in NONSENSE if nonsense != "\ud800")]
    for method, path in ROUTES.values():
        for name in chance.sample(QUERIES, 12) if method == "GET" else []:
            sure(world, "GET", path, None, urlencode({name: chance.choice(texts)}))
        head, _, last = path.rpartition("/")
        if "_" in last:
            for text in ("%00", "%F0%9F%92%A9", "x" * 3000, "%27", "pcur_usd", "..", "mtr_", "%20"):
                sure(world, "GET", f"{head}/{text}", None)


def test_a_page_beyond_the_last_is_empty(world: World) -> None:
    for path in ("/products", "/prices", "/subscriptions", "/subscription-items", "/invoices"):
        found = json.loads(ask(world.call, "GET", f"{path}?page=1000000&pageSize=100").content)
        assert (found["list"], found["count"] > 0) == ([], True)
