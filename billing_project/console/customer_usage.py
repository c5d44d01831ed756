"""What a customer uses on each meter that they pay for: the current billing period beside the one before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, cast
from urllib.parse import urlencode

from django.urls import reverse

from accounts.models import Customer
from billing_project.console import chart
from core.periods import DAY, Interval, Period, boundary, next_index
from meters.models import Meter
from subscriptions.models import Price, Subscription
from usage.aggregation import Totals
from usage.totals import Span, read_totals

MOST_METERS = 4
# A year by the day is as much as a chart can show.
_MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class Day:
    """One day of the chart: the pair of bars, the day of this period, and its summaries."""

    pair: chart.Pair
    period: Period
    link: str


@dataclass(frozen=True, slots=True)
class UsagePanel:
    """One meter. Quantities are in its unit.

    :ivar used: from the period's start until now
    :ivar used_before: as far into the period before
    :ivar whole_before: of all of the period before
    """

    meter: Meter
    period: Period
    before: Period
    used: Decimal
    used_before: Decimal
    whole_before: Decimal
    days: Sequence[Day]
    top: Decimal
    link: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is read for one meter: sums of the two periods, and a value for each day of both."""

    meter: Meter
    period: Period
    before: Period
    until: datetime

    def sums(self) -> list[Period]:
        same_point = min(self.before.start + (self.until - self.period.start), self.before.end)
        return [Period(self.period.start, self.until), Period(self.before.start, same_point), self.before]

    def days(self) -> list[Period]:
        return _days(Period(self.period.start, self.until))

    def days_before(self) -> list[Period]:
        return _days(self.before)


def usage_panels(customer: Customer, subscriptions: Sequence[Any], now: datetime) -> list[UsagePanel]:
    """A panel for each meter that running subscriptions bill, of the first few. All of it is one read.

    :param subscriptions: with ``present_items``, their prices and meters
    :param now: the customer's time
    """
    asked: dict[Any, _Asked] = {}
    for subscription in subscriptions:
        for item in subscription.present_items:
            meter, period = item.price.meter, item.current_period
            if meter is not None and meter.pk not in asked and len(asked) < MOST_METERS:
                until = min(max(now, period.start), period.end)
                asked[meter.pk] = _Asked(meter, period, _before(subscription, item.price, period), until)
    spans = [
        Span(one.meter, customer.pk, period)
        for one in asked.values()
        for period in (*one.sums(), *one.days(), *one.days_before())
    ]
    totals = read_totals(customer.environment_id, spans) if spans else {}
    values = (totals.get((number, ()), Totals()).value(span.meter.formula) for number, span in enumerate(spans))
    return [_panel(customer, one, values) for one in asked.values()]


def _panel(customer: Customer, one: _Asked, values: Iterator[Decimal]) -> UsagePanel:
    """Takes the values of what was asked, in its order."""
    used, used_before, whole_before = islice(values, 3)
    daily = list(islice(values, len(one.days())))
    daily_before = list(islice(values, len(one.days_before())))
    pairs = chart.pairs(daily, daily_before)
    days = [Period(one.period.start + pair.x * DAY, one.period.start + (pair.x + 1) * DAY) for pair in pairs]
    return UsagePanel(
        one.meter,
        one.period,
        one.before,
        used,
        used_before,
        whole_before,
        days=[Day(pair, day, _summaries(customer, one.meter, day)) for pair, day in zip(pairs, days, strict=True)],
        top=max([*daily, *daily_before, Decimal(0)]),
        link=_summaries(customer, one.meter, one.period),
    )


def _before(subscription: Subscription, price: Price, period: Period) -> Period:
    """The billing period before one, by the subscription's own boundaries."""
    interval, count = cast("Interval", price.interval), price.interval_count
    index = next_index(subscription.anchor_at, interval, count, period.start, subscription.zone) - 1
    start = boundary(subscription.anchor_at, interval, count, index, subscription.zone)
    if start == period.start:
        start = boundary(subscription.anchor_at, interval, count, index - 1, subscription.zone)
    return Period(start, period.start)


def _days(period: Period) -> list[Period]:
    """Spans of 24 hours from a period's start, so that the first of one stands beside the first of another."""
    count = min(-((period.start - period.end) // DAY), _MOST_DAYS)
    starts = [period.start + number * DAY for number in range(count)]
    return [Period(start, min(start + DAY, period.end)) for start in starts]


def _summaries(customer: Customer, meter: Meter, period: Period) -> str:
    query = {
        "environment__id__exact": customer.environment_id,
        "meter__id__exact": meter.pk,
        "customer__id__exact": customer.pk,
        "hour__gte": period.start.isoformat(),
        "hour__lt": period.end.isoformat(),
    }
    return f"{reverse('admin:usage_usagesummary_changelist')}?{urlencode(query)}"
