"""A book of customers to be billed, made and billed by the product's own services, in a process of its own."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Customer, Environment
from core.bulk import insert_rows
from core.ids import new_id, spell
from invoices import services
from invoices.models import Invoice, InvoiceLine
from meters.models import Meter
from subscriptions.models import Interval, Price, Subscription, SubscriptionItem, UsageType
from subscriptions.services import NewItem, create_price, create_product
from webhooks.kinds import Kind
from webhooks.models import Event

Row = TypeVar("Row", bound=models.Model)

_PROCESSES = 2
# So many are begun by the service, which is measured; the others are copies of one of them.
_BEGUN = 200
_CHUNK = 1000


def make_customers(meter_id: str, count: str) -> dict[str, object]:
    """Add customers to a meter's environment; their ids as the API spells them."""
    environment = Meter.objects.select_related("environment").get(pk=UUID(meter_id)).environment
    now = timezone.now()
    made = Customer.objects.bulk_create(
        [Customer(environment=environment, name=f"Payer {number}", created_at=now) for number in range(int(count))],
        batch_size=1000,
    )
    return {"customers": [spell("cus", customer.pk) for customer in made]}


def subscribe(start: str, weeks: str, meter_ids: str) -> dict[str, object]:
    """Subscribe every customer that has no subscription to a metered price of each meter, for periods of some weeks."""
    now = datetime.fromisoformat(start)
    meters = [Meter.objects.select_related("environment").get(pk=UUID(text)) for text in meter_ids.split(",")]
    environment = meters[0].environment
    prices = [
        create_price(
            environment=environment,
            product=create_product(environment=environment, name=meter.event_name, now=now),
            currency="usd",
            unit_amount=Decimal("0.025"),
            usage_type=UsageType.METERED,
            meter=meter,
            interval=Interval.WEEK,
            interval_count=int(weeks),
            now=now,
        )
        for meter in meters
    ]
    customers = list(Customer.objects.filter(environment=environment, name__startswith="Payer ", subscriptions=None))
    begin = partial(_begin, environment, prices, now)
    # The last one, too, by the service: copies must be what it makes.
    first, last = begin(customers[0]), begin(customers[-1])
    if first.in_other_words() != last.in_other_words():
        raise RuntimeError("two subscriptions of the same terms are to differ in their ids alone")
    begun, copied = customers[1:_BEGUN], customers[max(1, _BEGUN) : -1]
    began = time.perf_counter()
    for customer in begun:
        begin(customer)
    seconds = time.perf_counter() - began
    for place in range(0, len(copied), _CHUNK):
        first.copy_for(copied[place : place + _CHUNK])
    return {"subscriptions": len(customers), "begun": len(begun), "seconds": seconds}


def _begin(environment: Environment, prices: Sequence[Price], now: datetime, customer: Customer) -> "_Begun":
    subscription = services.start_subscription(
        environment=environment, customer=customer, items=[NewItem(price) for price in prices], now=now
    )
    return _Begun.read(subscription.pk)


@dataclass(frozen=True, slots=True)
class _Begun:
    """All rows that a subscription with metered items alone begins with."""

    subscription: Subscription
    items: Sequence[SubscriptionItem]
    told: Event

    @classmethod
    def read(cls, pk: UUID) -> Self:
        subscription = Subscription.objects.get(pk=pk)
        told = Event.objects.get(subject_id=pk)
        if told.kind != Kind.SUBSCRIPTION_CREATED or Invoice.objects.filter(subscription=pk).exists():
            raise RuntimeError(f"a subscription has begun otherwise than expected: {told}")
        return cls(subscription, list(SubscriptionItem.objects.filter(subscription=pk)), told)

    def copy_for(self, customers: Sequence[Customer]) -> None:
        """Store as much for each of other customers."""
        copies = [self._with_ids(new_id(), [new_id() for _ in self.items], customer.pk) for customer in customers]
        with transaction.atomic():
            insert_rows([copy.subscription for copy in copies])
            insert_rows([item for copy in copies for item in copy.items])
            insert_rows([copy.told for copy in copies])

    def in_other_words(self) -> list[dict[str, Any]]:
        """All that is stored, under ids that are everybody's."""
        nobody = self._with_ids(UUID(int=0), [UUID(int=number) for number in range(len(self.items))], UUID(int=0))
        nobody.told.pk = UUID(int=0)
        return [_columns(row) for row in (nobody.subscription, *nobody.items, nobody.told)]

    def _with_ids(self, pk: UUID, items: Sequence[UUID], customer: UUID) -> "_Begun":
        words = self.told.snapshot.replace(spell("sub", self.subscription.pk), spell("sub", pk))
        words = words.replace(spell("cus", self.subscription.customer_id), spell("cus", customer))
        for item, other in zip(self.items, items, strict=True):
            words = words.replace(spell("si", item.pk), spell("si", other))
        return _Begun(
            _copy(self.subscription, id=pk, customer_id=customer),
            [_copy(item, id=other, subscription_id=pk) for item, other in zip(self.items, items, strict=True)],
            _copy(self.told, id=new_id(), subject_id=pk, snapshot=words),
        )


def _copy(row: Row, **others: object) -> Row:
    return type(row)(**(_columns(row) | others))


def _columns(row: models.Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}  # noqa: SLF001


def bill() -> dict[str, object]:
    """Close every period that is over, then finalize every draft that this made, in a process for each processor."""
    wall = timezone.now()
    processor = _processor_seconds()
    began = time.perf_counter()
    closed = services.run_billing_side_by_side(_PROCESSES, now=wall)
    between = time.perf_counter()
    # When their grace is over.
    finalized = services.run_billing_side_by_side(_PROCESSES, now=wall + timedelta(hours=2))
    ended = time.perf_counter()
    lines = InvoiceLine.objects.filter(invoice__billing_reason=Invoice.BillingReason.SUBSCRIPTION_CYCLE)
    return {
        "closed": closed.steps.done,
        "finalized": finalized.finalized.done,
        "failed": closed.failed + finalized.failed,
        "closing_seconds": between - began,
        "finalizing_seconds": ended - between,
        "processor_seconds": _processor_seconds() - processor,
        "billed_quantity": int(lines.aggregate(total=Sum("quantity"))["total"] or 0),
    }


def _processor_seconds() -> float:
    """What this process and those that it began and that have ended have used."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
