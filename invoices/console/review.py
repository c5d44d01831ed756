"""The list of invoices as a desk: tabs with how many there are, what is shown in sums, and why something needs action."""

from typing import Any

from django.contrib.admin import SimpleListFilter, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import environments_granting, permits, person_of
from core.console.paging import BoundedPaginator, counts
from invoices.models import Invoice
from invoices.reviewing import TABS, parked_subscriptions, reasons, sums

ACTION = "action"
# Beyond that a tab says "1,000+".
MOST_COUNTED = 1_000
_MOST_PARKED = 5


class TabFilter(SimpleListFilter):
    title = gettext_lazy("tab")
    parameter_name = "tab"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        return [(name, title) for name, (title, _choose) in TABS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        tab = TABS.get(self.value() or "")
        if tab is None:
            return queryset
        _title, choose = tab
        return choose(queryset, timezone.now())  # type: ignore[arg-type]  # the console's list is of invoices


class ReviewedInvoices(ConsoleAdmin):
    """The list of invoices, with its tabs and sums."""

    list_before_template = "console/invoice_review.html"

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = list(super().get_list_display(request))
        if request.GET.get(TabFilter.parameter_name) == ACTION:
            columns.insert(1, "reasons_column")
        return columns

    @display(description=gettext_lazy("needs action because"))
    def reasons_column(self, row: Invoice) -> SafeString:
        return format_html_join("", '<span class="tb-reason">{}</span>', ((why,) for why in reasons(row)))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        answer: HttpResponse = super().changelist_view(request, extra_context)
        listed = isinstance(answer, TemplateResponse) and (answer.context_data or {}).get("cl")
        if listed and isinstance(answer, TemplateResponse) and answer.context_data is not None:
            answer.context_data["review"] = self._review(request, listed)
        return answer

    def _review(self, request: HttpRequest, listed: Any) -> dict[str, Any]:
        now = timezone.now()
        chosen = request.GET.get(TabFilter.parameter_name, "")
        # The tabs count what a search and the other filters leave.
        without_tab = [TabFilter.parameter_name]
        others = listed.get_queryset(request, exclude_parameters=without_tab) if chosen else listed.queryset
        chosen_rows = [others, *(choose(others, now) for _title, choose in TABS.values())]
        numbers = counts(chosen_rows, most=MOST_COUNTED)
        tabs = [("", gettext_lazy("All"), listed.get_query_string(remove=[TabFilter.parameter_name, "p"]))]
        tabs += [
            (name, title, listed.get_query_string({TabFilter.parameter_name: name}, ["p"]))
            for name, (title, _choose) in TABS.items()
        ]
        most = BoundedPaginator.BOUND
        review = {
            "tabs": [
                {"name": name, "title": title, "link": link, "is_chosen": name == chosen, "count": _said(number)}
                for (name, title, link), number in zip(tabs, numbers, strict=True)
            ],
            "sums": sums(listed.paginator.by_environment(listed.queryset), most=most),
            "most": most if listed.paginator.is_cut else 0,
            "is_calm": chosen == ACTION and not listed.result_count,
        }
        if chosen == ACTION and permits(request, "invoices.view_billingfailure"):
            granted = environments_granting(person_of(request), "invoices.view_billingfailure")
            environments = list(granted.values_list("pk", flat=True))
            review["parked"] = parked_subscriptions(environments, most=_MOST_PARKED)
        return review


def _said(number: int) -> str:
    return f"{MOST_COUNTED:,}+" if number > MOST_COUNTED else f"{number:,}"
