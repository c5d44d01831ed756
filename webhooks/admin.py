"""The console's pages of the outbox. What happened is a fact: nobody edits it."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.utils.safestring import SafeString

from accounts.console.base import ConsoleAdmin
from core.console import cells
from webhooks.models import Event


@admin.register(Event)
class EventAdmin(ConsoleAdmin):
    wire_prefix = "evt"
    wire_parents = {"mtr": "subject_id"}
    list_display = ["kind", "wire_id", "environment", "created_at"]
    list_filter = ["environment", "kind", "created_at"]
    list_select_related = ["environment__company"]
    searches_text = False
    search_fields = ["id"]
    search_help_text = "An event's id (evt_…), or the id of the meter it is about (mtr_…)."
    ordering = ["-created_at", "-pk"]
    sortable_by = ()
    fields = ["kind", "environment", "created_at", "data_document"]

    @display(description="data")
    def data_document(self, row: Any) -> str | SafeString:
        return cells.document(row.data)
