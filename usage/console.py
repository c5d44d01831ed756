"""What the pages of the usage tables share: they are huge, and their rows are found by their environment first."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.db.models import Model, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import chosen_environment, environments_granting, person_of
from accounts.models import Customer, Environment
from meters.models import Meter

ENVIRONMENT = "environment__id__exact"


def environments_with_rows(
    model: type[Model], environments: Iterable[Environment], ordering: Sequence[Any] = ("-pk",)
) -> QuerySet[Environment]:
    """Of environments those that hold any row of a huge table.

    :param ordering: that an index of the table has, within an environment
    """
    rows = model._default_manager.filter(environment=OuterRef("pk"))  # noqa: SLF001 (Django's own name for it)
    # The first row in that order: one look into the index for each environment, where a plain EXISTS may read the table
    # from its beginning.
    first = Subquery(rows.order_by(*ordering).values("pk")[:1])
    known = [environment.pk for environment in environments]
    found = Environment.objects.filter(pk__in=known).select_related("company").order_by("pk")
    return found.annotate(first=first).filter(first__isnull=False)


class UsageAdmin(ConsoleAdmin):
    """A list of one environment at a time, for then its order comes from an index and no row too many is read.

    Whoever comes without having narrowed the list is sent to the first environment that holds anything. A search goes
    through all environments of the person: it is by ids and identifiers, which have indexes of their own.
    """

    names_environment = True
    searches_text = False
    # Read beside the rows and not joined to them: a join would hide from the database that an index has their order.
    list_select_related = False
    beside: ClassVar[tuple[str, ...]] = ("environment__company",)
    # Parameters that make a list short enough without an environment.
    narrowing: ClassVar[frozenset[str]] = frozenset({ENVIRONMENT, "q"})

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        home = self._first_environment(request) if request.method == "GET" else None
        return home or super().changelist_view(request, extra_context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).prefetch_related(*self.beside)
        return rows

    def _first_environment(self, request: HttpRequest) -> HttpResponseBase | None:
        if self.narrowing & set(request.GET) or chosen_environment(request) or not self.has_view_permission(request):
            return None
        environments = environments_granting(person_of(request), self.permission_to("view"))
        first = environments_with_rows(self.model, environments, self.ordering or ()).first()
        if first is None:
            return None
        query = request.GET.copy()
        query[ENVIRONMENT] = str(first.pk)
        return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")

    def named_by(self, term: str) -> dict[str, Any] | None:
        lookup = super().named_by(term)
        for name, model in (("customer", Customer), ("meter", Meter)):
            if lookup is not None and name in lookup:
                # An index leads through the environment, and through its meters to the customer: name them all.
                lookup["environment"] = (
                    model.objects.filter(pk=lookup[name]).values_list("environment", flat=True).first()
                )
                if name == "customer":
                    meters = Meter.objects.filter(environment=lookup["environment"])
                    lookup["meter__in"] = list(meters.values_list("pk", flat=True))
        return lookup
