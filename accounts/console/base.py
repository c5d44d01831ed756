"""The base of every admin class: walls, ids as developers paste them, bounded lists, commands, service calls."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import display
from django.contrib.admin.utils import flatten, flatten_fieldsets, get_fields_from_path, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.approvals.models import ApprovalRequest
from accounts.approvals.services import Action, State
from accounts.console import approving
from accounts.console.commands import Command
from accounts.console.forms_that_wait import FormsThatWait, MustWait
from accounts.console.history import HistoryPages
from accounts.console.walls import Walled, choice_of, chosen_environment, person_of, walled_filter
from accounts.errors import ApprovalOvertaken
from accounts.models import Customer, User
from core.actors import giving_reason
from core.console import cells
from core.console.paging import BoundedChangeList, BoundedPaginator, is_large
from core.console.theme import Button, ThemedModelAdmin, ThemedTabularInline, add_buttons
from core.errors import BillingError
from core.ids import unspell


class ConsoleAdmin(FormsThatWait, HistoryPages, Walled, ThemedModelAdmin[Any]):
    """A model's pages in the console.

    Pages are read-only by default. ``can_change`` with ``editable`` opens fields, ``can_add`` with ``add_fieldsets``
    adding; both go through :meth:`create` and :meth:`update`, which call services where there are any.
    """

    # The prefix of the model's ids on the wire, and those of the rows it belongs to, by the path that leads there.
    wire_prefix: ClassVar[str] = ""
    wire_parents: ClassVar[dict[str, str]] = {}
    # Off where text could only be found by reading the whole table.
    searches_text: ClassVar[bool] = True
    editable: ClassVar[tuple[str, ...]] = ()
    commands: ClassVar[Sequence[Command[Any]]] = ()
    # More rows at once are refused: a slip of the mouse should not finalize a year.
    MOST_AT_ONCE = 200
    # A list over so many environments at most is put together from the beginning of each.
    MOST_ENVIRONMENTS = 20
    # So many customers of a name are enough to be shown what is theirs.
    MOST_CUSTOMERS = 500

    empty_value_display = cells.EMPTY
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ThemedModelAdmin.show_facets.NEVER
    list_per_page = 50
    # No "show all": there may be too much.
    list_max_show_all = 0
    warn_unsaved_form = True

    # What is read

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        # Names are printed on pages, in choices and in messages too, not on lists alone.
        related = self.list_select_related
        return rows.select_related(*related) if isinstance(related, (list, tuple)) and related else rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:  # noqa: ARG002
        return BoundedChangeList

    def noun_of(self, count: int) -> str:
        """What so many rows are called at the foot of a list."""
        return str(self.opts.verbose_name if count == 1 else self.opts.verbose_name_plural)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        entries = super().get_list_filter(request)
        if choice_of(request) is not None:
            # At the head of the page it is chosen already.
            entries = [entry for entry in entries if entry not in ("environment", "environment__mode")]
        return [self._behind_walls(entry) for entry in entries]

    def _behind_walls(self, entry: Any) -> Any:
        if not isinstance(entry, str):
            return entry
        chosen = walled_filter(get_fields_from_path(self.model, entry)[-1])
        return entry if chosen is None else (entry, chosen)

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *args: Any, **kwargs: Any
    ) -> Any:
        paginator: Any = super().get_paginator(request, queryset, per_page, *args, **kwargs)
        if self._is_over_environments(request):
            environments = self.environment_ids(request, self.permission_to("view"))
            # Of very many, each would be asked.
            paginator.environments = environments if len(environments) <= self.MOST_ENVIRONMENTS else ()
        return paginator

    def _is_over_environments(self, request: HttpRequest) -> bool:
        """Whether the list shows rows of several environments, each of which names its own."""
        names_its_own = any(field.name == "environment" for field in self.opts.fields)
        return names_its_own and self.wall == "environment" and chosen_environment(request) is None

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """By the heads of columns, while that is no matter of seconds: a large table is read in the order of an index."""
        sortable = super().get_sortable_by(request)
        return () if sortable and is_large(self.opts.db_table) else sortable

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        by_id = self.named_by(term)
        if by_id is not None:
            return queryset.filter(**by_id), False
        if term and not self.searches_text:
            return queryset.none(), False
        if not term:
            return queryset, False
        # What was typed is meant as a whole: Django would look for each of its words at a name's beginning.
        matches = Q(pk__in=())
        for name in self.get_search_fields(request):
            if not name.startswith("customer__"):
                matches |= _matching(name, term)
        if any(name.startswith("customer__") for name in self.get_search_fields(request)):
            # Found first, by indexes of theirs: joined, every row would be read.
            matches |= Q(customer__in=self._customers_called(request, term))
        if self._is_over_environments(request):
            # Named by value, they are what the indexes of names and numbers begin with.
            queryset = queryset.filter(environment__in=self.environment_ids(request, self.permission_to("view")))
        return queryset.filter(matches), False

    def _customers_called(self, request: HttpRequest, term: str) -> list[UUID]:
        """Ids of customers whose name begins so, or whose address it is."""
        customers = self.admin_site.get_model_admin(Customer)
        named, _ = customers.get_search_results(request, customers.get_queryset(request), term)
        return list(named.order_by().values_list("pk", flat=True)[: self.MOST_CUSTOMERS])

    def named_by(self, term: str) -> dict[str, Any] | None:
        """The lookup that an id stands for: of the row, or of a row it belongs to. None if the term is no id."""
        for prefix, lookup in {self.wire_prefix: "pk", **self.wire_parents}.items():
            identifier = unspell(prefix, term) if prefix else None
            if identifier is not None:
                return {lookup: identifier}
        try:
            return {"pk": UUID(term)}
        except ValueError:
            return None

    @display(description=gettext_lazy("id"))
    def wire_id(self, row: Model) -> SafeString:
        return cells.wire_id(self.wire_prefix, row.pk)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        sets = super().get_fieldsets(request, obj)
        if obj is None or not self.wire_prefix:
            return sets
        (title, options), *rest = sets
        return [(title, {**options, "fields": ["wire_id", *options["fields"]]}), *rest]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:  # noqa: ARG002
        declared = flatten_fieldsets(self.fieldsets) if self.fieldsets else flatten(self.fields or ())
        if obj is None:
            return []
        return ["wire_id", *(name for name in declared if name not in self.editable)]

    # What is written

    def create(self, form: Any) -> Model:
        """Make the row that a form describes. Overridden where a service does it.

        :raises BillingError: if the service refuses
        """
        form.instance.save()
        return form.instance  # type: ignore[no-any-return]

    def update(self, row: Any, form: Any) -> None:
        """Change a row as a form says. Overridden where a service does it.

        :raises BillingError: if the service refuses
        """
        row.save(update_fields=form.changed_data)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        # Choices are offered from where the role grants this, and asked about once more.
        if not self.permits(request, "change" if change else "add", obj):
            raise PermissionDenied
        self.hold_if_it_must_wait(obj, "change" if change else "add", form)
        if change:
            self.update(obj, form)
            return
        created = self.create(form)
        # Django goes on with its own instance: let it stand for the row that the service made.
        obj.pk = created.pk
        obj._state.adding = False  # noqa: SLF001

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except MustWait as held:
            return self.ask_about_form(request, held)
        except BillingError as refusal:
            # Django's transaction around the view has been rolled back by now.
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    # What is done

    def now_for(self, row: Model) -> datetime:
        """The time that a row lives at: its customer's clock, or the wall's."""
        wall = timezone.now()
        customer = row if isinstance(row, Customer) else getattr(row, "customer", None)
        return customer.now(wall) if isinstance(customer, Customer) else wall

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/do/<slug:name>/",
            self.admin_site.admin_view(self.command_view),
            name=self._url_name("command"),
        )
        return [own, *super().get_urls()] if self.commands else super().get_urls()

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _url(self, page: str, *args: object) -> str:
        return reverse(f"{self.admin_site.name}:{self._url_name(page)}", args=args)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        if row is not None:
            add_buttons(context, [*self.leads(request, row), *self.command_buttons(request, row)])
        return super().render_change_form(request, context, *args, **kwargs)

    def leads(self, request: HttpRequest, row: Model) -> Sequence[Button]:  # noqa: ARG002
        """Further pages about a row, which its own page leads to."""
        return ()

    def commands_on(self, request: HttpRequest, row: Any) -> list[Command[Any]]:
        """What the person may do to a row as it stands."""
        return [
            command
            for command in self.commands
            if self.permits(request, command.permission, row) and command.applies(row)
        ]

    def command_buttons(self, request: HttpRequest, row: Model) -> list[Button]:
        """What stands at the head of a row's page."""
        return [self.command_button(command, row) for command in self.commands_on(request, row)]

    def command_button(self, command: Command[Any], row: Model) -> Button:
        return Button(str(command.title), self._url("command", row.pk, command.name), command.icon, command.warns)

    def get_actions(self, request: HttpRequest) -> Any:
        actions: dict[str, Any] = dict(super().get_actions(request))
        for command in self.commands:
            if self.permits(request, command.permission) and not command.is_single:
                actions[command.name] = (self._action(command), command.name, command.title)
        return actions

    def _action(self, command: Command[Any]) -> Callable[..., HttpResponseBase | None]:
        def act(_admin: ConsoleAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
            return self._act_on_list(request, command, queryset)

        return act

    def _act_on_list(
        self, request: HttpRequest, command: Command[Any], chosen: QuerySet[Any]
    ) -> HttpResponseBase | None:
        rows = list(self.within_walls(request, chosen, command.permission)[: self.MOST_AT_ONCE + 1])
        if len(rows) > self.MOST_AT_ONCE:
            words = _("Choose at most {count} rows at once.").format(count=self.MOST_AT_ONCE)
            self.message_user(request, words, messages.ERROR)
            return None
        able = [row for row in rows if command.applies(row)]
        if not able:
            words = _("“{action}” applies to none of the chosen rows.").format(action=command.title)
            self.message_user(request, words, messages.WARNING)
            return None
        form = self._form(request, command, able, is_sent="confirmed" in request.POST)
        if "confirmed" in request.POST and self._is_complete(command, able, form):
            for row, refusal in self._carry_out(request, command, able, form.cleaned_data):
                self.message_user(request, f"{row}: {refusal}", messages.ERROR)
            return None
        return self._ask(request, command, able, form, left_out=len(rows) - len(able), from_list=True)

    def command_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        """Ask (GET), then do (POST)."""
        command = next((known for known in self.commands if known.name == name), None)
        row = self.get_object(request, unquote(object_id))
        if command is None or row is None:
            raise Http404
        if not self.permits(request, command.permission, row):
            raise PermissionDenied
        back = HttpResponseRedirect(self._after(command, row))
        if not command.applies(row):
            words = _("“{action}” does not apply to {row} any more.").format(action=command.title, row=row)
            self.message_user(request, words, messages.WARNING)
            return back
        form = self._form(request, command, [row], is_sent=request.method == "POST")
        if not self._is_complete(command, [row], form):
            return self._ask(request, command, [row], form, left_out=0, from_list=False)
        for _row, refusal in self._carry_out(request, command, [row], form.cleaned_data):
            if form.fields:
                # What was said is still there, to be put right.
                form.add_error(None, str(refusal))
                return self._ask(request, command, [row], form, left_out=0, from_list=False)
            self.message_user(request, f"{row}: {refusal}", messages.ERROR)
        return back

    def _form(self, request: HttpRequest, command: Command[Any], rows: Sequence[Any], *, is_sent: bool) -> Form:
        form = approving.form_of(command, *((request.POST, request.FILES) if is_sent else ()))
        if command.prepare is not None:
            command.prepare(form, rows)
        return form

    def _is_complete(self, command: Command[Any], rows: Sequence[Any], form: Form) -> bool:
        """Whether all was said that has to be: what waits for a second person has to be explained to them."""
        if not form.is_valid():
            return False
        if command.second_person is None or form.cleaned_data.get(approving.WHY):
            return True
        try:
            wait = any(approving.waits(command, row, form.cleaned_data) for row in rows)
        except BillingError:
            # What cannot be done is told where it is tried.
            return True
        if wait:
            form.add_error(approving.WHY, _("A second person has to approve this. Tell them why."))
        return not wait

    def _after(self, command: Command[Any], row: Model) -> str:
        elsewhere = command.back(row) if command.back is not None else None
        return elsewhere or self._url("change", row.pk)

    def _ask(
        self,
        request: HttpRequest,
        command: Command[Any],
        rows: Sequence[Any],
        form: Form,
        *,
        left_out: int,
        from_list: bool,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": command.title,
            "opts": self.opts,
            **({} if from_list else {"object": rows[0]}),
            "command": command,
            "consequence": command.consequence(rows),
            "rows": rows,
            "form": form,
            "left_out": left_out,
            "from_list": from_list,
            "back": self._url("changelist") if from_list else self._after(command, rows[0]),
        }
        return TemplateResponse(request, "console/confirm.html", context)

    def _carry_out(
        self, request: HttpRequest, command: Command[Any], rows: Sequence[Any], answers: Mapping[str, Any]
    ) -> list[tuple[Any, BillingError]]:
        """Do it to each row, or put it before a second person.

        :returns: the rows that it could not be done to, and why
        """
        refused: list[tuple[Any, BillingError]] = []
        said = {name: answer for name, answer in answers.items() if name != approving.WHY}
        why = answers.get(approving.WHY, "")
        with giving_reason(why):
            for row in rows:
                try:
                    asked = approving.ask_for(request, command, row, said, why)
                    signer = person_of(request)
                    came = self.perform(request, command, row, said, signed_by=signer) if asked is None else None
                except BillingError as refusal:
                    refused.append((row, refusal))
                    continue
                if asked is not None:
                    self.message_user(request, f"{asked} {approving.waits_text()}", messages.WARNING)
                    continue
                self.log_change(request, row, str(command.title))
                # As the page finds it: by its environment, where that is what an index begins with.
                row.refresh_from_db(from_queryset=self.get_queryset(request))
                done = command.done(came) if callable(command.done) else command.done
                self.message_user(request, f"{row}: {done}", messages.SUCCESS)
        return refused

    def perform(
        self,
        request: HttpRequest,  # noqa: ARG002 (for pages whose commands ask who it is)
        command: Command[Any],
        row: Any,
        answers: Mapping[str, Any],
        *,
        signed_by: User,
    ) -> Any:
        """Do to a row what a command does.

        :returns: what the service does
        :raises BillingError: if the service refuses
        """
        if command.run is None:
            raise NotImplementedError(f"{type(self).__name__} has to do {command.name!r} itself")
        signature = {"recorded_by": str(signed_by)} if command.signed else {}
        return command.run(row, self.now_for(row), **answers, **signature)

    def waiting_action(self, request: HttpRequest, name: str) -> Action:
        """How a command, or a form, is done that waited for a second person.

        :raises LookupError: if there is no such command any more
        """
        command = next((known for known in self.commands if known.name == name), None)
        if command is None or command.second_person is None:
            return self.waiting_form(request, name)
        guard = command.second_person

        def state(asked: ApprovalRequest, now: datetime) -> State:  # noqa: ARG001 (the row has a clock of its own)
            row = approving.row_of(self.get_queryset(request), asked)
            return guard.state(row) if row is not None else {}

        def run(asked: ApprovalRequest, now: datetime) -> None:  # noqa: ARG001
            row = approving.row_of(self.get_queryset(request), asked)
            form = approving.form_of(command, approving.sent_again(asked.answers))
            if row is None or not form.is_valid() or not command.applies(row):
                raise ApprovalOvertaken(_("it does not apply any more"))
            answers = {name: answer for name, answer in form.cleaned_data.items() if name != approving.WHY}
            self.perform(request, command, row, answers, signed_by=asked.asked_by)
            self.log_change(request, row, str(command.title))

        return Action(lambda _asked: self.permission_to(command.permission), state, run)


def _matching(name: str, term: str) -> Q:
    """What a search field asks: ``=`` for a number or key, which are found by their indexes; without a lookup, for a part."""
    if name.startswith("="):
        return Q(**{f"{name[1:]}__in": {term, term.upper()}})
    has_lookup = name.endswith(("contains", "startswith", "exact"))
    return Q(**{name if has_lookup else f"{name}__icontains": term})


class ConsoleInline(Walled, ThemedTabularInline[Any, Any]):
    """Rows that belong to the one on the page, to be read; each leads to its own page."""

    extra = 0
    max_num = 0
    # The first column, `page`, names the row and leads to it; the theme's own line above each row would say it twice.
    hide_title = True

    @display(description="")
    def page(self, row: Model) -> SafeString:
        options = self.opts
        address = reverse(f"{self.admin_site.name}:{options.app_label}_{options.model_name}_change", args=[row.pk])
        return format_html('<a class="tb-link" href="{}">{}</a>', address, row)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:  # noqa: ARG002
        return self.fields or ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        related = getattr(self, "list_select_related", ())
        return rows.select_related(*related) if related else rows
