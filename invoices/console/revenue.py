"""The console's page of revenue numbers: what each means, what it comes to by currency, and the rows that make it up."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import choice_of, permits
from accounts.models import Environment
from core.console import cells
from core.ids import unspell
from core.money import exponent
from core.spreadsheets import Cell
from invoices import services
from invoices.console.exports import PERMISSION, offer_environments, selection_of
from invoices.exports import TABLES, Selection, Total, table_of

NUMBERS = {name: kind for name, kind in TABLES.items() if kind.sums is not None}
# The page shows so many rows; files have all.
_MOST_ROWS = 200
# Of what a row names by its id, where its page is.
_PAGES = {
    "cus": "admin:accounts_customer_overview",
    "sub": "admin:subscriptions_subscription_change",
    "credgr": "admin:credits_creditgrant_change",
}


def _today() -> date:
    return timezone.now().date()


def _a_year_ago() -> date:
    return _today() - timedelta(days=365)


class RevenueForm(forms.Form):
    environment = forms.ModelChoiceField(queryset=Environment.objects.none(), empty_label=None)
    since = forms.DateField(
        label=gettext_lazy("First day (UTC)"),
        widget=forms.DateInput(attrs={"type": "date"}),
        initial=_a_year_ago,
    )
    until = forms.DateField(
        label=gettext_lazy("Last day (UTC)"), widget=forms.DateInput(attrs={"type": "date"}), initial=_today
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A part of a number, or all of it in one currency."""

    label: str
    rows: int
    amount: str
    link: str
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """
    :ivar computed_at: empty if that was just now
    :ivar is_known: whether it was ever computed
    """

    title: str
    means: str
    lines: Sequence[Line]
    rows_link: str
    computed_at: str
    is_known: bool


class RevenuePages(ConsoleAdmin):
    """The list of invoices, with the pages of revenue numbers beside it."""

    def get_urls(self) -> list[URLPattern]:
        pages = (
            path("revenue/", self.admin_site.admin_view(self.revenue_view), name=self._url_name("revenue")),
            path(
                "revenue/<slug:name>/",
                self.admin_site.admin_view(self.revenue_rows_view),
                name=self._url_name("revenue_rows"),
            ),
        )
        return [*pages, *super().get_urls()]

    def revenue_view(self, request: HttpRequest) -> HttpResponse:
        form, selection = self._asked(request)
        found = {} if selection is None else services.revenue_figures(selection, NUMBERS, now=timezone.now())
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revenue"),
            "form": form,
            "panels": [_panel(name, figure, _query(form)) for name, figure in found.items()],
            "awaits": any(figure.is_awaited for figure in found.values()),
        }
        return TemplateResponse(request, "console/revenue.html", context)

    def revenue_rows_view(self, request: HttpRequest, name: str) -> HttpResponse:
        form, selection = self._asked(request)
        kind = NUMBERS.get(name)
        if kind is None or kind.sums is None or selection is None:
            return self.revenue_view(request)
        rows = iter(table_of(name, selection).rows)
        # One part of it, as the page of all numbers tells it: by currency, and then by what it is told by.
        of = request.GET.getlist("of")
        if of:
            keys = [kind.columns.index(column) for column in ("currency", *kind.sums.by)][: len(of)]
            rows = (row for row in rows if [str(row[key]) for key in keys] == of)
        first = list(islice(rows, _MOST_ROWS))
        shown = [[_cell(value, row, kind.columns) for value in row] for row in first]
        are_numbers = [
            any(isinstance(value, (int, Decimal)) for value in values) for values in zip(*first, strict=True)
        ]
        export = reverse("admin:invoices_invoice_export")
        context = {
            **self.admin_site.each_context(request),
            "title": kind.title,
            "means": kind.sums.means,
            "of": " ".join(of),
            "columns": list(zip((column.replace("_", " ") for column in kind.columns), are_numbers, strict=False)),
            "rows": shown,
            "most": _MOST_ROWS if next(rows, None) is not None else 0,
            "back": f"{reverse('admin:invoices_invoice_revenue')}?{_query(form)}",
            "files": [
                (form_.upper(), f"{export}?{_query(form, table=name, format=form_)}") for form_ in ("csv", "xlsx")
            ],
        }
        return TemplateResponse(request, "console/revenue_rows.html", context)

    def _asked(self, request: HttpRequest) -> tuple[RevenueForm, Selection | None]:
        """What is asked for; without anything, the last year of the environment that the person looks at, or else of the
        first one that bills somebody.
        """
        if not permits(request, PERMISSION):
            raise PermissionDenied
        form = RevenueForm(request.GET if "environment" in request.GET else None)
        offer_environments(form, request)
        if not form.is_bound:
            choices: Any = form.fields["environment"]
            chosen = choices.queryset.filter(pk=choice_of(request)).first()
            first = chosen or choices.queryset.filter(services.bills_somebody()).first() or choices.queryset.first()
            if first is None:
                return form, None
            given = {name: form.get_initial_for_field(form.fields[name], name) for name in ("since", "until")}
            form = RevenueForm({"environment": first.pk, **given})
            offer_environments(form, request)
        return form, selection_of(form.cleaned_data) if form.is_valid() else None


