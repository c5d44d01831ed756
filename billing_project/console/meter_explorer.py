"""A meter over time, as bars and as numbers: by the hour, day, week or month, by customer or dimension, beside before."""

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.console.environments import environments_in_view
from accounts.console.walls import environments_granting, permits, person_of
from accounts.models import Mode
from billing_project.console.meter_exploration import ExplorerPage
from billing_project.console.meter_question import ExploreForm, presets, with_defaults
from core.console.theme import Button, add_buttons
from core.ids import unspell
from core.spreadsheets import csv_chunks
from meters.admin import MeterAdmin
from meters.models import Meter
from usage.exploring import explore
from usage.models import UsageSummary

PERMISSION = "usage.view_usagesummary"
_MOST_METERS = 200


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
            form = ExploreForm(meter, with_defaults(request, meter, now))
            context |= {"form": form, "meters": self._offered(request, meter), "presets": presets(form, now)}
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
