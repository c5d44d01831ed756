"""One meter over time: in all or of one customer, by customer or by a dimension, beside the time before.

Every number is the exact read's (:mod:`usage.totals`), so it equals what the APIs' summaries say of the same span. What
does not add up is never added: the greatest of a month is not the sum of its days' greatest.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from heapq import nlargest
from itertools import zip_longest
from uuid import UUID
from zoneinfo import ZoneInfo

from core.db import one_snapshot
from core.money import EXACT
from core.periods import Period, Window, boundary, ceil_hour, windows
from meters.models import Formula, Meter
from usage.aggregation import ZERO, Totals
from usage.models import DailySummary
from usage.totals import Dimensions, Group, MeterSpan, Span, read_meter_totals, read_totals

MOST_PARTS = 10
# More bars than some hundred nobody can tell apart. In days:
LONGEST: Mapping[Window, int] = {"hour": 16, "day": 400, "week": 2_800, "month": 12_000}
_ADDS_UP = frozenset({Formula.SUM, Formula.COUNT})


@dataclass(frozen=True)
class Question:
    """What somebody wants to see of a meter.

    :param first: the first day, of the zone's calendar
    :param last: the last one, which is part of it; not before the first, and no further off than :data:`LONGEST`
    :param window: what one bar covers, by the zone's calendar
    :param customer_id: whose usage; None for everybody's
    :param by_customer: tell customers apart
    :param dimension: the declared payload key whose values are told apart; empty for none
    """

    meter: Meter
    first: date
    last: date
    window: Window
    zone: ZoneInfo
    customer_id: UUID | None = None
    by_customer: bool = False
    dimension: str = ""

    @cached_property
    def period(self) -> Period:
        return self._days(self.first, self.last)

    @cached_property
    def before(self) -> Period:
        """As many windows right before, so that a bar stands beside one of its kind. Weeks are whole."""
        if self.window == "month":
            months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
            # The days after the last one are what months are counted to, so that a whole month stays one.
            after = _months_earlier(self.last + timedelta(days=1), months)
            return self._days(_months_earlier(self.first, months), after - timedelta(days=1))
        days = (self.last - self.first).days + 1
        if self.window == "week":
            days = -(-days // 7) * 7
        return self._days(self.first - timedelta(days=days), self.last - timedelta(days=days))

    @property
    def parts_add_up(self) -> bool:
        """Whether the values of customers, or of a dimension's values, can be added up."""
        return self.meter.formula in _ADDS_UP

    @property
    def windows_add_up(self) -> bool:
        """Whether the values of hours and days can be. On a meter that counts the last event of each hour or day, a bar
        of its own kind may cut one of these."""
        return self.parts_add_up and not self.meter.event_time_window

    def _days(self, first: date, last: date) -> Period:
        start, end = (datetime.combine(day, time(), self.zone) for day in (first, last + timedelta(days=1)))
        return Period(start.astimezone(UTC), end.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class Step:
    """One bar: a window, and the one that stands before it. A value is None where there were no events.

    :ivar period: empty, at the end, where the time before has a window more, as a day of 25 hours has
    :ivar before: None where it has one less
    :ivar parts: values of the parts, in their order, and of the rest where there is one
    """

    period: Period
    before: Period | None
    value: Decimal | None
    value_before: Decimal | None
    event_count: int
    parts: Sequence[Decimal | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A customer, or a value of a dimension, over all of both periods.

    :ivar key: the customer's id, or the value; None for events without the key, and for the rest
    """

    key: str | None
    value: Decimal
    value_before: Decimal
    event_count: int


@dataclass(frozen=True, slots=True)
class Exploration:
    """The answer. Values are in the meter's unit.

    :ivar so_far: the period up to the full hour that is running, where it is not over; the sums are over this
    :ivar so_far_before: the same stretch of the time before
    :ivar parts: the greatest first
    :ivar rest: of all other parts together; None where values do not add up, or there are no others
    :ivar others: how many other parts there are
    """

    question: Question
    so_far: Period
    so_far_before: Period
    value: Decimal
    value_before: Decimal
    event_count: int
    steps: Sequence[Step]
    parts: Sequence[Part]
    rest: Part | None
    others: int

    @property
    def is_over(self) -> bool:
        return self.so_far.end == self.question.period.end


def explore(question: Question, *, now: datetime) -> Exploration:
    """Answer a question about a meter, exact up to this moment, from one state of the database."""
    so_far, so_far_before = _same_stretch(question, now)
    cuts = windows(question.period, question.window, question.zone)
    cuts_before = windows(question.before, question.window, question.zone)
    with one_snapshot():
        totals = _read(question, [so_far, so_far_before, *cuts, *cuts_before])
        parts, others = _parts(question, [so_far, so_far_before])
        values = _values(question, parts, cuts)
    whole, whole_before, *each = (totals.get((number, ())) for number in range(2 + len(cuts) + len(cuts_before)))
    formula = question.meter.formula
    rest = None
    if others and question.parts_add_up:
        rest = Part(
            key=None,
            value=_less(_value(whole, formula), [part.value for part in parts]),
            value_before=_less(_value(whole_before, formula), [part.value_before for part in parts]),
            event_count=_events(whole) - sum(part.event_count for part in parts),
        )
    counted, counted_before = each[: len(cuts)], each[len(cuts) :]
    steps = []
    for cut, before, now_there, before_there, inner in zip_longest(
        cuts, cuts_before, counted, counted_before, values, fillvalue=None
    ):
        of_parts = list(inner or ())
        if rest is not None and inner is not None:
            of_parts.append(_less(_value(now_there, formula), of_parts) if now_there else None)
        steps.append(
            Step(
                cut or Period(question.period.end, question.period.end),
                before,
                now_there.value(formula) if now_there else None,
                before_there.value(formula) if before_there else None,
                _events(now_there),
                of_parts,
            )
        )
    return Exploration(
        question,
        so_far,
        so_far_before,
        _value(whole, formula),
        _value(whole_before, formula),
        _events(whole),
        steps,
        parts,
        rest,
        others,
    )


def latest_day(meter: Meter) -> date | None:
    """The last UTC day of which there is a summary."""
    days = DailySummary.objects.filter(environment=meter.environment_id, meter=meter).order_by("-day")
    newest = days.values_list("day", flat=True).first()
    return newest.date() if newest else None


def _same_stretch(question: Question, now: datetime) -> tuple[Period, Period]:
    """What of the period is there by now, to the full hour, and as much of the time before."""
    period, before = question.period, question.before
    until = min(max(ceil_hour(now), period.start), period.end)
    if until == period.end:
        return period, before
    return Period(period.start, until), Period(before.start, min(before.start + (until - period.start), before.end))


def _read(
    question: Question, periods: Sequence[Period], dimensions: Dimensions | None = None, *, by_customer: bool = False
) -> dict[tuple[int, Group], Totals]:
    meter = question.meter
    if question.customer_id is not None:
        spans = [Span(meter, question.customer_id, period) for period in periods]
        return read_totals(meter.environment_id, spans, dimensions)
    everybodys = [MeterSpan(meter, period) for period in periods]
    return read_meter_totals(meter.environment_id, everybodys, dimensions, by_customer=by_customer)


def _parts(question: Question, periods: Sequence[Period]) -> tuple[list[Part], int]:
    """The greatest parts, and how many more there are."""
    if question.by_customer and question.customer_id is None:
        totals = _read(question, periods, by_customer=True)
    elif question.dimension:
        totals = _read(question, periods, Dimensions(group_by=[question.dimension]))
    else:
        return [], 0
    formula = question.meter.formula
    found: dict[str | None, dict[int, Totals]] = defaultdict(dict)
    for (number, (key,)), total in totals.items():
        found[key][number] = total
    parts = [
        Part(key, _value(both.get(0), formula), _value(both.get(1), formula), _events(both.get(0)))
        for key, both in found.items()
    ]
    greatest = nlargest(MOST_PARTS, parts, key=lambda part: (part.value, part.value_before, part.key or ""))
    return greatest, len(parts) - len(greatest)


def _values(question: Question, parts: Sequence[Part], cuts: Sequence[Period]) -> list[list[Decimal | None]]:
    """What each part comes to in each window, window by window."""
    meter, keys = question.meter, [part.key for part in parts]
    if not parts:
        return [[] for _ in cuts]
    if question.dimension:
        only = Dimensions(filters={question.dimension: keys}, group_by=[question.dimension])
        found = {(number, key): total for (number, (key,)), total in _read(question, cuts, only).items()}
    else:
        spans = [Span(meter, UUID(key), cut) for key in keys for cut in cuts]
        totals = read_totals(meter.environment_id, spans)
        found = {(place % len(cuts), keys[place // len(cuts)]): total for (place, _), total in totals.items()}
    return [
        [found[number, key].value(meter.formula) if (number, key) in found else None for key in keys]
        for number in range(len(cuts))
    ]


def _value(totals: Totals | None, formula: str) -> Decimal:
    return totals.value(formula) if totals else ZERO


def _events(totals: Totals | None) -> int:
    return totals.event_count if totals else 0


def _less(value: Decimal, taken: Sequence[Decimal | None]) -> Decimal:
    for one in taken:
        # The default context would round to 28 digits.
        value = EXACT.subtract(value, one or ZERO)
    return value


def _months_earlier(day: date, months: int) -> date:
    return boundary(datetime.combine(day, time(), UTC), "month", 1, -months).date()
