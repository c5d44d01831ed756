"""The environment that a person has chosen to look at: kept in their session, told at the head of every page.

The choice narrows lists and pages that show many rows; a row's own page opens whatever is chosen. It is asked for
within the walls each time, so one that was made before a membership ended shows nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts.console.base import ConsoleAdmin
from accounts.console.walls import choice_of, chosen_environment, identifier, person_of, remember_choice
from accounts.models import Environment, EnvironmentQuerySet

# So many are offered at the head of a page; more on a page of their own, which has a search.
OFFERED = 20
_LISTED = 100


@dataclass(frozen=True, slots=True)
class EnvironmentHead:
    """What the head of a page offers and says.

    :ivar chosen: what the person looks at; None for all that they may see
    :ivar shown: what this very page is narrowed to, by the choice or by its own filter
    :ivar offered: what can be chosen here
    :ivar is_cut: whether there are others
    """

    chosen: Environment | None
    shown: Environment | None
    offered: Sequence[Environment]
    is_cut: bool

    @classmethod
    def of(cls, request: HttpRequest) -> "EnvironmentHead":
        """Read once per request: the page's title asks for it, too."""
        known: dict[str, EnvironmentHead] = request.__dict__
        if "_environment_head" not in known:
            known["_environment_head"] = cls._read(request)
        return known["_environment_head"]

    @classmethod
    def _read(cls, request: HttpRequest) -> "EnvironmentHead":
        first = list(_visible(request)[: OFFERED + 1])
        wanted = {pk for pk in (choice_of(request), chosen_environment(request)) if pk is not None}
        known = {environment.pk: environment for environment in first}
        if wanted - set(known):
            known |= {environment.pk: environment for environment in _visible(request).filter(pk__in=wanted)}
        chosen, shown = (known.get(pk) if pk else None for pk in (choice_of(request), chosen_environment(request)))
        offered = first[:OFFERED]
        if chosen is not None and chosen not in offered:
            offered.append(chosen)
        return cls(chosen, shown or chosen, offered, is_cut=len(first) > OFFERED)


def environments_in_view(request: HttpRequest) -> EnvironmentQuerySet:
    """The environments of a page that shows many: the one that is chosen, or all that the person may see."""
    visible = _visible(request)
    chosen = choice_of(request)
    # A choice that the person may not see any more is none.
    return visible.filter(pk=chosen) if chosen and visible.filter(pk=chosen).exists() else visible


def _visible(request: HttpRequest) -> EnvironmentQuerySet:
    visible = Environment.objects.visible_to(person_of(request))
    return visible.select_related("company").order_by("company__name", "company", "mode")


class EnvironmentChoice(ConsoleAdmin):
    """The pages of environments, with the one on which a person chooses what to look at."""

    def get_urls(self) -> list[URLPattern]:
        own = path("choose/", self.admin_site.admin_view(self.choose_view), name=self._url_name("choose"))
        return [own, *super().get_urls()]

    def choose_view(self, request: HttpRequest) -> HttpResponse:
        """Offer them (GET), then look at one of them from now on (POST)."""
        if request.method == "POST":
            return self._choose(request)
        term = request.GET.get("q", "").replace("\0", "").strip()
        found = list(_visible(request).filter(company__name__icontains=term)[: _LISTED + 1])
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": _("What to look at"),
            "term": term,
            "environments": found[:_LISTED],
            "is_cut": len(found) > _LISTED,
        }
        return TemplateResponse(request, "console/choose_environment.html", context)

    def _choose(self, request: HttpRequest) -> HttpResponse:
        wanted = request.POST.get("environment", "")
        pk = identifier(wanted)
        chosen = _visible(request).filter(pk=pk).first() if pk else None
        if wanted and chosen is None:
            self.message_user(request, _("There is no such environment."), messages.ERROR)
        else:
            remember_choice(request, chosen)
        # Without its query: the filters of a list may be of the environment that was looked at before.
        back = request.POST.get("next", "").partition("?")[0]
        if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
            back = reverse("admin:index")
        return HttpResponseRedirect(back)
