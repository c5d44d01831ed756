"""What parameters may be: a field per type, and the hash of fields that a call declares.

An empty text means "unset" to Stripe: a field takes it only where it was made ``clearable``, and says what it becomes.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Final, TypeAlias

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from accounts.models import Environment
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.parsers import Tree, Value, spell_path
from billing_project.api.stripe.wire import StripeError, clipped
from core.columns import Lookup
from core.ids import unspell
from core.metadata import MAX_KEYS, MetadataChange
from core.money import EXACT

AnyField: TypeAlias = "serializers.Field[Any, Any, Any, Any]"
MISSING = "parameter_missing"
UNKNOWN = "parameter_unknown"
EMPTY = "parameter_invalid_empty"
EXCLUSIVE = "parameters_exclusive"
INVALID_INTEGER = "parameter_invalid_integer"
RESOURCE_MISSING = "resource_missing"

_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_INDEX = re.compile(r"\d{1,4}", re.ASCII)
# The SDK writes a Decimal as Python does, and Python writes small ones with an exponent.
_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?", re.ASCII)
# Whole seconds up to the year 2200: far beyond any contract, and near enough to add periods to.
_LAST_SECOND = 7_258_118_400
_METADATA_KEY_LENGTH = 40
_METADATA_VALUE_LENGTH = 500


class _Refused(Enum):
    """Stands for "cannot be unset"."""

    REFUSED = "refused"


REFUSED: Final = _Refused.REFUSED


class ParamMixin:
    """What all parameters share: optional unless said otherwise, and the empty text."""

    def __init__(self, *args: Any, clearable: Any = REFUSED, **kwargs: Any) -> None:
        self.cleared = clearable
        kwargs.setdefault("required", False)
        super().__init__(*args, **kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        if data == "" and isinstance(data, str):
            if self.cleared is REFUSED:
                raise ValidationError("", code=EMPTY)
            return True, self.cleared
        empty: tuple[bool, Any] = super().validate_empty_values(data)  # type: ignore[misc]
        return empty


class Text(ParamMixin, serializers.Field[str, Value, str, Any]):
    """A text of up to ``max_length`` characters."""

    def __init__(self, max_length: int = 5000, *, pattern: str = "", **kwargs: Any) -> None:
        self.max_length = max_length
        self.pattern = re.compile(pattern, re.ASCII) if pattern else None
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> str:
        text = _text(data, "string")
        if len(text) > self.max_length:
            raise ValidationError(f"Invalid string: {clipped(text)}; must be at most {self.max_length} characters")
        if self.pattern and not self.pattern.fullmatch(text):
            raise ValidationError(f"Invalid string: {clipped(text)}; it has characters that are not allowed here")
        return text


class Integer(ParamMixin, serializers.Field[int, Value, int, Any]):
    def __init__(self, *, least: int | None = None, most: int | None = None, **kwargs: Any) -> None:
        self.least = least
        self.most = most
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> int:
        text = _text(data, "integer")
        if not _INTEGER.fullmatch(text):
            raise ValidationError(f"Invalid integer: {clipped(text)}", code=INVALID_INTEGER)
        number = int(text)
        if self.least is not None and number < self.least:
            raise ValidationError(f"This value must be greater than or equal to {self.least}.", code=INVALID_INTEGER)
        if self.most is not None and number > self.most:
            raise ValidationError(f"This value must be less than or equal to {self.most}.", code=INVALID_INTEGER)
        return number


class Flag(ParamMixin, serializers.Field[bool, Value, bool, Any]):
    def to_internal_value(self, data: Value) -> bool:
        text = _text(data, "boolean")
        if text not in {"true", "false"}:
            raise ValidationError(f"Invalid boolean: {clipped(text)}")
        return text == "true"


class Choice(ParamMixin, serializers.Field[str, Value, str, Any]):
    def __init__(self, *choices: str, **kwargs: Any) -> None:
        self.choices = choices
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> str:
        text = _text(data, "string")
        if text not in self.choices:
            allowed = ", ".join(self.choices[:-1]) + f" or {self.choices[-1]}" if self.choices[1:] else self.choices[0]
            raise ValidationError(f"Invalid value: {clipped(text)}; must be one of {allowed}")
        return text


class Timestamp(ParamMixin, serializers.Field[datetime, Value, datetime, Any]):
    """Unix seconds, as an aware time in UTC."""

    def to_internal_value(self, data: Value) -> datetime:
        text = _text(data, "timestamp")
        if not _INTEGER.fullmatch(text) or not 0 <= int(text) <= _LAST_SECOND:
            raise ValidationError(
                f"Invalid timestamp: {clipped(text)}; must be an integer Unix timestamp", code=INVALID_INTEGER
            )
        return datetime.fromtimestamp(int(text), UTC)


class DecimalText(ParamMixin, serializers.Field[Decimal, Value, Decimal, Any]):
    """A decimal written as text, with a number of places that is kept."""

    def __init__(self, *, places: int, **kwargs: Any) -> None:
        self.places = places
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> Decimal:
        text = _text(data, "decimal")
        if not _DECIMAL.fullmatch(text):
            raise ValidationError(f"Invalid decimal: {clipped(text)}")
        value = EXACT.normalize(Decimal(text))
        if -int(value.as_tuple().exponent) > self.places:
            raise ValidationError(f"Invalid decimal: {clipped(text)}; must have at most {self.places} decimal places")
        return value


class TimeRange(ParamMixin, serializers.Field[dict[str, datetime], Value, dict[str, datetime], Any]):
    """An instant, or a range of them, as conditions on a column: ``created=1`` or ``created[gte]=1``.

    The wire knows whole seconds only, so a second stands for all that lies in it.
    """

    _SECOND: ClassVar[timedelta] = timedelta(seconds=1)

    def to_internal_value(self, data: Value) -> dict[str, datetime]:
        read = Timestamp().run_validation
        if isinstance(data, str):
            start = read(data)
            return {"gte": start, "lt": start + self._SECOND}
        if not isinstance(data, dict):
            raise ValidationError("Invalid hash")
        bounds: dict[str, datetime] = {}
        for name, value in data.items():
            if name not in {"gt", "gte", "lt", "lte"}:
                raise ValidationError({name: [ErrorDetail("", UNKNOWN)]})
            try:
                start = read(value)
            except ValidationError as error:
                raise ValidationError({name: error.detail}) from error
            # Both a "gt" and a "gte" may be given; the stricter one wins.
            condition, bound = {
                "gt": ("gte", start + self._SECOND),
                "gte": ("gte", start),
                "lt": ("lt", start),
                "lte": ("lt", start + self._SECOND),
            }[name]
            stricter = max if condition == "gte" else min
            bounds[condition] = stricter(bounds.get(condition, bound), bound)
        return bounds


class TextHash(ParamMixin, serializers.Field[dict[str, str], Value, dict[str, str], Any]):
    """A hash of texts with keys of the caller's choosing."""

    def __init__(self, *, key_length: int, **kwargs: Any) -> None:
        self.key_length = key_length
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> dict[str, str]:
        if not isinstance(data, dict):
            raise ValidationError("Invalid hash")
        texts: dict[str, str] = {}
        for key, value in data.items():
            if not key or len(key) > self.key_length:
                raise ValidationError(f"Invalid key: {clipped(key)}; must have 1 to {self.key_length} characters")
            if not isinstance(value, str):
                raise ValidationError({key: [ErrorDetail("Invalid string: a hash or an array was given")]})
            texts[key] = value
        return texts


