"""Nothing crosses a wall: two companies, two modes, every address with every id of the others."""

import json
from itertools import product
from typing import Any

import pytest
from django.apps import apps
from django.http import HttpResponse

from accounts.models import Mode
from accounts.services import create_company
from accounts.tests.walls import across_one_wall
from billing_project.api.paymentkit.tests.caller import BOTH, Caller
from billing_project.api.paymentkit.tests.test_grammar import ROUTES

Call = tuple[str, str, str, Any]


class World:
    """A row of every kind that this door knows, within one wall."""

    def __init__(self, call: Caller) -> None:
        self.call = call
        environment = call.environment
        self.name = f"{environment.company.name}-{environment.mode}"
        did = f"z1{environment.pk.hex}"
        meter = call.post("/meters", {"name": self.name, "event_name": f"calls.{self.name}", "unit": "calls"})
        customer = call.get(f"/customers/{did}", "create=true")
        call.put(f"/customers/{did}", {"name": self.name})
        grant = call.post(
            "/credit-grants",
            {
                "customer_id": did,
                "currency_id": meter["currency_id"],
                "amount": "5",
                "category": "paid",
                "name": self.name,
            },
        )
        config = {"credit_amount": "5", "currency_id": meter["currency_id"]}
        monthly = {"interval": "month"}
        metered = {**monthly, "usage_type": "metered", "meter_id": meter["id"]}
        made = call.post(
            "/products",
            {
                "name": self.name,
                "prices": [
                    {"currency_id": "usd", "unit_amount": "1", "recurring": monthly},
                    {"currency_id": "usd", "unit_amount": "1", "recurring": metered},
                    {"currency_id": "usd", "unit_amount": "1", "metadata": {"credit_config": config}},
                ],
            },
        )
        prices = [price["id"] for price in made["prices"]]
        items = [{"price_id": prices[0]}, {"price_id": prices[1]}]
        subscription = call.post("/subscriptions", {"customer_id": did, "items": items, "description": self.name})
        event = call.post(
            "/meter-events",
            {
                "event_name": meter["event_name"],
                "identifier": "same everywhere",
                "payload": {"customer_id": did, "value": "1"},
            },
        )
        recharge = call.get(f"/auto-recharge-configs/customer/{did}", f"currency_id={meter['currency_id']}")
        [transaction] = call.get("/credit-transactions", "include_grants=true")["list"]
        self.ids: dict[str, str] = {
            "meter": meter["id"], "event_name": meter["event_name"], "currency": meter["currency_id"],
            "customer": customer["id"], "did": did, "grant": grant["id"], "product": made["id"], "price": prices[0],
            "metered": prices[1], "top_up": prices[2], "subscription": subscription["id"],
            "item": subscription["items"][0]["id"], "usage_item": subscription["items"][1]["id"],
            "invoice": subscription["latest_invoice_id"], "event": event["id"], "recharge": recharge["id"],
            "transaction": transaction["id"],
        }  # fmt: skip


@pytest.fixture
def worlds(db: None) -> list[World]:
    companies = [create_company(name=name, licenses=BOTH) for name in ("Acme", "Globex")]
    return [World(Caller(company, mode)) for company, mode in product(companies, Mode)]


