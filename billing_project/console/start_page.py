"""What the console opens with: usage, money that waits, and what needs a person. Each number leads to its rows.

A panel shows what the person's roles let them see, and is left out where that is nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Count, F, Max, OuterRef, Q, Subquery, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.console.approvals import waiting_for
from accounts.console.environments import environments_in_view
from accounts.console.walls import companies_granting, permits, person_of, roles_of
from accounts.models import Environment, License, LicenseNotice, Mode
from accounts.roles import GRANTS
from billing_project.console import chart
from billing_project.console.start_money import money_panel
from core.ids import first_id
from core.periods import HOUR, Period, floor_hour
from invoices.models import BillingFailure, Invoice, InvoiceVerification
from usage.models import EventRejection, RecountDifference, UsageSummary
from usage.reports import watermark
from webhooks.models import Delivery, WebhookEndpoint

HOURS = 24
LAG_THAT_ALARMS = timedelta(seconds=10)
_REJECTIONS_SINCE = timedelta(days=7)
_MOST_LICENSES = 8
_MOST_FAILURES = 5
_MOST_DELIVERIES = 100
_BILLING_TAKES = timedelta(minutes=10)


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
    total_before: int
    has_test: bool

    @property
    def change(self) -> int | None:
        """By how many percent it is more than in the 24 hours before; None where these held nothing."""
        return round((self.total - self.total_before) * 100 / self.total_before) if self.total_before else None

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


@dataclass(frozen=True, slots=True)
class WebhookPanel:
    """
    :ivar failed: messages of the last seven days that were given up, to a bound
    :ivar endpoints: that nothing gets through to, or that were disabled for it
    """

    failed: int
    is_bounded: bool
    link: str
    endpoints: Sequence[WebhookEndpoint]


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a person should look at.

    :ivar count: in words, for it may be bounded; empty where it says nothing
    """

    text: str
    count: str
    link: str
    is_alarm: bool = True


def add_to_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Django's index page, with the panels of this one."""
    now = timezone.now()
    viewer = Viewer.of(request)
    money_environments = viewer.may_see("invoices.view_invoice")
    found = {
        "usage": usage_panel(viewer, now),
        "money": money_panel(money_environments, now, shows_payments=bool(viewer.may_see("invoices.view_payment")))
        if money_environments
        else None,
        "lag": lag_panel(now),
        "licenses": license_lines(viewer, now),
        "rejections": rejection_lines(viewer, now),
        "differences": difference_panel(viewer),
        "verifications": verification_panel(viewer),
        "approvals": approval_panel(request),
        "failures": failure_lines(viewer),
        "webhooks": webhook_panel(viewer, now),
        "held": drafts_past_grace(money_environments, now),
    }
    context.update(
        found,
        title=_("Start"),
        now=now,
        has_environments=bool(viewer.environments),
        needs=needs(found),
        licenses_link=_list("accounts_license"),
        rejections_link=_list("usage_eventrejection"),
        failures_link=_list("invoices_billingfailure"),
        failures_most=_MOST_FAILURES,
    )
    return context


def needs(found: Mapping[str, Any]) -> list[Need]:
    """What of all that is on the page waits for a person, the most urgent first. Each leads to its rows."""
    tellers = (_behind, _asked, _unpaid_or_unbilled, _unexplained, _untold, _other)
    return list(chain.from_iterable(teller(found) for teller in tellers))


def _asked(found: Mapping[str, Any]) -> Iterator[Need]:
    approvals: DifferencePanel | None = found["approvals"]
    if approvals is not None and approvals.count:
        text = ngettext(
            "request of a colleague waits for your approval",
            "requests of colleagues wait for your approval",
            approvals.count,
        )
        yield Need(text, str(approvals.count), approvals.link, is_alarm=False)


def _behind(found: Mapping[str, Any]) -> Iterator[Need]:
    lag: LagPanel = found["lag"]
    if lag.is_late:
        yield Need(_("the roll-up is behind; reads are exact and get slower"), lag.age, "#tb-roll-up")


def _unpaid_or_unbilled(found: Mapping[str, Any]) -> Iterator[Need]:
    for row in found["money"].rows if found["money"] else ():
        if row.past_due is not None:
            text = ngettext(
                "invoice is past due in {mode} mode, {amount}",
                "invoices are past due in {mode} mode, {amount}",
                row.past_due.count,
            )
            said = text.format(mode=row.mode, amount=row.past_due.amount)
            yield Need(said, str(row.past_due.count), row.past_due.link)
    held: DifferencePanel | None = found["held"]
    if held is not None and held.count:
        text = ngettext(
            "draft is past its grace and not final", "drafts are past their grace and not final", held.count
        )
        yield Need(text, str(held.count), held.link)
    failures = found["failures"]
    if failures:
        count = f"{_MOST_FAILURES}+" if len(failures) > _MOST_FAILURES else str(len(failures))
        text = ngettext("thing billing could not do", "things billing could not do", len(failures))
        yield Need(text, count, _list("invoices_billingfailure"))


def _unexplained(found: Mapping[str, Any]) -> Iterator[Need]:
    differences: DifferencePanel | None = found["differences"]
    if differences is not None and differences.count:
        text = ngettext(
            "summary did not agree with its events", "summaries did not agree with their events", differences.count
        )
        yield Need(text, str(differences.count), differences.link)
    verifications: DifferencePanel | None = found["verifications"]
    if verifications is not None and verifications.count:
        text = ngettext(
            "invoice came out different when computed again",
            "invoices came out different when computed again",
            verifications.count,
        )
        yield Need(text, str(verifications.count), verifications.link)


