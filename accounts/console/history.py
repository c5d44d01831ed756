"""How the audit trail reads in the console: the page "History" of every row, and a panel for pages of other kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import DateTimeField, Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.console.walls import Walled, permits
from audit.models import Entry
from core.console import cells
from core.console.theme import ThemedModelAdmin

PERMISSION = "audit.view_entry"
MOST = 200
# Characters of one value, in a table of many.
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Change:
    """One column of a change."""

    name: str
    before: str | SafeString
    after: str | SafeString


def changes_of(entry: Entry, shown: int = _SHOWN) -> list[Change]:
    """What was changed, column by column, as a person reads it.

    :param shown: characters of a value; the tooltip has more
    """
    model = entry.model
    fields: dict[str | None, Any] = {field.column: field for field in model._meta.concrete_fields} if model else {}  # noqa: SLF001
    return [
        Change(
            str(fields[name].verbose_name) if name in fields else name,
            _value(fields.get(name), before, shown),
            _value(fields.get(name), after, shown),
        )
        for name, (before, after) in entry.changes.items()
    ]


def _value(field: Any, value: Any, shown: int) -> str | SafeString:
    if value is None or value == "":
        return cells.EMPTY
    if isinstance(field, DateTimeField) and isinstance(value, str):
        return cells.moment(datetime.fromisoformat(value))
    text = value if isinstance(value, str) else cells.compact(value)
    if len(text) <= shown:
        return text
    return format_html('<span title="{}">{}…</span>', text[:2000], text[:shown])


def who(entry: Entry) -> SafeString:
    """Whoever did it, by name and kind."""
    return format_html(
        '{} <span class="tb-muted">{}</span>',
        entry.actor_name or cells.EMPTY,
        "" if entry.actor_kind == Entry.ActorKind.PERSON else entry.get_actor_kind_display(),
    )


def history_of(row: Model, most: int = MOST) -> list[tuple[Entry, SafeString, Sequence[Change]]]:
    """The latest changes of a row, for ``console/changes.html``."""
    return [(entry, who(entry), changes_of(entry)) for entry in Entry.objects.about(row)[:most]]


class HistoryPages(Walled, ThemedModelAdmin[Any]):
    """The page "History" of a row: whatever changed it, through the console or past it."""

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            # As Django's other pages do; the stubs do not know it.
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
            return gone
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %(row)s") % {"row": row},
            "opts": self.opts,
            "object": row,
            "changes": history_of(row),
            "most": MOST,
            # From where, those are told who may see the whole trail.
            "tells_where": permits(request, PERMISSION, row),
        }
        return TemplateResponse(request, "console/history.html", context)
