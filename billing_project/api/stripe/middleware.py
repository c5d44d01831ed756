"""The outermost shell of ``/v1`` and ``/v2``: every answer has an id, says whether to try again, and is JSON, whatever happened."""

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.stripe.errors import error_response, unexpected, unrecognized
from billing_project.api.stripe.v2.errors import error_response as error_response_v2
from billing_project.api.stripe.wire import VERSION, StripeError, request_id

# Each version of the grammar has a way of its own to say what went wrong.
ROOTS = {"/v1": error_response, "/v2": error_response_v2}

_VERSION_TEXT = re.compile(r"[\w.;:= -]{1,200}", re.ASCII)
_ECHOED_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_RETRIED = (409, 429)


class StripeMiddleware:
    """Stands first in the list, so that what Django itself refuses (a host, plain HTTP) is said in Stripe's shape too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_ours(request):
            return self.get_response(request)
        identifier = request_id(request)
        response = self.get_response(request)
        if response.get("Content-Type") != "application/json":
            response = _in_our_shape(request, response)
        response["Request-Id"] = identifier
        response["Stripe-Version"] = _version(request)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
        if request.method == "POST" and _ECHOED_KEY.fullmatch(key):
            response["Idempotency-Key"] = key
        if "Stripe-Should-Retry" not in response:
            _advise(response)
        if "Content-Length" not in response and isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
        response["Cache-Control"] = "no-cache, no-store"
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer what a view raised, before Django makes a page of it."""
        return _refuse(request, exception) if _is_ours(request) else None


def _root(request: HttpRequest) -> str:
    return "/" + request.path[1:].partition("/")[0]


def _is_ours(request: HttpRequest) -> bool:
    return _root(request) in ROOTS


def _refuse(request: HttpRequest, error: Exception) -> HttpResponse:
    return ROOTS[_root(request)](request, error)


def _version(request: HttpRequest) -> str:
    asked = request.META.get("HTTP_STRIPE_VERSION", "")
    return asked if _VERSION_TEXT.fullmatch(asked) else VERSION


def _advise(response: HttpResponseBase) -> None:
    """Tell the SDK whether the same request may succeed later."""
    # By itself the SDK would not send again what came at too busy a moment, and the event would be lost.
    if response.status_code in {429, 503}:
        response["Stripe-Should-Retry"] = "true"
    elif 400 <= response.status_code < 500 and response.status_code not in _RETRIED:  # noqa: PLR2004
        response["Stripe-Should-Retry"] = "false"


def _in_our_shape(request: HttpRequest, response: HttpResponseBase) -> HttpResponse:
    """Say a page of Django's own as an error."""
    if 300 <= response.status_code < 400:  # noqa: PLR2004
        # Sent over plain HTTP: a redirect would carry the key once more, and lose a POST.
        error = StripeError("This API is served over HTTPS only.", status=403)
    elif response.status_code == 404:  # noqa: PLR2004
        error = unrecognized(request)
    elif 400 <= response.status_code < 500:  # noqa: PLR2004
        error = StripeError("Invalid request.", status=response.status_code)
    else:
        error = unexpected()
    return _refuse(request, error)
