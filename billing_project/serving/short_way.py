"""The short way: requests of the hottest addresses reach their views past Django's chain of middleware.

For a request that reports one event, finding its address and passing the chain takes three times as long as the view.
What the chain does for such a request is done here instead: what it would refuse (a foreign host, plain HTTP) goes the
long way and is refused there, what it adds to every answer is asked of it once, and the connection to the database is
looked after as at the start of any request. Sessions, logins, forms and files are nothing that a program's call has.

Every other request goes the long way, and nothing can be done on the short one that could not be done on the long one:
the same views answer on both.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.log import log_response

from billing_project.api.common.requests import mark_hot
from billing_project.middleware import BrowserPolicies
from billing_project.serving.messages import Answer, body_message, start_message

View: TypeAlias = Callable[[HttpRequest], HttpResponse]

_MOST_HOSTS = 100


class Shell(Protocol):
    """The middleware of a dialect: it makes an answer of whatever happens."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase: ...

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None: ...


class HotView:
    """A view with its dialect's middleware around it, and nothing else: it answers whatever happens.

    :param gathers: whether requests that arrive together are answered side by side in one thread, so that the single
        events that they report share commits; otherwise each has a thread
    """

    def __init__(self, view: View, shell: Callable[[View], Shell], *, gathers: bool) -> None:
        self.gathers = gathers
        self._view = view
        self._shell = shell
        self._whole = shell(self._answer)

    def answer(self, request: HttpRequest) -> HttpResponseBase:
        mark_hot(request)
        return self._whole(request)

    def refuse(self, request: HttpRequest, error: Exception) -> HttpResponseBase:
        """What the view would have answered had it raised ``error``."""
        return self._shell(lambda request: self._said(request, error))(request)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        try:
            return self._view(request)
        except Exception as error:  # noqa: BLE001 (the dialect says it in its shape)
            return self._said(request, error)

    def _said(self, request: HttpRequest, error: Exception) -> HttpResponse:
        response = self._whole.process_exception(request, error)
        if response is None:
            raise error
        return response


# By method and path.
HotViews: TypeAlias = Mapping[tuple[str, str], HotView]


class ShortWay:
    """Who may go the short way, and what they are answered."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        # By whether the request is secure.
        self._headers: dict[bool, list[tuple[str, str]]] = {}
        self._https_only = settings.SECURE_SSL_REDIRECT

    def is_open_to(self, request: WSGIRequest) -> bool:
        """Whether the chain of middleware would let the request pass."""
        return (not self._https_only or request.is_secure()) and self._is_known_host(request)

    def answer(self, view: HotView, request: WSGIRequest) -> Answer:
        return self._complete(request, view.answer(request))

    def refuse(self, view: HotView, request: WSGIRequest, error: Exception) -> Answer:
        return self._complete(request, view.refuse(request, error))

    def _complete(self, request: WSGIRequest, response: Any) -> Answer:
        if response.status_code >= 400:  # noqa: PLR2004 (errors, logged as Django does)
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        added = self._headers.get(request.is_secure()) or self._headers_of_all_answers(request)
        start = start_message(response.status_code, (*response.items(), *added))
        return Answer(start, body_message(response.content))

    def _is_known_host(self, request: WSGIRequest) -> bool:
        host = request.META.get("HTTP_HOST", "")
        if host in self._hosts:
            return True
        try:
            request.get_host()
        except DisallowedHost:
            return False
        # A wildcard among the allowed hosts must not let callers fill the memory.
        if len(self._hosts) < _MOST_HOSTS:
            self._hosts.add(host)
        return True

    def _headers_of_all_answers(self, request: WSGIRequest) -> list[tuple[str, str]]:
        """What Django's chain adds to every answer to a request that is as secure as this one."""

        def answer(_: HttpRequest) -> HttpResponse:
            response = HttpResponse()
            del response.headers["Content-Type"]
            return response

        # The stubs hold it for something that may have to be awaited.
        chain: Any = XFrameOptionsMiddleware(SecurityMiddleware(answer))
        response = BrowserPolicies(chain)(request)
        headers = self._headers[request.is_secure()] = list(response.items())
        return headers
