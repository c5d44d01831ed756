"""The console as an admin site, in the theme's looks."""

from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import sites
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # the theme ships no types
    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> Any:
        """Every page is given the list of all pages, which took it a seventh of its time; hardly one looks at it."""
        if app_label is not None:
            return super().get_app_list(request, app_label)
        return SimpleLazyObject(lambda: super(ConsoleSite, self).get_app_list(request))


class Theme(AppConfig):
    """The theme's own configuration, with our site in place of its own."""

    name = "unfold"

    def ready(self) -> None:
        admin.site = sites.site = ConsoleSite()
