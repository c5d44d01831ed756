"""The page on which customers and the catalog are imported: a trial shows what each row would do, then it is done."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.walls import choice_of, environments_granting, permits, person_of
from accounts.models import Environment
from billing_project.console.import_rows import KINDS, Fate, Kind, run
from core.console.theme import FileInput
from core.tables import MOST_BYTES, MOST_ROWS, TableUnreadable, read_table

# Less than Django takes of a form's fields, in which the rows come back to be carried out.
_MOST_TEXT = 2_000_000


class ImportForm(forms.Form):
    table = forms.ChoiceField(choices=[])
    environment = forms.ModelChoiceField(queryset=Environment.objects.none(), empty_label=None)
    file = forms.FileField(
        label=gettext_lazy("CSV or XLSX"), required=False, widget=FileInput(attrs={"accept": ".csv,.xlsx"})
    )
    # What the trial has read, to be carried out.
    rows = forms.CharField(required=False, widget=forms.HiddenInput)


def may_import(request: HttpRequest) -> list[str]:
    """The tables that the person may import, somewhere."""
    return [name for name, kind in KINDS.items() if all(permits(request, one) for one in _permissions(kind))]


def import_page(request: HttpRequest) -> HttpResponse:
    """Offer the tables (GET); try a file, or carry out what was tried (POST)."""
    tables = may_import(request)
    if not tables:
        raise PermissionDenied
    form = _form(request, tables)
    told: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        try:
            told = _answer(request, form)
        except TableUnreadable as error:
            form.add_error("file", str(error))
    context = {
        **admin.site.each_context(request),
        "title": _("Import"),
        "form": form,
        "kinds": [KINDS[name] for name in tables],
        "most_rows": MOST_ROWS,
        **told,
    }
    return TemplateResponse(request, "console/import.html", context)


def _permissions(kind: Kind) -> list[str]:
    options = kind.model._meta  # noqa: SLF001 (Django's own name for it)
    return [f"{options.app_label}.{action}_{options.model_name}" for action in ("add", "change")]


def _form(request: HttpRequest, tables: Sequence[str]) -> ImportForm:
    form = ImportForm(
        request.POST if request.method == "POST" else None,
        request.FILES if request.method == "POST" else None,
        initial={"environment": choice_of(request)},
    )
    choices: Any = form.fields["table"]
    choices.choices = [(name, KINDS[name].title) for name in tables]
    asked = request.POST.get("table", "")
    may: Any = Environment.objects.all()
    # Before a table is chosen, wherever any of them may be imported; the chosen one is asked about again.
    for permission in _permissions(KINDS[asked if asked in tables else tables[0]]):
        may = may.filter(pk__in=environments_granting(person_of(request), permission).values("pk"))
    environments: Any = form.fields["environment"]
    environments.queryset = may.select_related("company").order_by("company__name", "mode")
    return form


def _answer(request: HttpRequest, form: ImportForm) -> dict[str, Any]:
    asked = form.cleaned_data
    kind, environment = KINDS[asked["table"]], asked["environment"]
    is_trial = asked["file"] is not None
    rows = _read(asked["file"]) if is_trial else _kept(asked["rows"])
    unknown = sorted({name for row in rows for name in row} - set(kind.columns))
    if unknown:
        raise TableUnreadable(
            f"No column of {kind.title.lower()} is called {', '.join(unknown)}. There are: {', '.join(kind.columns)}."
        )
    outcomes = list(run(kind, environment, rows, now=timezone.now(), is_trial=is_trial))
    counts = Counter(outcome.fate for outcome in outcomes)
    doing = counts[Fate.MADE] + counts[Fate.CHANGED]
    if not is_trial:
        words = ngettext("{count} row was carried out.", "{count} rows were carried out.", doing)
        messages.success(request, words.format(count=doing))
    text = json.dumps(rows)
    if len(text) > _MOST_TEXT:
        raise TableUnreadable("The table is too large. Bring it in parts.")
    return {
        "is_trial": is_trial,
        "kind": kind,
        "table": asked["table"],
        "environment": environment,
        "outcomes": outcomes,
        "counts": [(fate, counts[fate]) for fate in Fate if counts[fate]],
        "doing": doing,
        "rows": text,
    }


def _read(file: Any) -> list[dict[str, str]]:
    if file.size > MOST_BYTES:
        raise TableUnreadable(f"The file is larger than {MOST_BYTES // 1_000_000} MB. Bring it in parts.")
    return read_table(file.read())


def _kept(text: str) -> list[dict[str, str]]:
    """The rows of a trial, as the page has sent them back."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise TableUnreadable("Choose a file.") from error
    is_table = isinstance(rows, list) and all(
        isinstance(row, dict) and all(isinstance(cell, str) and "\0" not in cell for cell in row.values())
        for row in rows
    )
    if not is_table or len(rows) > MOST_ROWS:
        raise TableUnreadable("Choose a file.")
    return rows  # type: ignore[no-any-return]  # asked above
