"""Lists of tables that no one should count."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from core.console.theme import ThemedChangeList

_LARGE = 50_000


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

    # Of a list over several environments: which, where they are few.
    environments: Sequence[UUID] = ()

    def page(self, number: Any) -> Page[Any]:
        number = self.validate_number(number)
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the console lists nothing else
        top = min(number * self.per_page, self.count)
        span = slice((number - 1) * self.per_page, top)
        if len(self.environments) < 2:  # noqa: PLR2004 (one is in order by itself)
            return Page(rows[span], number, self)
        # By themselves first, since of a statement with many joins the database would not plan this one first.
        bare = rows.select_related(None).prefetch_related(None)
        first, *others = (part.values("pk")[:top] for part in self.by_environment(bare))
        found = bare.filter(pk__in=first.union(*others, all=True)).values_list("pk", flat=True)[span]
        return Page(rows.filter(pk__in=list(found)), number, self)

    def by_environment(self, rows: QuerySet[Any]) -> list[QuerySet[Any]]:
        """Rows of a list, in parts that are each read from the beginning.

        An index has their order within an environment, and none has it over all.
        """
        if len(self.environments) < 2:  # noqa: PLR2004 (one is in order by itself)
            return [rows]
        return [rows.filter(environment=one) for one in self.environments]

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than the list leads to."""
        return self._seen > self.BOUND


class BoundedChangeList(ThemedChangeList):
    """A list that says how many rows it holds at its foot only, where it can also say that there are more."""

    def get_ordering_field(self, field_name: Any) -> Any:
        # An address may ask for what no head offers.
        return super().get_ordering_field(field_name) if field_name in (self.sortable_by or ()) else None

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # The theme writes "… results, show all" at the head where this differs.
        self.full_result_count = self.result_count
        pages: Any = self.model_admin
        self.noun = pages.noun_of(self.result_count)


def is_large(table: str) -> bool:
    """Whether a table has more rows than can be sorted while somebody waits, by the database's own estimate."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples > %s FROM pg_class WHERE oid = to_regclass(%s)", [_LARGE, f'"{table}"'])
        (large,) = cursor.fetchone() or (False,)
    return bool(large)


def counts(choices: Sequence[QuerySet[Any]], *, most: int) -> list[int]:
    """How many rows each of several choices has, in one statement: up to ``most`` + 1, which stands for "more"."""
    numbers: list[str] = []
    parameters: list[Any] = []
    for rows in choices:
        try:
            sql, own = rows.order_by().values("pk")[: most + 1].query.sql_with_params()
        except EmptyResultSet:
            numbers.append("0")
            continue
        numbers.append(f"(SELECT count(*) FROM ({sql}) AS rows)")  # noqa: S608 (Django's own statement)
        parameters += own
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(numbers)}", parameters)
        return list(cursor.fetchone())
