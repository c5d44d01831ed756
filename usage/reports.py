"""Questions about usage, and their answers: of one customer for a screen, of many for a billing run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from uuid import UUID, uuid5

from accounts.models import Customer
from core.periods import Period, Window, windows
from meters.models import Meter
from usage.aggregation import Totals
from usage.totals import Dimensions, Span, read_totals, watermark

__all__ = ["SummaryRow", "Usage", "UsageQuestion", "quantities", "summaries", "watermark"]


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """How much did this customer use on this meter in this period?"""

    meter_id: UUID
    customer_id: UUID
    period: Period


@dataclass(frozen=True, slots=True)
class Usage:
    """The answer: the meter's formula over the period's events, in the meter's unit."""

    value: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One bucket of a summary, or the whole range as one.

    :param dimensions: the values of the keys that rows are grouped by; None where an event has no such key
    """

    id: UUID
    period: Period
    value: Decimal
    event_count: int
    dimensions: dict[str, str | None]


def quantities(environment_id: UUID, questions: Sequence[UsageQuestion]) -> list[Usage]:
    """Answer many questions at once, exact up to this moment.

    :returns: an answer for each question, in order
    """
    meters = {meter.pk: meter for meter in Meter.objects.filter(pk__in={question.meter_id for question in questions})}
    spans = [Span(meters[question.meter_id], question.customer_id, question.period) for question in questions]
    totals = read_totals(environment_id, spans)
    answers = []
    for number, span in enumerate(spans):
        found = totals.get((number, ()), Totals())
        answers.append(Usage(found.value(span.meter.formula), found.event_count))
    return answers


def summaries(
    *,
    meter: Meter,
    customer: Customer,
    period: Period,
    window: Window | None = None,
    zone: tzinfo = UTC,
    dimensions: Dimensions | None = None,
) -> list[SummaryRow]:
    """One customer's usage on one meter, newest bucket first.

    :param window: for a row per hour, day, week or month that has events, by the zone's calendar and cut to the period;
        None for the whole period as one, which is a row even without events unless it is grouped
    """
    dimensions = dimensions or Dimensions()
    buckets = [period] if window is None else windows(period, window, zone)
    totals = read_totals(meter.environment_id, [Span(meter, customer.pk, bucket) for bucket in buckets], dimensions)
    if window is None and not dimensions.group_by:
        totals.setdefault((0, ()), Totals())
    newest_first = sorted(totals.items(), key=lambda item: (-item[0][0], [value or "" for value in item[0][1]]))
    return [
        SummaryRow(
            # Pages are asked for by id, so the same bucket must have the same id in every answer.
            id=uuid5(meter.pk, f"{customer.pk} {buckets[number].start} {buckets[number].end} {group}"),
            period=buckets[number],
            value=found.value(meter.formula),
            event_count=found.event_count,
            dimensions=dict(zip(dimensions.group_by, group, strict=True)),
        )
        for (number, group), found in newest_first
    ]
