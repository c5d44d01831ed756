"""What the console opens with: usage, money that waits, and what needs a person. Each number leads to its rows.

A panel shows what the person's roles let them see, and is left out where that is nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Max, OuterRef, Q, Subquery, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.console.approvals import waiting_for
from accounts.console.environments import environments_in_view
from accounts.console.walls import companies_granting, permits, person_of, roles_of
from accounts.models import Environment, License, LicenseNotice, Mode
from accounts.roles import GRANTS
from billing_project.console import chart
from core.money import format_amount
from core.periods import HOUR, Period, floor_hour
from invoices.models import BillingFailure, Invoice, InvoiceVerification
from usage.models import EventRejection, RecountDifference, UsageSummary
from usage.reports import watermark

HOURS = 24
LAG_THAT_ALARMS = timedelta(seconds=10)
_REJECTIONS_SINCE = timedelta(days=7)
_MOST_LICENSES = 8
_MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person, and the environments whose rows of a kind they may see."""

    request: HttpRequest
    environments: Sequence[Environment]

    @classmethod
    def of(cls, request: HttpRequest) -> "Viewer":
        return cls(request, list(environments_in_view(request)))

    def may_see(self, permission: str) -> list[UUID]:
        if person_of(self.request).is_superuser:
            return [environment.pk for environment in self.environments]
        roles = roles_of(self.request)
        return [
            environment.pk
            for environment in self.environments
            if permission in GRANTS.get(roles.get(environment.company_id, ""), ())
        ]


@dataclass(frozen=True, slots=True)
class UsagePanel:
    span: Period
    is_recent: bool
    bars: Sequence[chart.Bar]
    links: Sequence[str]
    top: int
    total: int
    has_test: bool

    @property
    def total_text(self) -> str:
        return f"{self.total:,}"

    @property
    def top_text(self) -> str:
        return f"{self.top:,}"

    @property
    def drawn(self) -> list[tuple[chart.Bar, str]]:
        return list(zip(self.bars, self.links, strict=True))


@dataclass(frozen=True, slots=True)
class Money:
    """A sum of invoices in one currency and mode."""

    mode: str
    amount: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class InvoicePanel:
    title: str
    link: str
    empty: str
    sums: list[Money] = field(default_factory=list)
    past_due: list[Money] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LagPanel:
    read_at: datetime
    age: str
    is_late: bool


@dataclass(frozen=True, slots=True)
class LicenseLine:
    license: License
    state: str
    tone: str
    notice: LicenseNotice | None
    link: str


@dataclass(frozen=True, slots=True)
class DifferencePanel:
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class CountLine:
    label: str
    count: int
    link: str


def add_to_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Django's index page, with the panels of this one."""
    now = timezone.now()
    viewer = Viewer.of(request)
    context.update(
        title="Start",
        now=now,
        has_environments=bool(viewer.environments),
        usage=usage_panel(viewer, now),
        invoices=invoice_panels(viewer, now),
        lag=lag_panel(now),
        licenses=license_lines(viewer, now),
        licenses_link=_list("accounts_license"),
        rejections=rejection_lines(viewer, now),
        rejections_link=_list("usage_eventrejection"),
        differences=difference_panel(viewer),
        verifications=verification_panel(viewer),
        approvals=approval_panel(request),
        failures=failure_lines(viewer),
        failures_link=_list("invoices_billingfailure"),
        failures_most=_MOST_FAILURES,
    )
    return context


def usage_panel(viewer: Viewer, now: datetime) -> UsagePanel | None:
    """Events per hour of the last 24 hours, or, where those hold none, of the latest 24 hours that end with usage."""
    environments = viewer.may_see("usage.view_usagesummary")
    if not environments:
        return None
    end = floor_hour(now) + HOUR
    span = Period(end - HOURS * HOUR, end)
    counts = _events_per_hour(environments, span)
    is_recent = bool(counts)
    if not is_recent:
        latest = _latest_hour(environments, before=end)
        if latest is not None:
            span = Period(latest - (HOURS - 1) * HOUR, latest + HOUR)
            counts = _events_per_hour(environments, span)
    drawn = chart.bars(counts, span, [Mode.LIVE, Mode.TEST])
    return UsagePanel(
        span=span,
        is_recent=is_recent or not counts,
        bars=drawn,
        links=[
            _list("usage_usagesummary", hour__gte=bar.hour.start.isoformat(), hour__lt=bar.hour.end.isoformat())
            for bar in drawn
        ],
        top=chart.ceiling(max(bar.count for bar in drawn)),
        total=sum(counts.values()),
        has_test=any(mode == Mode.TEST for _, mode in counts),
    )


