"""The console's pages of exports: a table, an environment and a span of days become a file, written in the background."""

import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from celery import current_app
from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from kombu.exceptions import OperationalError

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from accounts.console.walls import choice_of, environments_granting, permits, person_of
from accounts.models import Environment
from core.console import cells
from core.console.theme import Button
from invoices.exports import TABLES, Selection, writing
from invoices.models import Export, Invoice

PERMISSION = "invoices.view_invoice"
_TYPES = {
    Export.Format.CSV: "text/csv; charset=utf-8",
    Export.Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# The page shows so many; the list of all is beside it.
_LATEST = 10

logger = logging.getLogger(__name__)


class ExportForm(forms.Form):
    table = forms.ChoiceField(choices=[(name, f"{kind.title}: {kind.says}") for name, kind in TABLES.items()])
    environment = forms.ModelChoiceField(queryset=Environment.objects.none(), empty_label=None)
    since = forms.DateField(
        required=False, label=gettext_lazy("First day (UTC)"), widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        required=False, label=gettext_lazy("Last day (UTC)"), widget=forms.DateInput(attrs={"type": "date"})
    )
    status = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Invoices that are"),
        choices=[
            ("", gettext_lazy("of any status")),
            *(choice for choice in Invoice.Status.choices if choice[0] != "draft"),
        ],
    )
    format = forms.ChoiceField(choices=Export.Format.choices)


class ExportPages(ConsoleAdmin):
    """The list of invoices, with a page beside it where files are asked for and fetched."""

    def get_urls(self) -> list[URLPattern]:
        own = path("export/", self.admin_site.admin_view(self.export_view), name=self._url_name("export"))
        return [own, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Offer tables, filled in as the address says (GET); have one written (POST)."""
        if not permits(request, PERMISSION):
            raise PermissionDenied
        if request.method == "POST":
            form = ExportForm(request.POST)
            offer_environments(form, request)
            if form.is_valid():
                self._request(request, form.cleaned_data)
                return HttpResponseRedirect(reverse("admin:invoices_invoice_export"))
        else:
            form = ExportForm(initial={"environment": choice_of(request), **request.GET.dict()})
            offer_environments(form, request)
        exports: Any = admin.site.get_model_admin(Export)
        latest = list(exports.get_queryset(request).order_by("-requested_at", "-pk")[:_LATEST])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Exports"),
            "form": form,
            "exports": [(export, exports.whereabouts(export)) for export in latest],
            "is_busy": any(export.state in (Export.State.WAITING, Export.State.RUNNING) for export in latest),
        }
        return TemplateResponse(request, "console/export.html", context)

    def _request(self, request: HttpRequest, asked: dict[str, Any]) -> None:
        writing.request_export(
            person=person_of(request),
            table=asked["table"],
            selection=selection_of(asked),
            format=asked["format"],
            now=timezone.now(),
        )
        transaction.on_commit(_wake_a_worker)


def _wake_a_worker() -> None:
    try:
        current_app.send_task("invoices.tasks.write_exports", expires=60, retry=False)
    except OperationalError:
        # The row says what is to be done, and the beat asks for it every few seconds.
        logger.warning("no worker could be woken for an export")


def _restart(export: Export, now: datetime) -> None:
    writing.restart_export(export=export, now=now)
    transaction.on_commit(_wake_a_worker)


def _restarted(exports: Sequence[Export]) -> str:
    told = ", ".join(map(str, exports))
    return _("{exports} will be written once more, as things stand now.").format(exports=told)


def _deleted(exports: Sequence[Export]) -> str:
    return ngettext(
        "{exports} cannot be fetched any more from this moment on. It can be written once more.",
        "{exports} cannot be fetched any more from this moment on. They can be written once more.",
        len(exports),
    ).format(exports=", ".join(map(str, exports)))


@admin.register(Export)
class ExportAdmin(ConsoleAdmin):
    """Who took what, and how far its writing is. Whoever may see invoices may have any of the environment's files."""

    list_display = ["name", "environment", "requested_by", "state", "rows_column", "requested_at", "whereabouts"]
    list_filter = ["state", "environment", "environment__mode", "requested_at"]
    list_select_related = ["environment__company", "requested_by"]
    ordering = ["-requested_at", "-pk"]
    fields = [
        "name",
        "environment",
        "requested_by",
        ("since", "until", "status"),
        ("state", "error"),
        ("rows_column", "size_column", "whereabouts"),
        ("requested_at", "started_at"),
        ("finished_at", "expires_at"),
    ]
    commands = [
        Command[Export](
            name="restart",
            title=gettext_lazy("Start again"),
            icon="restart_alt",
            applies=lambda export: export.state in (Export.State.FAILED, Export.State.EXPIRED),
            consequence=_restarted,
            run=_restart,
            done=gettext_lazy("will be written."),
            permission="view",
        ),
        Command[Export](
            name="delete_file",
            title=gettext_lazy("Delete the file"),
            icon="delete",
            applies=lambda export: export.state == Export.State.DONE,
            consequence=_deleted,
            run=lambda export, now: writing.delete_export_file(export=export),  # noqa: ARG005 (as every command is run)
            done=gettext_lazy("its file is deleted."),
            permission="view",
            warns=True,
        ),
    ]

    def get_urls(self) -> list[URLPattern]:
        own = path("<uuid:pk>/file/", self.admin_site.admin_view(self.file_view), name=self._url_name("file"))
        return [own, *super().get_urls()]

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        fetch = Button(_("Download"), self._url("file", row.pk), "download")
        return [fetch] if row.has_file(timezone.now()) else []

    def file_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """The file, for whoever is signed in and may see what is in it, until it expires."""
        export = self.get_queryset(request).filter(pk=pk).first()
        if export is None or not permits(request, PERMISSION, export) or not export.has_file(timezone.now()):
            self.message_user(request, _("There is no such file, or not any more."), messages.WARNING)
            return HttpResponseRedirect(reverse("admin:invoices_invoice_export"))
        try:
            file = writing.open_export(export=export).open("rb")
        except FileNotFoundError:
            self.message_user(request, _("The file is not on this machine. Start its export again."), messages.ERROR)
            return HttpResponseRedirect(self._url("change", export.pk))
        answer = FileResponse(file, as_attachment=True, filename=str(export), content_type=_TYPES[export.format])
        answer["Cache-Control"] = "no-store"
        return answer

    @display(description=gettext_lazy("export"), ordering="table")
    def name(self, row: Export) -> str:
        return f"{TABLES[row.table].title if row.table in TABLES else row.table} ({row.get_format_display()})"

    @display(description=gettext_lazy("rows"))
    def rows_column(self, row: Export) -> str | SafeString:
        return cells.quantity(row.rows_written)

    @display(description=gettext_lazy("size"))
    def size_column(self, row: Export) -> str:
        return cells.EMPTY if row.size is None else filesizeformat(row.size)

    @display(description=gettext_lazy("file"))
    def whereabouts(self, row: Export) -> str | SafeString:
        """Where it is, or what has become of it."""
        match row.state:
            case Export.State.WAITING:
                return _("It waits for a worker.")
            case Export.State.RUNNING:
                return _("{rows} rows so far").format(rows=f"{row.rows_written:,}")
            case Export.State.FAILED:
                return row.error
            case _ if row.has_file(timezone.now()):
                link = '<a class="tb-link" href="{}">{}</a> <span class="tb-muted">{} {}</span>'
                address = self._url("file", row.pk)
                return format_html(link, address, _("Download"), _("until"), cells.moment(row.expires_at))
            case _:
                return _("deleted")


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


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
