"""A customer on one page: what they have and owe, what they use, what comes next, and all that happened.

A panel shows what the person's role lets them see of this customer's company, and is left out where that is nothing.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import F, Model, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from accounts.admin import CustomerAdmin
from accounts.console.base import ConsoleAdmin
from accounts.console.history import PERMISSION as TRAIL
from accounts.console.history import history_of
from accounts.console.walls import permits
from accounts.models import ApiRequest, Customer, CustomerNote
from billing_project.console.customer_timeline import timeline
from billing_project.console.customer_usage import UsagePanel, usage_panels
from core.console.paging import BoundedChangeList
from core.console.theme import Button, add_buttons
from core.errors import BillingError
from core.ids import spell
from core.money import format_amount
from credits.balances import balances
from credits.models import CreditGrant, LedgerEntry
from invoices.exports.figures import monthly_revenue
from invoices.models import CustomerBalance, Invoice, Payment
from invoices.services import PreviewedInvoice, preview_invoice
from meters.models import Currency
from subscriptions.models import Subscription, SubscriptionItem
from subscriptions.statuses import OVER
from usage import listing

# The parameter by which a customer's record is asked for as a form.
FORM = "form"
MOST_ROWS = 8
# Each is computed as the billing run would.
MOST_UPCOMING = 3


@dataclass(frozen=True, slots=True)
class BilledLine:
    """An invoice, with what it differs by from the one before it of the same subscription.

    :ivar difference: minor units; None where there is none before it
    """

    invoice: Invoice
    difference: int | None
    buttons: Sequence[Button]


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A subscription's next invoice as it stands.

    :ivar refusal: why there is none
    """

    subscription: Subscription
    preview: PreviewedInvoice | None
    refusal: str = ""


class _CustomerList(BoundedChangeList):
    """The list leads to the page that says everything, and that page to the form."""

    def url_for_result(self, result: Model) -> str:
        return reverse("admin:accounts_customer_overview", args=[result.pk])


class CustomerPages(CustomerAdmin):
    """Customers, each with its overview."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:  # noqa: ARG002
        return _CustomerList

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/overview/",
            self.admin_site.admin_view(self.overview_view),
            name=self._url_name("overview"),
        )
        return [own, *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Where every page that names a customer leads: to all about them. The form is asked for."""
        if request.method == "GET" and FORM not in request.GET and self.get_object(request, unquote(object_id)):
            return self.overview_view(request, object_id)
        answer: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        return answer

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        return [Button(_("Overview"), self._url("overview", row.pk), "groups")]

    def overview_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        customer = self.get_object(request, unquote(object_id))
        if customer is None:
            raise Http404
        page = _Page(request, customer, self.now_for(customer))
        context = {
            **self.admin_site.each_context(request),
            "title": str(customer),
            "opts": self.opts,
            "object": customer,
            "page": page,
            # From where, those are told who may see the whole trail.
            "tells_where": permits(request, TRAIL, customer),
        }
        add_buttons(context, [*self._actions(request, customer), *self.command_buttons(request, customer)])
        return TemplateResponse(request, "console/customer.html", context)

    def _actions(self, request: HttpRequest, customer: Customer) -> list[Button]:
        may_change = self.has_change_permission(request, customer)
        form = f"{self._url('change', customer.pk)}?{urlencode({FORM: 1})}"
        found = [Button(_("Edit") if may_change else _("Record"), form, "edit")]
        if permits(request, "credits.add_creditgrant", customer):
            grant = reverse(f"{self.admin_site.name}:credits_creditgrant_add")
            found.append(Button(_("Grant credit"), f"{grant}?{urlencode({'customer': str(customer.pk)})}", "redeem"))
        return found


