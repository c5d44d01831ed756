"""The base of every resource: one call from the credentials to the answer, in Stripe's grammar."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts import services
from accounts.models import ApiKey, Environment, Scope
from accounts.services import Answer
from billing_project.api.common.database import is_passing
from billing_project.api.common.negotiation import OnlyJson
from billing_project.api.stripe.authentication import HasScope, StripeAuthentication
from billing_project.api.stripe.described import StripeSchema
from billing_project.api.stripe.errors import error_response, missing, spoken, unrecognized
from billing_project.api.stripe.fields import Params, RetrieveParams, checked
from billing_project.api.stripe.idempotency import fingerprint, idempotency_key, stored_response
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.objects import expansion_of, not_expandable, write, write_all
from billing_project.api.stripe.pagination import NEWEST_FIRST, Page, page_of
from billing_project.api.stripe.parsers import Tree, read_params
from billing_project.api.stripe.wire import Wire, encode, json_response, request_id
from webhooks.causes import Cause, caused_by

M = TypeVar("M", bound=Model)

_WRITING = ("POST", "DELETE")


class StripeViewSet(GenericViewSet[M]):
    """A resource. Actions validate, make one service call, and return :meth:`respond` or :meth:`respond_page`.

    A POST or DELETE runs in one transaction with all that it answers, so that a refusal, be it of an ``expand`` path at
    the very end, leaves nothing behind.
    """

    schema = StripeSchema()
    authentication_classes = (StripeAuthentication,)
    permission_classes = (HasScope,)
    content_negotiation_class = OnlyJson
    lookup_value_regex = "[^/]+"
    kind: ClassVar[Kind[Any]]
    read_scope: ClassVar[Scope]
    write_scope: ClassVar[Scope]
    order: ClassVar[tuple[str, ...]] = NEWEST_FIRST
    # Actions that are sent as POST and change nothing.
    reading_actions: ClassVar[tuple[str, ...]] = ()
    # Actions that write with one call of a service, which is a whole by itself: programs wait for them, and need not wait
    # for a second savepoint around it. Where something is to be expanded, it may still be refused after that call.
    brief_actions: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.args, self.kwargs = args, kwargs
        try:
            self.request = self.initialize_request(request, *args, **kwargs)
            return self._answer(request)
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller gets the envelope)
            return error_response(request, error)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        handler = getattr(self, self.action or "", None)
        if handler is None or request.method not in {"GET", *_WRITING}:
            raise unrecognized(request)
        self.initial(self.request, *self.args, **self.kwargs)
        if request.method in _WRITING:
            return self._write(request, handler)
        response: Response = handler(self.request, *self.args, **self.kwargs)
        return json_response(encode(response.data))

    @property
    def environment(self) -> Environment:
        return self.key.environment

    @property
    def key(self) -> ApiKey:
        key = self.request.auth
        if not isinstance(key, ApiKey):
            raise TypeError("a call is made with an API key")
        return key

    @cached_property
    def now(self) -> datetime:
        """The wall's time: one instant for the whole call."""
        return timezone.now()

    @property
    def required_scope(self) -> Scope:
        reads = self.request.method == "GET" or self.action in self.reading_actions
        return self.read_scope if reads else self.write_scope

    @cached_property
    def params(self) -> Tree:
        return read_params(self.request._request)  # noqa: SLF001 (DRF has no public name for it)

    def get_queryset(self) -> QuerySet[M]:
        """All rows that the caller may see."""
        rows: QuerySet[M] = self.kind.complete(self.environment)
        return rows

    def validated(self, params: type[Params]) -> dict[str, Any]:
        """The call's parameters; ``expand`` is kept for the answer."""
        values = checked(params, self.params, self.environment)
        self.expansion = expansion_of(values.pop("expand", ()))
        return values

    def row(self, text: str, *, among: QuerySet[M] | None = None) -> M:
        """The object that an address names.

        :raises StripeError: 404, if it is not there, or not the caller's
        """
        rows = self.get_queryset() if among is None else among
        found: M | None = self.kind.find(rows, text)
        if found is None:
            raise missing(self.kind.noun, text, param=self.kind.param)
        return found

    def retrieve(self, request: Request, pk: str) -> Response:
        self.validated(RetrieveParams)
        return self.respond(self.row(pk))

    def respond(self, row: M) -> Response:
        return Response(self.written(row))

    def respond_with(self, shape: Wire) -> Response:
        """Answer with an object of this kind that is shaped otherwise than usual."""
        return Response(write(shape, self.expansion, livemode=self.environment.is_live))

    def written(self, row: M) -> Wire:
        return write(self.kind.shape(row), self.expansion, livemode=self.environment.is_live)

    def listed(self, rows: QuerySet[M], params: Mapping[str, Any]) -> Response:
        """Answer with a page of rows."""
        page = page_of(rows, params, kind=self.kind, cursors=self.get_queryset(), order=self.order)
        return self.respond_page(page, self.kind.shape)

    def respond_page(self, page: Page[Any], shape: Callable[[Any], Wire]) -> Response:
        # The paths begin with "data" here, since the answer is a list.
        for name in self.expansion:
            if name != "data" or not self.expansion[name]:
                raise not_expandable(name)
        inner = self.expansion.get("data", {})
        live = self.environment.is_live
        data = write_all(map(shape, page.rows), inner, livemode=live)
        return Response({"object": "list", "data": data, "has_more": page.has_more, "url": self.request.path})

    def _write(self, request: HttpRequest, handler: Callable[..., Response]) -> HttpResponse:
        """Do a POST or DELETE, once per idempotency key."""

        key = idempotency_key(request)
        cause = Cause(request_id(request), key or "")

        is_brief = self.action in self.brief_actions and "expand" not in self.params

        def respond() -> str:
            with nullcontext() if is_brief else transaction.atomic(), caused_by(cause):
                return encode(handler(self.request, *self.args, **self.kwargs).data)

        if key is None:
            return json_response(respond())

        def work() -> Answer:
            try:
                return Answer(200, respond(), request_id(request))
            except Exception as error:
                # After a check of parameters, or without a database, nothing has begun: the key stays free. It does so, too,
                # where only the whole transaction can undo what broke.
                told = spoken(error)
                if is_passing(error) or (is_brief if told is None else not told.begun):
                    raise
                # What was refused, or broke, was rolled back; the same request gets the same answer.
                said = error_response(request, error)
                return Answer(said.status_code, said.content.decode(), request_id(request))

        answer, replayed = services.answer_once(
            environment=self.environment,
            key=key,
            fingerprint=fingerprint(request, self.params).hex(),
            now=self.now,
            work=work,
        )
        return stored_response(answer, replayed=replayed)
