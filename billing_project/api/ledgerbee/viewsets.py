"""The base of every resource: one call from the credentials to the answer, in LedgerBee's grammar."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.viewsets import ViewSet

from accounts.models import ApiKey, Environment, License, Scope
from billing_project.api.common.negotiation import OnlyJson
from billing_project.api.ledgerbee.authentication import LedgerBeeAuthentication, MayUse
from billing_project.api.ledgerbee.errors import error_response, wrong_method


class LedgerBeeViewSet(ViewSet):
    """A resource. Actions return :func:`json_response`; what they raise is said in the envelope.

    :cvar scope: what the key must have; None for any key
    :cvar licenses: what the company must have
    """

    authentication_classes = (LedgerBeeAuthentication,)
    permission_classes = (MayUse,)
    content_negotiation_class = OnlyJson
    scope: ClassVar[Scope | None] = None
    licenses: ClassVar[Sequence[License.Product]] = ()
    # What the router's view was made for: action names by method.
    action_map: dict[str, str]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        action = self.action_map.get((request.method or "").lower())
        if action is None:
            return error_response(request, wrong_method(request, self.action_map))
        try:
            self.request = self.initialize_request(request, *args, **kwargs)
            self.initial(self.request, *args, **kwargs)
            response: HttpResponse = getattr(self, action)(self.request, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets the envelope)
            return error_response(request, error)
        return response

    @property
    def key(self) -> ApiKey:
        key = self.request.auth
        if not isinstance(key, ApiKey):
            raise TypeError("a call is made with an API key")
        return key

    @property
    def environment(self) -> Environment:
        return self.key.environment

    @cached_property
    def now(self) -> datetime:
        """The wall's time: one instant for the whole call."""
        return timezone.now()
