"""The filter of lists by currency."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from subscriptions.models import Price


class CurrencyFilter(SimpleListFilter):
    """By the currencies that something is sold in: prices are few, and the list's own table is not."""

    title = gettext_lazy("currency")
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        prices = model_admin.admin_site.get_model_admin(Price).get_queryset(request)
        found = prices.order_by("currency").values_list("currency", flat=True).distinct()
        return [(currency, currency.upper()) for currency in found if currency]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        return queryset.filter(currency=self.value()) if self.value() else queryset
