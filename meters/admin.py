"""The console's pages of meters."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from core.console import cells
from meters import services
from meters.models import Currency, Meter, Status


def _names(meters: Sequence[Meter]) -> str:
    return ", ".join(f"“{meter.event_name}” in {meter.environment}" for meter in meters)


@admin.register(Meter)
class MeterAdmin(ConsoleAdmin):
    """What a meter counts never changes; its display name may, and what becomes of late usage."""

    wire_prefix = "mtr"
    can_add = can_change = True
    list_display = ["display_name", "event_name", "formula", "environment", "status", "created_at"]
    list_filter = ["environment", "environment__mode", "status", "formula"]
    list_select_related = ["environment__company", "currency"]
    search_fields = ["event_name__istartswith", "display_name__icontains"]
    ordering = ["-created_at", "-pk"]
    fields = [
        "display_name",
        "event_name",
        "environment",
        "status",
        "formula",
        "event_time_window",
        "customer_key",
        "value_key",
        "dimensions",
        "late_policy",
        "currency",
        "unit",
        "description",
        "created_at",
        "updated_at",
        "deactivated_at",
    ]
    editable = ("display_name", "late_policy")
    add_fieldsets = (
        (None, {"fields": ("environment", "display_name", "event_name", "formula", "event_time_window")}),
        ("Billing", {"fields": ("late_policy",)}),
        ("Payload", {"fields": ("customer_key", "value_key", "dimension_keys")}),
    )
    commands = [
        Command[Meter](
            name="deactivate",
            title=gettext_lazy("Deactivate"),
            icon="pause_circle",
            applies=lambda meter: meter.status == Status.ACTIVE,
            consequence=lambda meters: _(
                "No more events are taken in for {meters}: reports of them are refused. What was counted stays, and is "
                "billed. It can be reactivated while no other meter takes the event name."
            ).format(meters=_names(meters)),
            run=lambda meter, now: services.deactivate_meter(meter=meter, now=now),
            done=gettext_lazy("deactivated; it takes in no more events."),
            warns=True,
        ),
        Command[Meter](
            name="reactivate",
            title=gettext_lazy("Reactivate"),
            icon="play_circle",
            applies=lambda meter: meter.status == Status.INACTIVE,
            consequence=lambda meters: _(
                "Events are taken in again for {meters}, and prices on them bill again."
            ).format(meters=_names(meters)),
            run=lambda meter, now: services.reactivate_meter(meter=meter, now=now),
            done=gettext_lazy("active again."),
        ),
    ]

    def create(self, form: Any) -> Meter:
        return services.create_meter(now=timezone.now(), **form.cleaned_data)

    def update(self, row: Any, form: Any) -> None:
        now = timezone.now()
        with transaction.atomic():
            services.update_meter(meter=row, display_name=form.cleaned_data["display_name"], now=now)
            services.set_late_policy(meter=row, late_policy=form.cleaned_data["late_policy"], now=now)

    @display(description=gettext_lazy("dimensions"))
    def dimensions(self, row: Meter) -> str:
        return ", ".join(row.dimension_keys) or cells.EMPTY


@admin.register(Currency)
class CurrencyAdmin(ConsoleAdmin):
    """Programs make them, with their meters; here they are only read."""

    wire_prefix = "pcur"
    list_display = ["name", "symbol", "decimals", "environment", "created_at"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company"]
    search_fields = ["name__icontains", "symbol__istartswith"]
    ordering = ["-created_at", "-pk"]
    fields = ["name", "symbol", "decimals", "environment", "description", "created_at", "updated_at"]
