"""What the pages of the usage tables share: they are huge, and their rows are found by their environment first."""

from typing import Any, ClassVar

from django.db.models import Exists, OuterRef
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import environments_granting, person_of
from meters.models import Meter

ENVIRONMENT = "environment__id__exact"


class UsageAdmin(ConsoleAdmin):
    """A list of one environment at a time, for then its order comes from an index and no row too many is read.

    Whoever comes without having narrowed the list is sent to the first environment that holds anything. A search goes
    through all environments of the person: it is by ids and identifiers, which have indexes of their own.
    """

    names_environment = True
    searches_text = False
    list_select_related = ["environment__company"]
    # Parameters that make a list short enough without an environment.
    narrowing: ClassVar[frozenset[str]] = frozenset({ENVIRONMENT, "q"})

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        home = self._first_environment(request) if request.method == "GET" else None
        return home or super().changelist_view(request, extra_context)

    def _first_environment(self, request: HttpRequest) -> HttpResponseBase | None:
        if self.narrowing & set(request.GET) or not self.has_view_permission(request):
            return None
        held = self.model._default_manager.filter(environment=OuterRef("pk"))  # noqa: SLF001 (Django's own name for it)
        environments = environments_granting(person_of(request), self.permission_to("view"))
        chosen = environments.filter(Exists(held)).order_by("pk").first()
        if chosen is None:
            return None
        query = request.GET.copy()
        query[ENVIRONMENT] = str(chosen.pk)
        return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")

    def named_by(self, term: str) -> dict[str, Any] | None:
        lookup = super().named_by(term)
        if lookup is not None and "customer" in lookup:
            # The index goes by meter and then by customer; naming the meters opens it.
            lookup["meter__in"] = Meter.objects.filter(environment__customers=lookup["customer"]).values("pk")
        return lookup
