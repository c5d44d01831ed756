"""Search: what the fields of a resource are in the database, and the pages of what is found."""

import re
from abc import ABC, abstractmethod
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import reduce
from hashlib import sha256
from operator import and_, or_
from struct import Struct
from struct import error as StructError  # noqa: N812 (it is an exception)
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import CharField, F, Func, Model, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact, IContains, IExact, IRegex
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Environment
from billing_project.api.stripe.fields import Integer, RetrieveParams, Text
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.objects import not_expandable, write_all
from billing_project.api.stripe.pagination import NEWEST_FIRST
from billing_project.api.stripe.search_language import METADATA, Clause, Operator, parse, refused
from billing_project.api.stripe.viewsets import StripeViewSet
from billing_project.api.stripe.wire import StripeError, Wire, clipped

M = TypeVar("M", bound=Model)

_SHORTEST_PART = 3
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)
_SPACE = re.compile(r"[ \t\n\r\f\v]+")
_COMPARISONS = {Operator.ABOVE: "gt", Operator.FROM: "gte", Operator.BELOW: "lt", Operator.UP_TO: "lte"}
_NOTHING = Q(pk__in=[])
_EVERYTHING = ~_NOTHING
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
# Nothing was made before the epoch, and nothing will be after the year 2200.
_LAST_SECOND = 7_258_118_400


class Searchable(ABC):
    """A field that queries may name. Where it is absent, no value fits, and so every negated one does."""

    operators: ClassVar[frozenset[Operator]] = frozenset({Operator.IS})

    @property
    @abstractmethod
    def absent(self) -> Q:
        """Where it is absent."""

    @abstractmethod
    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        """Where the field fits a value.

        :raises StripeError: if it is no value of the field's type
        """


@dataclass(frozen=True)
class OneOf(Searchable):
    """A few words, each with what it means."""

    words: Mapping[str, Q] = field(default_factory=dict)
    absent: Q = _NOTHING

    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        return self.words.get(value.lower(), _NOTHING)


# Of Stripe's objects, and not of ours.
ABSENT = OneOf(absent=_EVERYTHING)


def flag(column: str) -> OneOf:
    return OneOf({"true": Q(**{column: True}), "false": Q(**{column: False})})


@dataclass(frozen=True)
class Token(Searchable):
    """A column that always holds one word of ours, in lower case."""

    column: str
    absent = _NOTHING

    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        return Q(**{self.column: value.lower()})


@dataclass(frozen=True)
class Id(Searchable):
    """A column that refers to another object."""

    kind: Kind[Any]
    column: str

    @property
    def absent(self) -> Q:
        return Q(**{f"{self.column}__isnull": True})

    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        row = self.kind.find(self.kind.rows(environment), value)
        return _NOTHING if row is None else Q(**{self.column: row})


@dataclass(frozen=True)
class Whole(Searchable):
    """A text of the caller's: as a whole or by a part of it, whatever its case. An empty one is absent."""

    text: Combinable
    operators = frozenset({Operator.IS, Operator.CONTAINS})

    @property
    def absent(self) -> Q:
        return Q(Exact(self.text, ""))

    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        if operator is Operator.IS:
            return self.is_exactly(value)
        if len(value) < _SHORTEST_PART:
            raise refused(f"A substring that is searched for must have at least {_SHORTEST_PART} characters.")
        return Q(IContains(self.text, value))

    def is_exactly(self, value: str) -> Q:
        return Q(IExact(self.text, value))


class Words(Whole):
    """A text that fits if it has all the words of the value, one after the other."""

    def is_exactly(self, value: str) -> Q:
        words = r"\s+".join(re.escape(word) for word in _SPACE.split(value) if word)
        return Q(IRegex(self.text, rf"(^|\s){words}($|\s)")) if words else self.absent


class MetadataValue(Whole):
    """What stands under a key of the metadata."""

    operators = frozenset({Operator.IS})

    def __init__(self, key: str) -> None:
        # Not Django's own way to a key, which takes "0" for a place in an array.
        value = Func(F(METADATA), Value(key), function="jsonb_extract_path_text", output_field=CharField())
        super().__init__(Coalesce(value, Value("")))


@dataclass(frozen=True)
class Number(Searchable):
    """A column of whole numbers."""

    column: str
    operators = frozenset({Operator.IS, *_COMPARISONS})

    @property
    def absent(self) -> Q:
        return Q(**{f"{self.column}__isnull": True})

    def fits(self, operator: Operator, value: str, environment: Environment) -> Q:
        if not _INTEGER.fullmatch(value):
            raise refused(f"Invalid integer in the search query: {clipped(value)}")
        return self.compares(operator, int(value))

    def compares(self, operator: Operator, number: int) -> Q:
        return Q(**{f"{self.column}__{_COMPARISONS.get(operator, 'exact')}": number})


