"""The console's pages of usage. Events, rejections and summaries are facts: nobody edits them.

``EventClaim``, ``UniqueValue`` and ``DailySummary`` are not here: Django's admin takes no model with a composite primary
key. A claim says nothing that the event or rejection behind it does not say (the search for an identifier reads it),
different values are counted on the page of their summary, and a day is the sum of its hours.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy, ngettext

from accounts.console.commands import Command
from accounts.console.instance import InstanceAdmin
from accounts.console.walls import environments_granting, person_of
from accounts.models import Environment
from core.console import cells
from core.periods import DAY, HOUR, Period
from meters.models import Formula
from usage import services
from usage.console import ENVIRONMENT, UsageAdmin
from usage.models import (
    DirtyHour,
    DroppedMonth,
    EventAdjustment,
    EventClaim,
    EventRejection,
    MeterEvent,
    RecountDifference,
    UniqueValue,
    UsageSummary,
    Watermark,
)


class _WithPayload(UsageAdmin):
    """Rows that came in as events and have an identifier."""

    def environments(self, request: HttpRequest) -> QuerySet[Environment]:
        return environments_granting(person_of(request), self.permission_to("view"))

    def rows_called(self, request: HttpRequest, rows: QuerySet[Any], identifier: str) -> QuerySet[Any]:
        return rows.filter(environment__in=self.environments(request), identifier=identifier)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or self.named_by(term) is not None:
            return super().get_search_results(request, queryset, search_term)
        return self.rows_called(request, queryset, term), False

    @display(description=gettext_lazy("payload"))
    def payload_document(self, row: Any) -> str | SafeString:
        return cells.document(row.payload)


class _FoundByClaim(_WithPayload):
    """Rows that an event's identifier leads to, by way of its claim, which knows id and timestamp."""

    # The columns that hold the event's id and timestamp.
    event_columns: ClassVar[tuple[str, str]] = ("pk", "timestamp")

    def rows_called(self, request: HttpRequest, rows: QuerySet[Any], identifier: str) -> QuerySet[Any]:
        claims = EventClaim.objects.filter(
            environment__in=self.environments(request),
            namespace=EventClaim.Namespace.IDENTIFIER,
            identifier=identifier,
        )
        found = list(claims.values_list("event_id", "event_timestamp"))
        by_id, by_time = self.event_columns
        # The timestamps lead to the partitions.
        of_claims = {f"{by_id}__in": [pk for pk, _ in found], f"{by_time}__in": [at for _, at in found]}
        return rows.filter(**of_claims)


class ReasonForm(forms.Form):
    """Why an event is taken back, for whoever reads the record."""

    reason = forms.CharField(
        max_length=EventAdjustment.REASON_LENGTH,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=gettext_lazy("Stays on record with the event."),
    )


def _is_counted(event: Any) -> bool:
    return not event.is_canceled


def cancel(event: MeterEvent, now: datetime, *, reason: str) -> None:
    services.cancel_event(environment=event.environment, identifier=event.identifier, now=now, reason=reason)


def _canceled(events: Sequence[MeterEvent]) -> str:
    return ngettext(
        "This event counts no more, in every read from this moment and on every invoice that is not final. Final invoices "
        "do not change. The event stays on record as canceled, with your reason. This cannot be undone.",
        "These {count} events count no more, in every read from this moment and on every invoice that is not final. Final "
        "invoices do not change. The events stay on record as canceled, with your reason. This cannot be undone.",
        len(events),
    ).format(count=len(events))