def calls(own: dict[str, str], other: dict[str, str]) -> list[Call]:
    """Route, method, path and body: each names something of another world, and is good otherwise."""
    sold = {"currency_id": "usd", "unit_amount": "1"}
    used = {"identifier": "x", "payload": {"customer_id": own["did"], "value": "1"}}
    mine = {"customer_id": own["did"], "currency_id": own["currency"]}
    grant = {**mine, "amount": "5", "category": "paid"}
    scope = {"scope": {"price_type": "metered", "prices": [other["metered"]]}}
    found: list[Call] = [
        ("meter", "GET", f"/meters/{other['meter']}", None),
        ("meter", "GET", f"/meters/{other['event_name']}", None),
        ("meter", "PUT", f"/meters/{other['meter']}", {"name": "x"}),
        ("meter-activate", "PUT", f"/meters/{other['meter']}/activate", None),
        ("meter-deactivate", "PUT", f"/meters/{other['meter']}/deactivate", None),
        ("meters", "POST", "/meters", {"name": "x", "event_name": "x", "unit": "x", "currency_id": other["currency"]}),
        ("meter-event", "GET", f"/meter-events/{other['event']}", None),
        ("meter-events", "POST", "/meter-events", {**used, "event_name": other["event_name"]}),
        ("meter-events", "GET", f"/meter-events?meter_id={other['meter']}", None),
        ("meter-events", "GET", f"/meter-events?customer_id={other['customer']}", None),
        ("meter-event-stats", "GET", f"/meter-events/stats?meter_id={other['meter']}", None),
        ("pending-amount", "GET", f"/meter-events/pending-amount?customer_id={other['customer']}", None),
        ("grant", "GET", f"/credit-grants/{other['grant']}", None),
        ("grant", "PUT", f"/credit-grants/{other['grant']}", {"expired": True}),
        ("grants", "POST", "/credit-grants", {**grant, "currency_id": other["currency"]}),
        ("grants", "POST", "/credit-grants", {**grant, "customer_id": other["customer"]}),
        ("grants", "POST", "/credit-grants", {**grant, "applicability_config": scope}),
        ("grant-summary", "GET", f"/credit-grants/summary?customer_id={other['customer']}", None),
        ("grant-summary", "GET", f"/credit-grants/summary?customer_id={own['customer']}&subscription_id={other['subscription']}", None),
        ("grant-stats", "GET", f"/credit-grants/stats?currency_id={other['currency']}", None),
        ("availability", "GET", f"/credit-grants/verify-availability?customer_id={other['customer']}&currency_id={own['currency']}", None),
        ("holders", "GET", f"/credit-grants/holders?currency_id={other['currency']}", None),
        ("credit-transaction", "GET", f"/credit-transactions/{other['transaction']}", None),
        ("customer", "GET", f"/customers/{other['customer']}", None),
        ("customer", "GET", f"/customers/{other['did']}", None),
        ("customer", "PUT", f"/customers/{other['customer']}", {"name": "x"}),
        ("customer-overdue", "GET", f"/customers/{other['did']}/overdue/invoices", None),
        ("currency", "GET", f"/payment-currencies/{other['currency']}", None),
        ("currency", "PUT", f"/payment-currencies/{other['currency']}", {"name": "x"}),
        ("recharge-config", "GET", f"/payment-currencies/{other['currency']}/recharge-config", None),
        ("recharge-config", "PUT", f"/payment-currencies/{own['currency']}/recharge-config", {"base_price_id": other["top_up"]}),
        ("recharge-config", "PUT", f"/payment-currencies/{other['currency']}/recharge-config", {"base_price_id": own["top_up"]}),
        ("recurring-support", "POST", "/payment-currencies/check-recurring-support", {"currency_ids": [other["currency"]]}),
        ("product", "GET", f"/products/{other['product']}", None),
        ("product", "PUT", f"/products/{other['product']}", {"name": "x"}),
        ("product", "PUT", f"/products/{own['product']}", {"default_price_id": other["price"]}),
        ("product", "DELETE", f"/products/{other['product']}", None),
        ("product-archive", "PUT", f"/products/{other['product']}/archive", None),
        ("price", "GET", f"/prices/{other['price']}", None),
        ("price", "PUT", f"/prices/{other['price']}", {"nickname": "x"}),
        ("price", "DELETE", f"/prices/{other['price']}", None),
        ("price-archive", "PUT", f"/prices/{other['price']}/archive", None),
        ("prices", "POST", "/prices", {**sold, "product_id": other["product"]}),
        (
            "prices",
            "POST",
            "/prices",
            {**sold, "product_id": own["product"], "recurring": {"interval": "month", "meter_id": other["meter"]}},
        ),
        ("subscription", "GET", f"/subscriptions/{other['subscription']}", None),
        ("subscription", "PUT", f"/subscriptions/{other['subscription']}", {"description": "x"}),
        ("subscription", "PUT", f"/subscriptions/{own['subscription']}", {"items": [{"price_id": other["metered"]}]}),
        ("subscription", "PUT", f"/subscriptions/{own['subscription']}", {"items": [{"id": other["item"], "quantity": 2}]}),
        ("subscription-overdue", "GET", f"/subscriptions/{other['subscription']}/overdue/invoices", None),
        ("subscriptions", "POST", "/subscriptions", {"customer_id": other["customer"], "items": [{"price_id": own["price"]}]}),
        ("subscriptions", "POST", "/subscriptions", {"customer_id": own["did"], "items": [{"price_id": other["price"]}]}),
        ("subscription-items", "POST", "/subscription-items", {"subscription_id": other["subscription"], "price_id": own["price"]}),
        ("subscription-items", "POST", "/subscription-items", {"subscription_id": own["subscription"], "price_id": other["price"]}),
        ("subscription-item", "GET", f"/subscription-items/{other['item']}", None),
        ("subscription-item", "PUT", f"/subscription-items/{other['item']}", {"quantity": 2}),
        ("subscription-item", "PUT", f"/subscription-items/{own['item']}", {"price_id": other["price"]}),
        ("subscription-item", "DELETE", f"/subscription-items/{other['item']}", None),
        ("usage-records", "POST", "/usage-records", {"subscription_item_id": other["usage_item"], "quantity": 1}),
        ("usage-records", "GET", f"/usage-records?subscription_item_id={other['usage_item']}", None),
        ("usage-summary", "GET", f"/usage-records/summary?subscription_item_id={other['usage_item']}", None),
        ("invoice", "GET", f"/invoices/{other['invoice']}", None),
        ("invoice", "PUT", f"/invoices/{other['invoice']}", {"metadata": {"a": "b"}}),
        ("invoice-void", "POST", f"/invoices/{other['invoice']}/void", None),
        ("recharge", "GET", f"/auto-recharge-configs/retrieve/{other['recharge']}", None),
        ("recharge-of-customer", "GET", f"/auto-recharge-configs/customer/{other['did']}?currency_id={own['currency']}", None),
        ("recharge-of-customer", "GET", f"/auto-recharge-configs/customer/{own['did']}?currency_id={other['currency']}", None),
        ("recharge-submit", "POST", "/auto-recharge-configs/submit", {**mine, "price_id": other["top_up"]}),
        ("recharge-submit", "POST", "/auto-recharge-configs/submit", {**mine, "customer_id": other["customer"]}),
        ("recharge-submit", "POST", "/auto-recharge-configs/submit", {**mine, "currency_id": other["currency"]}),
    ]  # fmt: skip
    moves = ("cancel", "recover", "pause", "resume")
    return found + [(f"subscription-{to}", "PUT", f"/subscriptions/{other['subscription']}/{to}", None) for to in moves]


