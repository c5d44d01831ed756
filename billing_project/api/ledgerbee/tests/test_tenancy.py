"""Nothing crosses a wall: two companies, two modes, every address with every id of the others."""

import json
from itertools import permutations, product
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from accounts.models import Customer, Mode
from accounts.services import create_company
from accounts.tests.factories import CustomerFactory
from billing_project.api.ledgerbee.tests.caller import BOTH, Caller
from billing_project.api.ledgerbee.tests.test_grammar import ROUTES
from billing_project.api.ledgerbee.tests.test_meters import subscribe
from core.ids import spell
from meters.models import Meter
from meters.tests.factories import MeterFactory
from subscriptions.tests.factories import MeteredPriceFactory
from usage.models import MeterEvent


class World:
    """A caller within one wall, a meter, and a customer who pays for it. Meters of the same name are everywhere."""

    def __init__(self, call: Caller) -> None:
        self.call = call
        environment = call.environment
        self.name = f"{environment.company.name}_{environment.mode}"
        self.meter: Meter = MeterFactory.create(environment=environment, event_name="shared")
        self.own_meter: Meter = MeterFactory.create(environment=environment, event_name=f"calls_{self.name}")
        self.customer: Customer = CustomerFactory.create(environment=environment, name=self.name)
        for meter in (self.meter, self.own_meter):
            subscribe(self.customer, MeteredPriceFactory.create(environment=environment, meter=meter))


@pytest.fixture
def worlds(db: None) -> list[World]:
    companies = [create_company(name=name, licenses=BOTH) for name in ("Acme", "Globex")]
    return [World(Caller(company, mode)) for company, mode in product(companies, Mode)]


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that belongs to an environment, but for what looking leaves behind."""
    kept = {}
    for model in apps.get_models():
        if "environment" in {field.name for field in model._meta.get_fields()} and model._meta.managed:
            rows = model._default_manager.order_by("pk").values()
            kept[model._meta.label] = [{k: v for k, v in row.items() if k != "last_used_at"} for row in rows]
    return kept


def foreign_reports(own: World, other: World) -> list[dict[str, Any]]:
    """Reports with something of another world in them, good otherwise."""
    mine, theirs = str(own.customer.pk), str(other.customer.pk)
    return [
        {"value": 1, "customerId": mine, "meterName": other.own_meter.event_name},
        {"value": 1, "customerId": mine, "meterId": str(other.meter.pk)},
        {"value": 1, "customerId": mine, "meterId": spell("mtr", other.meter.pk)},
        {"value": 1, "customerId": mine, "meterId": str(other.meter.pk), "meterName": "shared"},
        {"value": 1, "customerId": theirs, "meterName": "shared"},
        {"value": 1, "customerId": spell("cus", other.customer.pk), "meterId": str(own.meter.pk)},
    ]


def test_every_address_given_anothers_ids_finds_nothing_and_changes_nothing(worlds: list[World]) -> None:
    before = everything()
    seen = set()
    for own, other in permutations(worlds, 2):
        answers = [("ledgerbee-meter-report", own.call.report(body)) for body in foreign_reports(own, other)]
        for spelled in (str(other.meter.pk), spell("mtr", other.meter.pk)):
            path = f"/api/v1/meters/{spelled}/subscriptions"
            answers.append(("ledgerbee-meter-subscriptions", own.call("GET", path)))
        query = f"meterName={other.own_meter.event_name}"
        answers.append(
            ("ledgerbee-meter-subscriptions-by-name", own.call("GET", "/api/v1/meters/subscriptions", query=query))
        )
        for route, answer in answers:
            assert answer.status_code == 404, (route, answer.content)
            assert other.name.encode() not in answer.content
            seen.add(route)
    # The last one takes no id.
    assert seen == set(ROUTES) - {"ledgerbee-api-key"}
    assert everything() == before


def test_shared_names_lead_to_ones_own(worlds: list[World]) -> None:
    for own in worlds:
        answer = json.loads(own.call("GET", "/api/v1/meters/subscriptions", query="meterName=shared").content)
        assert answer["meterId"] == str(own.meter.pk)
        assert [entry["customerName"] for entry in answer["subscriptions"]] == [own.name]
        body = {"value": 1, "customerId": str(own.customer.pk), "meterName": "shared"}
        assert own.call.report(body, "same key everywhere").status_code == 202
    assert {event.meter_id for event in MeterEvent.objects.all()} == {own.meter.pk for own in worlds}


def test_a_key_that_loses_its_company_loses_all(worlds: list[World]) -> None:
    own = worlds[0]
    type(own.call.key).objects.filter(pk=own.call.key.pk).update(revoked_at=timezone.now())

    for method, path in ROUTES.values():
        assert own.call(method, path).status_code == 401
