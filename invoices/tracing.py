"""From an event to the invoice lines that it is billed on, or why it is not. It reads and stores nothing."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from invoices.models import Invoice, InvoiceLine
from invoices.true_ups import REACH, late_usage
from meters.models import LatePolicy
from subscriptions.models import SubscriptionItem
from usage.models import EventAdjustment, MeterEvent

_FINAL = {Invoice.Status.OPEN, Invoice.Status.PAID, Invoice.Status.UNCOLLECTIBLE}


class Fate(enum.Enum):
    """What became of an event in one billing period of its customer."""

    BILLED = "billed"
    DRAFTED = "on a draft, which counts once more when it becomes final"
    CURRENT = "in a period that is not over yet"
    VOID = "not billed: the invoice is void"
    CANCELED = "not billed: canceled before the invoice was final"
    TAKEN_BACK = "billed, and canceled since"
    TRUED_UP = "late: it came after the invoice was final, and is billed as late usage"
    WAITING = "late: it came after the invoice was final, and comes onto the next one as late usage"
    REPORTED = "late: it came after the invoice was final, and late usage of this meter is reported only"
    NO_INVOICE = "late: it came after the invoice was final, and the subscription has no further one"
    BEYOND_REACH = "late: it came after the invoice was final, longer ago than late usage is billed"
    DROPPED = "late: it came after the invoice was final, and the events of its month are not kept any more"
    ON_A_CLOCK = "in a period with usage that is not billed; on a test clock nobody can tell which came late"


@dataclass(frozen=True, slots=True)
class Trace:
    """One period that an event lies in.

    :ivar line: by which the period was billed, or will be; None where there is none yet
    :ivar true_up: that billed the event, or will, where it came late
    """

    fate: Fate
    line: InvoiceLine | None = None
    true_up: InvoiceLine | None = None


def trace(event: MeterEvent) -> list[Trace]:
    """Follow an event to every period in which its meter is billed to its customer. Empty: nothing bills it.

    An event of a customer who bills the same meter twice, by two subscriptions, is on a line of each.
    """
    lines = (
        InvoiceLine.objects.filter(
            environment_id=event.environment_id,
            invoice__customer=event.customer_id,
            price__meter=event.meter_id,
            subscription_item__isnull=False,
            trues_up__isnull=True,
            period_start__lte=event.timestamp,
            period_end__gt=event.timestamp,
        )
        .select_related("invoice__subscription", "invoice__customer", "price__meter", "subscription_item")
        .order_by("invoice__created_at", "pk")
    )
    canceled = EventAdjustment.objects.filter(environment=event.environment_id, event_id=event.pk).first()
    canceled_at = canceled.created_at if canceled else None
    traces = [_of_line(event, line, canceled_at) for line in lines]
    if canceled_at is None:
        billed = {line.subscription_item_id for line in lines}
        traces += [Trace(Fate.CURRENT) for item in _current_items(event) if item.pk not in billed]
    return traces


def _current_items(event: MeterEvent) -> Sequence[SubscriptionItem]:
    items = SubscriptionItem.objects.present().filter(
        environment=event.environment_id,
        subscription__customer=event.customer_id,
        subscription__wakes_at__isnull=False,
        price__meter=event.meter_id,
        current_period_start__lte=event.timestamp,
        current_period_end__gt=event.timestamp,
    )
    return list(items)


def _of_line(event: MeterEvent, line: Any, canceled_at: datetime | None) -> Trace:
    status = line.invoice.status
    if status == Invoice.Status.DRAFT:
        return Trace(Fate.CANCELED if canceled_at else Fate.DRAFTED, line)
    if status not in _FINAL:
        return Trace(Fate.VOID, line)
    if line.invoice.customer.test_clock_id is not None:
        # The line was read at the clock's time and the event came at the wall's, which say nothing about each other.
        late = late_usage(line)
        is_settled = late is not None and late.amount == 0 and late.counted_quantity == late.billed_quantity
        return Trace(Fate.BILLED if is_settled else Fate.ON_A_CLOCK, line)
    was_there = event.received_at < _read_at(line)
    if canceled_at is not None:
        return Trace(Fate.TAKEN_BACK if was_there and canceled_at >= _read_at(line) else Fate.CANCELED, line)
    return Trace(Fate.BILLED, line) if was_there else _late(event, line)


def _late(event: MeterEvent, line: Any) -> Trace:
    true_ups = line.true_ups.filter(invoice__status__in=[*_FINAL, Invoice.Status.DRAFT]).select_related("invoice")
    for true_up in true_ups.order_by("invoice__created_at", "pk"):
        if event.received_at < _read_at(true_up) or true_up.invoice.status == Invoice.Status.DRAFT:
            return Trace(Fate.TRUED_UP, line, true_up)
    return Trace(_why_not_billed(line), line)


def _why_not_billed(line: Any) -> Fate:
    subscription, item = line.invoice.subscription, line.subscription_item
    if line.price.meter.late_policy != LatePolicy.BILL_NEXT:
        return Fate.REPORTED
    if late_usage(line) is None:
        return Fate.DROPPED
    if subscription is None or subscription.wakes_at is None:
        return Fate.NO_INVOICE
    if line.period_end < min(item.current_period_start, item.current_period_end - REACH):
        return Fate.BEYOND_REACH
    return Fate.WAITING


def _read_at(line: InvoiceLine) -> datetime:
    return datetime.fromisoformat(line.basis["read_at"])
