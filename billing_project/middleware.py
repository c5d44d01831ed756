"""Middleware for all programs' calls, and for people's pages: a program's call has no session, no cookie and no login."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

# Vendors' addresses begin with the version of their API, or say what they are.
_PROGRAMS = ("/v1/", "/v2/", "/api/")


class HeadLikeGet:
    """Answer a program's HEAD as its GET, headers and all, but for the body: no view has to know of it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "HEAD" or not request.path_info.startswith(_PROGRAMS):
            return self.get_response(request)
        request.method = "GET"
        response = self.get_response(request)
        if isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
            response.content = b""
        return response


class _ForPages:
    """Put before a middleware of Django's, it lets programs pass by."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(_PROGRAMS):
            answered: HttpResponseBase = self.get_response(request)
        else:
            answered = super().__call__(request)  # type: ignore[misc]
        return answered


class Sessions(_ForPages, SessionMiddleware):
    pass


class Logins(_ForPages, AuthenticationMiddleware):
    pass


class Messages(_ForPages, MessageMiddleware):
    pass
