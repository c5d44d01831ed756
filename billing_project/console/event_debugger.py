"""The page that says of any event what became of it, why, and on which invoice line it was billed, or why on none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.walls import environments_granting, permits, person_of
from accounts.models import Environment
from billing_project.console.effects import follow_up, of_canceling
from billing_project.console.event_search import MOST_HITS, Search
from billing_project.console.start_page import Viewer, rejection_lines
from core.console.theme import Button, add_buttons
from core.periods import DAY, HOUR, Period, floor_day, floor_hour
from credits.models import EventCharge
from invoices.tracing import Fate, Trace, trace
from meters.models import EventTimeWindow
from usage.admin import MeterEventAdmin, cancel
from usage.console import environments_with_rows
from usage.listing import Dimension
from usage.models import EventAdjustment, EventClaim, EventNote, EventRejection, MeterEvent

_LATE = {Fate.TRUED_UP, Fate.WAITING, Fate.REPORTED, Fate.NO_INVOICE, Fate.BEYOND_REACH, Fate.DROPPED}
Code = EventRejection.Code


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an event, in a word and in a sentence.

    :ivar tone: the word's color
    """

    state: str
    tone: str
    reason: str


[_CANCEL] = MeterEventAdmin.commands


def _canceled(events: Sequence[MeterEvent]) -> str:
    return f"{_CANCEL.consequence(events)} {of_canceling(events)}"


def _cancel(event: MeterEvent, now: datetime, *, reason: str) -> None:
    cancel(event, now, reason=reason)
    follow_up(event.environment, [(event.meter_id, event.customer_id, event.timestamp)])


class DebuggedEvents(MeterEventAdmin):
    """Events, with the page that finds one by anything and says what became of it."""

    # What canceling does to bills is said before it is done; the usage's own page knows of no bills.
    commands = [replace(_CANCEL, consequence=_canceled, run=_cancel)]

    def get_urls(self) -> list[URLPattern]:
        own = path("debugger/", self.admin_site.admin_view(self.debugger_view), name=self._url_name("debugger"))
        return [own, *super().get_urls()]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        return [Button(_("What became of it"), f"{self._url('debugger')}?{urlencode({'q': row.pk})}", "troubleshoot")]

    def debugger_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        granted = environments_granting(person_of(request), self.permission_to("view"))
        environments = list(granted.select_related("company").order_by("company__name", "mode"))
        chosen = next((one for one in environments if str(one.pk) == request.GET.get("environment")), None)
        # No identifier has a zero byte, and PostgreSQL would not even look for one.
        term = request.GET.get("q", "").replace("\0", "").strip()
        viewer = Viewer.of(request)
        search = Search(
            [chosen] if chosen else environments,
            chosen or _at_first(environments),
            rejections_in=viewer.may_see("usage.view_eventrejection"),
        )
        span = _span(request)
        if span is not None:
            found = search.within(
                request.GET.get("meter", ""), request.GET.get("customer", ""), span, _dimension(request)
            )
        else:
            found = search.find(term)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Event debugger"),
            "term": term,
            "environments": environments,
            "chosen": chosen,
            "found": found,
            "is_full": len(found.rows) >= MOST_HITS,
            "rejected": rejection_lines(viewer, timezone.now()),
        }
        if len(found.rows) == 1:
            [row] = found.rows
            context |= about(row)
            add_buttons(context, self._further(request, row))
        else:
            if permits(request, "usage.add_backfill"):
                add_buttons(
                    context,
                    [Button(_("Bring in events"), reverse("admin:usage_backfill_add"), "upload_file")],
                )
            context["hits"] = _in_short(found.rows)
        return TemplateResponse(request, "console/event_debugger.html", context)

    def _further(self, request: HttpRequest, row: MeterEvent | EventRejection) -> list[Button]:
        if isinstance(row, EventRejection):
            record = reverse(f"{self.admin_site.name}:usage_eventrejection_change", args=[row.pk])
            return [Button(_("The rejection's record"), record, "unpublished")]
        event = self.get_queryset(request).get(pk=row.pk, timestamp=row.timestamp)
        return [
            Button(_("The event's record"), self._url("change", row.pk), "stream"),
            *self.command_buttons(request, event),
        ]


def _span(request: HttpRequest) -> Period | None:
    """The span that a link asks for; None where it names none, or what is no span."""
    try:
        start, end = (datetime.fromisoformat(request.GET[name]) for name in ("since", "until"))
        return Period(start, end)
    except (KeyError, ValueError, TypeError):
        return None


def _dimension(request: HttpRequest) -> Dimension | None:
    """The dimension that a link asks for: by its key alone, where events are meant that have none."""
    key, value = request.GET.get("key", ""), request.GET.get("value")
    # No document has a zero byte, and PostgreSQL would not even look for one.
    return Dimension(key, value) if key and "\0" not in key + (value or "") else None


def _at_first(environments: list[Environment]) -> Environment | None:
    """The one that is looked into by time, where the person has not said: the first that holds any event."""
    return environments_with_rows(MeterEvent, environments).first() or next(iter(environments), None)