class Instant(Number):
    """A column of instants, asked for by seconds: each stands for all that lies in it."""

    def compares(self, operator: Operator, number: int) -> Q:
        start = _EPOCH + min(max(number, -1), _LAST_SECOND) * _SECOND
        end = start + _SECOND
        since, before = f"{self.column}__gte", f"{self.column}__lt"
        conditions: dict[Operator, dict[str, Any]] = {
            Operator.IS: {since: start, before: end},
            Operator.ABOVE: {since: end},
            Operator.FROM: {since: start},
            Operator.BELOW: {before: start},
            Operator.UP_TO: {before: end},
        }
        return Q(**conditions[operator])


def whole(column: str) -> Whole:
    return Whole(F(column))


def words(column: str) -> Words:
    return Words(F(column))


def condition(text: str, fields: Mapping[str, Searchable], *, resource: str, environment: Environment) -> Q:
    """What a query asks for.

    :param fields: what it may name, beside metadata
    :param resource: what they are fields of, in the words of a refusal
    :raises StripeError: if the query cannot be read, or asks for what cannot be asked
    """
    query = parse(text)
    conditions = [_condition(clause, fields, resource, environment) for clause in query.clauses]
    return reduce(or_ if query.is_any else and_, conditions)


def _condition(clause: Clause, fields: Mapping[str, Searchable], resource: str, environment: Environment) -> Q:
    searchable = fields.get(clause.field) if clause.key is None else MetadataValue(clause.key)
    if searchable is None:
        known = ", ".join(sorted([*fields, METADATA]))
        raise refused(
            f"Field `{clipped(clause.field)}` is an unsupported search field for resource `{resource}`. "
            f"Supported fields are: {known}."
        )
    if clause.value is None and clause.operator is Operator.IS:
        found = searchable.absent
    elif clause.value is not None and clause.operator in searchable.operators:
        found = searchable.fits(clause.operator, clause.value, environment)
    else:
        raise refused(f"The operator `{clause.operator}` is not supported for field `{clause.field}` with this value.")
    return ~found if clause.is_negated else found


class SearchParams(RetrieveParams):
    query = Text(5000, required=True)
    limit = Integer(least=1, most=100, default=10)
    page = Text(255)


class SearchViewSet(StripeViewSet[M]):
    """A resource that can be searched."""

    searchable: ClassVar[Mapping[str, Searchable]]

    def searched(self) -> QuerySet[M]:
        """What a search may find."""
        return self.get_queryset()

    @action(methods=["get"], detail=False)
    def search(self, request: Request) -> Response:
        params = self.validated(SearchParams)
        for name in self.expansion:
            if name != "total_count" and (name != "data" or not self.expansion[name]):
                raise not_expandable(name)
        if self.expansion.get("total_count"):
            raise not_expandable("total_count", *self.expansion["total_count"])
        # As the address calls it, in the plural.
        resource = self.request.path.split("/")[-2]
        asked = condition(params["query"], self.searchable, resource=resource, environment=self.environment)
        found = self.searched().filter(asked)
        token = _PageToken(f"{self.environment.pk} {resource} {params['query']}")
        rest = found.filter(token.beyond(params["page"])) if "page" in params else found
        rows = list(rest.order_by(*NEWEST_FIRST)[: params["limit"] + 1])
        page, has_more = rows[: params["limit"]], len(rows) > params["limit"]
        inner, livemode = self.expansion.get("data", {}), self.environment.is_live
        answer: Wire = {
            "object": "search_result",
            "data": write_all(map(self.kind.shape, page), inner, livemode=livemode),
            "has_more": has_more,
            "next_page": token.after(page[-1]) if has_more else None,
            "url": self.request.path,
        }
        if "total_count" in self.expansion:
            answer["total_count"] = found.count()
        return Response(answer)


class _PageToken:
    """Where a page ended. It goes with one query only, and says nothing that its holder has not seen."""

    _LAYOUT = Struct(">8sq16s")

    def __init__(self, search: str) -> None:
        self.mark = sha256(search.encode()).digest()[:8]

    def after(self, row: Any) -> str:
        microseconds = (row.created_at - _EPOCH) // timedelta(microseconds=1)
        return urlsafe_b64encode(self._LAYOUT.pack(self.mark, microseconds, row.pk.bytes)).decode()

    def beyond(self, token: str) -> Q:
        """What comes after the page.

        :raises StripeError: if the token is none, or another query's
        """
        try:
            mark, microseconds, pk = self._LAYOUT.unpack(urlsafe_b64decode(token))
            created_at = _EPOCH + timedelta(microseconds=microseconds)
        except (ValueError, StructError, OverflowError) as error:
            raise self._refused(token) from error
        if mark != self.mark:
            raise self._refused(token)
        earlier = Q(created_at__lt=created_at) | Q(created_at=created_at, pk__lt=UUID(bytes=pk))
        # The first condition alone is what an index can use.
        return Q(created_at__lte=created_at) & earlier

    @staticmethod
    def _refused(token: str) -> StripeError:
        return StripeError(f"Not a page of this search: {clipped(token)}", param="page")
