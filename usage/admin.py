"""The console's pages of usage. Events, rejections and summaries are facts: nobody edits them.

``EventClaim`` and ``UniqueValue`` are not here: Django's admin takes no model with a composite primary key. A claim says
nothing that the event or rejection behind it does not say (the search for an identifier reads it), and different values
are counted on the page of their summary.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.console.base import ConsoleAdmin
from accounts.console.commands import Command
from accounts.console.walls import environments_granting, person_of
from accounts.models import User
from core.console import cells
from core.periods import HOUR, Period
from meters.models import Formula
from usage import services
from usage.console import ENVIRONMENT, UsageAdmin
from usage.models import (
    DirtyHour,
    EventAdjustment,
    EventClaim,
    EventRejection,
    MeterEvent,
    UniqueValue,
    UsageSummary,
    Watermark,
)


class _FoundByIdentifier(UsageAdmin):
    """Rows that an event's identifier leads to, by way of its claim, which knows id and timestamp."""

    # The columns that hold the event's id and timestamp.
    event_columns: ClassVar[tuple[str, str]] = ("pk", "timestamp")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or self.named_by(term) is not None:
            return super().get_search_results(request, queryset, search_term)
        claims = EventClaim.objects.filter(
            environment__in=environments_granting(person_of(request), self.permission_to("view")),
            namespace=EventClaim.Namespace.IDENTIFIER,
            identifier=term,
        ).values_list("event_id", "event_timestamp")
        found = list(claims)
        by_id, by_time = self.event_columns
        # The timestamps lead to the partitions.
        of_claims = {f"{by_id}__in": [pk for pk, _ in found], f"{by_time}__in": [at for _, at in found]}
        return queryset.filter(**of_claims), False

    @display(description="payload")
    def payload_document(self, row: Any) -> str | SafeString:
        return cells.document(row.payload)