def _events_per_hour(environments: Sequence[UUID], span: Period) -> dict[tuple[datetime, str], int]:
    rows = (
        UsageSummary.objects.filter(environment__in=environments, hour__gte=span.start, hour__lt=span.end)
        .values_list("hour", "environment__mode")
        .annotate(events=Sum("event_count"))
    )
    return {(hour, mode): int(events) for hour, mode, events in rows}


def _latest_hour(environments: Sequence[UUID], *, before: datetime) -> datetime | None:
    # One look into the index for each environment, where a plain maximum would read all of it.
    newest = UsageSummary.objects.filter(environment=OuterRef("pk"), hour__lt=before).order_by("-hour").values("hour")
    found = Environment.objects.filter(pk__in=environments).annotate(latest=Subquery(newest[:1]))
    latest: datetime | None = found.aggregate(newest=Max("latest"))["newest"]
    return latest


def invoice_panels(viewer: Viewer, now: datetime) -> list[InvoicePanel]:
    """Drafts and open invoices, summed per currency, live before test."""
    environments = viewer.may_see("invoices.view_invoice")
    if not environments:
        return []
    draft = InvoicePanel(
        "Draft invoices",
        _list("invoices_invoice", status__exact=Invoice.Status.DRAFT),
        "None. They appear when a billing period closes.",
    )
    open_ = InvoicePanel(
        "Open invoices", _list("invoices_invoice", status__exact=Invoice.Status.OPEN), "None: nobody owes anything."
    )
    remaining = F("amount_due") - F("amount_paid") - F("pre_payment_credited")
    rows = (
        Invoice.objects.filter(environment__in=environments, status__in=[Invoice.Status.DRAFT, Invoice.Status.OPEN])
        .values("environment__mode", "status", "currency")
        .annotate(
            count=Count("pk"),
            total=Sum("total"),
            remaining=Sum(remaining),
            late_count=Count("pk", filter=Q(due_at__lt=now)),
            late=Sum(remaining, filter=Q(due_at__lt=now)),
        )
        .order_by("environment__mode", "currency")
    )
    for row in rows:
        is_draft = row["status"] == Invoice.Status.DRAFT
        query = {
            "status__exact": row["status"],
            "environment__mode__exact": row["environment__mode"],
            "currency__exact": row["currency"],
        }
        panel = draft if is_draft else open_
        panel.sums.append(_money(row, "total" if is_draft else "remaining", "count", query))
        if not is_draft and row["late_count"]:
            panel.past_due.append(_money(row, "late", "late_count", {**query, "due_at__lt": now.isoformat()}))
    return [draft, open_]


def _money(row: Mapping[str, Any], amount: str, count: str, query: dict[str, str]) -> Money:
    # PostgreSQL sums bigints to a numeric.
    minor_units = int(Decimal(row[amount]))
    return Money(
        mode=row["environment__mode"],
        amount=format_amount(minor_units, row["currency"]),
        count=row[count],
        link=_list("invoices_invoice", **query),
    )


def lag_panel(now: datetime) -> LagPanel:
    """How long ago the summaries were complete."""
    read_at = watermark().read_at
    age = max(now - read_at, timedelta(0))
    return LagPanel(read_at, spoken(age), age > LAG_THAT_ALARMS)


