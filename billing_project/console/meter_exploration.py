"""An exploration of a meter as a page shows it: bars, rows and words, each leading to its events, and the same as a file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import chain
from uuid import UUID

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Customer
from billing_project.console import chart
from billing_project.console.meter_question import ExploreForm
from core.console import cells
from core.ids import spell
from core.money import EXACT
from core.spreadsheets import Cell, Table
from meters.models import Formula
from usage.exploring import Exploration, Part, Step
from usage.totals import watermark

# What the one number of a meter is called.
_MEANS = {
    Formula.SUM: gettext_lazy("Sum"),
    Formula.COUNT: gettext_lazy("Events"),
    Formula.LAST: gettext_lazy("Last value"),
    Formula.MAX: gettext_lazy("Greatest value"),
    Formula.MIN: gettext_lazy("Least value"),
    Formula.UNIQUE_COUNT: gettext_lazy("Different values"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the numbers.

    :ivar link: to its events
    :ivar parts: what each part comes to, and where its events are
    """

    step: Step
    label: str
    link: str
    difference: Decimal | None
    parts: Sequence[tuple[Decimal | None, str]]


@dataclass(frozen=True, slots=True)
class Bar:
    """What is drawn of one line, and what it says to whoever cannot see it.

    :ivar slices: those of the stack, each with where it leads and what it says
    """

    line: Line
    link: str
    says: str
    pair: chart.Pair | None = None
    stack: chart.Stack | None = None
    slices: Sequence[tuple[chart.Slice, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """
    :ivar part: the place of the only part that it shows; None where it shows all
    """

    title: str
    top: Decimal
    bars: Sequence[Bar]
    part: int | None = None


@dataclass(frozen=True, slots=True)
class NamedPart:
    part: Part
    name: str
    link: str
    share: Decimal | None


class ExplorerPage:
    """An exploration in words, bars and links."""

    def __init__(self, form: ExploreForm, found: Exploration, now: datetime) -> None:
        self.form = form
        self.found = found
        self.question = found.question
        self.meter = found.question.meter
        self.now = now
        self.complete_at = watermark().read_at

    # What the numbers are

    @property
    def means(self) -> str:
        return str(_MEANS[Formula(self.meter.formula)])

    @property
    def customer(self) -> Customer | None:
        customer: Customer | None = self.form.cleaned_data["customer"]
        return customer

    @property
    def change(self) -> Decimal | None:
        """By how many percent it is more than before; None where there is nothing to compare with."""
        return _percent(EXACT.subtract(self.found.value, self.found.value_before), self.found.value_before)

    @property
    def notes(self) -> list[str]:
        """What somebody who adds the numbers up in their head has to know."""
        said = []
        if not self.question.parts_add_up:
            said.append(
                _("The number of a longer time is not the sum of shorter ones: it is computed from all of its events.")
            )
            if self.customer is None:
                said.append(
                    _(
                        "It is that of all customers' events together. Each customer is billed by the number of their own."
                    )
                )
        if self.meter.event_time_window:
            words = _("Of each customer's events only the last one of every UTC {window} counts.")
            said.append(words.format(window=self.meter.event_time_window))
            if self.question.parts_add_up:
                said.append(
                    _("A bar that cuts such a window takes the last event within it, so bars may add up to more.")
                )
        return said

    @property
    def is_empty(self) -> bool:
        return not self.found.event_count and all(
            step.value is None and step.value_before is None for step in self.found.steps
        )

    # The rows

    @cached_property
    def lines(self) -> list[Line]:
        return [
            Line(
                step,
                self._label(step),
                self._events(step),
                _difference(step),
                [(value, self._events(step, named)) for named, value in zip(self.parts, step.parts, strict=False)],
            )
            for step in self.found.steps
        ]

    @cached_property
    def parts(self) -> list[NamedPart]:
        ids = [part.key for part in self.found.parts if part.key is not None]
        customers = Customer.objects.in_bulk(ids) if self.question.by_customer else {}
        named = []
        for part in self.found.parts:
            name, link = part.key if part.key is not None else _("without it"), ""
            if self.question.by_customer and part.key is not None:
                name = str(customers.get(UUID(part.key), part.key))
                link = self.address(by="", customer=part.key)
            named.append(NamedPart(part, name, link, self._share(part)))
        if self.found.rest is not None:
            words = _("the other {count}").format(count=f"{self.found.others:,}")
            named.append(NamedPart(self.found.rest, words, "", self._share(self.found.rest)))
        return named

    def _share(self, part: Part) -> Decimal | None:
        """Its percentage of the whole, where it is a part of one."""
        return _percent(part.value, self.found.value) if self.question.parts_add_up else None

    @property
    def parts_title(self) -> str:
        return _("By customer") if self.question.by_customer else _("By {key}").format(key=self.question.dimension)

    @property
    def uncounted(self) -> int:
        """How many parts are in no row: where the rest is no number."""
        return self.found.others if self.found.rest is None else 0

    # The bars

    @cached_property
    def charts(self) -> list[Chart]:
        steps = self.found.steps
        values, before = [step.value for step in steps], [step.value_before for step in steps]
        whole = self.means if not self.meter.unit else f"{self.means} ({self.meter.unit})"
        if not self.parts:
            bars = [
                Bar(line, line.link, self._says(line), pair=pair)
                for line, pair in zip(self.lines, chart.pairs(values, before), strict=True)
            ]
            return [Chart(whole, chart.greatest([*values, *before]), bars)]
        rows = [step.parts for step in steps]
        if self.question.parts_add_up:
            top, stacks = chart.stacks(rows, before)
            bars = [
                Bar(line, line.link, self._says(line), stack=stack, slices=self._slices(line, stack))
                for line, stack in zip(self.lines, stacks, strict=True)
            ]
            return [Chart(whole, top, bars)]
        # What does not add up is not stacked: a chart for each, all on one scale.
        top = chart.greatest(list(chain.from_iterable(rows)))
        return [
            Chart(
                named.name,
                top,
                [
                    Bar(
                        line,
                        line.parts[place][1] if place < len(line.parts) else line.link,
                        f"{line.label}: {cells.plain(pair.value) if pair.value is not None else cells.EMPTY}",
                        pair,
                    )
                    for line, pair in zip(
                        self.lines, chart.pairs([_at(row, place) for row in rows], [], top=top), strict=True
                    )
                ],
                place,
            )
            for place, named in enumerate(self.parts)
        ]

    def _slices(self, line: Line, stack: chart.Stack) -> list[tuple[chart.Slice, str, str]]:
        told = []
        for one in stack.slices:
            value, link = line.parts[one.place]
            told.append((one, link, f"{line.label}, {self.parts[one.place].name}: {_plain(value)}"))
        return told

    def _says(self, line: Line) -> str:
        step = line.step
        told = [f"{line.label}: {_plain(step.value)}", f"{_('before')}: {_plain(step.value_before)}"]
        told += [
            f"{named.name}: {_plain(value)}" for named, value in zip(self.parts, step.parts, strict=False) if value
        ]
        return "; ".join(told)

    def _label(self, step: Step) -> str:
        """A window by the zone's calendar."""
        if step.period.start == step.period.end:
            return _("(before only)")
        shown = {"hour": "%Y-%m-%d %H:%M", "month": "%Y-%m"}.get(self.question.window, "%Y-%m-%d")
        return step.period.start.astimezone(self.question.zone).strftime(shown)

    # Where it leads

    def address(self, **other: str) -> str:
        """This page, asked something else."""
        asked = {name: self.form.data.get(name, "") for name in self.form.fields}
        query = {"meter": str(self.meter.pk), **asked, **other}
        return f"{reverse('admin:meters_meter_explorer')}?{urlencode(query)}"

    @property
    def csv(self) -> str:
        return self.address(format="csv")

    def _events(self, step: Step, named: NamedPart | None = None) -> str:
        """The events of a bar, or of one part of it; of the rest, which has no name, those of the bar."""
        is_extra = step.period.start == step.period.end
        period = step.before if is_extra and step.before else step.period
        query = {
            "meter": str(self.meter.pk),
            "since": period.start.isoformat(),
            "until": period.end.isoformat(),
            **({"customer": str(self.customer.pk)} if self.customer else {}),
        }
        if named is not None and named.part is not self.found.rest:
            key = named.part.key
            if self.question.by_customer:
                query["customer"] = str(key)
            else:
                query["key"] = self.question.dimension
                if key is not None:
                    query["value"] = key
        return f"{reverse('admin:usage_meterevent_debugger')}?{urlencode(query)}"

    # As a file

    def table(self) -> Table:
        columns = ["start", "end", "value", "events", "start_before", "end_before", "value_before"]
        return Table(
            f"{self.meter.event_name}-{self.question.first}-{self.question.last}",
            [*columns, *(self._column(named) for named in self.parts)],
            self._cells(),
        )

    def _column(self, named: NamedPart) -> str:
        """Two customers may have one name."""
        key = named.part.key
        return f"{named.name} {spell('cus', UUID(key))}" if self.question.by_customer and key else named.name

    def _cells(self) -> Iterator[Sequence[Cell]]:
        for step in self.found.steps:
            before = (step.before.start, step.before.end) if step.before else (None, None)
            yield [
                step.period.start,
                step.period.end,
                step.value,
                step.event_count,
                *before,
                step.value_before,
                *step.parts,
            ]


def _at(row: Sequence[Decimal | None], place: int) -> Decimal | None:
    return row[place] if place < len(row) else None


def _plain(value: Decimal | None) -> str:
    return cells.EMPTY if value is None else cells.plain(value)


def _difference(step: Step) -> Decimal | None:
    if step.value is None or step.value_before is None:
        return None
    return EXACT.subtract(step.value, step.value_before)


def _percent(part: Decimal, whole: Decimal) -> Decimal | None:
    return (part * 100 / whole).quantize(Decimal("0.1")) if whole > 0 else None
