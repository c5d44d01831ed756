"""The console's page of the audit trail."""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter, display
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.base import ConsoleAdmin
from accounts.console.history import changes_of, who
from accounts.console.walls import companies_granting, person_of
from audit.models import Entry
from core.console import cells
from core.ids import read
from core.spreadsheets import Cell, Table, csv_chunks

# Of a change, on the list: columns, and characters of each value.
_SHOWN = 6
_CHARACTERS = 40
_COLUMNS = (
    "occurred_at", "company", "environment", "who", "kind_of_who", "id_of_who", "address", "request_id", "what",
    "object_id", "operation", "reason", "before", "after",
)  # fmt: skip


class RelationFilter(SimpleListFilter):
    """By what was changed. Listed without asking the trail, which is large."""

    title = gettext_lazy("what")
    parameter_name = "relation"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:  # noqa: ARG002
        pages = model_admin.admin_site._registry  # noqa: SLF001 (Django has no public way to it)
        return sorted(
            ((model._meta.db_table, str(model._meta.verbose_name_plural)) for model in pages),  # noqa: SLF001
            key=itemgetter(1),
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(relation=self.value()) if self.value() else queryset


@admin.register(Entry)
class EntryAdmin(ConsoleAdmin):
    """Read by administrators and auditors, changed by nobody."""

    change_list_template = "console/audit_trail.html"
    wall = "company"
    list_display = ["moment", "actor", "what", "summary", "reason", "company"]
    list_display_links = ["moment"]
    list_filter = ["environment", "operation", "actor_kind", RelationFilter, "occurred_at"]
    list_select_related = ["company", "environment__company"]
    search_fields = ["actor_name"]
    search_help_text = (
        "The id of what was changed (in_…, cus_…, price_…), of a request (req_…), of a person or key, or who did it: "
        "a person's name, the first characters of a key (sk_…)."
    )
    ordering = ["-occurred_at", "-pk"]
    sortable_by = ()
    fields = [
        "occurred_at",
        "company",
        "environment",
        "actor",
        "actor_id",
        "address",
        "request_link",
        "what",
        "object_id",
        "reason",
        "document",
    ]

    def noun_of(self, count: int) -> str:
        # As a whole they are a trail.
        return ngettext("change", "changes", count)

    def within_walls(self, request: HttpRequest, rows: QuerySet[Any], action: str) -> QuerySet[Any]:
        user = person_of(request)
        if user.is_superuser:
            return rows
        # By value: behind a subquery the database does not see that an index brings them in order.
        known: dict[str, list[Any]] = request.__dict__.setdefault("_console_audited", {})
        permission = self.permission_to(action)
        if permission not in known:
            known[permission] = list(companies_granting(user, permission).values_list("pk", flat=True))
        return rows.filter(company__in=known[permission])

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("req_"):
            return queryset.filter(request_id=term), False
        named = _id_in(term)
        if named:
            return queryset.filter(Q(object_id=named) | Q(actor_id=named)), False
        # A whole secret that is pasted here finds what its key did, by its first characters.
        name = f"{term[:12]}…" if term.startswith("sk_") else term
        return queryset.filter(actor_name__iexact=name), False

    def get_urls(self) -> list[URLPattern]:
        own = path("export/", self.admin_site.admin_view(self.export_view), name=self._url_name("export"))
        return [own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        query = request.GET.urlencode()
        export = f"{self._url('export')}?{query}" if query else self._url("export")
        return super().changelist_view(request, {**(extra_context or {}), "export": export})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows, by the same filters, as CSV: however long it is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = self.get_changelist_instance(request).get_queryset(request)
        answer = StreamingHttpResponse(
            csv_chunks(Table("audit-trail", _COLUMNS, _rows(rows))), content_type="text/csv; charset=utf-8"
        )
        answer["Content-Disposition"] = 'attachment; filename="audit-trail.csv"'
        answer["Cache-Control"] = "no-store"
        return answer

    @display(description=gettext_lazy("who"))
    def actor(self, row: Entry) -> SafeString:
        return who(row)

    @display(description=gettext_lazy("when"))
    def moment(self, row: Entry) -> str | SafeString:
        return cells.moment(row.occurred_at)

    @display(description=gettext_lazy("what"))
    def what(self, row: Entry) -> str | SafeString:
        """What was changed, which leads to its own page."""
        model = row.model
        if model is None or not row.object_id or row.operation == Entry.Operation.DELETE:
            return str(row)
        options = model._meta  # noqa: SLF001
        try:
            address = reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.object_id])
        except NoReverseMatch:
            return str(row)
        return format_html(
            '<a class="tb-link" href="{}" title="{}">{}</a> {}',
            address,
            row.object_id,
            row.noun,
            row.get_operation_display(),
        )

    @display(description=gettext_lazy("changed"))
    def summary(self, row: Entry) -> str | SafeString:
        """The first columns that were changed; the rest on the page of its own."""
        changes = changes_of(row, _CHARACTERS)
        if row.operation != Entry.Operation.UPDATE:
            return ngettext("%(count)s column", "%(count)s columns", len(changes)) % {"count": len(changes)}
        shown = format_html_join(
            "", "<span><b>{}</b> {} → {}</span>", ((one.name, one.before, one.after) for one in changes[:_SHOWN])
        )
        more = _("and %(count)s more") % {"count": len(changes) - _SHOWN} if len(changes) > _SHOWN else ""
        return format_html('<span class="facts">{}{}</span>', shown, more)

    @display(description=gettext_lazy("request"))
    def request_link(self, row: Entry) -> str | SafeString:
        if not row.request_id:
            return cells.EMPTY
        address = f"{self._url('changelist')}?{urlencode({'q': row.request_id})}"
        return format_html('<a class="tb-link" href="{}"><code>{}</code></a>', address, row.request_id)

    @display(description=gettext_lazy("changed"))
    def document(self, row: Entry) -> str | SafeString:
        columns = ((one.name, one.before, one.after) for one in changes_of(row))
        return format_html(
            '<table class="tb-table"><tr><th scope="col">{}</th><th scope="col">{}</th><th scope="col">{}</th></tr>{}</table>',
            _("Column"),
            _("Before"),
            _("After"),
            format_html_join("", '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', columns),
        )


def _id_in(term: str) -> str:
    """The id that a term spells, in either way; empty if it is none."""
    found = read(term.rpartition("_")[0], term)
    return str(found) if found else ""


def _rows(entries: QuerySet[Any]) -> Iterator[tuple[Cell, ...]]:
    for entry in entries.iterator(chunk_size=2_000):
        yield (
            entry.occurred_at,
            str(entry.company or ""),
            entry.environment.mode if entry.environment else "",
            entry.actor_name,
            entry.actor_kind,
            entry.actor_id,
            entry.address,
            entry.request_id,
            entry.noun,
            entry.object_id,
            entry.operation,
            entry.reason,
            cells.compact(entry.before),
            cells.compact(entry.after),
        )
