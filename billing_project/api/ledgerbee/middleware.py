"""The outermost shell of ``/api/v1``: whatever happens below it is answered in LedgerBee's shape."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.ledgerbee.errors import error_response, no_such_route, unexpected
from billing_project.api.ledgerbee.wire import ROOT, LedgerBeeError, instant_text, noted_key

_BELOW = f"{ROOT}/"


class LedgerBeeMiddleware:
    """Stands before Django's own, so that what they refuse (a host, plain HTTP) is said in LedgerBee's shape, too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_ours(request):
            return self.get_response(request)
        response = self.get_response(request)
        if response.get("Content-Type") != "application/json":
            response = _in_our_shape(request, response)
        key = noted_key(request)
        if key is not None and key.expires_at is not None:
            response["X-API-Key-Expires-At"] = instant_text(key.expires_at)
        if "Content-Length" not in response and isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-cache, no-store"
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view raised, before Django makes a page of it."""
        return error_response(request, exception) if _is_ours(request) else None


def _is_ours(request: HttpRequest) -> bool:
    return request.path.startswith(_BELOW) or request.path == ROOT


def _in_our_shape(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Say a page of Django's own as an error."""
    status = response.status_code
    if 300 <= status < 400:  # noqa: PLR2004
        # Sent over plain HTTP: a redirect would carry the key once more, and lose a POST.
        error = LedgerBeeError("This API is served over HTTPS only.", status=403, code="HTTPS_REQUIRED")
    elif status == 404:  # noqa: PLR2004
        error = no_such_route(request)
    elif 400 <= status < 500:  # noqa: PLR2004
        error = LedgerBeeError("Bad Request", status=status, code="BAD_REQUEST")
    else:
        error = unexpected()
    return error_response(request, error)
