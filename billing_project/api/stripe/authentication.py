"""Who asks: an API key as Bearer token, or as the user name of Basic authentication; and what the key may do."""

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
from billing_project.api.stripe.wire import StripeError, clipped

if TYPE_CHECKING:
    from billing_project.api.stripe.viewsets import StripeViewSet

_OTHER_ACCOUNTS = (("Stripe-Account", "HTTP_STRIPE_ACCOUNT"), ("Stripe-Context", "HTTP_STRIPE_CONTEXT"))
_NO_KEY = (
    "You did not provide an API key. You need to provide your API key in the Authorization header, "
    "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
)


def open_door(request: HttpRequest) -> ApiKey:
    """The key that a request is made with.

    :raises StripeError: if there is none, or it speaks for another account
    :raises BillingError: if the key opens nothing
    """
    key = services.open_with_key(secret=secret_of(request), address=address_of(request), now=timezone.now())
    note_key(request, key)
    hold_to_account(request, key)
    return key


def hold_to_account(request: HttpRequest, key: ApiKey) -> None:
    """:raises StripeError: if the request is meant for another account than the key's"""
    for header, name in _OTHER_ACCOUNTS:
        if request.META.get(name):
            # Doing it for the key's own account instead would put the data in the wrong place.
            account = clipped(request.META[name])
            message = f"The provided key '{key.prefix}…' does not have access to account '{account}' ({header})."
            raise StripeError(message, status=403, code="account_invalid")


def require_scope(key: ApiKey, scope: Scope) -> None:
    """:raises StripeError: if the key lacks the scope"""
    if not key.allows(scope):
        message = (
            f"The provided key '{key.prefix}…' does not have the required permissions for this endpoint. "
            f"Having the '{scope.value}' permission would allow this request to continue."
        )
        raise StripeError(message, status=403)


class StripeAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey]:
        return AnonymousUser(), open_door(request._request)  # noqa: SLF001 (DRF has no public name for it)


class HasScope(BasePermission):
    """The key has the scope that the view names for this action."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if TYPE_CHECKING:
            assert isinstance(view, StripeViewSet)
            assert isinstance(request.auth, ApiKey)
        require_scope(request.auth, view.required_scope)
        return True


def secret_of(request: HttpRequest) -> str:
    """What the caller shows to be let in.

    :raises StripeError: if there is nothing, or nothing that can be read
    """
    scheme, _, credentials = str(request.META.get("HTTP_AUTHORIZATION", "")).strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise StripeError("The Basic credentials cannot be decoded.", status=401) from error
        credentials = decoded.partition(":")[0]
    elif scheme and scheme.lower() != "bearer":
        raise StripeError(f"The authorization scheme '{clipped(scheme)}' is not supported.", status=401)
    if not credentials:
        raise StripeError(_NO_KEY, status=401)
    return credentials
