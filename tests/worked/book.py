"""What a worked case is, and how all of them are lived through on test clocks of the running system."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, TypeAlias
from uuid import uuid4

Terms: TypeAlias = Mapping[str, Any]

CUSTOMERS_PER_CLOCK = 3
CLOCKS_AT_A_TIME = 4
# What is ahead of a customer's clock by no more than that can be reported already.
AHEAD = 300


def at(text: str) -> int:
    """An instant, in UTC unless it says otherwise."""
    instant = datetime.fromisoformat(text)
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


@dataclass(frozen=True)
class Item:
    """What is subscribed to: a price's parameters, and how much of it.

    :ivar uses: instants and values of usage events, which make the price a metered one
    """

    price: Mapping[str, Any]
    quantity: int | None = None
    uses: Sequence[tuple[str, str]] | None = None


@dataclass(frozen=True)
class Billed:
    """An invoice that is expected: when it was made, and what it and its lines come to, in minor units."""

    made: str
    total: int
    lines: Sequence[int]


@dataclass(frozen=True)
class Lived:
    """What became of a case."""

    v1: Any
    subscription: str
    customer: str
    invoices: Sequence[Any]

    @property
    def items(self) -> Sequence[Any]:
        return list(self.v1.subscriptions.retrieve(self.subscription)["items"].data)


@dataclass(frozen=True)
class Case:
    """A subscription's life and what is billed for it.

    :ivar source: the vendor's page, and what it says, in our words
    :ivar sums: the arithmetic
    :ivar terms: further parameters of the subscription, or what makes those that they name
    :ivar changes: what is done to the subscription, given by its id, and when
    :ivar zone: where its company bills by local midnight
    :ivar sees: looks at more than the amounts
    """

    name: str
    source: str
    sums: str
    items: Sequence[Item]
    invoices: Sequence[Billed]
    start: str = "2027-06-01"
    until: str = "2027-07-01T01:00"
    terms: Terms | Callable[[Any], Terms] = field(default_factory=dict)
    changes: Mapping[str, Callable[[Any, str], object]] = field(default_factory=dict)
    zone: str = ""
    sees: Callable[[Lived], None] | None = None

    def stops(self) -> set[int]:
        """The instants at which its clock has to stand still."""
        events = [at(when) for item in self.items for when, _ in item.uses or ()]
        late = {when for when in events if when > at(self.start) + AHEAD}
        return late | {at(when) for when in self.changes} | {at(self.until)}


def live(cases: Sequence[Case], client: Callable[[str], Any]) -> dict[str, Callable[[], Lived]]:
    """Live through cases, three customers to a clock and several clocks at a time.

    :param client: the official SDK for a company that bills by that zone
    :returns: by a case's name what tells what became of it, or raises what went wrong
    """
    lives: dict[str, Callable[[], Lived]] = {}
    with ThreadPoolExecutor(CLOCKS_AT_A_TIME) as pool:
        for group in _clocks(cases):
            together = pool.submit(_live_together, group, client(group[0].zone))
            lives |= {case.name: partial(_told, together, place) for place, case in enumerate(group)}
    return lives


def _told(together: "Future[list[Lived]]", place: int) -> Lived:
    return together.result()[place]


def _clocks(cases: Sequence[Case]) -> Iterator[list[Case]]:
    def together(case: Case) -> tuple[str, str, str]:
        return case.zone, case.start, case.until

    for _, same in groupby(sorted(cases, key=together), together):
        group = list(same)
        for place in range(0, len(group), CUSTOMERS_PER_CLOCK):
            yield group[place : place + CUSTOMERS_PER_CLOCK]


class _Life:
    """One case on its way."""

    def __init__(self, v1: Any, case: Case, clock: str) -> None:
        self.v1, self.case = v1, case
        self.customer = v1.customers.create({"name": case.name, "test_clock": clock}).id
        self.events: list[tuple[int, str, str]] = []
        items = [self._item(item) for item in case.items]
        terms = case.terms(v1) if callable(case.terms) else case.terms
        self.subscription = v1.subscriptions.create({"customer": self.customer, "items": items, **terms}).id

    def _item(self, item: Item) -> dict[str, Any]:
        price: dict[str, Any] = {
            "currency": "usd",
            "product_data": {"name": self.case.name},
            "recurring": {"interval": "month"},
        }
        price |= item.price
        if item.uses is not None:
            name = f"worked_{uuid4()}"
            meter = self.v1.billing.meters.create(
                {"display_name": "Use", "event_name": name, "default_aggregation": {"formula": "sum"}}
            )
            price["recurring"] = {**price["recurring"], "usage_type": "metered", "meter": meter.id}
            self.events += [(at(when), name, value) for when, value in item.uses]
        made = {"price": self.v1.prices.create(price).id}
        return made if item.quantity is None else {**made, "quantity": item.quantity}

    def happen(self, now: int) -> None:
        """Report and do what is due at an instant."""
        due = [event for event in self.events if event[0] <= now + AHEAD]
        self.events = [event for event in self.events if event not in due]
        for when, name, value in due:
            payload = {"stripe_customer_id": self.customer, "value": value}
            self.v1.billing.meter_events.create({"event_name": name, "payload": payload, "timestamp": when})
        for moment, change in self.case.changes.items():
            if at(moment) == now:
                change(self.v1, self.subscription)

    def told(self) -> Lived:
        invoices = list(self.v1.invoices.list({"customer": self.customer, "limit": 100}).data)[::-1]
        return Lived(self.v1, self.subscription, self.customer, invoices)


def _live_together(cases: Sequence[Case], v1: Any) -> list[Lived]:
    start = at(cases[0].start)
    clock = v1.test_helpers.test_clocks.create({"frozen_time": start}).id
    lives = [_Life(v1, case, clock) for case in cases]
    for stop in [start, *sorted(set().union(*(case.stops() for case in cases)) - {start})]:
        if stop > start:
            _advance(v1, clock, stop)
        for life in lives:
            life.happen(stop)
    return [life.told() for life in lives]


def _advance(v1: Any, clock: str, to: int) -> None:
    v1.test_helpers.test_clocks.advance(clock, {"frozen_time": to})
    deadline = time.monotonic() + 90
    while (now := v1.test_helpers.test_clocks.retrieve(clock)).status != "ready":
        assert now.status == "advancing", now
        assert time.monotonic() < deadline, now
        time.sleep(0.25)
