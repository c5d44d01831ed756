"""Forms of the console that a second person has to approve before they are saved."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from accounts.approvals.models import ApprovalKind, ApprovalRequest
from accounts.approvals.services import Action, State, needs_second_person
from accounts.console import approving
from accounts.console.walls import Walled, company_of
from accounts.errors import ApprovalOvertaken
from core.console.theme import ThemedModelAdmin
from core.errors import BillingError

# What a page's form and its buttons send beside what was entered.
_OF_THE_PAGE = {"csrfmiddlewaretoken", approving.WHY, "_save", "_continue", "_addanother", "post", "_popup"}


class MustWait(Exception):
    """Thrown out of Django's transaction around a form, so that nothing of it is kept.

    :ivar does: ``add``, ``change`` or ``delete``
    :ivar consequence: what would be saved, in words
    """

    def __init__(self, row: Any, kind: ApprovalKind, does: str, consequence: str) -> None:
        self.row = row
        self.kind = kind
        self.does = does
        self.consequence = consequence
        super().__init__(consequence)


class FormsThatWait(Walled, ThemedModelAdmin[Any]):
    """Pages whose forms are put before a second person, where the company wants that of their kind."""

    waits_as: ClassVar[ApprovalKind | None] = None

    def create(self, form: Any) -> Any:
        raise NotImplementedError

    def update(self, row: Any, form: Any) -> None:
        raise NotImplementedError

    def hold_if_it_must_wait(self, row: Any, does: str, form: Any = None) -> None:
        """:raises MustWait: if a second person has to approve what the form says of the row"""
        kind = self.waits_as
        if kind is not None and needs_second_person(company_id=company_of(row).pk, kind=kind):
            raise MustWait(row, kind, does, self._consequence(row, does, form))

    def _consequence(self, row: Any, does: str, form: Any) -> str:
        if does == "add":
            return _("Will be there: %(row)s.") % {"row": row}
        if does == "delete":
            return _("Will be gone: %(row)s.") % {"row": row}
        was = self._state(self._stored(row))
        said = ", ".join(f"{name}: {was.get(name, '')} → {form.cleaned_data[name]}" for name in form.changed_data)
        return _("%(row)s will be changed: %(changes)s.") % {"row": row, "changes": said}

    def _stored(self, row: Any) -> Any:
        """A row as it is in the database: the form has changed it in memory."""
        return self.model._default_manager.get(pk=row.pk)  # noqa: SLF001

    def _state(self, row: Any) -> dict[str, object]:
        """What a change or deletion is asked about: all that a form may change."""
        return {name: str(getattr(row, name)) for name in getattr(self, "editable", ())}

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.hold_if_it_must_wait(obj, "delete")
        super().delete_model(request, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except MustWait as held:
            return self.ask_about_form(request, held)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        if self.waits_as is not None:
            # One at a time: each has to be explained.
            actions.pop("delete_selected", None)
        return actions

    def ask_about_form(self, request: HttpRequest, held: MustWait) -> HttpResponseBase:
        """Ask why, then put the form before a second person."""
        why = request.POST.get(approving.WHY, "").strip()[:500]
        title = {"add": _("Add"), "change": _("Change"), "delete": _("Delete")}[held.does]
        sent = {name: request.POST.getlist(name) for name in request.POST if name not in _OF_THE_PAGE}
        row = None if held.does == "add" else self._stored(held.row)
        if not why:
            return self._ask_why(request, held, f"{title}: {row or held.row}")
        asked: ApprovalRequest | None = None
        try:
            asked = approving.ask_second_person(
                request,
                company=company_of(held.row),
                environment=getattr(held.row, "environment", None),
                kind=held.kind,
                action=f"{self.opts.label_lower}:{held.does}",
                object_id="" if row is None else str(row.pk),
                title=f"{title}: {row or held.row}",
                consequence=held.consequence,
                answers=sent,
                state=self._state(row) if row is not None else {},
                why=why,
            )
        except BillingError as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        if asked is not None:
            self.message_user(request, f"{asked} {approving.waits_text()}", messages.WARNING)
        return HttpResponseRedirect(self._url("changelist"))

    def _url(self, page: str, *args: object) -> str:
        raise NotImplementedError

    def _ask_why(self, request: HttpRequest, held: MustWait, title: str) -> HttpResponse:
        hidden = [(name, value) for name, values in request.POST.lists() for value in values]
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "consequence": held.consequence,
            "hidden": [(name, value) for name, value in hidden if name not in {"csrfmiddlewaretoken", approving.WHY}],
            "back": self._url("changelist"),
            "was_asked": approving.WHY in request.POST,
        }
        return TemplateResponse(request, "console/second_person.html", context)

    def waiting_form(self, request: HttpRequest, does: str) -> Action:
        """How a form is saved that waited.

        :raises LookupError: if the page has no such form
        """
        if self.waits_as is None or does not in {"add", "change", "delete"}:
            raise LookupError(f"{self.opts.label_lower}:{does}")

        def state(asked: ApprovalRequest, now: datetime) -> State:  # noqa: ARG001 (every action's signature)
            row = self._locked(request, asked)
            return self._state(row) if row is not None else {}

        def run(asked: ApprovalRequest, now: datetime) -> None:  # noqa: ARG001
            row = self._locked(request, asked)
            if does == "delete":
                self.log_deletions(request, self.model._default_manager.filter(pk=row.pk))  # noqa: SLF001
                row.delete()
                return
            form = self.get_form(request, row, change=does == "change")(
                approving.sent_again(asked.answers), instance=row
            )
            if not form.is_valid():
                raise ApprovalOvertaken(_said(form))
            if does == "change":
                self.update(row, form)
            else:
                row = self.create(form)
            self.log_change(request, row, asked.title)

        return Action(lambda _asked: self.permission_to(does), state, run)

    def _locked(self, request: HttpRequest, asked: ApprovalRequest) -> Any:
        rows = self.get_queryset(request).select_for_update(of=("self",)) if asked.object_id else None
        return None if rows is None else approving.row_of(rows, asked)


def _said(form: Any) -> str:
    return "; ".join(f"{name}: {' '.join(errors)}" for name, errors in form.errors.items())
