"""A book of customers to be billed, made and billed by the product's own services, in a process of its own."""

import time
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from accounts.models import Customer
from core.ids import spell
from invoices import services
from invoices.models import Invoice, InvoiceLine
from meters.models import Meter
from subscriptions.models import Interval, Subscription, UsageType
from subscriptions.services import NewItem, create_price, create_product

# Subscriptions that are begun in one transaction: it is not what is measured.
_PROCESSES = 2
_CHUNK = 200


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
    for first in range(0, len(customers), _CHUNK):
        with transaction.atomic():
            for customer in customers[first : first + _CHUNK]:
                services.start_subscription(
                    environment=environment, customer=customer, items=[NewItem(price) for price in prices], now=now
                )
    return {"subscriptions": len(customers)}


def bill() -> dict[str, object]:
    """Close every period that is over, then finalize every draft that this made, in a process for each processor."""
    wall = timezone.now()
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
        "subscriptions": Subscription.objects.filter(customer__name__startswith="Payer ").count(),
        "billed_quantity": int(lines.aggregate(total=Sum("quantity"))["total"] or 0),
    }
