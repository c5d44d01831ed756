"""Lists of tables that no one should count."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from core.console.theme import ThemedChangeList


class BoundedPaginator(Paginator[Any]):
    """Counts, and leads to, the first rows only: a list of hundreds of millions answers as fast as a small one.

    Whoever looks for a row further down narrows the list by a filter or a search.
    """

    BOUND = 10_000
    template_name = "console/pagination.html"

    @cached_property
    def _seen(self) -> int:
        # Without the order the database stops after as many rows, whichever they are.
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the console lists nothing else
        return rows.order_by()[: self.BOUND + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self._seen, self.BOUND)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than the list leads to."""
        return self._seen > self.BOUND


class BoundedChangeList(ThemedChangeList):
    """A list that says how many rows it holds at its foot only, where it can also say that there are more."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The theme writes "… results, show all" at the head where this differs.
        self.full_result_count = self.result_count