def spoken(age: timedelta) -> str:
    """A length of time as a person says it: ``0.8 s``, ``12 min``, ``3 h``, ``5 d``."""
    if age < timedelta(minutes=2):
        return f"{age // timedelta(milliseconds=100) / 10:.1f} s"
    if age < timedelta(hours=2):
        return f"{age // timedelta(minutes=1)} min"
    if age < timedelta(days=2):
        return f"{age // timedelta(hours=1)} h"
    return f"{age // timedelta(days=1)} d"


_TONES = {
    License.State.ACTIVE: "good",
    License.State.SCHEDULED: "plain",
    License.State.IN_GRACE: "warning",
    License.State.ENDED: "danger",
}


def license_lines(viewer: Viewer, now: datetime) -> list[LicenseLine] | None:
    """Licenses by their end, the nearest first, with the latest notice on it. Those that ended long ago are left out."""
    user = person_of(viewer.request)
    companies = companies_granting(user, "accounts.view_license")
    licenses = (
        License.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=now - timedelta(days=90)), company__in=companies)
        .select_related("company")
        .prefetch_related("notices")
        .order_by(F("ends_at").asc(nulls_last=True), "company__name", "product")
    )
    return [_license_line(row, now) for row in licenses[:_MOST_LICENSES]]


def _license_line(row: License, now: datetime) -> LicenseLine:
    state = row.state(now)
    notices = [notice for notice in row.notices.all() if notice.ends_at == row.ends_at]
    tone = "warning" if state == License.State.ACTIVE and notices else _TONES[state]
    link = reverse("admin:accounts_license_change", args=[row.pk])
    return LicenseLine(row, state.label, tone, max(notices, key=lambda notice: notice.created_at, default=None), link)


def rejection_lines(viewer: Viewer, now: datetime) -> list[CountLine] | None:
    """Events of the last seven days that could not be counted, by reason. None where the person may not see them."""
    environments = viewer.may_see("usage.view_eventrejection")
    if not environments:
        return None
    since = now - _REJECTIONS_SINCE
    rows = (
        EventRejection.objects.filter(environment__in=environments, received_at__gte=since)
        .values_list("code")
        .annotate(count=Count("pk"))
        .order_by("-count")
    )
    return [
        CountLine(
            EventRejection.Code(code).label if code in EventRejection.Code.values else code,
            count,
            _list("usage_eventrejection", code__exact=code, received_at__gte=since.isoformat()),
        )
        for code, count in rows
    ]


def difference_panel(viewer: Viewer) -> DifferencePanel | None:
    """Summaries that did not agree with their events and that nobody has explained. None where the person may not see."""
    environments = viewer.may_see("usage.view_recountdifference")
    if not environments:
        return None
    open_ = RecountDifference.objects.filter(environment__in=environments).unresolved()
    return DifferencePanel(open_.count(), _list("usage_recountdifference", resolved_at__isempty="1"))


def verification_panel(viewer: Viewer) -> DifferencePanel | None:
    """Invoices that came out different when they were computed again. None where the person may not see it."""
    environments = viewer.may_see("invoices.view_invoiceverification")
    if not environments:
        return None
    alarming = InvoiceVerification.objects.filter(environment__in=environments).alarming()
    link = _list("invoices_invoiceverification", is_equal__exact="0", resolved_at__isempty="1")
    return DifferencePanel(alarming.count(), link)


def approval_panel(request: HttpRequest) -> DifferencePanel | None:
    """What the person may decide, and somebody else asked for. None where they decide nothing."""
    if not permits(request, "accounts.change_approvalrequest"):
        return None
    return DifferencePanel(waiting_for(request).count(), _list("accounts_approvalrequest", waiting="me"))


def failure_lines(viewer: Viewer) -> list[BillingFailure] | None:
    """What billing could not do, the latest first. None where the person may not see it."""
    environments = viewer.may_see("invoices.view_billingfailure")
    if not environments:
        return None
    failures = BillingFailure.objects.filter(environment__in=environments).select_related(
        "environment__company", "subscription__customer", "invoice"
    )
    return list(failures[: _MOST_FAILURES + 1])


def _list(model: str, **query: str) -> str:
    path = reverse(f"admin:{model}_changelist")
    return f"{path}?{urlencode(query)}" if query else path
