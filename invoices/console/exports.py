"""The console's page of exports: a table, an environment and a span of days become a file."""

import tempfile
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import environments_granting, permits, person_of
from accounts.models import Environment
from core.spreadsheets import Table, csv_chunks, write_xlsx
from invoices.exports import TABLES, Selection, table_of
from invoices.models import Invoice

PERMISSION = "invoices.view_invoice"
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class ExportForm(forms.Form):
    table = forms.ChoiceField(choices=[(name, f"{kind.title}: {kind.says}") for name, kind in TABLES.items()])
    environment = forms.ModelChoiceField(queryset=Environment.objects.none(), empty_label=None)
    since = forms.DateField(required=False, label="First day (UTC)", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="Last day (UTC)", widget=forms.DateInput(attrs={"type": "date"}))
    status = forms.ChoiceField(
        required=False,
        label="Invoices that are",
        choices=[("", "of any status"), *(choice for choice in Invoice.Status.choices if choice[0] != "draft")],
    )
    format = forms.ChoiceField(choices=[("csv", "CSV"), ("xlsx", "XLSX")])


class ExportPages(ConsoleAdmin):
    """The list of invoices, with a page beside it that writes files."""

    def get_urls(self) -> list[URLPattern]:
        own = path("export/", self.admin_site.admin_view(self.export_view), name=self._url_name("export"))
        return [own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        if not permits(request, PERMISSION):
            raise PermissionDenied
        form = ExportForm(request.GET if "table" in request.GET else None)
        offer_environments(form, request)
        if form.is_valid():
            return _file(form.cleaned_data)
        context = {**self.admin_site.each_context(request), "title": "Exports", "opts": self.opts, "form": form}
        return TemplateResponse(request, "console/export.html", context)


def offer_environments(form: forms.Form, request: HttpRequest) -> None:
    """Let a form's environments be those whose invoices the person may see: one of others is no choice."""
    choices: Any = form.fields["environment"]
    granted = environments_granting(person_of(request), PERMISSION).distinct()
    choices.queryset = granted.select_related("company").order_by("company__name", "mode")


def selection_of(asked: dict[str, Any]) -> Selection:
    """What a form asks for by its first and its last day."""
    since, until = asked["since"], asked["until"]
    return Selection(
        asked["environment"],
        _start(since) if since else None,
        _start(until + timedelta(days=1)) if until else None,
        asked.get("status", ""),
        now=timezone.now(),
    )


def _file(asked: dict[str, Any]) -> HttpResponseBase:
    table = table_of(asked["table"], selection_of(asked))
    answer: HttpResponse | StreamingHttpResponse
    if asked["format"] == "csv":
        answer = StreamingHttpResponse(csv_chunks(table), content_type="text/csv; charset=utf-8")
    else:
        answer = _xlsx(table)
    answer["Content-Disposition"] = f'attachment; filename="{table.name}.{asked["format"]}"'
    answer["Cache-Control"] = "no-store"
    return answer


def _xlsx(table: Table) -> FileResponse:
    # Its directory comes last, so it is whole before it is sent; on disk, however large it is.
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
    write_xlsx(table, file)
    file.seek(0)
    return FileResponse(file, content_type=_XLSX)


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
