"""The console's pages of the outbox. What happened is a fact: nobody edits it."""

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin, SimpleListFilter, display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.console.base import ConsoleAdmin
from core.console import cells
from webhooks.kinds import Kind
from webhooks.models import Event


class KindFilter(SimpleListFilter):
    """By what happened. Listed without asking the table, which is huge."""

    title = "what happened"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:  # noqa: ARG002
        return Kind.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ConsoleAdmin):
    wire_prefix = "evt"
    wire_parents = dict.fromkeys(("mtr", "cus", "prod", "price", "sub", "in"), "subject_id")
    list_display = ["what", "wire_id", "environment", "created_at"]
    list_filter = ["environment", KindFilter, "created_at"]
    list_select_related = ["environment__company"]
    searches_text = False
    search_fields = ["id"]
    search_help_text = "An event's id (evt_…), or the id of what it is about (cus_…, sub_…, in_…, price_…, mtr_…)."
    ordering = ["-pk"]
    sortable_by = ()
    fields = ["what", "environment", "created_at", "request_id", "document", "previous_document"]

    @display(description="what happened")
    def what(self, row: Event) -> str:
        return str(row)

    @display(description="told")
    def document(self, row: Event) -> str | SafeString:
        return cells.document(json.loads(row.snapshot) if row.snapshot else row.data)

    @display(description="before")
    def previous_document(self, row: Event) -> str | SafeString:
        return cells.document(json.loads(row.previous)) if row.previous else cells.EMPTY