def _untold(found: Mapping[str, Any]) -> Iterator[Need]:
    webhooks: WebhookPanel | None = found["webhooks"]
    if webhooks is not None and webhooks.endpoints:
        link = _list("webhooks_webhookendpoint")
        count = len(webhooks.endpoints)
        text = ngettext("webhook endpoint does not answer", "webhook endpoints do not answer", count)
        yield Need(text, str(count), link)
    if webhooks is not None and webhooks.failed:
        text = ngettext(
            "webhook message was given up in the last 7 days",
            "webhook messages were given up in the last 7 days",
            webhooks.failed,
        )
        yield Need(text, f"{webhooks.failed}+" if webhooks.is_bounded else str(webhooks.failed), webhooks.link)


def _other(found: Mapping[str, Any]) -> Iterator[Need]:
    rejected = sum(line.count for line in found["rejections"] or ())
    if rejected:
        text = ngettext(
            "event of the last 7 days could not be counted", "events of the last 7 days could not be counted", rejected
        )
        yield Need(text, f"{rejected:,}", _list("usage_eventrejection"), is_alarm=False)
    for line in found["licenses"] or ():
        if line.tone in {"warning", "danger"}:
            text = f"{_('license')} {line.license.get_product_display()}, {line.license.company}: {line.state.lower()}"
            yield Need(text, "", line.link, is_alarm=line.tone == "danger")


def usage_panel(viewer: Viewer, now: datetime) -> UsagePanel | None:
    """Events per hour of the last 24 hours, or, where those hold none, of the latest 24 hours that end with usage."""
    environments = viewer.may_see("usage.view_usagesummary")
    if not environments:
        return None
    end = floor_hour(now) + HOUR
    span = Period(end - HOURS * HOUR, end)
    counts, before = _events_per_hour(environments, span)
    is_recent = bool(counts)
    if not is_recent:
        latest = _latest_hour(environments, before=end)
        if latest is not None:
            span = Period(latest - (HOURS - 1) * HOUR, latest + HOUR)
            counts, before = _events_per_hour(environments, span)
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
        total_before=before,
        has_test=any(mode == Mode.TEST for _, mode in counts),
    )


def _events_per_hour(environments: Sequence[UUID], span: Period) -> tuple[dict[tuple[datetime, str], int], int]:
    """By hour and mode, and how many there were in as long a time before."""
    first = span.start - (span.end - span.start)
    rows = (
        UsageSummary.objects.filter(environment__in=environments, hour__gte=first, hour__lt=span.end)
        .values_list("hour", "environment__mode")
        .annotate(events=Sum("event_count"))
    )
    found = {(hour, mode): int(events) for hour, mode, events in rows}
    within = {key: events for key, events in found.items() if key[0] >= span.start}
    return within, sum(found.values()) - sum(within.values())


def _latest_hour(environments: Sequence[UUID], *, before: datetime) -> datetime | None:
    # One look into the index for each environment, where a plain maximum would read all of it.
    newest = UsageSummary.objects.filter(environment=OuterRef("pk"), hour__lt=before).order_by("-hour").values("hour")
    found = Environment.objects.filter(pk__in=environments).annotate(latest=Subquery(newest[:1]))
    latest: datetime | None = found.aggregate(newest=Max("latest"))["newest"]
    return latest


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
            str(EventRejection.Code(code).label) if code in EventRejection.Code.values else code,
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


def drafts_past_grace(environments: Sequence[UUID], now: datetime) -> DifferencePanel | None:
    """Drafts that should be final by now: the billing run takes seconds. Those on a test clock wait for their clock."""
    if not environments:
        return None
    since = now - _BILLING_TAKES
    held = Invoice.objects.filter(
        environment__in=environments,
        status=Invoice.Status.DRAFT,
        finalizes_at__lt=since,
        customer__test_clock__isnull=True,
    )
    link = _list("invoices_invoice", status__exact=Invoice.Status.DRAFT, finalizes_at__lt=since.isoformat())
    return DifferencePanel(held.count(), link)


def webhook_panel(viewer: Viewer, now: datetime) -> WebhookPanel | None:
    """What was not told, and to whom. None where the person may not see it."""
    environments = viewer.may_see("webhooks.view_delivery")
    if not environments:
        return None
    since = first_id(now - _REJECTIONS_SINCE)
    failed = Delivery.objects.filter(environment__in=environments, state=Delivery.State.FAILED, pk__gte=since)
    count = failed.order_by()[: _MOST_DELIVERIES + 1].count()
    troubled = WebhookEndpoint.objects.filter(environment__in=environments, deleted_at__isnull=True).filter(
        Q(failing_since__isnull=False) | (Q(status=WebhookEndpoint.Status.DISABLED) & ~Q(disabled_because=""))
    )
    return WebhookPanel(
        min(count, _MOST_DELIVERIES),
        count > _MOST_DELIVERIES,
        _list("webhooks_delivery", state__exact=Delivery.State.FAILED),
        list(troubled.select_related("environment__company").order_by("-created_at")[:_MOST_FAILURES]),
    )


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