@admin.register(MeterEvent)
class MeterEventAdmin(_FoundByClaim):
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["identifier", "meter", "customer", "exact_value", "state", "timestamp", "received_at", "source"]
    list_filter = ["environment", "meter", "source", "timestamp"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["identifier"]
    search_help_text = gettext_lazy("An event's identifier or id, or the id of its meter (mtr_…) or customer (cus_…).")
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
        "cancellation",
        "dimensions_document",
        "payload_document",
    ]
    commands = [
        Command[MeterEvent](
            name="cancel",
            title=gettext_lazy("Cancel this event"),
            icon="undo",
            applies=_is_counted,
            consequence=_canceled,
            run=cancel,
            done=gettext_lazy("canceled."),
            form=ReasonForm,
            warns=True,
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        canceled = EventAdjustment.objects.filter(environment=OuterRef("environment"), event_id=OuterRef("pk"))
        events: QuerySet[Any] = super().get_queryset(request).annotate(is_canceled=Exists(canceled))
        return events

    @display(description=gettext_lazy("state"))
    def state(self, row: Any) -> str:
        return "canceled" if row.is_canceled else "counts"

    @display(description=gettext_lazy("cancellation"))
    def cancellation(self, row: MeterEvent) -> str | SafeString:
        made = EventAdjustment.objects.filter(environment=row.environment_id, event_id=row.pk).first()
        if made is None:
            return cells.EMPTY
        address = reverse(f"{self.admin_site.name}:usage_eventadjustment_change", args=[made.pk])
        reason = made.reason or "no reason given"
        return format_html('<a href="{}">{}</a> {}', address, cells.moment(made.created_at), reason)

    @display(description=gettext_lazy("value"))
    def exact_value(self, row: MeterEvent) -> str | SafeString:
        return cells.quantity(row.value)

    @display(description=gettext_lazy("dimensions"))
    def dimensions_document(self, row: MeterEvent) -> str | SafeString:
        return cells.document(row.dimensions)


@admin.register(EventAdjustment)
class EventAdjustmentAdmin(_FoundByClaim):
    event_columns = ("event_id", "event_timestamp")
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["identifier", "meter", "customer", "event_timestamp", "reason", "created_at"]
    list_filter = ["environment", "meter", "created_at"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["identifier"]
    search_help_text = gettext_lazy(
        "The canceled event's identifier, or the id of its meter (mtr_…) or customer (cus_…)."
    )
    ordering = ["-created_at"]
    sortable_by = ()
    fields = ["identifier", "event_id", "environment", "meter", "customer", "event_timestamp", "reason", "created_at"]


@admin.register(EventRejection)
class EventRejectionAdmin(_WithPayload):
    wire_parents = {"mtr": "meter"}
    list_display = ["identifier", "code", "event_name", "environment", "timestamp", "received_at", "source"]
    list_filter = ["environment", "code", "source", "received_at"]
    beside = ("environment__company", "meter")
    search_fields = ["identifier"]
    search_help_text = gettext_lazy("An event's identifier or id, or the id of its meter (mtr_…).")
    ordering = ["-received_at"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q", "received_at__gte"})
    fields = [
        "identifier",
        "id",
        "code",
        "message",
        "event_name",
        "environment",
        "meter",
        "timestamp",
        "received_at",
        "reported_at",
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
    return ngettext(
        "{count} summary will be computed again from the events, within seconds. Where they disagree the events win. Final "
        "invoices do not change.",
        "{count} summaries will be computed again from the events, within seconds. Where they disagree the events win. "
        "Final invoices do not change.",
        len(summaries),
    ).format(count=len(summaries))


@admin.register(UsageSummary)
class UsageSummaryAdmin(UsageAdmin):
    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["hour", "meter", "customer", "counted", "value", "dimensions_line"]
    list_filter = ["environment", "meter", "hour"]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["meter"]
    search_help_text = gettext_lazy("The id of a meter (mtr_…) or of a customer (cus_…).")
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
            title=gettext_lazy("Recount from events"),
            icon="calculate",
            applies=lambda _summary: True,
            consequence=_recounted,
            run=_recount,
            done=gettext_lazy("marked; the next run computes it from its events."),
        )
    ]

    @display(description=gettext_lazy("period"))
    def period(self, row: UsageSummary) -> SafeString:
        return cells.period(Period(row.hour, row.hour + HOUR))

    @display(description=gettext_lazy("events"))
    def counted(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.event_count)

    @display(description=gettext_lazy("value by the meter's formula"))
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

    @display(description=gettext_lazy("different values"))
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

    @display(description=gettext_lazy("sum"))
    def sum_of_values(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_sum)

    @display(description=gettext_lazy("minimum"))
    def least(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_min)

    @display(description=gettext_lazy("maximum"))
    def greatest(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.value_max)

    @display(description=gettext_lazy("last"))
    def last(self, row: UsageSummary) -> str | SafeString:
        return cells.quantity(row.last_value)

    @display(description=gettext_lazy("dimensions"))
    def dimensions_line(self, row: UsageSummary) -> str | SafeString:
        return cells.facts(row.dimensions)

    @display(description=gettext_lazy("dimensions"))
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


def _resolve(difference: RecountDifference, now: datetime) -> None:
    services.resolve_difference(difference=difference, now=now)


def _resolved(differences: Sequence[RecountDifference]) -> str:
    return ngettext(
        "This difference is explained and settled: no alarm any more. It stays on record. Summaries are right again since "
        "they were computed anew, and invoices do not change by it.",
        "These {count} differences are explained and settled: no alarm any more. They stay on record. Summaries are right "
        "again since they were computed anew, and invoices do not change by it.",
        len(differences),
    ).format(count=len(differences))


@admin.register(RecountDifference)
class RecountDifferenceAdmin(UsageAdmin):
    """Alarms: summaries that did not agree with their events, or a day's with its hours. Each should be explained, for there should be none."""

    wire_parents = {"mtr": "meter", "cus": "customer"}
    list_display = ["hour", "is_of_day", "meter", "customer", "said", "found", "found_at", "resolved_at"]
    list_filter = ["environment", "meter", ("resolved_at", admin.EmptyFieldListFilter)]
    beside = ("environment__company", "meter", "customer")
    search_fields = ["meter"]
    search_help_text = gettext_lazy("The id of a meter (mtr_…) or of a customer (cus_…).")
    ordering = ["-found_at"]
    sortable_by = ()
    narrowing = frozenset({ENVIRONMENT, "q", "resolved_at__isempty"})
    fields = [
        "period",
        "environment",
        "meter",
        "customer",
        "dimensions_document",
        "summarized_document",
        "counted_document",
        "found_at",
        "resolved_at",
    ]
    commands = [
        Command[RecountDifference](
            name="resolve",
            title=gettext_lazy("Mark as settled"),
            icon="task_alt",
            applies=lambda difference: difference.resolved_at is None,
            consequence=_resolved,
            run=_resolve,
            done=gettext_lazy("settled."),
        )
    ]

    @display(description=gettext_lazy("period"))
    def period(self, row: RecountDifference) -> SafeString:
        return cells.period(Period(row.hour, row.hour + (DAY if row.is_of_day else HOUR)))

    @display(description=gettext_lazy("events by the summary"))
    def said(self, row: RecountDifference) -> str | SafeString:
        return cells.quantity((row.summarized or {}).get("event_count", 0))

    @display(description=gettext_lazy("events counted"))
    def found(self, row: RecountDifference) -> str | SafeString:
        return cells.quantity((row.counted or {}).get("event_count", 0))

    @display(description=gettext_lazy("dimensions"))
    def dimensions_document(self, row: RecountDifference) -> str | SafeString:
        return cells.document(row.dimensions)

    @display(description=gettext_lazy("what the summary said"))
    def summarized_document(self, row: RecountDifference) -> str | SafeString:
        return cells.document(row.summarized)

    @display(description=gettext_lazy("what the events say"))
    def counted_document(self, row: RecountDifference) -> str | SafeString:
        return cells.document(row.counted)


@admin.register(Watermark)
class WatermarkAdmin(InstanceAdmin):
    """One row; the start page tells all its age."""

    list_display = ["__str__", "xid"]
    fields = ["read_at", "xid", "xid_offset", "system_identifier"]


@admin.register(DroppedMonth)
class DroppedMonthAdmin(InstanceAdmin):
    list_display = ["__str__", "dropped_at"]
    ordering = ["-month"]
    fields = ["month", "dropped_at"]