# Lists show one's own: with the filters that they have, and by words that others' rows have in them.
LISTS = {
    "meters": "event_name={event_name}",
    "grants": "customer_id={customer}",
    "credit-transactions": "customer_id={customer}",
    "credit-transaction-summary": "customer_id={customer}",
    "customers": "did={did}",
    "customer-search": "query={name}",
    "currencies": "",
    "products": "name={name}",
    "product-search": "query={name}",
    "prices": "product_id={product}",
    "price-search": "query={name}",
    "subscriptions": "customer_id={customer}",
    "subscription-search": "query={name}",
    "subscription-items": "subscription_id={subscription}",
    "invoices": "subscription_id={subscription}",
    "invoice-search": "query={name}",
}


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that belongs to an environment, but for what looking leaves behind."""
    kept = {}
    for model in apps.get_models():
        if "environment" in {field.name for field in model._meta.get_fields()} and model._meta.managed:
            rows = model._default_manager.order_by("pk").values()
            kept[model._meta.label] = [{k: v for k, v in row.items() if k != "last_used_at"} for row in rows]
    return kept


def ask(call: Caller, method: str, path: str, body: Any = None) -> HttpResponse:
    path, _, query = path.partition("?")
    return call(method, path, body, query=f"{query}&livemode={str(call.environment.is_live).lower()}")


def test_every_address_given_anothers_ids_finds_nothing_and_changes_nothing(worlds: list[World]) -> None:
    before = everything()
    seen = set()
    for own, other in across_one_wall(worlds):
        for route, method, path, body in calls(own.ids, other.ids):
            answer = ask(own.call, method, path, body)
            assert answer.status_code in {400, 404}, (method, path, body, answer.content)
            assert other.name.encode() not in answer.content.replace(other.ids["event_name"].encode(), b"")
            seen.add(f"paymentkit-{route}")
        for route, filters in LISTS.items():
            path = ROUTES[f"paymentkit-{route}"][1]
            query = filters.format(**other.ids, name=other.name)
            answer = ask(own.call, "GET", f"{path}?{query}")
            assert answer.status_code in {200, 400}
            assert other.name.encode() not in answer.content
            if answer.status_code == 200 and query and "summary" not in path:
                assert json.loads(answer.content)["list"] == [], path
            seen.add(f"paymentkit-{route}")
    assert seen == set(ROUTES)
    assert everything() == before


def test_the_same_calls_with_ones_own_ids_find_something(worlds: list[World]) -> None:
    """Or the walk above would prove nothing."""
    own = worlds[0]
    for route, method, path, body in calls(own.ids, own.ids):
        if method == "GET":
            assert ask(own.call, method, path, body).status_code == 200, (route, path)
    for route, filters in LISTS.items():
        path = ROUTES[f"paymentkit-{route}"][1]
        answer = ask(own.call, "GET", f"{path}?{filters.format(**own.ids, name=own.name)}&include_grants=true")
        found = json.loads(answer.content)
        rows = found.get("list", found) if isinstance(found, dict) else found
        assert rows, route
