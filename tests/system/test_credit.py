"""Credit on the running system, driven by the official SDK on a test clock: granted, used, given back, expired."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import RunningStack
from tests.system.clients import client_of, new_company, new_key
from tests.system.test_clocks import HOUR, advance, at

ALL = {"type": "applicability_scope", "applicability_scope": {"price_type": "metered"}}
MONTHS = [at(f"2027-{month:02}-01") for month in range(1, 6)]


@pytest.fixture
def v1(running_stack: RunningStack) -> Any:
    return client_of(running_stack, new_key(running_stack, new_company(running_stack))).v1


class World:
    """A customer on a clock who uses 1,000 calls a month at a cent each, and pays 20 dollars for a seat."""

    def __init__(self, v1: Any) -> None:
        self.v1 = v1
        self.clock = v1.test_helpers.test_clocks.create({"frozen_time": MONTHS[0]}).id
        self.customer = v1.customers.create({"name": "Ada", "test_clock": self.clock}).id
        meter = v1.billing.meters.create(
            {"display_name": "Calls", "event_name": "credit_calls", "default_aggregation": {"formula": "sum"}}
        )
        recurring = {"interval": "month"}
        self.calls = v1.prices.create(
            {
                "currency": "usd",
                "product_data": {"name": "Calls"},
                "unit_amount": 1,
                "recurring": {**recurring, "usage_type": "metered", "meter": meter.id},
            }
        ).id
        seat = v1.prices.create(
            {"currency": "usd", "product_data": {"name": "Seat"}, "unit_amount": 2000, "recurring": recurring}
        )
        v1.subscriptions.create({"customer": self.customer, "items": [{"price": seat.id}, {"price": self.calls}]})

    def grant(self, value: int, **fields: Any) -> Any:
        amount = {"type": "monetary", "monetary": {"currency": "usd", "value": value}}
        scope = {"applicability_config": {"scope": {"price_type": "metered"}}}
        return self.v1.billing.credit_grants.create({"customer": self.customer, "amount": amount, **scope, **fields})

    def live_through(self, month: int) -> Any:
        """Use 1,000 calls in a month, and wait until its invoice is final."""
        payload = {"stripe_customer_id": self.customer, "value": "1000"}
        self.v1.billing.meter_events.create(
            {"event_name": "credit_calls", "payload": payload, "timestamp": MONTHS[month]}
        )
        advance(self.v1, self.clock, MONTHS[month + 1] + HOUR)
        return self.v1.invoices.list({"customer": self.customer, "limit": 1}).data[0]

    def left(self) -> tuple[int, int]:
        """Available and on the ledger, in cents."""
        asked = {"customer": self.customer, "filter": ALL}
        (balance,) = self.v1.billing.credit_balance_summary.retrieve(asked).balances
        return balance.available_balance.monetary.value, balance.ledger_balance.monetary.value

    def ledger(self, grant: str) -> Iterator[tuple[str, int, int]]:
        """Of a grant, oldest first: what, how many cents, and when."""
        entries = self.v1.billing.credit_balance_transactions.list({"credit_grant": grant, "limit": 100})
        for entry in reversed(list(entries.auto_paging_iter())):
            side = entry.credit or entry.debit
            sign = 1 if entry.type == "credit" else -1
            yield side.type, sign * side.amount.monetary.value, entry.effective_at


def paid_by(invoice: Any) -> list[int]:
    return [paid.amount for paid in invoice.total_pretax_credit_amounts]


def test_credit_over_several_invoices_a_void_one_and_an_expiry(v1: Any) -> None:
    world = World(v1)
    # It ends between the second and the third invoice: a gift, used before what was paid for.
    ends = MONTHS[2] + 10 * 24 * HOUR
    gift = world.grant(1500, category="promotional", expires_at=ends, name="Welcome")
    bought = world.grant(5000)
    assert (gift.created, gift.test_clock) == (MONTHS[0], world.clock)
    assert world.left() == (6500, 6500)

    first = world.live_through(0)
    # The seat of the next month is not paid by credit.
    assert (first.subtotal, first.total, first.status, paid_by(first)) == (3000, 2000, "open", [1000])
    assert [plain.amount for plain in first.lines.data[1].pretax_credit_amounts] == [1000]
    assert first.lines.data[0].pretax_credit_amounts == []

    second = world.live_through(1)
    assert (second.total, paid_by(second)) == (2000, [500, 500])
    assert world.left() == (4500, 4500)

    # Void while the gift is good: it comes back, and expires when its time has come.
    v1.invoices.void_invoice(second.id)
    assert world.left() == (5500, 5500)

    third = world.live_through(2)
    assert (third.total, paid_by(third)) == (2000, [1000])
    assert third.total_pretax_credit_amounts[0].credit_balance_transaction.startswith("cbtxn_")
    # What comes back to the gift now is lost at once; both are on its ledger.
    v1.invoices.void_invoice(first.id)
    now = MONTHS[3] + HOUR
    assert list(world.ledger(gift.id)) == [
        ("credits_granted", 1500, MONTHS[0]),
        ("credits_applied", -1000, MONTHS[1] + HOUR),
        ("credits_applied", -500, MONTHS[2] + HOUR),
        ("credits_application_invoice_voided", 500, MONTHS[2] + HOUR),
        ("credits_expired", -500, ends),
        ("credits_application_invoice_voided", 1000, now),
        ("credits_expired", -1000, now),
    ]
    assert list(world.ledger(bought.id)) == [
        ("credits_granted", 5000, MONTHS[0]),
        ("credits_applied", -500, MONTHS[2] + HOUR),
        ("credits_application_invoice_voided", 500, MONTHS[2] + HOUR),
        ("credits_applied", -1000, now),
    ]
    assert world.left() == (4000, 4000)

    told = {event.type for event in v1.events.list({"types": ["billing.credit*"], "limit": 100}).auto_paging_iter()}
    assert told == {"billing.credit_grant.created", "billing.credit_balance_transaction.created"}


def test_with_metered_usage_only_credit_pays_the_invoice_in_full(v1: Any) -> None:
    world = World(v1)
    world.grant(100_000, applicability_config={"scope": {"prices": [{"id": world.calls}]}})
    other = v1.subscriptions.create({"customer": world.customer, "items": [{"price": world.calls}]})
    assert other.latest_invoice is None

    world.live_through(0)

    (invoice,) = v1.invoices.list({"subscription": other.id}).data
    assert (invoice.subtotal, invoice.total, invoice.amount_due, invoice.status) == (1000, 0, 0, "paid")
    assert invoice.status_transitions.paid_at == invoice.status_transitions.finalized_at == MONTHS[1] + HOUR