class Metadata(TextHash):
    """The caller's own keys and values. An empty value removes its key, an empty hash all of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(key_length=_METADATA_KEY_LENGTH, clearable=MetadataChange(clear=True), **kwargs)

    def to_internal_value(self, data: Value) -> MetadataChange:  # type: ignore[override]
        texts = super().to_internal_value(data)
        if len(texts) > MAX_KEYS:
            raise ValidationError(f"Metadata can have at most {MAX_KEYS} keys.")
        for key, text in texts.items():
            if len(text) > _METADATA_VALUE_LENGTH:
                message = f"Metadata values can have up to {_METADATA_VALUE_LENGTH} characters."
                raise ValidationError({key: [ErrorDetail(message)]})
        return MetadataChange({key: text or None for key, text in texts.items()})


class Array(ParamMixin, serializers.ListField):
    """Elements in order, written ``a[0]``, ``a[1]`` or ``a[]``."""

    def __init__(self, child: AnyField, *, most: int, **kwargs: Any) -> None:
        self.most = most
        super().__init__(child=child, **kwargs)

    def to_internal_value(self, data: Value) -> list[Any]:
        elements = self._elements(data)
        if len(elements) > self.most:
            raise ValidationError(f"Array too long: at most {self.most} elements are accepted")
        errors: dict[str, Any] = {}
        values = []
        for index, element in enumerate(elements):
            try:
                values.append(self.child.run_validation(element))
            except ValidationError as error:
                errors[str(index)] = error.detail
        if errors:
            raise ValidationError(errors)
        return values

    @staticmethod
    def _elements(data: Value) -> list[Value]:
        if isinstance(data, list):
            return data
        if not isinstance(data, dict) or not all(_INDEX.fullmatch(name) for name in data):
            raise ValidationError("Invalid array")
        if len({int(name) for name in data}) < len(data):
            raise ValidationError("Invalid array: an index is given twice")
        return [data[name] for name in sorted(data, key=int)]


class Ref(ParamMixin, serializers.Field[Any, Value, Any, Any]):
    """The id of an object of the caller's environment, as the object."""

    def __init__(
        self,
        kind: Kind[Any],
        *,
        among: Callable[[QuerySet[Any]], QuerySet[Any]] = lambda rows: rows,
        **kwargs: Any,
    ) -> None:
        self.kind = kind
        self.among = among
        super().__init__(**kwargs)

    def to_internal_value(self, data: Value) -> Model:
        text = _text(data, "string")
        environment: Environment = self.context["environment"]
        row: Model | None = self.kind.find(self.among(self.kind.rows(environment)), text)
        if row is None:
            raise ValidationError(f"No such {self.kind.noun}: '{clipped(text)}'", code=RESOURCE_MISSING)
        return row


