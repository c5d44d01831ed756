"""/meter-events."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, get_args
from uuid import UUID

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Customer, Scope
from billing_project.api.paymentkit.customers import (
    CustomerShape,
    find_customer,
    named_customer,
    no_such_customer,
    shape_of_customer,
)
from billing_project.api.paymentkit.meters import MeterShape, find_meter, shape_of_meter
from billing_project.api.paymentkit.payment_currencies import PaymentCurrency
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    Shape,
    Units,
    instant_text,
    json_response,
    missing,
    seconds,
)
from core.ids import spell
from core.money import plain
from core.periods import Period
from credits import balances
from credits.models import EventCharge
from meters.known import active_meters
from meters.models import Meter
from usage.listing import events_of
from usage.models import EventNote, MeterEvent, Source
from usage.services import IdentifiedUsage, find_identified, take_in_identified
from usage.stats import Step, buckets

NOUN = "Meter event"
_NAME_LENGTH = 100
_IDENTIFIER_LENGTH = 255
_STEPS: tuple[Step, ...] = get_args(Step)
# How far back is looked where nothing is said, and how far at most.
_SPANS = {"minute": timedelta(hours=1), "hour": timedelta(days=1), "day": timedelta(days=30)}
_MOST = {"minute": timedelta(days=2), "hour": timedelta(days=62), "day": timedelta(days=732)}
_DATES = {"minute": "%Y-%m-%d %H:%M:00", "hour": "%Y-%m-%d %H:00:00", "day": "%Y-%m-%d"}
_STATUSES = {
    EventCharge.Status.OPEN: "pending",
    EventCharge.Status.SHORT: "requires_capture",
    EventCharge.Status.SETTLED: "completed",
    EventCharge.Status.CANCELED: "canceled",
}


class EventShape(Shape, frozen=True):
    id: str
    object: str
    event_name: str
    identifier: Annotated[str, Meta(description="An event counts once under it, for good.")]
    payload: Annotated[
        dict[str, str], Meta(description="With `customer_id` and `value`, whatever the meter calls them.")
    ]
    timestamp: Annotated[int, Meta(description="Unix seconds: when the usage took place.")]
    livemode: bool
    status: str
    credit_consumed: Units
    credit_pending: Units
    processed_at: Instant | None
    attempt_count: int
    next_attempt: int | None
    metadata: dict[str, Any]
    source_data: Annotated[
        dict[str, Any] | list[dict[str, Any]] | None, Meta(description="Where the usage came from, as it was said.")
    ]
    created_via: str
    created_at: Instant
    updated_at: Instant
    meter: MeterShape
    customer: CustomerShape
    payment_currency: PaymentCurrency | None = msgspec.field(name="paymentCurrency")


class EventStatistics(Shape, frozen=True):
    """A UTC minute, hour or day in which there were events."""

    date: str
    timestamp: int
    event_count: int
    total_value: str


def shape_of_events(events: list[MeterEvent], *, livemode: bool) -> list[EventShape]:
    pks = [event.pk for event in events]
    environment = events[0].environment_id if events else None
    notes = EventNote.objects.filter(environment=environment, event_id__in=pks)
    contents = {note.event_id: note.content for note in notes}
    charges = EventCharge.objects.in_bulk(pks)
    customers = Customer.objects.in_bulk({event.customer_id for event in events})
    meters = Meter.objects.select_related("currency").in_bulk({event.meter_id for event in events})
    return [
        _shape_of(
            event,
            meters[event.meter_id],
            customers[event.customer_id],
            charges.get(event.pk),
            contents.get(event.pk, {}),
            livemode=livemode,
        )
        for event in events
    ]


def _credit(event: MeterEvent, meter: Meter, charge: EventCharge | None) -> tuple[str, int, int]:
    """Status, and what credit has paid and what is still to be paid."""
    if getattr(event, "is_canceled", False):
        # What it burned comes back within two seconds.
        return "canceled", 0, 0
    if charge is not None:
        return _STATUSES[EventCharge.Status(charge.status)], charge.consumed, charge.pending
    if meter.currency is None or not event.value or event.value < 0:
        return "completed", 0, 0
    # So young that nobody has charged for it yet. What has no such unit came in by another door, and will be rounded.
    return "pending", 0, meter.currency.nearest_units(event.value)


def _shape_of(
    event: MeterEvent,
    meter: Meter,
    customer: Customer,
    charge: EventCharge | None,
    note: Mapping[str, Any],
    *,
    livemode: bool,
) -> EventShape:
    of_meter = shape_of_meter(meter, livemode=livemode)
    status, consumed, pending = _credit(event, meter, charge)
    processed = charge.processed_at if charge else None
    received = instant_text(event.received_at)
    payload = {key: text for key, text in event.payload.items() if key not in {meter.customer_key, meter.value_key}}
    payload["customer_id"] = spell("cus", event.customer_id)
    payload["value"] = event.payload.get(meter.value_key, "1")
    return EventShape(
        id=spell("mevt", event.pk),
        object="meter_event",
        event_name=meter.event_name,
        identifier=event.identifier,
        payload=payload,
        timestamp=seconds(event.timestamp),
        livemode=livemode,
        status=status,
        credit_consumed=str(consumed),
        credit_pending=str(pending),
        processed_at=instant_text(processed) if processed else None,
        attempt_count=charge.attempts if charge else 0,
        next_attempt=None,
        metadata=note.get("metadata") or {},
        source_data=note.get("source_data"),
        created_via="api" if event.source == Source.API else "batch",
        created_at=received,
        updated_at=instant_text(processed) if processed else received,
        meter=of_meter,
        customer=shape_of_customer(customer, livemode=livemode),
        payment_currency=of_meter.payment_currency,
    )


class MeterEventViewSet(PaymentKitViewSet):
    read_scope = Scope.USAGE_READ
    write_scope = Scope.METER_REPORT
    # Stored together with what others report at this moment.
    alone = ("create",)

    def create(self, request: Request) -> HttpResponse:
        said = self.body
        event_name = said.text("event_name", most=_NAME_LENGTH, required=True)
        identifier = said.text("identifier", most=_IDENTIFIER_LENGTH, required=True)
        timestamp = said.instant("timestamp")
        payload = said.inner("payload", required=True)
        named = payload.text("customer_id", required=True)
        value = payload.decimal("value")
        subscription = payload.text("subscription_id", most=_NAME_LENGTH)
        beside = {"metadata": said.object("metadata"), "source_data": said.object_or_list("source_data")}
        note = {name: kept for name, kept in beside.items() if kept}
        meter = active_meters.get((self.environment.pk, event_name))
        # An amount that the currency has no unit for could only be paid in part.
        if meter and meter.currency and meter.currency.smallest_units(value) is None:
            raise payload.refuse("value", f"must not have more than {meter.currency.decimals} decimal places")
        customer = find_customer(self.environment, named)
        if customer is None:
            # Who was deleted since may still be the first event's.
            place = find_identified(self.environment, identifier)
            if place is None:
                raise no_such_customer(named)
        else:
            usage = IdentifiedUsage(
                identifier=identifier,
                event_name=event_name,
                customer_id=customer.pk,
                value=plain(value),
                timestamp=timestamp,
                dimensions={"subscription_id": subscription} if subscription else {},
                note=note,
            )
            place = take_in_identified(environment=self.environment, usage=usage, now=self.now)
        pk, at = place
        return self._answer(events_of(self.environment).get(pk=pk, timestamp=at))

    def retrieve(self, request: Request, pk: str) -> HttpResponse:
        found = row_of(self.within(events_of(self.environment)), "mevt", pk)
        if found is None:
            raise missing(NOUN, pk)
        return self._answer(found)

    def list(self, request: Request) -> HttpResponse:
        said, events = self.query, events_of(self.environment)
        if name := said.text("event_name"):
            events = events.filter(meter__in=Meter.objects.of(self.environment).filter(event_name=name))
        if meter := said.text("meter_id"):
            events = events.filter(meter=find_meter(Meter.objects.of(self.environment), meter))
        if named := said.text("customer_id"):
            events = events.filter(customer=named_customer(self.environment, named))
        if start := said.instant("start"):
            events = events.filter(timestamp__gte=start)
        if end := said.instant("end"):
            events = events.filter(timestamp__lt=end)
        if words := said.text("q"):
            events = events.filter(identifier__icontains=words)
        livemode = self.environment.is_live
        newest_first = events.order_by("-timestamp", "-pk")
        return self.listed(newest_first, lambda rows: shape_of_events(rows, livemode=livemode))

    def stats(self, request: Request) -> HttpResponse:
        said = self.query
        meter = find_meter(Meter.objects.of(self.environment), said.text("meter_id", required=True))
        step: Step = said.choice("granularity", _STEPS) or "day"  # type: ignore[assignment]  # one of these
        end = said.instant("end") or self.now
        start = said.instant("start") or end - _SPANS[step]
        if not start <= end or end - start > _MOST[step]:
            raise said.refuse("start", f"must be before the end, by at most {_MOST[step].days} days of one {step} each")
        customer: UUID | None = None
        if named := said.text("customer_id"):
            customer = named_customer(self.environment, named).pk
        found = [] if self.is_of_other_mode else buckets(meter, Period(start, end), step, customer_id=customer)
        rows = [
            EventStatistics(
                date=f"{bucket.start:{_DATES[step]}}",
                timestamp=seconds(bucket.start),
                event_count=bucket.event_count,
                total_value=plain(bucket.value),
            )
            for bucket in found
        ]
        return json_response({"count": len(rows), "list": rows})

    def pending_amount(self, request: Request) -> HttpResponse:
        """What is still to be paid for usage, by currency; that of this moment among it."""
        said = self.query
        customer = named_customer(self.environment, said.text("customer_id", required=True))
        subscription = said.text("subscription_id")
        of = {"subscription_id": subscription} if subscription else None
        found = {} if self.is_of_other_mode else balances.pending(customer, said=of)
        amounts = {spell("pcur", currency): str(amount) for currency, amount in found.items()}
        if asked := said.text("currency_id"):
            amounts = {asked: amounts.get(asked, "0")}
        return json_response(amounts)

    def _answer(self, event: MeterEvent) -> HttpResponse:
        return json_response(shape_of_events([event], livemode=self.environment.is_live)[0])
