"""The outermost shell of ``/api/v1``: whatever happens below it is answered in LedgerBee's shape."""

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing_project.api.common.middleware import HTTPS_ONLY, DialectMiddleware
from billing_project.api.common.requests import noted_key
from billing_project.api.ledgerbee.errors import error_response, no_such_route, unexpected
from billing_project.api.ledgerbee.wire import ROOT, LedgerBeeError, instant_text

_BELOW = f"{ROOT}/"


class LedgerBeeMiddleware(DialectMiddleware):
    def is_ours(self, request: HttpRequest) -> bool:
        return request.path.startswith(_BELOW) or request.path == ROOT

    def refuse(self, request: HttpRequest, error: Exception) -> HttpResponse:
        return error_response(request, error)

    def https_only(self) -> LedgerBeeError:
        return LedgerBeeError(HTTPS_ONLY, status=403, code="HTTPS_REQUIRED")

    def no_such_address(self, request: HttpRequest) -> LedgerBeeError:
        return no_such_route(request)

    def bad_request(self, status: int) -> LedgerBeeError:
        return LedgerBeeError("Bad Request", status=status, code="BAD_REQUEST")

    def unexpected(self) -> LedgerBeeError:
        return unexpected()

    def finish(self, request: HttpRequest, response: HttpResponseBase) -> None:
        key = noted_key(request)
        if key is not None and key.expires_at is not None:
            response["X-API-Key-Expires-At"] = instant_text(key.expires_at)
