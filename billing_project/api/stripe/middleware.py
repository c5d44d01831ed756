"""The outermost shell of ``/v1`` and ``/v2``: every answer has an id, says whether to try again, and is JSON, whatever happened."""

import re

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.common.middleware import HTTPS_ONLY, DialectMiddleware
from billing_project.api.stripe.errors import error_response, unexpected, unrecognized
from billing_project.api.stripe.v2.errors import error_response as error_response_v2
from billing_project.api.stripe.wire import VERSION, StripeError, request_id

# Each version of the grammar has a way of its own to say what went wrong.
ROOTS = {"/v1": error_response, "/v2": error_response_v2}

_VERSION_TEXT = re.compile(r"[\w.;:= -]{1,200}", re.ASCII)
_ECHOED_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_RETRIED = (409, 429)


class StripeMiddleware(DialectMiddleware):
    def is_ours(self, request: HttpRequest) -> bool:
        return _root(request) in ROOTS

    def refuse(self, request: HttpRequest, error: Exception) -> HttpResponse:
        return ROOTS[_root(request)](request, error)

    def https_only(self) -> StripeError:
        return StripeError(HTTPS_ONLY, status=403)

    def no_such_address(self, request: HttpRequest) -> StripeError:
        return unrecognized(request)

    def bad_request(self, status: int) -> StripeError:
        return StripeError("Invalid request.", status=status)

    def unexpected(self) -> StripeError:
        return unexpected()

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        response["Request-Id"] = request_id(request)
        response["Stripe-Version"] = _version(request)
        key = request.META.get("HTTP_IDEMPOTENCY_KEY", "")
        if request.method == "POST" and _ECHOED_KEY.fullmatch(key):
            response["Idempotency-Key"] = key
        if "Stripe-Should-Retry" not in response:
            _advise(response)


def _root(request: HttpRequest) -> str:
    return "/" + request.path[1:].partition("/")[0]


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
