"""Credit for tests: through the services, as it comes in real life."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from accounts.models import Customer, Environment
from accounts.tests.factories import NOW
from core.ids import new_id
from credits import services
from credits.applying import PayableInvoice, PayableLine
from credits.models import CreditGrant, LedgerEntry
from meters.models import Currency, Meter
from meters.services import create_paid_meter
from subscriptions.models import Price
from usage.tests.factories import roll_up_all


def grant_credit(customer: Customer, amount: int = 1000, *, now: datetime = NOW, **terms: Any) -> CreditGrant:
    """Credit in US cents, for all metered prices, for good, unless said otherwise."""
    return services.create_grant(
        environment=customer.environment,
        customer=customer,
        amount=amount,
        now=now,
        **{"currency": "usd", **terms},
    )


def payable(customer: Customer, *lines: tuple[Price, int], at: datetime = NOW, **more: Any) -> PayableInvoice:
    """An invoice over amounts for prices."""
    due = [PayableLine(new_id(), price.pk, amount) for price, amount in lines]
    terms = {"currency": "usd", "most": sum(line.amount for line in due), **more}
    return PayableInvoice(invoice_id=new_id(), customer_id=customer.pk, lines=due, at=at, **terms)


def ledger(grant: CreditGrant) -> list[tuple[str, int, int]]:
    """The grant's entries: what, how much, and what it left."""
    return list(grant.entries.order_by("number").values_list("kind", "amount", "balance"))


def of_invoice(invoice_id: UUID) -> list[tuple[UUID, int]]:
    """What each grant paid for an invoice, in order."""
    entries = LedgerEntry.objects.filter(kind="applied", invoice_id=invoice_id).order_by("pk")
    return [(entry.grant_id, -entry.amount) for entry in entries]


def check_ledger() -> None:
    """Let the database say now what it would say at the commit."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def paid_meter(environment: Environment, *, decimals: int = 0, currency: Currency | None = None, **words: Any) -> Meter:
    """A meter whose events burn credit, of a currency of its own unless one is given."""
    terms = {"event_name": f"tokens_{new_id()}", "display_name": "Tokens", "unit": "tokens", **words}
    return create_paid_meter(environment=environment, currency=currency, decimals=decimals, now=NOW, **terms)


def burn_all(now: datetime = NOW) -> None:
    """Let credit pay for every event that is on disk."""
    roll_up_all()
    services.burn_credit(now=now)


def burned(charge_id: UUID) -> list[tuple[UUID, int]]:
    """What each grant paid for an event, in order."""
    entries = LedgerEntry.objects.filter(kind="burned", charge=charge_id).order_by("pk")
    return [(entry.grant_id, -entry.amount) for entry in entries]