class _Page:
    """The panels, each read when the template comes to it. None where the person may not see its rows."""

    def __init__(self, request: HttpRequest, customer: Customer, now: datetime) -> None:
        self.request = request
        self.customer = customer
        self.now = now
        self.wire_id = spell("cus", customer.pk)
        self.is_live = customer.environment.is_live

    def rows(self, model: type[Model]) -> QuerySet[Any] | None:
        """The customer's rows of a kind, behind the walls that the kind's own pages have."""
        pages: Any = admin.site.get_model_admin(model)
        if not permits(self.request, pages.permission_to("view"), self.customer):
            return None
        found: QuerySet[Any] = pages.get_queryset(self.request)
        return found.filter(environment=self.customer.environment_id, customer=self.customer)

    def link(self, model: str, **query: str) -> str:
        return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query or {'q': self.wire_id})}"

    # The header

    @cached_property
    def balances(self) -> list[tuple[str, int]] | None:
        found = self.rows(CustomerBalance)
        return None if found is None else list(found.exclude(amount=0).values_list("currency", "amount"))

    @cached_property
    def owed(self) -> list[tuple[str, int]] | None:
        """What is still to be paid of open invoices."""
        found = self.rows(Invoice)
        if found is None:
            return None
        left = F("amount_due") - F("amount_paid") - F("pre_payment_credited")
        sums = found.filter(status=Invoice.Status.OPEN).order_by().values_list("currency").annotate(left=Sum(left))
        return [(currency, int(amount)) for currency, amount in sums.order_by("currency")]

    @cached_property
    def credit(self) -> list[str] | None:
        """What is left of credit that can be used now, of money and of own currencies."""
        found = self.rows(CreditGrant)
        if found is None:
            return None
        usable: Any = found
        money = usable.usable(self.now).balances()
        own = balances(self.customer, self.now)
        currencies = Currency.objects.in_bulk(own) if own else {}
        return [
            *(format_amount(int(amount), currency) for currency, amount in money.items()),
            *(currencies[pk].text(balance.left) for pk, balance in own.items()),
        ]

    @cached_property
    def revenue(self) -> list[tuple[str, int]] | None:
        if self.rows(Subscription) is None:
            return None
        return sorted(monthly_revenue(self.customer, self.now).items())

    # What comes

    @cached_property
    def subscriptions(self) -> list[Subscription] | None:
        found = self.rows(Subscription)
        if found is None:
            return None
        items = SubscriptionItem.objects.present().select_related("price__product", "price__meter")
        latest = found.order_by("-created_at", "-pk")[: MOST_ROWS + 1]
        rows: list[Any] = list(latest)
        present: dict[Any, list[SubscriptionItem]] = defaultdict(list)
        for item in items.filter(environment=self.customer.environment_id, subscription__in=rows):
            present[item.subscription_id].append(item)
        for row in rows:
            row.present_items = present[row.pk]
            row.period = present[row.pk][0].current_period if present[row.pk] and not row.is_over else None
        return rows

    @cached_property
    def running(self) -> list[Subscription]:
        return [row for row in self.subscriptions or () if row.status not in OVER and row.wakes_at is not None]

    @cached_property
    def upcoming(self) -> list[Upcoming] | None:
        if self.rows(Invoice) is None:
            return None
        return [self._upcoming(subscription) for subscription in self.running[:MOST_UPCOMING]]

    def _upcoming(self, subscription: Subscription) -> Upcoming:
        try:
            found = preview_invoice(
                environment=self.customer.environment, now=self.now, subscription=subscription, customer=self.customer
            )
        except BillingError as refusal:
            return Upcoming(subscription, None, str(refusal))
        return Upcoming(subscription, found)

    @cached_property
    def next_invoice(self) -> Upcoming | None:
        known = [one for one in self.upcoming or () if one.preview is not None]
        return min(known, key=lambda one: one.preview.invoice.period_end) if known else None  # type: ignore[union-attr]

    @cached_property
    def usage(self) -> list[UsagePanel] | None:
        if not permits(self.request, "usage.view_usagesummary", self.customer):
            return None
        return usage_panels(self.customer, self.running, self.now)

    # What was

    @cached_property
    def invoices(self) -> list[BilledLine] | None:
        found = self.rows(Invoice)
        if found is None:
            return None
        pages: Any = admin.site.get_model_admin(Invoice)
        latest = list(found.order_by("-created_at")[: 2 * MOST_ROWS])
        return [
            BilledLine(
                row, _difference(row, latest[place + 1 :]), ConsoleAdmin.command_buttons(pages, self.request, row)
            )
            for place, row in enumerate(latest[:MOST_ROWS])
        ]

    @cached_property
    def payments(self) -> list[Payment] | None:
        return self._latest(Payment, "-created_at")

    @cached_property
    def grants(self) -> list[CreditGrant] | None:
        found = self._latest(CreditGrant, "-created_at", "-pk")
        for grant in found or ():
            grant.state_now = grant.state(self.now)
            grant.words = (grant.text(grant.balance), grant.text(grant.amount))
        return found

    @cached_property
    def ledger(self) -> list[tuple[LedgerEntry, str, str]] | None:
        found = self._latest(LedgerEntry, "-created_at", "-pk")
        if found is None:
            return None
        return [(row, row.grant.text(row.amount), row.grant.text(row.balance)) for row in found]

    @cached_property
    def events(self) -> list[Any] | None:
        if not permits(self.request, "usage.view_meterevent", self.customer):
            return None
        rows = listing.places(self.customer.environment, {"customer": str(self.customer.pk)})
        return listing.read_by_time(self.customer.environment, rows, listing.BY_TIME, MOST_ROWS)

    @cached_property
    def notes(self) -> list[CustomerNote] | None:
        return self._latest(CustomerNote, "-written_at", "-pk")

    @cached_property
    def requests(self) -> list[ApiRequest] | None:
        pages: Any = admin.site.get_model_admin(ApiRequest)
        if not permits(self.request, pages.permission_to("view"), self.customer):
            return None
        mine = ApiRequest.objects.filter(environment=self.customer.environment_id, customer_id=self.customer.pk)
        return list(mine.select_related("key").order_by("-id")[:MOST_ROWS])

    @cached_property
    def changes(self) -> list[Any]:
        return history_of(self.customer, MOST_ROWS)

    @cached_property
    def moments(self) -> list[Any]:
        return timeline(self.customer, self.rows)

    def _latest(self, model: type[Model], *order: str) -> list[Any] | None:
        found = self.rows(model)
        return None if found is None else list(found.order_by(*order)[:MOST_ROWS])

    @cached_property
    def links(self) -> dict[str, str]:
        return {
            "invoices": self.link("invoices_invoice"),
            "payments": self.link("invoices_payment"),
            "grants": self.link("credits_creditgrant"),
            "ledger": self.link("credits_ledgerentry"),
            "subscriptions": self.link("subscriptions_subscription"),
            "notes": self.link("accounts_customernote"),
            "events": f"{reverse('admin:usage_meterevent_debugger')}?{urlencode({'q': self.wire_id})}",
            "history": reverse("admin:accounts_customer_history", args=[self.customer.pk]),
        }


def _difference(invoice: Invoice, older: Sequence[Invoice]) -> int | None:
    if invoice.subscription_id is None or invoice.status == Invoice.Status.VOID:
        return None
    for before in older:
        is_same = (before.subscription_id, before.currency) == (invoice.subscription_id, invoice.currency)
        if is_same and before.status != Invoice.Status.VOID:
            return invoice.total - before.total
    return None
