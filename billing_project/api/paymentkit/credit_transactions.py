"""/credit-transactions: the ledger of credit in the company's own currencies, read only.

The vendor describes these rows in two ways. Ours have the fields of both.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from django.db.models import Count, Sum
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from accounts.models import Environment, Scope
from billing_project.api.paymentkit.credit_grants import GrantShape, id_of_grant, shape_of_grant
from billing_project.api.paymentkit.customers import CustomerShape, find_customer, shape_of_customer
from billing_project.api.paymentkit.meter_events import EventShape, shape_of_events
from billing_project.api.paymentkit.meters import MeterShape, find_meter, shape_of_meter
from billing_project.api.paymentkit.payment_currencies import PaymentCurrency
from billing_project.api.paymentkit.subscriptions import SubscriptionShape, shape_of_subscription, subscriptions_of
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import Instant, Shape, Units, instant_text, json_response, missing
from core.ids import read, spell
from core.money import plain
from credits.balances import CONSUMPTION
from credits.models import EventCharge, LedgerEntry, LedgerEntryQuerySet
from meters.models import Meter
from usage.listing import events_of
from usage.models import MeterEvent

NOUN = "Credit transaction"
_TYPES = {
    LedgerEntry.Kind.GRANTED: "grant",
    LedgerEntry.Kind.BURNED: "consumption",
    LedgerEntry.Kind.COMMITTED: "consumption",
    LedgerEntry.Kind.GIVEN_BACK: "adjustment",
    LedgerEntry.Kind.VOIDED: "adjustment",
    LedgerEntry.Kind.EXPIRED: "expiration",
}
_DESCRIPTIONS = {
    LedgerEntry.Kind.GRANTED: "Credit granted",
    LedgerEntry.Kind.BURNED: "Credit consumed by usage",
    LedgerEntry.Kind.COMMITTED: "Credit consumed from a reservation",
    LedgerEntry.Kind.GIVEN_BACK: "Credit given back, the usage being canceled",
    LedgerEntry.Kind.VOIDED: "Credit grant voided",
    LedgerEntry.Kind.EXPIRED: "Credit expired",
}


class TransactionShape(Shape, frozen=True):
    id: str
    object: str
    type: Annotated[str, Meta(description="`grant`, `consumption`, `adjustment` or `expiration`.")]
    activity_type: str
    amount: Annotated[Units, Meta(description="Negative: what was taken.")]
    credit_amount: Annotated[Units, Meta(description="The same without its sign.")]
    running_balance: Annotated[Units, Meta(description="What it left of the grant.")]
    remaining_balance: Units
    quantity: Annotated[str, Meta(description="The same amount in the meter's unit.")]
    customer_id: str
    credit_grant_id: str
    meter_id: str | None
    meter_event_id: str | None
    meter_event_name: str | None
    meter_unit: str | None
    source: str | None
    subscription_id: Annotated[str | None, Meta(description="As the event named it.")]
    description: str
    livemode: bool
    created_at: Instant
    updated_at: Instant
    customer: CustomerShape
    meter: MeterShape | None
    meter_event: EventShape | None = msgspec.field(name="meterEvent")
    subscription: SubscriptionShape | None
    credit_grant: GrantShape = msgspec.field(name="creditGrant")
    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")


class Asked(Shape, frozen=True):
    """What a summary was narrowed by, as it was said."""

    customer_id: str | UnsetType = UNSET
    subscription_id: str | UnsetType = UNSET
    currency_id: str | UnsetType = UNSET
    meter_id: str | UnsetType = UNSET
    start: str | UnsetType = UNSET
    end: str | UnsetType = UNSET


class UsageTotals(Shape, frozen=True):
    total_quantity: Annotated[str, Meta(description="In whole units of the currencies.")]
    total_credit_amount: Units
    transaction_count: int
    filters: Asked


def shapes_of_transactions(
    entries: Sequence[LedgerEntry], environment: Environment, now: datetime
) -> list[TransactionShape]:
    """
    :param entries: of the environment
    """
    events = _events_of(environment, [entry.charge for entry in entries if entry.charge])
    subscriptions = _subscriptions_of(environment, events.values())
    shapes = []
    for entry in entries:
        event = events.get(entry.charge_id) if entry.charge_id else None
        named = _subscription_said(event) if event else None
        shapes.append(_shape_of(entry, event, named, subscriptions.get(named or ""), now, livemode=environment.is_live))
    return shapes


def _events_of(environment: Environment, charges: Sequence[EventCharge]) -> dict[UUID, EventShape]:
    """What was charged for, by its id."""
    if not charges:
        return {}
    times = [charge.event_timestamp for charge in charges]
    # By their times, too, which lead to their partitions.
    events = events_of(environment).filter(
        pk__in={charge.pk for charge in charges}, timestamp__gte=min(times), timestamp__lte=max(times)
    )
    found = list(events)
    return {
        event.pk: shape
        for event, shape in zip(found, shape_of_events(found, livemode=environment.is_live), strict=True)
    }


def _subscription_said(event: EventShape) -> str | None:
    return event.payload.get("subscription_id")


def _subscriptions_of(environment: Environment, events: Iterable[EventShape]) -> dict[str, SubscriptionShape]:
    """The subscriptions that events named, as far as there are such, by what they are called."""
    named = {said: read("sub", said) for event in events if (said := _subscription_said(event))}
    wanted = {pk for pk in named.values() if pk}
    if not wanted:
        return {}
    rows = {row.pk: row for row in subscriptions_of(environment).filter(pk__in=wanted)}
    livemode = environment.is_live
    return {said: shape_of_subscription(rows[pk], livemode=livemode) for said, pk in named.items() if pk and pk in rows}


def _shape_of(
    entry: LedgerEntry,
    event: EventShape | None,
    named: str | None,
    subscription: SubscriptionShape | None,
    now: datetime,
    *,
    livemode: bool,
) -> TransactionShape:
    grant = shape_of_grant(entry.grant, now, livemode=livemode)
    kind = LedgerEntry.Kind(entry.kind)
    meter = entry.charge.meter if entry.charge else None
    source = spell("mevt", entry.charge.pk) if entry.charge else None
    written = instant_text(entry.created_at)
    return TransactionShape(
        id=spell("cbtxn", entry.pk),
        object="credit_transaction",
        type=_TYPES[kind],
        activity_type="grant" if kind == LedgerEntry.Kind.GRANTED else "consumption",
        amount=str(entry.amount),
        credit_amount=str(abs(entry.amount)),
        running_balance=str(entry.balance),
        remaining_balance=str(entry.balance),
        quantity=_quantity(abs(entry.amount), grant.payment_currency.decimal),
        customer_id=grant.customer_id,
        credit_grant_id=id_of_grant(entry.grant),
        meter_id=spell("mtr", meter.pk) if meter else None,
        meter_event_id=source,
        meter_event_name=meter.event_name if meter else None,
        meter_unit=meter.unit if meter else None,
        source=source,
        subscription_id=named,
        description=_DESCRIPTIONS[kind],
        livemode=livemode,
        created_at=written,
        updated_at=written,
        customer=shape_of_customer(entry.grant.customer, livemode=livemode),
        meter=shape_of_meter(meter, livemode=livemode) if meter else None,
        meter_event=event,
        subscription=subscription,
        credit_grant=grant,
        payment_currency=grant.payment_currency,
    )


def _quantity(units: int, decimals: int) -> str:
    return plain(Decimal(units).scaleb(-decimals))


class CreditTransactionViewSet(PaymentKitViewSet):
    read_scope = Scope.CREDITS_READ
    write_scope = Scope.CREDITS_WRITE

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        found = row_of(self.within(self._rows()), "cbtxn", pk)
        if found is None:
            raise missing(NOUN, pk)
        return json_response(shapes_of_transactions([found], self.environment, self.now)[0])

    def list(self, request: Request) -> HttpResponse:
        entries = self._narrowed().order_by("-created_at", "-pk")
        if not self.query.flag("include_grants"):
            entries = entries.exclude(kind=LedgerEntry.Kind.GRANTED)
        return self.listed(entries, lambda rows: shapes_of_transactions(rows, self.environment, self.now))

    def summary(self, request: Request) -> HttpResponse:
        """What usage consumed, less what was given back."""
        entries = self.within(self._narrowed()).filter(kind__in=CONSUMPTION).order_by()
        # In a currency each, of which a caller most often names one.
        rows = entries.values_list("grant__own_currency__decimals").annotate(Sum("amount"), Count("pk"))
        total, count, quantity = 0, 0, Decimal(0)
        for decimals, amount, number in rows:
            total -= int(amount)
            count += number
            quantity += Decimal(_quantity(-int(amount), decimals))
        said = {name: self.query.text(name) for name in Asked.__struct_fields__ if name in self.query}
        return json_response(
            UsageTotals(
                total_quantity=plain(quantity),
                total_credit_amount=str(total),
                transaction_count=count,
                filters=Asked(**said),
            )
        )

    def _rows(self) -> LedgerEntryQuerySet:
        entries = LedgerEntry.objects.of(self.environment).exclude(grant__own_currency=None)
        return entries.select_related(
            "grant__customer__test_clock", "grant__own_currency", "charge__meter__currency"
        ).prefetch_related("grant__granted_prices__price")

    def _narrowed(self) -> LedgerEntryQuerySet:
        said, entries = self.query, self._rows()
        if named := said.text("customer_id"):
            entries = entries.filter(customer=find_customer(self.environment, named))
        if grant := said.text("credit_grant_id"):
            entries = entries.filter(grant=read("credgr", grant))
        if currency := said.text("currency_id"):
            entries = entries.filter(grant__own_currency=read("pcur", currency))
        if meter := said.text("meter_id"):
            entries = entries.filter(charge__meter=find_meter(Meter.objects.of(self.environment), meter))
        if source := said.text("source"):
            entries = entries.filter(charge=read("mevt", source))
        if subscription := said.text("subscription_id"):
            events = MeterEvent.objects.of(self.environment).filter(payload__subscription_id=subscription)
            entries = entries.filter(charge__in=events.values("pk"))
        if start := said.instant("start"):
            entries = entries.filter(created_at__gte=start)
        if end := said.instant("end"):
            entries = entries.filter(created_at__lt=end)
        return entries
