"""The documents by HTTP, as JSON and as pages. They hold nothing of anybody's, so nobody is asked for a key."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from billing_project.api.common.openapi.document import Dialect, document
from billing_project.api.common.openapi.reference import calls, grouped, prose, schema_rows

View: TypeAlias = Callable[[HttpRequest], HttpResponse]


def openapi_urls(dialects: Sequence[Dialect]) -> list[URLPattern]:
    """``ledgerbee.json``, its page ``ledgerbee``, and so on for every dialect; and the list of them."""

    @require_safe
    def index(request: HttpRequest) -> HttpResponse:
        return render(
            request, "openapi/index.html", {"dialects": [(dialect, prose(dialect.description)) for dialect in dialects]}
        )

    urls = [path("", index, name="openapi-index")]
    for dialect in dialects:
        urls += [
            path(f"{dialect.name}.json", _json_view(dialect), name=f"openapi-{dialect.name}"),
            path(dialect.name, _page_view(dialect), name=f"openapi-{dialect.name}-page"),
        ]
    return urls


def _json_view(dialect: Dialect) -> View:
    @require_safe
    @cache_control(public=True, max_age=300)
    def show(_: HttpRequest) -> HttpResponse:
        response = HttpResponse(msgspec.json.encode(document(dialect)), content_type="application/json")
        # Tools that run in a browser, from wherever, may read it.
        response["Access-Control-Allow-Origin"] = "*"
        return response

    return show


def _page_view(dialect: Dialect) -> View:
    @require_safe
    def show(request: HttpRequest) -> HttpResponse:
        whole = document(dialect)
        found = calls(whole)
        context = {
            "dialect": dialect,
            "description": prose(dialect.description),
            "calls": found,
            "groups": grouped(found).items(),
            "keys": [
                (scheme.get("name", name), scheme.get("in", scheme["type"]), prose(scheme.get("description", "")))
                for name, scheme in dialect.security.items()
            ],
            "error": dialect.error.__name__,
            "error_rows": schema_rows(dialect.error.__name__, whole),
        }
        return render(request, "openapi/reference.html", context)

    return show
