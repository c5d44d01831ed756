"""How much a meter took in over time, whoever used it: counted from the events, so exact up to this moment."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from django.db import connection

from core.periods import Period
from meters.models import Meter
from usage.totals import COUNTS

Step = Literal["minute", "hour", "day"]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A UTC minute, hour or day in which there were events."""

    start: datetime
    event_count: int
    value: Decimal


def buckets(meter: Meter, period: Period, step: Step, *, customer_id: UUID | None = None) -> list[Bucket]:
    """The events of a half-open period, oldest bucket first.

    :param customer_id: of one customer; None for all of them
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT date_trunc(%s, "timestamp", 'UTC'), count(*), coalesce(sum(value), 0)
              FROM usage_meterevent AS event
             WHERE environment_id = %s AND meter_id = %s AND customer_id = coalesce(%s, customer_id)
               AND "timestamp" >= %s AND "timestamp" < %s AND {COUNTS}
             GROUP BY 1 ORDER BY 1
            """,  # noqa: S608 (a condition of ours)
            [step, meter.environment_id, meter.pk, customer_id, period.start, period.end],
        )
        return [Bucket(*row) for row in cursor.fetchall()]
