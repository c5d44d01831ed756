"""Who asks: an API key as the user name of Basic authentication, which is how the official client sends it, or as Bearer
token. The client signs its calls, too; a signature without a registered public key proves nothing and is not looked at.
"""

import base64
import binascii
from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import services
from accounts.models import ApiKey, Scope
from billing_project.api.common.requests import address_of, note_key
from billing_project.api.paymentkit.wire import PaymentKitError

if TYPE_CHECKING:
    from billing_project.api.paymentkit.viewsets import PaymentKitViewSet


def open_door(request: HttpRequest) -> ApiKey:
    """The key that a request is made with.

    :raises BillingError: if there is no key, or it opens nothing
    """
    key = services.open_with_key(secret=_secret_of(request), address=address_of(request), now=timezone.now())
    note_key(request, key)
    return key


def require_scope(key: ApiKey, scope: Scope) -> None:
    """:raises PaymentKitError: if the key lacks the scope"""
    if not key.allows(scope):
        raise PaymentKitError(f"The API key does not have the scope {scope.value}, which this needs.", status=403)


class PaymentKitAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey]:
        return AnonymousUser(), open_door(request._request)  # noqa: SLF001 (DRF has no public name for it)


class HasScope(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        if TYPE_CHECKING:
            assert isinstance(view, PaymentKitViewSet)
            assert isinstance(request.auth, ApiKey)
        require_scope(request.auth, view.required_scope)
        return True


def _secret_of(request: HttpRequest) -> str:
    scheme, _, credentials = str(request.META.get("HTTP_AUTHORIZATION", "")).strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
