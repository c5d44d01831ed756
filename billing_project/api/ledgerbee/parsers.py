"""JSON bodies, read so that no digit is lost, and the rules that their properties are held against."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeGuard

import msgspec
from django.http import HttpRequest

from billing_project.api.common.requests import read_body
from billing_project.api.ledgerbee.wire import LedgerBeeError, invalid
from usage.errors import PayloadTextTooLong
from usage.events import PAYLOAD_TEXT_LENGTH, is_storable, number_text

KEY_LENGTH = 100
MOST_KEYS = 1000

_JSON = "application/json"
# Numbers with a point or an exponent by their digits; whole ones are exact by themselves.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ISO_8601 = re.compile(
    r"\d{4}-\d{2}-\d{2}([Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII
)
# How much of a caller's name is said back.
_SHOWN = 100


class Body:
    """A JSON object whose properties are taken out one by one; what is wrong with each of them is gathered."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self.problems: dict[str, dict[str, str]] = {}

    def only(self, names: Collection[str]) -> None:
        """Refuse what is not among these properties."""
        for name in self._values.keys() - names:
            shown = name[:_SHOWN]
            self.problems[shown] = {"whitelistValidation": f"property {shown} should not exist"}

    def text(self, name: str, *, required: bool = False) -> str:
        """A text that the database can keep; empty if there is none."""
        value = self._values.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str):
            self._refuse(name, "isString", "must be a string")
        elif required and not value.strip():
            self._refuse(name, "isNotEmpty", "should not be empty")
        elif not is_storable(value):
            self._refuse(name, "isString", "must not contain NUL characters")
        else:
            return value
        return ""

    def name(self, name: str) -> str:
        """A text that names something; what is blank names nothing."""
        value = self.text(name)
        return value if value.strip() else ""

    def number(self, name: str) -> Decimal:
        """A number, exact."""
        value = self._values.get(name)
        if _is_number(value):
            return Decimal(value)
        self._refuse(name, "isNumber", "must be a number")
        return Decimal(0)

    def instant(self, name: str) -> datetime | None:
        """A point in time; without an offset it is UTC."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, str) and _ISO_8601.fullmatch(value):
            try:
                found = datetime.fromisoformat(value.upper())
                return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
            except (ValueError, OverflowError):
                pass
        self._refuse(name, "isISO8601", "must be a valid ISO 8601 date string")
        return None

    def texts(self, name: str) -> dict[str, str]:
        """A hash of texts, numbers and booleans, all written as texts: a number in full, a boolean as JSON does."""
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._refuse(name, "isObject", "must be an object")
        elif len(value) > MOST_KEYS:
            self._refuse(name, "maxProperties", f"must not have more than {MOST_KEYS} properties")
        else:
            return {key: self._written(f"{name}.{key[:_SHOWN]}", key, inner) for key, inner in value.items()}
        return {}

    def _written(self, path: str, key: str, value: Any) -> str:
        if not 0 < len(key) <= KEY_LENGTH or not is_storable(key):
            self._refuse(path, "isLength", f"must have a name of 1 to {KEY_LENGTH} characters, without NUL")
        elif isinstance(value, bool):
            return "true" if value else "false"
        elif isinstance(value, str):
            if len(value) <= PAYLOAD_TEXT_LENGTH and is_storable(value):
                return value
            self._refuse(path, "maxLength", f"must have at most {PAYLOAD_TEXT_LENGTH} characters, without NUL")
        elif _is_number(value):
            try:
                return number_text(Decimal(value), key)
            except PayloadTextTooLong:
                self._refuse(path, "maxLength", f"must have at most {PAYLOAD_TEXT_LENGTH} digits")
        else:
            self._refuse(path, "isStringNumberOrBoolean", "must be a string, a number or a boolean")
        return ""

    def _refuse(self, name: str, rule: str, text: str) -> None:
        self.problems[name] = {rule: f"{name} {text}"}


def read_body_of(request: HttpRequest) -> Body:
    """The request's JSON object.

    :raises LedgerBeeError: if it is none, or is not said to be one
    :raises BodyRefused: if it is too large, or incomplete
    """
    text = read_body(request)
    if (request.content_type or "").lower() != _JSON:
        raise LedgerBeeError(f"The request's content type must be {_JSON}.", status=415, code="UNSUPPORTED_MEDIA_TYPE")
    try:
        values = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise invalid({"": {"isJson": "the body must be valid JSON"}}) from error
    if not isinstance(values, dict):
        raise invalid({"": {"isObject": "the body must be a JSON object"}})
    return Body(values)


def _is_number(value: Any) -> "TypeGuard[int | Decimal]":
    # A boolean is an int to Python.
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)
