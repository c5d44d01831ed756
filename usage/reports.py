"""Questions about usage, and their answers: of one customer for a screen, of many for a billing run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID, uuid5

from accounts.models import Customer
from core.money import EXACT
from core.periods import Period, Window, windows
from meters.models import Meter
from usage.aggregation import Totals
from usage.totals import Dimensions, Span, read_totals, watermark

__all__ = [
    "MeterQuestion",
    "SummaryRow",
    "Usage",
    "UsageQuestion",
    "UsageRow",
    "meter_usage",
    "quantities",
    "summaries",
    "watermark",
]


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


def quantities(
    environment_id: UUID, questions: Sequence[UsageQuestion], *, meters: Mapping[UUID, Meter] = MappingProxyType({})
) -> list[Usage]:
    """Answer many questions at once, exact up to this moment.

    :param meters: those that the caller has in hand, by their ids; the others are read
    :returns: an answer for each question, in order
    """
    unread = {question.meter_id for question in questions} - meters.keys()
    if unread:
        meters = {**meters, **{meter.pk: meter for meter in Meter.objects.filter(pk__in=unread)}}
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
    customer_id: UUID,
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
    totals = read_totals(meter.environment_id, [Span(meter, customer_id, bucket) for bucket in buckets], dimensions)
    if window is None and not dimensions.group_by:
        totals.setdefault((0, ()), Totals())
    newest_first = sorted(totals.items(), key=lambda item: (-item[0][0], [value or "" for value in item[0][1]]))
    return [
        SummaryRow(
            # Pages are asked for by id, so the same bucket must have the same id in every answer.
            id=uuid5(meter.pk, f"{customer_id} {buckets[number].start} {buckets[number].end} {group}"),
            period=buckets[number],
            value=found.value(meter.formula),
            event_count=found.event_count,
            dimensions=dict(zip(dimensions.group_by, group, strict=True)),
        )
        for (number, group), found in newest_first
    ]


@dataclass(frozen=True, slots=True)
class MeterQuestion:
    """How much was used on this meter, of what and grouped by what?"""

    meter: Meter
    dimensions: Dimensions


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One bucket of one meter's usage, or of all meters' together: then ``meter`` is None."""

    id: UUID
    period: Period
    meter: Meter | None
    value: Decimal
    event_count: int
    dimensions: dict[str, str | None]


def meter_usage(
    *,
    customer: Customer,
    period: Period,
    questions: Sequence[MeterQuestion] | None = None,
    window: Window | None = None,
    zone: tzinfo = UTC,
) -> list[UsageRow]:
    """One customer's usage on several meters: meter by meter, groups within it, oldest bucket first.

    :param questions: None adds up the values of all meters, each by its own formula
    :param window: for a row per hour, day, week or month that has events, by the zone's calendar and cut to the period;
        None for the whole period as one, which is a row even without events unless it is grouped
    """
    buckets = [period] if window is None else windows(period, window, zone)
    if questions is None:
        meters = Meter.objects.filter(environment=customer.environment_id).order_by("pk")
        rows = _rows(customer, [MeterQuestion(meter, Dimensions()) for meter in meters], buckets, whole=window is None)
        return _added_up(customer, rows, buckets, whole=window is None)
    return _rows(customer, questions, buckets, whole=window is None)


def _rows(
    customer: Customer, questions: Sequence[MeterQuestion], buckets: Sequence[Period], *, whole: bool
) -> list[UsageRow]:
    found: dict[tuple[int, int, tuple[str | None, ...]], Totals] = {}
    # One read for all questions with the same dimensions, which most often is all of them.
    asked: dict[str, list[int]] = {}
    for number, question in enumerate(questions):
        dimensions = question.dimensions
        said = (
            f"{sorted((key, list(values)) for key, values in dimensions.filters.items())} {list(dimensions.group_by)}"
        )
        asked.setdefault(said, []).append(number)
    for numbers in asked.values():
        spans = [Span(questions[number].meter, customer.pk, bucket) for number in numbers for bucket in buckets]
        totals = read_totals(customer.environment_id, spans, questions[numbers[0]].dimensions)
        for (place, group), total in totals.items():
            which, bucket = divmod(place, len(buckets))
            found[numbers[which], bucket, group] = total
    if whole:
        for number, question in enumerate(questions):
            if not question.dimensions.group_by:
                found.setdefault((number, 0, ()), Totals())
    ordered = sorted(
        found.items(), key=lambda item: (item[0][0], [(text is not None, text) for text in item[0][2]], item[0][1])
    )
    return [
        UsageRow(
            id=uuid5(
                questions[number].meter.pk,
                f"{number} {customer.pk} {buckets[bucket].start} {buckets[bucket].end} {group}",
            ),
            period=buckets[bucket],
            meter=questions[number].meter,
            value=total.value(questions[number].meter.formula),
            event_count=total.event_count,
            dimensions=dict(zip(questions[number].dimensions.group_by, group, strict=True)),
        )
        for (number, bucket, group), total in ordered
    ]


def _added_up(
    customer: Customer, rows: Sequence[UsageRow], buckets: Sequence[Period], *, whole: bool
) -> list[UsageRow]:
    by_bucket: dict[Period, list[UsageRow]] = {bucket: [] for bucket in buckets}
    for row in rows:
        by_bucket[row.period].append(row)
    return [
        UsageRow(
            id=uuid5(customer.pk, f"{bucket.start} {bucket.end}"),
            period=bucket,
            meter=None,
            value=_sum(row.value for row in there),
            event_count=sum(row.event_count for row in there),
            dimensions={},
        )
        for bucket, there in by_bucket.items()
        if there or whole
    ]


def _sum(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        # The default context would round to 28 digits.
        total = EXACT.add(total, value)
    return total