@admin.register(MeterEvent)
class MeterEventAdmin(_FoundByIdentifier):
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["identifier", "meter", "customer", "exact_value", "state", "timestamp", "received_at", "source"]
    list_filter = ["environment", "meter", "source", "timestamp"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["identifier"]
    search_help_text = "An event's identifier or id, or the id of its meter (mtr_…) or customer (cus_…)."
    # Ids of version 7 ascend in order of arrival.
    ordering = ["-id"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q"})
    fields = [
        "identifier",
        "id",
        "environment",
        "meter",
        "customer",
        "exact_value",
        "state",
        "timestamp",
        "received_at",
        "source",
        "dimensions_document",
        "payload_document",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        canceled = EventAdjustment.objects.filter(environment=OuterRef("environment"), event_id=OuterRef("pk"))
        events: QuerySet[Any] = super().get_queryset(request).annotate(is_canceled=Exists(canceled))
        return events

    @display(description="state")
    def state(self, row: Any) -> str:
        return "canceled" if row.is_canceled else "counts"

    @display(description="value")
    def exact_value(self, row: MeterEvent) -> str | SafeString:
        return cells.quantity(row.value)

    @display(description="dimensions")
    def dimensions_document(self, row: MeterEvent) -> str | SafeString:
        return cells.document(row.dimensions)


@admin.register(EventAdjustment)
class EventAdjustmentAdmin(_FoundByIdentifier):
    event_columns = ("event_id", "event_timestamp")
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["identifier", "meter", "customer", "event_timestamp", "reason", "created_at"]
    list_filter = ["environment", "meter", "created_at"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["identifier"]
    search_help_text = "The canceled event's identifier, or the id of its meter (mtr_…) or customer (cus_…)."
    ordering = ["-created_at"]
    sortable_by = ()
    fields = ["identifier", "event_id", "environment", "meter", "customer", "event_timestamp", "reason", "created_at"]


@admin.register(EventRejection)
class EventRejectionAdmin(_FoundByIdentifier):
    wire_parents = {"mtr": "meter"}
    list_display = ["identifier", "code", "event_name", "environment", "timestamp", "received_at", "source"]
    list_filter = ["environment", "code", "source", "received_at"]
    beside = ("environment__company", "meter")
    search_fields = ["identifier"]
    search_help_text = "An event's identifier or id, or the id of its meter (mtr_…)."
    ordering = ["-received_at"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q", "received_at__gte"})
    fields = [
        "identifier",
        "id",
        "code",
        "event_name",
        "environment",
        "meter",
        "timestamp",
        "received_at",
        "source",
        "payload_document",
    ]


def _recount(summary: UsageSummary, now: datetime) -> None:
    services.mark_dirty(
        environment=summary.environment,
        hours=[(summary.meter_id, summary.customer_id, summary.hour)],
        reason="asked for in the console",
        now=now,
    )


def _recounted(summaries: Sequence[UsageSummary]) -> str:
    hours = f"{len(summaries)} summary" if len(summaries) == 1 else f"{len(summaries)} summaries"
    return (
        f"{hours} will be computed again from the events, within seconds. Where they disagree the events win. "
        "Final invoices do not change."
    )


@admin.register(UsageSummary)
class UsageSummaryAdmin(UsageAdmin):
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["hour", "meter", "customer", "counted", "value", "dimensions_line"]
    list_filter = ["environment", "meter", "hour"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["meter"]
    search_help_text = "The id of a meter (mtr_…) or of a customer (cus_…)."
    ordering = ["-hour"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q", "hour__gte"})
    fields = [
        "period",
        "environment",
        "meter",
        "customer",
        "dimensions_document",
        "counted",
        "value",
        "sum_of_values",
        "least",
        "greatest",
        "last",
        "last_timestamp",
        "different_values",
    ]
    commands = [
        Command[UsageSummary](
            name="recount",
            title="Recount from events",
            icon="calculate",
            applies=lambda _summary: True,
            consequence=_recounted,
            run=_recount,
            done="marked; the next run computes it from its events.",
        )
    ]

    @display(description="period")
    def period(self, row: UsageSummary) -> SafeString:
        return cells.period(Period(row.hour, row.hour + HOUR))

    @display(description="events")
    def counted(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.event_count)

    @display(description="value by the meter's formula")
    def value(self, row: UsageSummary) -> str | SafeString:
        by_formula = {
            Formula.SUM: row.value_sum,
            Formula.COUNT: row.event_count,
            Formula.LAST: row.last_value,
            Formula.MAX: row.value_max,
            Formula.MIN: row.value_min,
        }
        # Different values have a table of their own, and are counted on the page of one summary only.
        return cells.quantity(by_formula.get(Formula(row.meter.formula)))

    @display(description="different values")
    def different_values(self, row: UsageSummary) -> str | SafeString:
        if row.meter.formula != Formula.UNIQUE_COUNT:
            return cells.EMPTY
        return cells.quantity(
            UniqueValue.objects.filter(
                environment=row.environment_id,
                meter=row.meter_id,
                customer=row.customer_id,
                hour=row.hour,
                dimensions=row.dimensions,
            ).count()
        )

    @display(description="sum")
    def sum_of_values(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_sum)

    @display(description="minimum")
    def least(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_min)

    @display(description="maximum")
    def greatest(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_max)

    @display(description="last")
    def last(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.last_value)

    @display(description="dimensions")
    def dimensions_line(self, row: UsageSummary) -> str | SafeString:
        return cells.facts(row.dimensions)

    @display(description="dimensions")
    def dimensions_document(self, row: UsageSummary) -> str | SafeString:
        return cells.document(row.dimensions)


@admin.register(DirtyHour)
class DirtyHourAdmin(UsageAdmin):
    """Hours that wait to be recounted: a short list, empty most of the time."""

    list_display = ["hour", "meter", "customer", "environment", "reason", "marked_at"]
    list_filter = ["environment"]
    beside = ("environment__company", "meter", "customer")
    ordering = ["marked_at"]
    fields = ["hour", "environment", "meter", "customer", "reason", "marked_at"]


@admin.register(Watermark)
class WatermarkAdmin(ConsoleAdmin):
    """Belongs to the instance and to no company, so its one row is for superusers; the start page tells all its age."""

    list_display = ["__str__", "xid"]
    fields = ["read_at", "xid"]

    def permits(self, request: HttpRequest, action: str, row: Model | None = None) -> bool:  # noqa: ARG002
        return isinstance(request.user, User) and request.user.is_superuser

    def within_walls(self, request: HttpRequest, rows: QuerySet[Any], action: str) -> QuerySet[Any]:  # noqa: ARG002
        return rows if person_of(request).is_superuser else rows.none()
