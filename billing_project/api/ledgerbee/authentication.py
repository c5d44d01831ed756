"""Who asks: an API key in the header ``x-api-key``, or in the query; what the key may do, and what the company may."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import services
from accounts.models import ApiKey, License, Scope
from billing_project.api.common.requests import address_of, note_key
from billing_project.api.ledgerbee.wire import LedgerBeeError

if TYPE_CHECKING:
    from billing_project.api.ledgerbee.viewsets import LedgerBeeViewSet

# What usage-based billing takes of a company's licenses, in the order in which they are asked for.
METERED = (License.Product.METERED_PRODUCTS, License.Product.SUBSCRIPTION)

# For the document, of what asks for both.
MAY_NOT_REPORT = (
    "`INSUFFICIENT_PERMISSIONS`: the key lacks the scope `meter-report`. "
    "`LICENSE.REQUIRED`: the company lacks the license that `details.licenseKey` names."
)

_NAME = "x-api-key"


def open_door(request: HttpRequest) -> ApiKey:
    """The key that a request is made with.

    A Bearer token is never looked at: here it would be one of OAuth, which Tollbook does not issue.

    :raises BillingError: if there is no key, or it opens nothing
    """
    secret = request.META.get("HTTP_X_API_KEY", "")
    if not secret and request.META.get("QUERY_STRING"):
        secret = request.GET.get(_NAME, "")
    key = services.open_with_key(secret=secret, address=address_of(request), now=timezone.now())
    note_key(request, key)
    return key


def require_scope(key: ApiKey, scope: Scope) -> None:
    """:raises LedgerBeeError: if the key lacks the scope"""
    if not key.allows(scope):
        raise LedgerBeeError(
            "The API key does not have the scope that this endpoint needs.",
            status=403,
            code="INSUFFICIENT_PERMISSIONS",
            details={"requiredScopes": [scope.value]},
        )


def require_licenses(key: ApiKey, products: Sequence[License.Product]) -> None:
    """:raises LicenseRequired: for the first of the products that the company has no license for"""
    now = timezone.now()
    for product in products:
        services.require_license(environment=key.environment, product=product, now=now)


class LedgerBeeAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey]:
        return AnonymousUser(), open_door(request._request)  # noqa: SLF001 (DRF has no public name for it)


class MayUse(BasePermission):
    """The key has the view's scope, and its company the view's licenses."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if TYPE_CHECKING:
            assert isinstance(view, LedgerBeeViewSet)
            assert isinstance(request.auth, ApiKey)
        if view.scope is not None:
            require_scope(request.auth, view.scope)
        require_licenses(request.auth, view.licenses)
        return True
