"""The console's pages of what-if prices: a month's usage at a price that nobody pays yet."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import permits
from core.console import cells
from core.console.theme import Button, add_buttons
from core.ids import spell
from core.money import format_amount
from core.spreadsheets import Cell, Table, csv_chunks, main_units
from invoices import services
from invoices.console.histogram import Histogram, draw, step_for
from invoices.console.what_if_forms import ADD, WhatIfQuestion
from invoices.models import WhatIf, WhatIfOutcome
from invoices.what_ifs import from_document, words_of

_PER_PAGE = 50
_AT_TOP = 5


class _KnownCount(Paginator[Any]):
    """Pages of a report's customers, which it has counted itself."""

    known: int = 0

    @cached_property
    def count(self) -> int:
        return self.known


@admin.register(WhatIf)
class WhatIfAdmin(ConsoleAdmin):
    """Reports on prices that nobody pays yet. They change nothing."""

    wire_parents = {"price": "price", "mtr": "meter"}
    searches_text = False
    list_display = [
        "report_link",
        "environment",
        "state",
        "difference_amount",
        "customer_count",
        "asked_by",
        "asked_at",
    ]
    list_filter = ["environment", "environment__mode", "state"]
    list_select_related = ["environment__company", "meter", "price__product", "other_price__product"]
    list_before_template = "console/what_if_new.html"
    search_fields = ["name"]
    search_help_text = gettext_lazy("The id of a price (price_…) or a meter (mtr_…).")
    ordering = ["-pk"]
    fields = [
        "name",
        "environment",
        "meter",
        "price",
        "other_price",
        "terms_document",
        "currency",
        "period_column",
        "state",
        "failure",
        "customer_count",
        "asked_by",
        "asked_at",
        "done_at",
    ]

    def get_urls(self) -> list[URLPattern]:
        pages: dict[str, tuple[str, Any]] = {
            "new/": ("new", self.new_view),
            "<path:object_id>/report/": ("report", self.report_view),
            "<path:object_id>/csv/": ("csv", self.csv_view),
            "<path:object_id>/forget/": ("forget", require_POST(self.forget_view)),
        }
        own = [
            path(route, self.admin_site.admin_view(view), name=self._url_name(name))
            for route, (name, view) in pages.items()
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {"new_what_if": self._url("new") if permits(request, ADD) else "", **(extra_context or {})}
        return super().changelist_view(request, context)

    def leads(self, request: HttpRequest, row: Any) -> list[Button]:  # noqa: ARG002
        return [Button(_("Report"), self._url("report", row.pk), "query_stats")]

    @display(description=gettext_lazy("name"))
    def report_link(self, row: WhatIf) -> SafeString:
        return format_html('<a class="tb-link" href="{}">{}</a>', self._url("report", row.pk), row)

    @display(description=gettext_lazy("difference"))
    def difference_amount(self, row: WhatIf) -> str | SafeString:
        if row.amount_now is None or row.amount_then is None:
            return cells.EMPTY
        return cells.amount(row.amount_then - row.amount_now, row.currency)

    @display(description=gettext_lazy("period"))
    def period_column(self, row: WhatIf) -> SafeString:
        return cells.period(row.period)

    @display(description=gettext_lazy("the other price"))
    def terms_document(self, row: WhatIf) -> str | SafeString:
        return cells.document(row.terms)

    # A new one

    def new_view(self, request: HttpRequest) -> HttpResponseBase:
        if not permits(request, ADD):
            raise PermissionDenied
        question = WhatIfQuestion(request)
        if request.method == "POST" and (asked := question.ask(request)) is not None:
            return HttpResponseRedirect(self._url("report", asked.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": _("What if it cost something else?"),
            "opts": self.opts,
            "question": question,
            "back": self._url("changelist"),
        }
        return TemplateResponse(request, "console/what_if_form.html", context)

    # A report

    def _found(self, request: HttpRequest, object_id: str) -> WhatIf:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        found: WhatIf = row
        return found

    def report_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        what_if = self._found(request, object_id)
        is_done = what_if.state == WhatIf.State.DONE
        context = {
            **self.admin_site.each_context(request),
            "title": str(what_if),
            "opts": self.opts,
            "object": what_if,
            "what_if": what_if,
            "other_words": list(words_of(from_document(what_if.terms), what_if.currency)),
            "price_words": list(words_of(what_if.price.terms, what_if.currency)) if what_if.price else [],
            "may_forget": permits(request, ADD, what_if),
            "forget": self._url("forget", what_if.pk),
            **(_result(what_if, request) if is_done else {}),
        }
        if is_done:
            add_buttons(context, [Button("CSV", self._url("csv", what_if.pk), "download")])
        answer = TemplateResponse(request, "console/what_if.html", context)
        if what_if.state in {WhatIf.State.WAITING, WhatIf.State.RUNNING}:
            answer["Refresh"] = "2"
        return answer

    def csv_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        what_if = self._found(request, object_id)
        answer = StreamingHttpResponse(csv_chunks(_table(what_if)), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="what-if-{what_if.pk}.csv"'
        answer["Cache-Control"] = "no-store"
        return answer

    def forget_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        what_if = self._found(request, object_id)
        if not permits(request, ADD, what_if):
            raise PermissionDenied
        services.delete_what_if(what_if=what_if)
        self.message_user(request, _("“%(name)s” is deleted.") % {"name": what_if}, messages.SUCCESS)
        return HttpResponseRedirect(self._url("changelist"))


def _outcomes(what_if: WhatIf) -> QuerySet[WhatIfOutcome]:
    return WhatIfOutcome.objects.filter(what_if=what_if).select_related("customer")


def _result(what_if: WhatIf, request: HttpRequest) -> dict[str, Any]:
    outcomes = _outcomes(what_if)
    orders = {"up": ("difference", "pk"), "down": ("-difference", "-pk")}
    order = request.GET.get("order", "down")
    pages = _KnownCount(outcomes.order_by(*orders.get(order, orders["down"])), _PER_PAGE)
    pages.known = what_if.customer_count or 0
    now, then = what_if.amount_now or 0, what_if.amount_then or 0
    return {
        "difference": then - now,
        "percent": f"{Decimal(100) * (then - now) / now:+.1f} %" if now else "",
        "histogram": _histogram(what_if),
        "losers": list(outcomes.filter(difference__gt=0).order_by("-difference", "-pk")[:_AT_TOP]),
        "winners": list(outcomes.filter(difference__lt=0).order_by("difference", "pk")[:_AT_TOP]),
        "page": pages.get_page(request.GET.get("page")),
        "order": order,
    }


def _histogram(what_if: WhatIf) -> Histogram | None:
    count = what_if.customer_count or 0
    if not count:
        return None
    ordered = WhatIfOutcome.objects.filter(what_if=what_if).order_by("difference", "pk")
    differences = ordered.values_list("difference", flat=True)
    # A few extremes must not press all others into one bar.
    edges = [differences[count // 50] or 0, differences[count - 1 - count // 50] or 0]
    step = step_for(max(abs(edge) for edge in edges))
    return draw(
        WhatIfOutcome.objects.filter(what_if=what_if), step, lambda amount: format_amount(amount, what_if.currency)
    )


def _table(what_if: WhatIf) -> Table:
    columns = ("customer", "name", "email", "quantity", "currency", "amount_now", "amount_then", "difference")
    return Table("what-if price", columns, _rows(what_if))


def _rows(what_if: WhatIf) -> Iterator[Sequence[Cell]]:
    for one in _outcomes(what_if).filter(quantity__isnull=False).order_by("-difference", "-pk").iterator():
        amounts = [
            main_units(amount or 0, what_if.currency) for amount in (one.amount_now, one.amount_then, one.difference)
        ]
        who = one.customer
        yield (spell("cus", who.pk), who.name, who.email, one.quantity, what_if.currency.upper(), *amounts)


@admin.register(WhatIfOutcome)
class WhatIfOutcomeAdmin(ConsoleAdmin):
    """The rows of the reports, one for each customer."""

    wire_parents = {"cus": "customer"}
    searches_text = False
    list_display = ["customer", "what_if", "environment", "now_amount", "then_amount", "difference_amount"]
    list_filter = ["environment", "environment__mode"]
    list_select_related = ["environment__company", "customer", "what_if"]
    search_fields = ["customer__name__istartswith"]
    search_help_text = gettext_lazy("The id of a customer (cus_…).")
    ordering = ["-pk"]
    fields = ["customer", "what_if", "environment", "quantity_column", "now_amount", "then_amount", "difference_amount"]

    def _amount(self, row: WhatIfOutcome, amount: int | None) -> str | SafeString:
        return cells.EMPTY if amount is None else cells.amount(amount, row.what_if.currency)

    @display(description=gettext_lazy("quantity"))
    def quantity_column(self, row: WhatIfOutcome) -> str | SafeString:
        return cells.quantity(row.quantity)

    @display(description=gettext_lazy("as billed"))
    def now_amount(self, row: WhatIfOutcome) -> str | SafeString:
        return self._amount(row, row.amount_now)

    @display(description=gettext_lazy("at the other price"))
    def then_amount(self, row: WhatIfOutcome) -> str | SafeString:
        return self._amount(row, row.amount_then)

    @display(description=gettext_lazy("difference"))
    def difference_amount(self, row: WhatIfOutcome) -> str | SafeString:
        return self._amount(row, row.difference)
