"""The console's pages of the outbox: what happened, where it is told, and what was answered."""

import json
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter, display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.console import cells
from webhooks import services
from webhooks.kinds import Kind
from webhooks.models import Delivery, Event, WebhookEndpoint


class KindFilter(SimpleListFilter):
    """By what happened. Listed without asking the table, which is huge."""

    title = gettext_lazy("what happened")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:  # noqa: ARG002
        return Kind.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ConsoleAdmin):
    """What happened is a fact: nobody edits it."""

    names_environment = True
    wire_prefix = "evt"
    wire_parents = dict.fromkeys(("mtr", "cus", "prod", "price", "sub", "in"), "subject_id")
    list_display = ["what", "wire_id", "environment", "created_at"]
    list_filter = ["environment", KindFilter, "created_at"]
    list_select_related = ["environment__company"]
    searches_text = False
    search_fields = ["id"]
    search_help_text = gettext_lazy(
        "An event's id (evt_…), or the id of what it is about (cus_…, sub_…, in_…, price_…, mtr_…)."
    )
    ordering = ["-pk"]
    sortable_by = ()
    fields = ["what", "environment", "created_at", "request_id", "document", "previous_document"]

    @display(description=gettext_lazy("what happened"))
    def what(self, row: Event) -> str:
        return str(row)

    @display(description=gettext_lazy("told"))
    def document(self, row: Event) -> str | SafeString:
        return cells.document(json.loads(row.snapshot) if row.snapshot else row.data)

    @display(description=gettext_lazy("before"))
    def previous_document(self, row: Event) -> str | SafeString:
        return cells.document(json.loads(row.previous)) if row.previous else cells.EMPTY


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ConsoleAdmin):
    """The secret is shown to those who may change it: whoever sets up the other side needs it."""

    can_add = can_change = True
    wire_prefix = "we"
    list_display = ["url", "environment", "state", "failing_since", "created_at"]
    list_filter = ["environment", "status"]
    list_select_related = ["environment__company"]
    search_fields = ["url__icontains", "description__icontains"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "url",
        "enabled_events",
        "description",
        "environment",
        "state",
        "disabled_because",
        "failing_since",
        "resumes_at",
        "previous_secret_until",
        "metadata_document",
        "created_at",
        "deleted_at",
    ]
    editable = ("url", "enabled_events", "description")
    add_fieldsets = ((None, {"fields": ("environment", "url", "enabled_events", "description")}),)
    commands = [
        Command[WebhookEndpoint](
            name="disable",
            title=gettext_lazy("Disable"),
            icon="pause_circle",
            applies=lambda endpoint: endpoint.deleted_at is None and endpoint.status == "enabled",
            consequence=lambda endpoints: _(
                "Nothing is sent to {endpoints} any more. What waits goes on waiting, for three days at most; what happens "
                "from now on is never sent, unless somebody resends it."
            ).format(endpoints=_urls(endpoints)),
            run=lambda endpoint, now: services.update_endpoint(endpoint=endpoint, disabled=True),  # noqa: ARG005
            done=gettext_lazy("disabled."),
            warns=True,
        ),
        Command[WebhookEndpoint](
            name="enable",
            title=gettext_lazy("Enable"),
            icon="play_circle",
            applies=lambda endpoint: endpoint.deleted_at is None and endpoint.status == "disabled",
            consequence=lambda endpoints: ngettext(
                "{endpoints} is told again, first of all of what waits.",
                "{endpoints} are told again, first of all of what waits.",
                len(endpoints),
            ).format(endpoints=_urls(endpoints)),
            run=lambda endpoint, now: services.update_endpoint(endpoint=endpoint, disabled=False),  # noqa: ARG005
            done=gettext_lazy("enabled."),
        ),
        Command[WebhookEndpoint](
            name="roll",
            title=gettext_lazy("Roll the secret"),
            icon="key",
            applies=lambda endpoint: endpoint.deleted_at is None,
            consequence=lambda endpoints: _(
                "New secret for {endpoints}. For a day messages are signed with the one before, too: give the new one to "
                "the other side by then."
            ).format(endpoints=_urls(endpoints)),
            run=lambda endpoint, now: services.roll_secret(endpoint=endpoint, now=now),
            done=gettext_lazy("has a new secret."),
            warns=True,
        ),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "signing_secret"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets = super().get_fieldsets(request, obj)
        if obj is None or not self.permits(request, "change", obj):
            return sets
        (title, options), *rest = sets
        return [(title, {**options, "fields": [*options["fields"], "signing_secret"]}), *rest]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        closed = obj is not None and obj.deleted_at is not None
        return not closed and super().has_change_permission(request, obj)

    def create(self, form: Any) -> WebhookEndpoint:
        return services.create_endpoint(now=timezone.now(), **form.cleaned_data)

    def update(self, row: Any, form: Any) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        services.update_endpoint(endpoint=row, **changes)

    @display(description=gettext_lazy("state"))
    def state(self, row: WebhookEndpoint) -> SafeString:
        if row.deleted_at is not None:
            return cells.tag(_("deleted"), "deleted")
        if row.status == WebhookEndpoint.Status.DISABLED:
            return cells.tag(_("disabled"), "failed" if row.disabled_because else "disabled")
        is_failing = row.failing_since is not None
        return cells.tag(_("failing"), "failing") if is_failing else cells.tag(_("enabled"), "enabled")

    @display(description=gettext_lazy("signing secret"))
    def signing_secret(self, row: WebhookEndpoint) -> str:
        return row.secret

    @display(description=gettext_lazy("metadata"))
    def metadata_document(self, row: WebhookEndpoint) -> str | SafeString:
        return cells.document(row.metadata)


@admin.register(Delivery)
class DeliveryAdmin(ConsoleAdmin):
    names_environment = True
    wire_parents = {"evt": "event", "we": "endpoint"}
    list_display = ["event", "endpoint", "state", "response_status", "took", "attempts", "attempted_at", "environment"]
    list_filter = ["environment", "state", "endpoint"]
    list_select_related = ["environment__company", "event", "endpoint"]
    searches_text = False
    search_fields = ["id"]
    search_help_text = gettext_lazy("The id of an event (evt_…) or of an endpoint (we_…).")
    ordering = ["-pk"]
    sortable_by = ()
    fields = [
        "event",
        "endpoint",
        "environment",
        "state",
        "attempts",
        "attempted_at",
        "response_status",
        "took",
        "error",
        "response_body",
        "due_at",
        "gives_up_at",
        "is_resent",
    ]
    commands = [
        Command[Delivery](
            name="resend",
            title=gettext_lazy("Resend"),
            icon="send",
            applies=lambda delivery: (
                delivery.endpoint.deleted_at is None and delivery.endpoint.status == WebhookEndpoint.Status.ENABLED
            ),
            consequence=lambda deliveries: ngettext(
                "{count} event is sent once more, out of turn. The other side may have taken it before.",
                "{count} events are sent once more, out of turn. The other side may have taken them before.",
                len(deliveries),
            ).format(count=len(deliveries)),
            run=lambda delivery, now: services.resend_event(event=delivery.event, endpoint=delivery.endpoint, now=now),
            done=gettext_lazy("is sent once more."),
        )
    ]

    @display(description=gettext_lazy("took"))
    def took(self, row: Delivery) -> str:
        return cells.EMPTY if row.duration is None else f"{row.duration.total_seconds() * 1000:,.0f} ms"


def _urls(endpoints: Sequence[WebhookEndpoint]) -> str:
    return ", ".join(endpoint.url for endpoint in endpoints)
