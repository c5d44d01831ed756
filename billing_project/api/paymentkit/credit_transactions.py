"""/credit-transactions: the ledger of credit in the company's own currencies, read only.

The vendor describes these rows in two ways. Ours have the fields of both.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import Count, Q, Sum
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.credit_grants import GrantShape, id_of_grant, shape_of_grant
from billing_project.api.paymentkit.customers import CustomerShape, find_customer, shape_of_customer
from billing_project.api.paymentkit.meters import MeterShape, find_meter, shape_of_meter
from billing_project.api.paymentkit.payment_currencies import PaymentCurrency
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import Instant, Shape, Units, instant_text, json_response, missing
from core.ids import read, spell
from core.money import plain
from credits.models import EventCharge, LedgerEntry, LedgerEntryQuerySet
from meters.models import Meter
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
    credit_grant: GrantShape = msgspec.field(name="creditGrant")
    payment_currency: PaymentCurrency = msgspec.field(name="paymentCurrency")


def shapes_of_transactions(entries: Sequence[LedgerEntry], now: datetime, *, livemode: bool) -> list[TransactionShape]:
    said = _subscriptions_said([entry.charge for entry in entries if entry.charge])
    return [
        _shape_of(entry, said.get(entry.charge.pk) if entry.charge else None, now, livemode=livemode)
        for entry in entries
    ]


def _subscriptions_said(charges: Sequence[EventCharge]) -> dict[UUID, str]:
    """The subscriptions that events named, by event."""
    if not charges:
        return {}
    times = [charge.event_timestamp for charge in charges]
    # By their times, too, which lead to their partitions.
    events = MeterEvent.objects.filter(
        environment=charges[0].environment_id, pk__in=[charge.pk for charge in charges],
        timestamp__gte=min(times), timestamp__lte=max(times), payload__has_key="subscription_id",
    )  # fmt: skip
    return {pk: payload["subscription_id"] for pk, payload in events.values_list("pk", "payload")}


def _shape_of(entry: LedgerEntry, subscription: str | None, now: datetime, *, livemode: bool) -> TransactionShape:
    grant = shape_of_grant(entry.grant, now, livemode=livemode)
    kind = LedgerEntry.Kind(entry.kind)
    meter = entry.charge.meter if entry.charge else None
    event = spell("mevt", entry.charge.pk) if entry.charge else None
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
        meter_event_id=event,
        meter_event_name=meter.event_name if meter else None,
        meter_unit=meter.unit if meter else None,
        source=event,
        subscription_id=subscription,
        description=_DESCRIPTIONS[kind],
        livemode=livemode,
        created_at=written,
        updated_at=written,
        customer=shape_of_customer(entry.grant.customer, livemode=livemode),
        meter=shape_of_meter(meter, livemode=livemode) if meter else None,
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
        return json_response(shapes_of_transactions([found], self.now, livemode=self.environment.is_live)[0])

    def list(self, request: Request) -> HttpResponse:
        entries = self._narrowed().order_by("-created_at", "-pk")
        if not self.query.flag("include_grants"):
            entries = entries.exclude(kind=LedgerEntry.Kind.GRANTED)
        livemode = self.environment.is_live
        return self.listed(entries, lambda rows: shapes_of_transactions(rows, self.now, livemode=livemode))

    def summary(self, request: Request) -> HttpResponse:
        """What usage consumed, less what was given back."""
        consumed = [LedgerEntry.Kind.BURNED, LedgerEntry.Kind.COMMITTED, LedgerEntry.Kind.GIVEN_BACK]
        taken = Q(kind__in=consumed)
        entries = self.within(self._narrowed()).filter(taken).order_by()
        # In a currency each, of which a caller most often names one.
        rows = entries.values_list("grant__own_currency__decimals").annotate(Sum("amount"), Count("pk"))
        total, count, quantity = 0, 0, Decimal(0)
        for decimals, amount, number in rows:
            total -= int(amount)
            count += number
            quantity += Decimal(_quantity(-int(amount), decimals))
        filters = ("customer_id", "subscription_id", "currency_id", "meter_id", "start", "end")
        said: dict[str, Any] = {name: self.query.text(name) for name in filters if name in self.query}
        return json_response(
            {
                "total_quantity": plain(quantity),
                "total_credit_amount": str(total),
                "transaction_count": count,
                "filters": said,
            }
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
