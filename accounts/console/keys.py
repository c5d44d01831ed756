"""The console's pages of API keys: made, rolled and revoked; a secret is shown once, on the page that follows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib.admin import EmptyFieldListFilter, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts import services
from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from accounts.models import ApiKey, Scope
from core.console.theme import CheckboxList
from core.errors import BillingError


class ApiKeyForm(forms.ModelForm[ApiKey]):
    scopes = forms.MultipleChoiceField(choices=[(scope, scope) for scope in Scope.values], widget=CheckboxList)

    class Meta:
        model = ApiKey
        fields = ["environment", "name", "expires_at"]


def _end_of_keys(keys: Sequence[ApiKey]) -> str:
    return ngettext(
        "{keys} will open nothing from this moment on. Programs that use it get 401. This cannot be undone; a new key can "
        "be made.",
        "{keys} will open nothing from this moment on. Programs that use them get 401. This cannot be undone; new keys can "
        "be made.",
        len(keys),
    ).format(keys=", ".join(map(str, keys)))


class RollForm(forms.Form):
    """For how long programs may go on with the old secret."""

    overlap = forms.TypedChoiceField(
        label=gettext_lazy("The old secret opens for"),
        choices=[
            (0, gettext_lazy("no longer: it was seen by others")),
            (1, gettext_lazy("1 more hour")),
            (24, gettext_lazy("1 more day")),
            (168, gettext_lazy("7 more days")),
        ],
        coerce=int,
        initial=24,
    )


def _successors(keys: Sequence[ApiKey]) -> str:
    return _(
        "A new key takes the place of {key}, with the same scopes, addresses and end. Its secret is shown on the next page, "
        "once. The old one goes on for as long as you say; give your programs the new one meanwhile."
    ).format(key=", ".join(map(str, keys)))


def _roll(key: Any, now: datetime, *, overlap: int) -> None:
    # For the answer to this very request; it is stored nowhere, neither in the session nor in a message.
    key.successor = services.roll_api_key(key=key, overlap=timedelta(hours=overlap), now=now)


class ApiKeyAdmin(ConsoleAdmin):
    """The hash of the secret is on no page; the secret is on one page, once."""

    can_add = can_change = True
    list_display = ["__str__", "name", "environment", "state", "last_used_at", "expires_at", "created_at"]
    list_filter = ["environment", ("revoked_at", EmptyFieldListFilter)]
    list_select_related = ["environment__company"]
    # A whole secret that is pasted here finds its key by its first characters.
    search_fields = ["prefix__startswith", "name__icontains"]
    fields = [
        "prefix",
        "name",
        "environment",
        "state",
        "scopes_held",
        "allowed_ips",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    ]
    editable = ("name", "allowed_ips")
    add_fieldsets = ((None, {"fields": ("environment", "name", "scopes", "expires_at")}),)
    commands = [
        Command[ApiKey](
            name="roll",
            title=gettext_lazy("Roll"),
            icon="autorenew",
            applies=lambda key: key.is_usable(timezone.now()),
            consequence=_successors,
            run=_roll,
            done=gettext_lazy("rolled."),
            form=RollForm,
        ),
        Command[ApiKey](
            name="revoke",
            title=gettext_lazy("Revoke"),
            icon="key_off",
            applies=lambda key: key.revoked_at is None,
            consequence=_end_of_keys,
            run=lambda key, now: services.revoke_api_key(key=key, now=now),
            done=gettext_lazy("revoked; it opens nothing any more."),
            warns=True,
        ),
    ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002
        return super().get_form(request, obj, change, **kwargs if change else {**kwargs, "form": ApiKeyForm})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term.strip().startswith("sk_"):
            return queryset.with_secret(search_term.strip()) | queryset.filter(prefix=search_term.strip("… ")), False  # type: ignore[attr-defined]
        return super().get_search_results(request, queryset, search_term)

    def create(self, form: Any) -> ApiKey:
        data = form.cleaned_data
        key, secret = services.create_api_key(
            company=data["environment"].company,
            mode=data["environment"].mode,
            scopes=data["scopes"],
            name=data["name"],
            expires_at=data["expires_at"],
        )
        # For the answer to this very request; it is stored nowhere, neither in the session nor in a message.
        form.instance.prefix = key.prefix
        form.instance.shown_once = secret
        return key

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        # The page that follows is the one with the secret, and no other.
        context.update(show_save_and_add_another=False, show_save_and_continue=bool(context.get("original")))
        return super().render_change_form(request, context, *args, **kwargs)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:  # noqa: ARG002
        return self._show_once(request, obj, obj.shown_once)

    def get_actions(self, request: HttpRequest) -> Any:
        # A page shows one secret.
        return {name: action for name, action in super().get_actions(request).items() if name != "roll"}

    def _carry_out(
        self, request: HttpRequest, command: Command[Any], rows: Sequence[Any], answers: Any
    ) -> list[tuple[Any, BillingError]]:
        refused = super()._carry_out(request, command, rows, answers)
        request.__dict__["_successor"] = getattr(rows[0], "successor", None)
        return refused

    def command_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponseBase:
        answer = super().command_view(request, object_id, name)
        successor = request.__dict__.get("_successor")
        return self._show_once(request, *successor) if successor else answer

    def _show_once(self, request: HttpRequest, key: ApiKey, secret: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Copy the secret now"),
            "opts": self.opts,
            "object": key,
            "key": key,
            "secret": secret,
            "page": self._url("change", key.pk),
        }
        response = TemplateResponse(request, "console/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @display(description=gettext_lazy("state"))
    def state(self, row: ApiKey) -> str:
        if row.revoked_at is not None:
            return _("revoked")
        return _("in use") if row.is_usable(timezone.now()) else _("expired")

    @display(description=gettext_lazy("scopes"))
    def scopes_held(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)
