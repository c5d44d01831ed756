"""A meter over time, as bars and as numbers: by the hour, day, week or month, by customer or dimension, beside before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from itertools import chain
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.environments import environments_in_view
from accounts.console.walls import environments_granting, permits, person_of
from accounts.models import Customer, Mode
from billing_project.console import chart
from core.console import cells
from core.console.theme import Button, add_buttons
from core.ids import spell, unspell
from core.money import EXACT
from core.periods import DAY, Window
from core.spreadsheets import Cell, Table, csv_chunks
from meters.admin import MeterAdmin
from meters.models import Formula, Meter
from usage.exploring import LONGEST, Exploration, Part, Question, Step, explore, latest_day
from usage.models import UsageSummary
from usage.totals import watermark

PERMISSION = "usage.view_usagesummary"
_MOST_METERS = 200
_SPAN = 30
_CUSTOMER, _KEY = "customer", "key:"

# Finding them means walking through folders.
_zones = cache(available_timezones)

# What the one number of a meter is called.
_MEANS = {
    Formula.SUM: gettext_lazy("Sum"),
    Formula.COUNT: gettext_lazy("Events"),
    Formula.LAST: gettext_lazy("Last value"),
    Formula.MAX: gettext_lazy("Greatest value"),
    Formula.MIN: gettext_lazy("Least value"),
    Formula.UNIQUE_COUNT: gettext_lazy("Different values"),
}


class ExploreForm(forms.Form):
    first = forms.DateField(label=gettext_lazy("First day"), widget=forms.DateInput(attrs={"type": "date"}))
    last = forms.DateField(label=gettext_lazy("Last day"), widget=forms.DateInput(attrs={"type": "date"}))
    window = forms.ChoiceField(
        label=gettext_lazy("A bar is"),
        choices=[
            ("hour", gettext_lazy("an hour")),
            ("day", gettext_lazy("a day")),
            ("week", gettext_lazy("a week")),
            ("month", gettext_lazy("a month")),
        ],
    )
    # The reader's own zone is offered by times.js, which knows it.
    zone = forms.CharField(label=gettext_lazy("Days are those of"), widget=forms.Select(attrs={"data-zones": ""}))
    by = forms.ChoiceField(label=gettext_lazy("Told apart by"), required=False)
    customer = forms.CharField(
        label=gettext_lazy("Customer"), required=False, widget=forms.TextInput(attrs={"placeholder": "cus_…"})
    )

    def __init__(self, meter: Meter, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.meter = meter
        by, zone = cast("Any", self.fields["by"]), cast("Any", self.fields["zone"])
        by.choices = [
            ("", _("nothing")),
            (_CUSTOMER, _("customer")),
            *((f"{_KEY}{key}", key) for key in meter.dimension_keys),
        ]
        zone.widget.choices = [(name, name) for name in dict.fromkeys(["UTC", str(given.get("zone", "UTC"))])]

    def clean_zone(self) -> ZoneInfo:
        name = self.cleaned_data["zone"]
        if name not in _zones():
            raise ValidationError(_("There is no such time zone."))
        return ZoneInfo(name)

    def clean_customer(self) -> Customer | None:
        term = self.cleaned_data["customer"].strip()
        if not term:
            return None
        try:
            pk = unspell("cus", term) or UUID(term)
        except ValueError:
            pk = None
        found = Customer.objects.filter(environment=self.meter.environment_id, pk=pk).first() if pk else None
        if found is None:
            raise ValidationError(_("The meter's environment has no such customer."))
        return found

    def clean(self) -> None:
        first, last, window = (self.cleaned_data.get(name) for name in ("first", "last", "window"))
        if first is None or last is None or window is None:
            return
        if last < first:
            self.add_error("last", _("It lies before the first day."))
        elif first.year < 2000 or last.year > 9000:  # noqa: PLR2004 (beyond them no event can lie)
            self.add_error("first", _("No event lies that far away."))
        elif (last - first).days >= LONGEST[cast("Window", window)]:
            words = _("These are too many bars: at most {days} days are shown by the {window}.")
            self.add_error("window", words.format(days=LONGEST[cast("Window", window)], window=window))

    def question(self) -> Question:
        asked = self.cleaned_data
        by = asked["by"]
        return Question(
            self.meter,
            asked["first"],
            asked["last"],
            cast("Window", asked["window"]),
            asked["zone"],
            asked["customer"].pk if asked["customer"] else None,
            by_customer=by == _CUSTOMER and asked["customer"] is None,
            dimension=by.removeprefix(_KEY) if by.startswith(_KEY) else "",
        )


class ExploredMeters(MeterAdmin):
    """Meters, with the page that shows one over time."""

    def get_urls(self) -> list[URLPattern]:
        own = path("explorer/", self.admin_site.admin_view(self.explorer_view), name=self._url_name("explorer"))
        return [own, *super().get_urls()]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:
        if not permits(request, PERMISSION, row):
            return []
        return [Button(_("Usage over time"), f"{self._url('explorer')}?{urlencode({'meter': row.pk})}", "bar_chart")]

    def explorer_view(self, request: HttpRequest) -> HttpResponseBase:
        if not permits(request, PERMISSION):
            raise PermissionDenied
        meter = self._chosen(request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Meter explorer"),
            "meter": meter,
        }
        if meter is not None:
            now = timezone.now()
            form = ExploreForm(meter, _with_defaults(request, meter, now))
            context |= {"form": form, "meters": self._offered(request, meter), "presets": _presets(form, now)}
            if form.is_valid():
                page = ExplorerPage(form, explore(form.question(), now=now), now)
                if request.GET.get("format") == "csv":
                    return _file(page)
                context["page"] = page
            add_buttons(context, [Button(_("The meter"), self._url("change", meter.pk), "speed")])
        return TemplateResponse(request, "console/meter_explorer.html", context)

    def _chosen(self, request: HttpRequest) -> Meter | None:
        """The meter that is asked for, or one of those used last; None where the person has none to look at."""
        rows = self.get_queryset(request)
        named = request.GET.get("meter", "")
        if named:
            try:
                pk = unspell("mtr", named) or UUID(named)
            except ValueError:
                raise Http404 from None
            meter: Meter | None = rows.filter(pk=pk).first()
            if meter is None:
                raise Http404
            if not permits(request, PERMISSION, meter):
                raise PermissionDenied
            return meter
        granted = environments_granting(person_of(request), PERMISSION)
        environments = environments_in_view(request).filter(pk__in=granted)
        newest = UsageSummary.objects.filter(environment=OuterRef("pk")).order_by("-hour")
        used = environments.annotate(newest=Subquery(newest.values("meter")[:1])).filter(newest__isnull=False)
        found = dict(used.order_by().values_list("mode", "newest"))
        latest = found.get(Mode.LIVE) or found.get(Mode.TEST)
        return rows.filter(pk=latest).first() if latest else rows.filter(environment__in=environments).first()

    def _offered(self, request: HttpRequest, chosen: Meter) -> list[Meter]:
        """Of the chosen one's environment: the first by name, and itself."""
        rows = self.get_queryset(request).filter(environment=chosen.environment_id).order_by("status", "display_name")
        offered = list(rows[:_MOST_METERS])
        return offered if chosen in offered else [chosen, *offered]


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


