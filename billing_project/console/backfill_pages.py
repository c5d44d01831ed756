"""Bringing events in by hand: a file is kept, looked at row by row with what it does to bills, and then carried out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.approvals.models import ApprovalKind
from accounts.console.commands import Command, SecondPerson
from accounts.console.walls import person_of
from billing_project.console.effects import Effects, follow_up, rehearsed
from core.console.theme import Button, FileInput, add_buttons
from core.errors import BillingError
from meters.models import Meter
from usage import services
from usage.backfills import MOST_BYTES, Line, read_lines
from usage.console import ENVIRONMENT, UsageAdmin
from usage.errors import EventExists
from usage.events import EventDraft, customer_id
from usage.models import Backfill

_MOST_SHOWN = 100


class BackfillForm(forms.ModelForm[Backfill]):
    file = forms.FileField(
        widget=FileInput(attrs={"accept": ".csv,text/csv"}),
        label=gettext_lazy("CSV file"),
        help_text=gettext_lazy(
            "In UTF-8, with the columns event_name, customer, timestamp and value; identifier, if you have one of your "
            "own; any others are further keys of the payload. Nothing counts before you have seen what it does."
        ),
    )

    class Meta:
        model = Backfill
        fields = ["environment", "reason"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > MOST_BYTES:
            words = _("It has more than {size} MB. Split it, or have an operator import it by manage.py import_events.")
            raise forms.ValidationError(words.format(size=MOST_BYTES // 1_000_000))
        content = file.read()
        try:
            read_lines(content)
        except BillingError as refusal:
            raise forms.ValidationError(str(refusal)) from refusal
        self.cleaned_data["content"] = content
        return file


@dataclass(frozen=True, slots=True)
class Row:
    """What becomes of a row."""

    line: Line
    state: str
    tone: str
    reason: str


@dataclass(frozen=True, slots=True)
class DryRun:
    accepted: Sequence[Row]
    known: Sequence[Row]
    refused: Sequence[Row]
    effects: Effects


def dry_run(backfill: Backfill, now: datetime) -> DryRun:
    """Take a file in, see what becomes of it and what it does to bills, and undo it.

    :raises BillingError: if a draft would grow beyond what an invoice can hold
    """
    lines = services.lines_of(backfill, now=now)
    services.make_room(lines, now=now)
    uses = _uses(backfill, lines)
    outcomes, effects = rehearsed(backfill.environment, uses, lambda: services.outcomes_of(backfill, lines, now=now))
    accepted, known, refused = [], [], []
    for line, outcome in zip(lines, outcomes, strict=True):
        if isinstance(outcome, EventExists):
            words = _("Its identifier is held by an event that is there, or comes twice in the file: it counts once.")
            known.append(Row(line, _("duplicate"), "warning", words))
        elif isinstance(outcome, BillingError):
            refused.append(Row(line, _("rejected"), "danger", str(outcome)))
        else:
            accepted.append(Row(line, _("accepted"), "good", ""))
    return DryRun(accepted, known, refused, effects)


def _uses(backfill: Backfill, lines: Sequence[Line]) -> list[tuple[UUID, UUID, datetime]]:
    """The meter, customer and time of each row that is an event, whether the customer is there or not."""
    meters = {meter.event_name: meter for meter in Meter.objects.filter(environment=backfill.environment_id).active()}
    drafts = [line.draft for line in lines if isinstance(line.draft, EventDraft)]
    return [
        (meters[draft.event_name].pk, pk, draft.timestamp)
        for draft in drafts
        if draft.timestamp and (pk := customer_id(draft.payload[meters[draft.event_name].customer_key]))
    ]


def _carry_out(backfill: Backfill, now: datetime, *, recorded_by: str) -> None:
    services.carry_out_backfill(backfill=backfill, now=now, recorded_by=recorded_by)
    follow_up(backfill.environment, _uses(backfill, services.lines_of(backfill, now=now)))


def _state(backfill: Backfill) -> dict[str, object]:
    """What the second person is asked about, held until the commit."""
    same = Backfill.objects.filter(environment=backfill.environment_id, pk=backfill.pk).defer("content")
    held = same.select_for_update(of=("self",)).get()
    return {"file": held.file_name, "rows": held.rows, "carried out": held.carried_out_at is not None}


def _carried_out(backfills: Sequence[Backfill]) -> str:
    said = []
    for backfill in backfills:
        try:
            found = dry_run(backfill, timezone.now())
        except BillingError as refusal:
            said.append(f"{backfill}: {refusal}")
            continue
        words = _(
            "{accepted} events of {file} will count, {known} are there already, {refused} rows cannot be counted."
        )
        counts = {
            name: f"{len(rows):,}"
            for name, rows in (("accepted", found.accepted), ("known", found.known), ("refused", found.refused))
        }
        said += [words.format(file=backfill, **counts), found.effects.sentence]
    said.append(
        _("Final invoices do not change. Events that were brought in can be canceled one by one, with a reason.")
    )
    return " ".join(said)


class BackfillPages(UsageAdmin):
    """Files of events that people brought in."""

    can_add = True
    list_display = [
        "file_name",
        "environment",
        "rows",
        "accepted",
        "known",
        "refused",
        "made_by",
        "made_at",
        "carried_out_at",
    ]
    list_filter = ["environment", ("carried_out_at", admin.EmptyFieldListFilter)]
    search_fields = ["file_name__istartswith"]
    searches_text = True
    ordering = ["-made_at"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q"})
    fields = [
        "file_name",
        "environment",
        "rows",
        "reason",
        "made_by",
        "made_at",
        "carried_out_by",
        "carried_out_at",
        "accepted",
        "known",
        "refused",
    ]
    add_fieldsets = ((None, {"fields": ("environment", "file", "reason")}),)
    commands = [
        Command[Backfill](
            name="carry_out",
            title=gettext_lazy("Carry out"),
            icon="playlist_add_check",
            applies=lambda backfill: backfill.carried_out_at is None,
            consequence=_carried_out,
            run=_carry_out,
            done=gettext_lazy("carried out."),
            signed=True,
            second_person=SecondPerson(kind=ApprovalKind.BACKFILL, state=_state),
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A list does not read the files.
        return super().get_queryset(request).defer("content")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return super().get_form(request, obj, change, **kwargs if change else {**kwargs, "form": BackfillForm})

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/review/", self.admin_site.admin_view(self.review_view), name=self._url_name("review")
        )
        return [own, *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        form.made_by = str(person_of(request))
        super().save_model(request, obj, form, change)

    def create(self, form: Any) -> Backfill:
        asked = form.cleaned_data
        return services.add_backfill(
            environment=asked["environment"],
            file_name=asked["file"].name,
            content=asked["content"],
            reason=asked["reason"],
            made_by=form.made_by,
            now=timezone.now(),
        )

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002
        return HttpResponseRedirect(self._url("review", obj.pk))

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        if row.carried_out_at is not None:
            return []
        return [Button(_("What it would do"), self._url("review", row.pk), "preview")]

    def review_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        backfill = self.get_object(request, unquote(object_id))
        if backfill is None:
            raise Http404
        back = HttpResponseRedirect(self._url("change", backfill.pk))
        if backfill.carried_out_at is not None:
            return back
        try:
            found = dry_run(backfill, timezone.now())
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return back
        context = {
            **self.admin_site.each_context(request),
            "title": _("What it would do"),
            "opts": self.opts,
            "object": backfill,
            "backfill": backfill,
            "found": found,
            "most": _MOST_SHOWN,
            "rows": [*found.refused[:_MOST_SHOWN], *found.known[:_MOST_SHOWN], *found.accepted[:_MOST_SHOWN]],
            "total": len(found.refused) + len(found.known) + len(found.accepted),
        }
        add_buttons(context, self.command_buttons(request, backfill))
        return TemplateResponse(request, "console/backfill.html", context)
