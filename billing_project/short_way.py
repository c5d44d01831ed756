"""The short way: requests of the hottest addresses reach their views past Django's chain of middleware.

For a request that reports one event, finding its address and passing the chain takes three times as long as the view.
What the chain does for such a request is done here instead: what it would refuse (a foreign host, plain HTTP) goes the
long way and is refused there, what it adds to every answer is asked of it once, and the connection to the database is
looked after as at the start of any request. Sessions, logins, forms and files are nothing that a program's call has.

Every other request goes the long way, and nothing can be done on the short one that could not be done on the long one:
the same views answer on both.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.log import log_response

from core.db import spare_the_health_check

# Answers whatever happens.
HotView: TypeAlias = Callable[[HttpRequest], HttpResponse]
# By method and path.
HotViews: TypeAlias = Mapping[tuple[str, str], HotView]
Application: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_MOST_HOSTS = 100


class Shell(Protocol):
    """The middleware of a dialect: it makes an answer of whatever happens."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase: ...

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None: ...


def shelled(view: Callable[[HttpRequest], HttpResponse], shell: Callable[[HotView], Shell]) -> HotView:
    """A view with its dialect's middleware around it, and nothing else."""

    def answer(request: HttpRequest) -> HttpResponse:
        try:
            return view(request)
        except Exception as error:
            response = whole.process_exception(request, error)
            if response is None:
                raise
            return response

    whole = shell(answer)
    return whole  # type: ignore[return-value]  # its answers have a body in one piece, as the view's


class ShortWay:
    """A WSGI application in front of Django's.

    :param long_way: Django's
    :param views: what is answered without it
    """

    def __init__(self, long_way: Application, views: HotViews) -> None:
        self._long_way = long_way
        self._views = views
        self._hosts: set[str] = set()
        # By whether the request is secure.
        self._headers: dict[bool, list[tuple[str, str]]] = {}
        self._https_only = settings.SECURE_SSL_REDIRECT

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        view = self._views.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if view is None:
            return self._long_way(environ, start_response)
        request = WSGIRequest(environ)
        is_secure = request.is_secure()
        if (self._https_only and not is_secure) or not self._is_known_host(request):
            return self._long_way(environ, start_response)
        # A broken or old connection is not to be found by the first statement of this request.
        connection.close_if_unusable_or_obsolete()
        spare_the_health_check()
        response = view(request)
        if response.status_code >= 400:  # noqa: PLR2004 (errors, logged as Django does)
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        headers = [*response.items(), *(self._headers.get(is_secure) or self._headers_of_all_answers(request))]
        start_response(f"{response.status_code} {response.reason_phrase}", headers)
        return [response.content]

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

        chain = XFrameOptionsMiddleware(SecurityMiddleware(answer))
        # The stubs hold it for something that may have to be awaited.
        response: Any = chain(request)
        headers = self._headers[request.is_secure()] = list(response.items())
        return headers