def _query(form: RevenueForm, **more: str) -> str:
    asked = form.cleaned_data
    return urlencode({"environment": asked["environment"].pk, "since": asked["since"], "until": asked["until"], **more})


def _panel(name: str, figure: services.Figure, query: str) -> Panel:
    kind = NUMBERS[name]
    means = kind.sums.means if kind.sums else ""
    rows_link = f"{reverse('admin:invoices_invoice_revenue_rows', args=[name])}?{query}"
    lines = list(_lines(figure.sums or {}, rows_link))
    computed_at = cells.moment(figure.computed_at) if figure.computed_at else ""
    return Panel(kind.title, means, lines, rows_link, computed_at, is_known=figure.sums is not None)


def _lines(sums: Mapping[tuple[str, ...], Total], link: str) -> Iterator[Line]:
    """Currency by currency: its parts, and what they add up to; each leads to its rows."""
    for currency, group in groupby(sums.items(), key=lambda item: item[0][0]):
        parts = list(group)
        for key, one in parts:
            if by := key[1:]:
                yield Line(" ".join(by), one.rows, _money(one.amount, currency), _narrowed(link, key))
        rows, amount = sum(one.rows for _, one in parts), sum((one.amount for _, one in parts), Decimal(0))
        yield Line(currency, rows, _money(amount, currency), _narrowed(link, (currency,)), is_total=True)


def _narrowed(link: str, key: Sequence[str]) -> str:
    return f"{link}&{urlencode({'of': key}, doseq=True)}"


def _money(amount: Decimal, currency: str) -> str:
    return f"{amount:,.{exponent(currency.lower())}f} {currency}"


def _cell(value: Cell, row: Sequence[Cell], columns: Sequence[str]) -> tuple[object, str]:
    """A cell as it is shown, and where it leads."""
    if isinstance(value, str) and value:
        prefix, _, _ = value.rpartition("_")
        pk = unspell(prefix, value) if prefix in _PAGES else None
        if pk is not None:
            return value, reverse(_PAGES[prefix], args=[pk])
        if columns[0] == "invoice" and value == row[0]:
            return value, f"{reverse('admin:invoices_invoice_changelist')}?{urlencode({'q': value})}"
    if value is None or isinstance(value, str):
        return value or cells.EMPTY, ""
    if isinstance(value, (int, Decimal)):
        # With the digits that its file has: of 8.00 dollars the zeros say that they are dollars.
        return cells.worded_amount(f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"), ""
    return (cells.moment(value) if isinstance(value, datetime) else value), ""
