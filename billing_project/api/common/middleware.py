"""The outermost shell of a dialect's addresses: whatever happens below them is answered as JSON, in the dialect's shape."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.common.journal import journal

HTTPS_ONLY = "This API is served over HTTPS only."


class DialectMiddleware(ABC):
    """Stands before Django's own, so that what they refuse (a host, plain HTTP) is said in the dialect's shape, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not self.is_ours(request):
            return self.get_response(request)
        began = time.monotonic()
        response = self.get_response(request)
        if response.get("Content-Type") != "application/json":
            response = self.refuse(request, self._reason_for(request, response.status_code))
        self.finish(request, response)
        if "Content-Length" not in response and isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-cache, no-store"
        journal.note(request, response, began=began)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view raised, before Django makes a page of it."""
        return self.refuse(request, exception) if self.is_ours(request) else None

    @abstractmethod
    def is_ours(self, request: HttpRequest) -> bool:
        """Whether the address is one of the dialect's, be there anything at it or not."""

    @abstractmethod
    def refuse(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """Answer a request with what went wrong."""

    @abstractmethod
    def https_only(self) -> Exception:
        """The refusal of plain HTTP."""

    @abstractmethod
    def no_such_address(self, request: HttpRequest) -> Exception:
        """The refusal of an address that nothing is at."""

    @abstractmethod
    def bad_request(self, status: int) -> Exception:
        """The refusal of a request that Django does not take."""

    @abstractmethod
    def unexpected(self) -> Exception:
        """What is said of an error of ours."""

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:  # noqa: B027 (not every dialect has any)
        """Add the headers that all answers of the dialect have."""

    def _reason_for(self, request: HttpRequest, status: int) -> Exception:
        """What a page of Django's own says."""
        if 300 <= status < 400:  # noqa: PLR2004
            # Sent over plain HTTP: a redirect would carry the key once more, and lose a POST.
            return self.https_only()
        if status == 404:  # noqa: PLR2004
            return self.no_such_address(request)
        if 400 <= status < 500:  # noqa: PLR2004
            return self.bad_request(status)
        return self.unexpected()
