"""Nothing crosses a wall: two companies, two modes, every address with every id of the others."""

import json
import re
import time
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
from django.apps import apps
from django.test import Client
from django.urls import get_resolver

from accounts.models import License
from accounts.services import create_company
from accounts.tests.walls import across_one_wall
from billing_project.api.stripe.tests.builders import (
    new_meter,
    new_price,
    report,
)
from billing_project.api.stripe.tests.foreign_ids import CASES, addresses
from billing_project.api.stripe.tests.sdk import Account, sdk
from billing_project.api.stripe.tests.worlds import World, populate
from usage.models import EventRejection, MeterEvent


@pytest.fixture(scope="module")
def _made_worlds(lasting_db: None) -> list[World]:
    companies = [create_company(name=name, licenses=License.Product.values) for name in ("Acme", "Globex")]
    pairs = product(companies, ("test", "live"))
    return [populate(Account(company, mode), f"{company.name}_{mode}") for company, mode in pairs]


@pytest.fixture
def worlds(_made_worlds: list[World], db: None) -> list[World]:
    return _made_worlds


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
