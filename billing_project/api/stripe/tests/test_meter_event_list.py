"""GET /v1/billing/meter_events: raw events, filtered and paged."""

import json
import time
from itertools import product
from typing import Any

import pytest
import stripe
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Scope
from billing_project.api.stripe.tests.builders import new_customer, new_meter, report
from billing_project.api.stripe.tests.sdk import Account, sdk
from usage import listing
from usage.models import EventRejection, MeterEvent

PATH = "/v1/billing/meter_events"


class Events:
    """Two meters, two customers, and eight events: reported in another order than their times."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.meters = [new_meter(account, name).id for name in ("calls", "tokens")]
        self.customers = [new_customer(account).id for _ in range(2)]
        self.now = int(time.time())
        places = list(product((0, 1), (0, 1), (0, 1)))
        for number, (meter, customer, _) in enumerate(places):
            at = self.now - 1000 + 100 * ((number * 3) % 8)
            name = ("calls", "tokens")[meter]
            report(account, name, self.customers[customer], str(number), identifier=f"e{number}", timestamp=at)

    def ask(self, **params: Any) -> Any:
        return json.loads(self.account.sdk.raw_request("get", PATH, **params).body)

    def names(self, **params: Any) -> list[str]:
        return [row["identifier"] for row in self.ask(**params)["data"]]

    def cancel(self, number: int) -> None:
        name = "calls" if number < 4 else "tokens"
        cancellation: Any = {"event_name": name, "type": "cancel", "cancel": {"identifier": f"e{number}"}}
        self.account.v1.billing.meter_event_adjustments.create(cancellation)

    def walk(self, *, limit: int, **params: Any) -> list[str]:
        """All pages forward; each is asked for backward, too."""
        seen: list[str] = []
        page = self.ask(limit=limit, **params)
        while True:
            seen += [row["id"] for row in page["data"]]
            if not page["has_more"]:
                return seen
            following = self.ask(limit=limit, starting_after=seen[-1], **params)
            back = self.ask(limit=limit, ending_before=following["data"][0]["id"], **params)
            assert [row["id"] for row in back["data"]] == seen[-limit:]
            page = following


@pytest.fixture
def events(account: Account) -> Events:
    return Events(account)


def test_a_row_says_what_came_and_what_became_of_it(events: Events) -> None:
    events.cancel(5)
    (row,) = events.ask(identifier="e5")["data"]
    event = MeterEvent.objects.get(identifier="e5")
    assert row == {
        "id": row["id"],
        "object": "billing.meter_event",
        "created": int(event.received_at.timestamp()),
        "customer": events.customers[0],
        "event_name": "tokens",
        "identifier": "e5",
        "livemode": False,
        "meter": events.meters[1],
        "payload": {"stripe_customer_id": events.customers[0], "value": "5"},
        "rejection": None,
        "source": "api",
        "state": "canceled",
        "timestamp": int(event.timestamp.timestamp()),
        "value": 5,
    }


def test_a_meter_and_a_range_of_time_narrow_the_list_by_themselves(events: Events) -> None:
    by_time = [f"e{number}" for number in sorted(range(8), key=lambda number: -(number * 3 % 8))]
    of_calls = [name for name in by_time if int(name[1:]) < 4]
    at = events.ask(identifier="e1")["data"][0]["timestamp"]
    until = by_time.index("e1") + 1

    assert events.names(meter=events.meters[0]) == of_calls
    assert events.names(timestamp={"gte": at}) == by_time[:until]
    assert events.names(timestamp={"lt": at}) == by_time[until:]
    assert events.names(timestamp={"gte": events.now}) == []
    assert events.names(meter=events.meters[0], timestamp={"gte": at}) == [
        name for name in by_time[:until] if name in of_calls
    ]
    events.cancel(1)
    assert events.names(timestamp=at, state="canceled") == events.names(timestamp=at) == ["e1"]
    assert events.names(timestamp=at, state="counted") == []
    assert events.names(meter=events.meters[0], state="canceled") == ["e1"]
    report(events.account, "calls", "cus_nobody", identifier="lost", timestamp=at)
    assert events.names(timestamp=at, state="rejected") == ["lost"]
    assert events.names(timestamp={"gt": at}, state="rejected") == []


def test_all_come_by_arrival_and_a_customers_by_their_time(events: Events) -> None:
    assert events.names() == [f"e{number}" for number in reversed(range(8))]
    first, second = events.customers
    by_time = [f"e{number}" for number in sorted(range(8), key=lambda number: -(number * 3 % 8))]
    of_first = [name for name in by_time if int(name[1:]) in {0, 1, 4, 5}]
    assert events.names(customer=first) == of_first
    assert events.names(customer=second) == [name for name in by_time if name not in of_first]
    assert events.names(customer=first, meter=events.meters[1]) == [name for name in of_first if name in {"e4", "e5"}]


def test_a_range_of_time_is_half_open(events: Events) -> None:
    at = events.ask(identifier="e1")["data"][0]["timestamp"]
    customer = events.customers[0]
    whole = events.names(customer=customer)
    later = events.names(customer=customer, timestamp={"gte": at})
    assert later == whole[: whole.index("e1") + 1]
    assert events.names(customer=customer, timestamp={"lt": at}) == whole[whole.index("e1") + 1 :]
    assert events.names(customer=customer, timestamp=at) == ["e1"]


def test_states(events: Events) -> None:
    for number in (1, 4, 6):
        events.cancel(number)
    report(events.account, "calls", "cus_nobody", identifier="lost")
    customer = events.customers[0]
    assert events.names(state="canceled") == ["e6", "e4", "e1"]
    assert events.names(state="counted") == ["e7", "e5", "e3", "e2", "e0"]
    assert set(events.names(state="canceled", customer=customer)) == {"e1", "e4"}
    assert set(events.names(state="counted", customer=customer)) == {"e0", "e5"}
    assert events.names(state="canceled", customer=customer, meter=events.meters[0]) == ["e1"]
    assert {row["state"] for row in events.ask()["data"]} == {"counted", "canceled"}
    (rejected,) = events.ask(state="rejected")["data"]
    assert rejected["rejection"] == {
        "code": "meter_event_customer_not_found",
        "message": "No such customer: 'cus_nobody'",
    }
    assert (rejected["customer"], rejected["value"], rejected["event_name"]) == (None, None, "calls")
    assert events.names(state="rejected", meter=events.meters[0]) == ["lost"]
    assert events.names(state="rejected", meter=events.meters[1]) == []


def test_an_identifier_leads_to_its_event_whatever_became_of_it(events: Events) -> None:
    report(events.account, "calls", "cus_nobody", identifier="lost")
    events.cancel(1)
    assert events.ask(identifier="lost")["data"][0]["state"] == "rejected"
    assert events.names(identifier="lost", state="rejected") == ["lost"]
    assert events.names(identifier="lost", state="counted") == []
    assert events.names(identifier="e1", state="canceled", meter=events.meters[0]) == ["e1"]
    assert events.names(identifier="e1", meter=events.meters[1]) == []
    assert events.names(identifier="e1", customer=events.customers[1]) == []
    assert events.names(identifier="e1", timestamp={"gt": events.now}) == []
    assert events.names(identifier="nobody's") == []


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_pages_hold_every_event_once(events: Events, limit: int) -> None:
    for number in (0, 5, 7):
        events.cancel(number)
    for number in range(4):
        report(events.account, "calls", "cus_nobody", identifier=f"lost{number}")
    for params, count in (
        ({}, 8),
        ({"state": "counted"}, 5),
        ({"state": "canceled"}, 3),
        ({"state": "rejected"}, 4),
        ({"customer": events.customers[0]}, 4),
        ({"customer": events.customers[0], "state": "counted"}, 2),
        ({"customer": events.customers[1], "meter": events.meters[0]}, 2),
        ({"meter": events.meters[0]}, 4),
        ({"meter": events.meters[1], "state": "canceled"}, 2),
        ({"meter": events.meters[1], "state": "counted"}, 2),
        ({"timestamp": {"gte": events.now - 1000}}, 8),
        ({"timestamp": {"gte": 1}, "state": "counted"}, 5),
        ({"timestamp": {"gte": 1}, "state": "rejected"}, 4),
    ):
        seen = events.walk(limit=limit, **params)
        assert len(seen) == len(set(seen)) == count, params


def test_events_of_one_instant_are_paged_by_their_arrival(events: Events) -> None:
    for number in range(5):
        report(events.account, "calls", events.customers[0], identifier=f"same{number}", timestamp=events.now)
    assert events.names(customer=events.customers[0])[:5] == [f"same{number}" for number in reversed(range(5))]
    assert len(set(events.walk(limit=2, customer=events.customers[0]))) == 9


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"customer": "CUSTOMER", "state": "rejected"}, "customer"),
        ({"customer": "cus_nobody"}, "customer"),
        ({"customer": "CUSTOMER", "meter": "mtr_nobody"}, "meter"),
        ({"state": "lost"}, "state"),
        ({"limit": 101}, "limit"),
        ({"starting_after": "mtrev_nobody"}, "starting_after"),
        ({"starting_after": "mtrev_a", "ending_before": "mtrev_b"}, "starting_after"),
        ({"event_name": "calls"}, "event_name"),
        ({"expand": ["data.customer"]}, "expand"),
    ],
)
def test_what_is_no_filter(events: Events, params: dict[str, Any], param: str) -> None:
    known = {"METER": events.meters[0], "CUSTOMER": events.customers[0]}
    sent = {name: known.get(value, value) if isinstance(value, str) else value for name, value in params.items()}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        events.ask(**sent)
    assert (caught.value.http_status, caught.value.param) == (400, param)


def test_reading_is_another_right_than_reporting(events: Events) -> None:
    with pytest.raises(stripe.PermissionError):
        events.account.with_scopes(Scope.METER_REPORT).raw_request("get", PATH)
    reader: Any = events.account.with_scopes(Scope.USAGE_READ)
    assert reader.raw_request("get", PATH).code == 200
    with pytest.raises(stripe.PermissionError):
        reader.v1.billing.meter_events.create({"event_name": "calls", "payload": {"a": "b"}})
    with pytest.raises(stripe.AuthenticationError):
        sdk("sk_test_nobody").raw_request("get", PATH)


def test_nothing_is_counted_and_every_read_goes_by_an_index(events: Events) -> None:
    """Also what a page of a customer reads grows with the meters, and never with the events."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    customer = events.customers[0]
    meter, later = events.meters[0], {"gte": events.now - 500}
    for params in (
        {},
        {"customer": customer},
        {"customer": customer, "state": "canceled"},
        {"state": "counted"},
        {"meter": meter},
        {"meter": meter, "state": "canceled"},
        {"timestamp": later},
        {"timestamp": later, "meter": meter, "state": "counted"},
        {"timestamp": later, "state": "rejected"},
    ):
        with CaptureQueriesContext(connection) as queries:
            events.ask(**params)
        statements = [query["sql"] for query in queries if "usage_" in query["sql"]]
        assert statements
        for statement in statements:
            assert "COUNT(" not in statement.upper()
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {statement}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on usage_" not in plan, plan
    environment = events.account.environment
    assert len(listing.read_by_arrival(environment, listing.places(environment, {}), listing.BY_ARRIVAL, 3)) == 3
    assert not EventRejection.objects.exists()
