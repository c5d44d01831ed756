"""One of everything within one wall, by the dialect."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts.tests.factories import TestClockFactory
from billing_project.api.stripe.kinds import EVENT, METER, TEST_CLOCK
from billing_project.api.stripe.tests.builders import (
    new_customer,
    new_grant,
    new_meter,
    new_price,
    new_subscription,
    report,
)
from billing_project.api.stripe.tests.sdk import Account
from core.ids import spell
from invoices.services import close_due_periods
from meters.services import create_currency
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
