"""Middleware for all programs' calls, and for people's pages: a program's call has no session, no cookie and no login."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AbstractUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.common.requests import address_of, request_uuid
from core.actors import Actor, acting
from core.ids import spell

# Vendors' addresses begin with the version of their API, or say what they are.
_PROGRAMS = ("/v1/", "/v2/", "/api/")
_READING = ("GET", "HEAD", "OPTIONS")


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


def _policy(**sources: str) -> str:
    """A content security policy that allows these sources and nothing else, in no frame."""
    allowed = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    allowed |= {name.replace("_", "-"): value for name, value in sources.items()}
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


# By the beginning of the address. Nothing runs or is drawn that is written into a page: scripts and styles are files.
_POLICIES = {
    # The theme's Alpine makes functions of its attributes' text, on these pages alone.
    "/admin": _policy(
        script_src="'self' 'unsafe-eval'",
        style_src="'self'",
        img_src="'self' data:",
        font_src="'self'",
        connect_src="'self'",
        form_action="'self'",
    ),
    "/openapi": _policy(style_src="'self'", img_src="'self'"),
    # The logo on an invoice's page is within it.
    "/i/": _policy(style_src="'self'", img_src="data:"),
}
# Programs' answers, files, and what is no page of ours.
_NO_PAGE = _policy()
_NO_DEVICES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class BrowserPolicies:
    """Tell browsers what each answer may do: as a page, no more than it needs; as anything else, nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        path = request.path_info
        policy = next((one for beginning, one in _POLICIES.items() if path.startswith(beginning)), _NO_PAGE)
        response.headers["Content-Security-Policy"] = policy
        response.headers["Permissions-Policy"] = _NO_DEVICES
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


class Actors:
    """Let the audit trail know on whose behalf a request changes something, and from where it came.

    A page's reader is known by now. A program says in its view who it is, which :func:`accounts.services.open_with_key`
    makes known. What only reads opens no scope, nor do the reports of usage that go the short way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in _READING:
            return self.get_response(request)
        person = {}
        user = getattr(request, "user", None)
        if isinstance(user, AbstractUser) and user.is_authenticated:
            person = {"kind": "person", "id": str(user.pk), "name": user.get_username()}
        with acting(Actor(**person, address=address_of(request), request_id=spell("req", request_uuid(request)))):
            return self.get_response(request)
