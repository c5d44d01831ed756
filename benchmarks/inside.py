"""What is measured below HTTP, in a process with the stack's own settings: the roll-up, the billing run, the console's pages.

``python -m benchmarks.inside roll_up`` and the like print one line of JSON.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import django
from django.utils import timezone

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")
django.setup()

from accounts.models import Customer  # noqa: E402 (models want Django's settings first)
from benchmarks import book, filling, pages  # noqa: E402
from core.periods import Period  # noqa: E402
from meters.models import Meter  # noqa: E402
from usage import services  # noqa: E402
from usage.reports import UsageQuestion, quantities  # noqa: E402


def roll_up() -> dict[str, object]:
    """One run of the roll-up over all that waits for it."""
    began = time.perf_counter()
    result = services.roll_up()
    seconds = time.perf_counter() - began
    if result is None:
        raise RuntimeError("another process is rolling up")
    return {"seconds": seconds, "summaries": result.summaries}


def meter_month(meter_id: str, start: str, end: str, repeats: str, offset: str) -> dict[str, object]:
    """What a billing run asks: the quantity of every customer of one meter over a month, in one call.

    :param offset: how many seconds each customer's period begins after that of the one before, and ends earlier
    """
    meter = Meter.objects.get(pk=UUID(meter_id))
    period = Period(datetime.fromisoformat(start), datetime.fromisoformat(end))
    customers = Customer.objects.filter(environment_id=meter.environment_id).values_list("pk", flat=True)
    steps = [timedelta(seconds=int(offset) * number) for number in range(len(customers))]
    questions = [
        UsageQuestion(meter.pk, customer, Period(period.start + step, period.end - step))
        for customer, step in zip(customers, steps, strict=True)
    ]
    seconds = []
    events = 0
    for _ in range(int(repeats)):
        began = time.perf_counter()
        answers = quantities(meter.environment_id, questions)
        seconds.append(time.perf_counter() - began)
        events = sum(answer.event_count for answer in answers)
    return {"seconds": seconds, "customers": len(questions), "events": events}


def make_partitions() -> dict[str, object]:
    """The event tables of the months around now, as a beat job makes them each hour."""
    services.maintain_partitions(now=timezone.now())
    return {}


COMMANDS: Mapping[str, Callable[..., dict[str, object]]] = {
    "make_partitions": make_partitions,
    "make_customers": book.make_customers,
    "subscribe": book.subscribe,
    "bill": book.bill,
    "fill_lists": filling.fill,
    "time_start_page": pages.time_start_page,
    "time_pages": pages.time_pages,
    "roll_up": roll_up,
    "meter_month": meter_month,
}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(COMMANDS[name](*arguments)) + "\n")