class QuickRef(Ref):
    """The same, read by a statement that is composed once: for calls that programs wait for.

    :param lookup: finds the row, with as many of its columns as the call needs at once
    """

    def __init__(self, kind: Kind[Any], lookup: Lookup[Any], **kwargs: Any) -> None:
        super().__init__(kind, **kwargs)
        self.lookup = lookup

    def to_internal_value(self, data: Value) -> Model:
        environment: Environment = self.context["environment"]
        pk = unspell(self.kind.prefix, _text(data, "string"))
        row = self.lookup.find(environment.pk, pk) if pk else None
        # It knows what is wrong.
        return super().to_internal_value(data) if row is None else row


class Params(ParamMixin, serializers.Serializer[Any]):
    """A hash of declared parameters. What is not declared is refused, never ignored.

    :cvar unserved: parameters that Stripe has and we do not serve yet, to be told from misspelled ones
    """

    unserved: ClassVar[Collection[str]] = ()

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValidationError("Invalid hash")
        for name in data:
            if name in self.unserved:
                raise ValidationError({name: [ErrorDetail("This parameter is not supported yet", UNKNOWN)]})
            if name not in self.fields:
                raise ValidationError({name: [ErrorDetail("", UNKNOWN)]})
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class RetrieveParams(Params):
    """What every call takes."""

    expand = Array(Text(500), most=20)


class ListParams(RetrieveParams):
    """What every list takes. The cursors are ids, looked up by the pagination."""

    limit = Integer(least=1, most=100, default=10)
    starting_after = Text(255)
    ending_before = Text(255)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        exclusive(attrs, "starting_after", "ending_before")
        return attrs


class CreatedListParams(ListParams):
    created = TimeRange()


def exclusive(attrs: Mapping[str, Any], *names: str) -> None:
    """:raises ValidationError: if more than one of the parameters is given"""
    given = [name for name in names if name in attrs]
    if len(given) > 1:
        message = f"Received both {given[0]} and {given[1]} parameters. Please pass in only one."
        raise ValidationError({given[0]: [ErrorDetail(message, EXCLUSIVE)]})


def required(attrs: Mapping[str, Any], *names: str) -> None:
    """:raises ValidationError: if none of the parameters is given"""
    if not any(name in attrs for name in names):
        text = f"Missing required param: {names[0]}." if not names[1:] else f"You must provide {' or '.join(names)}."
        raise ValidationError({names[0]: [ErrorDetail(text, MISSING)]})


def checked(params: type[Params], tree: Tree, environment: Environment) -> dict[str, Any]:
    """The values of a call's parameters.

    :raises StripeError: for the first thing that is wrong with them, naming the parameter
    """
    hash_ = _made.of.get(params)
    if hash_ is None:
        hash_ = _made.of[params] = params()
    hash_._context = {"environment": environment}  # noqa: SLF001 (where DRF keeps what it is made with)
    try:
        values: dict[str, Any] = hash_.run_validation(tree)
    except ValidationError as error:
        raise refusal(error) from error
    return values


class _Made(threading.local):
    """What checks parameters, made once for a thread: DRF copies each field for a new one, which takes longer than to check."""

    def __init__(self) -> None:
        self.of: dict[type[Params], Params] = {}


_made = _Made()


def refusal(error: ValidationError) -> StripeError:
    """One of the errors that DRF gathered: a misspelled name before the missing one that it may have been meant for."""
    leaves = list(_leaves(error.detail, []))
    path, detail = next((leaf for leaf in leaves if leaf[1].code == UNKNOWN), leaves[0])
    param = clipped(spell_path(path))
    code = detail.code if detail.code and detail.code not in {"invalid", "required", "null"} else ""
    message = str(detail)
    if detail.code == "required":
        code, message = MISSING, f"Missing required param: {param}."
    elif detail.code == UNKNOWN:
        message = f"{message}: {param}" if message else f"Received unknown parameter: {param}"
    elif detail.code == EMPTY:
        message = (
            f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty "
            "value."
        )
    return StripeError(message, code=code, param=param)


def _leaves(detail: Any, path: list[str]) -> Iterator[tuple[list[str], ErrorDetail]]:
    if isinstance(detail, ErrorDetail):
        yield path, detail
    elif isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _leaves(inner, path if name == "non_field_errors" else [*path, name])
    else:
        for inner in detail:
            yield from _leaves(inner, path)


def _text(data: Value, wanted: str) -> str:
    if not isinstance(data, str):
        shape = "a hash" if isinstance(data, dict) else "an array"
        raise ValidationError(f"Invalid {wanted}: {shape} was given")
    return data
