"""Middleware that serves people's pages. A program's call has no session, no cookie and no login, and does not pay for them."""

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

# Vendors' addresses begin with the version of their API, or say what they are.
_PROGRAMS = ("/v1/", "/v2/", "/api/")


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
