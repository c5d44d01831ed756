"""The outermost shell of ``/api``, but for what another dialect has below it: whatever happens is answered in Payment
Kit's shape.
"""

from django.http import HttpRequest, HttpResponse

from billing_project.api.common.middleware import HTTPS_ONLY, DialectMiddleware
from billing_project.api.paymentkit import errors
from billing_project.api.paymentkit.wire import PaymentKitError, is_ours


class PaymentKitMiddleware(DialectMiddleware):
    def is_ours(self, request: HttpRequest) -> bool:
        return is_ours(request)

    def refuse(self, request: HttpRequest, error: Exception) -> HttpResponse:
        return errors.error_response(request, error)

    def https_only(self) -> PaymentKitError:
        return PaymentKitError(HTTPS_ONLY, status=403)

    def no_such_address(self, request: HttpRequest) -> PaymentKitError:
        return errors.no_such_address(request)

    def bad_request(self, status: int) -> PaymentKitError:
        return PaymentKitError("Bad Request", status=status)

    def unexpected(self) -> PaymentKitError:
        return errors.unexpected()