def _in_short(rows: Any) -> list[tuple[Any, Verdict]]:
    """Many at a glance: what a look at one of them says at length."""
    canceled = dict(
        EventAdjustment.objects.filter(
            environment__in={row.environment_id for row in rows}, event_id__in=[row.pk for row in rows]
        ).values_list("event_id", "reason")
    )
    return [(row, _rejected(row) if isinstance(row, EventRejection) else _counted(row, canceled)) for row in rows]


def _rejected(row: EventRejection) -> Verdict:
    return Verdict(_("rejected"), "danger", row.message or row.get_code_display())


def _counted(row: MeterEvent, canceled: dict[Any, str]) -> Verdict:
    if row.pk in canceled:
        return Verdict(_("canceled"), "danger", canceled[row.pk] or _("No reason was given."))
    return Verdict(_("counted"), "good", "")


def about(row: MeterEvent | EventRejection) -> dict[str, Any]:
    """All that there is to say of one event."""
    mine = EventClaim.objects.filter(
        environment=row.environment_id, namespace=EventClaim.Namespace.IDENTIFIER, identifier=row.identifier
    ).first()
    told: dict[str, Any] = {"row": row, "claim": mine, "holds": mine is not None and mine.event_id == row.pk}
    if isinstance(row, EventRejection):
        return told | {"verdict": _rejected(row), "advice": _ADVICE.get(Code(row.code), ""), "is_event": False}
    canceled = EventAdjustment.objects.filter(environment=row.environment_id, event_id=row.pk).first()
    traces = trace(row)
    hour = floor_hour(row.timestamp)
    ids = {"environment": row.environment_id, "meter": row.meter_id, "customer": row.customer_id}
    of_hour = {"hour__gte": hour.isoformat(), "hour__lt": (hour + HOUR).isoformat()}
    summary = {**{f"{name}__id__exact": str(pk) for name, pk in ids.items()}, **of_hour}
    return told | {
        "is_event": True,
        "verdict": _verdict(row, canceled, traces),
        "traces": traces,
        "charge": EventCharge.objects.filter(environment=row.environment_id, pk=row.pk)
        .select_related("currency")
        .first(),
        "note": EventNote.objects.filter(environment=row.environment_id, event_id=row.pk).first(),
        "delay": row.received_at - row.timestamp > timedelta(hours=1),
        "summary_link": f"{reverse('admin:usage_usagesummary_changelist')}?{urlencode(summary)}",
    }


def _verdict(event: MeterEvent, canceled: EventAdjustment | None, traces: list[Trace]) -> Verdict:
    if canceled is not None:
        return Verdict(_("canceled"), "danger", canceled.reason or _("No reason was given."))
    later = _later_in_window(event)
    if later is not None:
        words = _("Only the last event of each {window} counts on this meter, and “{later}” is later.")
        return Verdict(
            _("superseded"), "warning", words.format(window=event.meter.event_time_window, later=later.identifier)
        )
    late = next((found.fate for found in traces if found.fate in _LATE), None)
    if late is not None:
        return Verdict(_("late"), "warning", f"{late.value[0].upper()}{late.value[1:]}.")
    return Verdict(
        _("counted"),
        "good",
        _("It counts in its own hour, from {hour} UTC on.").format(
            hour=f"{floor_hour(event.timestamp):%Y-%m-%d %H:%M}"
        ),
    )


def _later_in_window(event: MeterEvent) -> MeterEvent | None:
    """The event that counts instead, on a meter that counts the last one of each hour or UTC day."""
    window = event.meter.event_time_window
    if not window:
        return None
    is_hour = window == EventTimeWindow.HOUR
    start = floor_hour(event.timestamp) if is_hour else floor_day(event.timestamp)
    same = {"environment": event.environment_id, "meter": event.meter_id, "customer": event.customer_id}
    rows = MeterEvent.objects.filter(
        timestamp__gte=event.timestamp, timestamp__lt=start + (HOUR if is_hour else DAY), **same
    ).order_by("-timestamp", "-pk")
    canceled = EventAdjustment.objects.filter(
        event_timestamp__gte=event.timestamp, event_timestamp__lt=start + (HOUR if is_hour else DAY), **same
    )
    last = rows.exclude(pk__in=canceled.values("event_id")).first()
    return last if last is not None and last.pk != event.pk else None


# What would have to be different, for whoever sends it again.
_ADVICE = {
    Code.NO_METER: gettext_lazy("Make a meter of this event name, or correct the name, and send it again."),
    Code.METER_CLOSED: gettext_lazy("Open the meter again, or send to the one that took its place."),
    Code.NO_CUSTOMER: gettext_lazy("Send the customer under the payload key that the meter reads it from."),
    Code.CUSTOMER_NOT_FOUND: gettext_lazy(
        "Make the customer, or correct the id: it may be one of the other mode, or deleted."
    ),
    Code.NO_VALUE: gettext_lazy("Send a value under the payload key that the meter reads it from."),
    Code.INVALID_VALUE: gettext_lazy("Send the value as a decimal number, without unit or thousands separators."),
    Code.TOO_MANY_DIGITS: gettext_lazy("Send fewer digits."),
    Code.TOO_OLD: gettext_lazy("The doors take events of the last 35 days; older ones come in by an import."),
    Code.IN_FUTURE: gettext_lazy("Set the sender's clock: events may lie five minutes ahead at most."),
}