def _file(page: ExplorerPage) -> HttpResponseBase:
    table = page.table()
    answer: HttpResponse | StreamingHttpResponse = StreamingHttpResponse(
        csv_chunks(table), content_type="text/csv; charset=utf-8"
    )
    # An event's name may be anything; a file's may not.
    name = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "-" for letter in table.name
    )
    answer["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    answer["Cache-Control"] = "no-store"
    return answer


def _with_defaults(request: HttpRequest, meter: Meter, now: datetime) -> dict[str, str]:
    """What was asked for, and for the rest the last days, or, where these hold nothing, the last that do."""
    asked = {name: value for name, value in request.GET.items() if isinstance(value, str)}
    today = now.date()
    if not ({"first", "last"} & asked.keys()):
        newest = latest_day(meter)
        last = newest if newest is not None and newest <= today - _SPAN * DAY else today
        asked |= {"first": str(last - (_SPAN - 1) * DAY), "last": str(last)}
    return {"window": "day", "zone": "UTC", "by": "", "customer": ""} | asked


def _presets(form: ExploreForm, now: datetime) -> list[tuple[str, str]]:
    """Spans that are asked for often."""
    zone = form.data["zone"]
    today = now.astimezone(ZoneInfo(zone) if zone in _zones() else UTC).date()
    month = today.replace(day=1)
    last_month = (month - DAY).replace(day=1)
    year_ago = (month - timedelta(days=334)).replace(day=1)
    spans: list[tuple[str, date, date, str]] = [
        (_("Today"), today, today, "hour"),
        (_("7 days"), today - 6 * DAY, today, "day"),
        (_("30 days"), today - 29 * DAY, today, "day"),
        (_("This month"), month, today, "day"),
        (_("Last month"), last_month, month - DAY, "day"),
        (_("12 months"), year_ago, today, "month"),
    ]
    kept = {name: form.data.get(name, "") for name in ("zone", "by", "customer")}
    return [
        (
            title,
            "?" + urlencode({"meter": str(form.meter.pk), **kept, "first": first, "last": last, "window": window}),
        )
        for title, first, last, window in spans
    ]
