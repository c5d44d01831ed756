"""The base of every resource: one call from the credentials to the answer, in Payment Kit's grammar."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.viewsets import ViewSet

from accounts.models import ApiKey, Environment, Scope
from billing_project.api.common.negotiation import OnlyJson
from billing_project.api.paymentkit.authentication import HasScope, PaymentKitAuthentication
from billing_project.api.paymentkit.described import PaymentKitSchema
from billing_project.api.paymentkit.errors import error_response, no_such_address
from billing_project.api.paymentkit.parsers import Fields, read_body_of, read_query_of
from billing_project.api.paymentkit.wire import PaymentKitError, json_response, page_of
from core.ids import read

M = TypeVar("M", bound=Model)
Rows = TypeVar("Rows", bound="QuerySet[Any]")

_PAGE_SIZE = 20
_MOST_ON_PAGE = 100
_MODES = {True: "live", False: "test"}


def row_of(rows: "QuerySet[M]", prefix: str, text: str) -> M | None:
    """The row of an id, if it is among these."""
    pk = read(prefix, text)
    return rows.filter(pk=pk).first() if pk else None


class PaymentKitViewSet(ViewSet):
    """A resource. Actions validate, make one service call, and return :func:`json_response` or :meth:`listed`.

    Every call says a mode, which must be the key's: with the other one there is nothing to be read, and nothing is
    written. What writes runs in one transaction with all that it answers.

    :cvar scopes: what single actions need in place of the two below
    :cvar alone: actions that write and see to their transactions themselves
    """

    schema = PaymentKitSchema()
    authentication_classes = (PaymentKitAuthentication,)
    permission_classes = (HasScope,)
    content_negotiation_class = OnlyJson
    read_scope: ClassVar[Scope]
    write_scope: ClassVar[Scope]
    scopes: ClassVar[dict[str, Scope]] = {}
    alone: ClassVar[tuple[str, ...]] = ()
    # What the router's view was made for: action names by method.
    action_map: dict[str, str]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        try:
            return self._answer_to(request)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets Payment Kit's shape)
            return error_response(request, error)

    def _answer_to(self, request: HttpRequest) -> HttpResponse:
        name = self.action_map.get((request.method or "").lower())
        if name is None:
            raise no_such_address(request)
        self.request = self.initialize_request(request, *self.args, **self.kwargs)
        self.initial(self.request, *self.args, **self.kwargs)
        writes = request.method != "GET"
        if writes and self.is_of_other_mode:
            raise self.wrong_mode()
        with transaction.atomic() if writes and name not in self.alone else nullcontext():
            response: HttpResponse = getattr(self, name)(self.request, *self.args, **self.kwargs)
        return response

    @property
    def required_scope(self) -> Scope:
        of_method = self.read_scope if self.request.method == "GET" else self.write_scope
        return self.scopes.get(self.action, of_method)

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

    @cached_property
    def body(self) -> Fields:
        # A GET may have one, too.
        return read_body_of(self.request._request)  # noqa: SLF001 (DRF has no public name for it)

    @cached_property
    def query(self) -> Fields:
        return read_query_of(self.request._request)  # noqa: SLF001

    @cached_property
    def is_of_other_mode(self) -> bool:
        """Whether the call is meant for the mode that the key does not open."""
        return self.query.flag("livemode") not in {None, self.environment.is_live}

    def wrong_mode(self) -> PaymentKitError:
        is_live = self.environment.is_live
        return PaymentKitError(
            f"The request is for {_MODES[not is_live]} mode (livemode={str(not is_live).lower()}), and the API key is of "
            f"{_MODES[is_live]} mode."
        )

    def within(self, rows: Rows) -> Rows:
        """Rows of the environment, as far as this call may see them."""
        return rows.none() if self.is_of_other_mode else rows

    def listed(self, rows: "QuerySet[M]", shape: Callable[[list[M]], list[Any]]) -> HttpResponse:
        """A page of the rows, in their order, or the other way round where the oldest are asked for first.

        :param shape: writes the rows of a page
        """
        page = self.query.whole("page", default=1, least=1, most=1_000_000)
        asked = self.query.whole("pageSize", default=_PAGE_SIZE, least=1, most=1_000_000)
        size = min(asked, _MOST_ON_PAGE)
        rows = self.within(rows)
        if self.query.oldest_first("order"):
            rows = rows.reverse()
        first = (page - 1) * size
        return json_response(page_of(shape(list(rows[first : first + size])), rows.count(), page, size))
