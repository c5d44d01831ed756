"""/usage-records: usage by subscription item. A record is an event of the item's meter, and all such events are records."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any
from uuid import uuid4

from django.db.models import QuerySet
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from accounts.models import Scope
from billing_project.api.paymentkit.parsers import Fields
from billing_project.api.paymentkit.subscriptions import items_of
from billing_project.api.paymentkit.viewsets import PaymentKitViewSet, row_of
from billing_project.api.paymentkit.wire import (
    Instant,
    PaymentKitError,
    Shape,
    instant_text,
    json_response,
    page_of,
    seconds,
)
from core.ids import spell
from core.money import EXACT, plain
from invoices.models import InvoiceLine
from meters.models import Formula, Meter
from subscriptions.errors import SubscriptionEnded
from subscriptions.models import SubscriptionItem
from usage.listing import events_of
from usage.models import EventNote, MeterEvent
from usage.reports import UsageQuestion, quantities
from usage.services import IdentifiedUsage, take_in_identified

_MOST = 10**15
_MOST_PERIODS = 100
_IDENTIFIER_LENGTH = 255

Number = Annotated[Decimal, Meta(extra_json_schema={"type": "number", "format": None})]


class UsageRecordShape(Shape, frozen=True):
    id: Annotated[str, Meta(description="That of the meter event which it is.")]
    object: str
    livemode: bool
    subscription_item_id: str
    quantity: Number
    timestamp: int
    billed: Annotated[bool, Meta(description="Whether its period is over.")]
    metadata: dict[str, Any]
    created_at: Instant
    updated_at: Instant


class UsageSummaryShape(Shape, frozen=True):
    object: str
    livemode: bool
    invoice_id: Annotated[str | None, Meta(description="Null for the period that is still open.")]
    subscription_item_id: str
    total_usage: Number
    period: dict[str, int]


class UsageRecordViewSet(PaymentKitViewSet):
    read_scope = Scope.USAGE_READ
    write_scope = Scope.METER_REPORT
    # Stored together with what others report at this moment.
    alone = ("create",)

    def create(self, request: Request) -> HttpResponse:
        """Report usage. The vendor's clients say nothing that two records could be told apart by; ``identifier`` is
        ours: a record that has one counts once, however often it is sent.
        """
        said = self.body
        item, meter = self._item(said)
        if item.subscription.is_over:
            raise SubscriptionEnded(item.subscription_id)
        quantity = said.whole("quantity", default=-1, least=0, most=_MOST)
        _check_action(said, meter, quantity)
        usage = IdentifiedUsage(
            identifier=said.text("identifier", most=_IDENTIFIER_LENGTH) or f"usage-record-{uuid4()}",
            event_name=meter.event_name,
            customer_id=item.subscription.customer_id,
            value=str(quantity),
            timestamp=said.instant("timestamp"),
            note={"metadata": kept} if (kept := said.object("metadata")) else {},
        )
        pk, at = take_in_identified(environment=self.environment, usage=usage, now=self.now)
        event = events_of(self.environment).get(pk=pk, timestamp=at)
        return json_response(_shapes_of([event], item, livemode=self.environment.is_live)[0])

    def list(self, request: Request) -> HttpResponse:
        item, meter = self._item(self.query)
        livemode = self.environment.is_live
        return self.listed(self._events(item, meter), lambda rows: _shapes_of(rows, item, livemode=livemode))

    def summary(self, request: Request) -> HttpResponse:
        """By period: what is used so far, and what was billed."""
        item, meter = self._item(self.query)
        if self.is_of_other_mode:
            return json_response(page_of([], 0, 1, 0))
        livemode, spelled = self.environment.is_live, spell("si", item.pk)
        billed = InvoiceLine.objects.filter(environment=self.environment).billed_usage().with_true_ups()
        lines: Iterable[Any] = billed.filter(subscription_item=item).order_by("-period_start")[:_MOST_PERIODS]
        rows = [self._current(item, meter)]
        rows += [
            UsageSummaryShape(
                object="usage_record_summary",
                livemode=livemode,
                invoice_id=spell("in", line.invoice_id),
                subscription_item_id=spelled,
                total_usage=Decimal(plain(EXACT.add(line.quantity, line.trued_up_quantity))),
                period={"start": seconds(line.period_start), "end": seconds(line.period_end)},
            )
            for line in lines
        ]
        return json_response(page_of(rows, len(rows), 1, len(rows)))

    def _current(self, item: SubscriptionItem, meter: Meter) -> UsageSummaryShape:
        period = item.current_period
        [usage] = quantities(self.environment.pk, [UsageQuestion(meter.pk, item.subscription.customer_id, period)])
        return UsageSummaryShape(
            object="usage_record_summary",
            livemode=self.environment.is_live,
            invoice_id=None,
            subscription_item_id=spell("si", item.pk),
            total_usage=Decimal(plain(usage.value)),
            period={"start": seconds(period.start), "end": seconds(period.end)},
        )

    def _item(self, said: Fields) -> tuple[SubscriptionItem, Meter]:
        """The item that is named, and its meter.

        :raises PaymentKitError: if there is none, or nothing is metered by it
        """
        named = said.text("subscription_item_id", required=True)
        rows = items_of(self.environment).select_related("subscription__customer__test_clock")
        found = row_of(rows, "si", named)
        if found is None:
            raise PaymentKitError(f"Subscription item not found: {named[:100]}")
        if found.price.meter is None:
            raise said.refuse("subscription_item_id", "must have a metered price")
        return found, found.price.meter

    def _events(self, item: SubscriptionItem, meter: Meter) -> QuerySet[MeterEvent]:
        """What the item bills, has billed, and will bill."""
        events: QuerySet[Any] = events_of(self.environment)
        events = events.filter(meter=meter, customer=item.subscription.customer_id, is_canceled=False)
        events = events.filter(timestamp__gte=item.subscription.start_at)
        if item.subscription.ended_at is not None:
            events = events.filter(timestamp__lt=item.subscription.ended_at)
        return events.order_by("-timestamp", "-pk")


def _shapes_of(events: list[MeterEvent], item: SubscriptionItem, *, livemode: bool) -> list[UsageRecordShape]:
    notes = EventNote.objects.filter(environment=item.environment_id, event_id__in=[event.pk for event in events])
    contents = {note.event_id: note.content for note in notes}
    period = item.current_period
    return [
        UsageRecordShape(
            id=spell("mevt", event.pk),
            object="usage_record",
            livemode=livemode,
            subscription_item_id=spell("si", item.pk),
            # A meter that only counts keeps no value.
            quantity=Decimal(1) if event.value is None else Decimal(plain(event.value)),
            timestamp=seconds(event.timestamp),
            billed=event.timestamp < period.start,
            metadata=contents.get(event.pk, {}).get("metadata") or {},
            created_at=instant_text(event.received_at),
            updated_at=instant_text(event.received_at),
        )
        for event in events
    ]


def _check_action(said: Fields, meter: Meter, quantity: int) -> None:
    """An event can add to a sum, or be the last value. What the meter would make something else of is refused."""
    if "quantity" not in said:
        raise said.refuse("quantity", "is required")
    action = said.choice("action", ["increment", "set"]) or "increment"
    allowed = {Formula.SUM: "increment", Formula.COUNT: "increment", Formula.LAST: "set"}.get(Formula(meter.formula))
    if action != allowed:
        reason = f"allows {allowed} only" if allowed else "takes meter events only"
        raise said.refuse("action", f"is {action}, and the item's meter, which is a {meter.formula}, {reason}")
    if meter.formula == Formula.COUNT and quantity != 1:
        raise said.refuse("quantity", "must be 1, as the item's meter counts events")
