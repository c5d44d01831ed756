"""What callers say, in bodies and in queries, and the rules that it is held against."""

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from django.http import HttpRequest

from billing_project.api.common.requests import read_body
from billing_project.api.paymentkit.wire import PaymentKitError
from core.metadata import MetadataChange
from core.money import plain
from usage.events import is_storable

# Numbers with a point or an exponent by their digits; whole ones are exact by themselves.
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_JSON = "application/json"
# In the full, as people and programs write token amounts.
_DECIMAL = re.compile(r"\d{1,30}(\.\d{1,18})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_ELEMENT = re.compile(r"(\[\d{0,4}\])+$", re.ASCII)
# What an order may be, however its parts are joined: ``created_at:ASC``, ``created_at desc``, ``created_at,ASC``.
_ORDER = re.compile(r"created_at(?:[\s:,.]+(asc|desc))?", re.ASCII | re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of a caller's objects, as JSON.
_MOST_BYTES = 16 * 1024
_TEXT_LENGTH = 500
_BOOLEANS = {True: True, False: False, "true": True, "false": False}


class Fields:
    """Values by their names, taken out one by one. The first that breaks a rule is refused by its name.

    A value that is null is one that is not given.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def says(self, name: str) -> bool:
        """Whether a value is given, be it null."""
        return name in self._values

    def text(self, name: str, *, most: int = _TEXT_LENGTH, required: bool = False, blank: bool = False) -> str:
        """A text; empty if there is none."""
        value = self._required(name) if required else self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._refusal(name, "must be a string")
        if not value.strip() and (required or not blank):
            raise self._refusal(name, "is not allowed to be empty")
        if len(value) > most:
            raise self._refusal(name, f"length must be less than or equal to {most} characters long")
        if not is_storable(value):
            raise self._refusal(name, "must not contain NUL characters")
        return value

    def decimal(self, name: str) -> Decimal:
        """A number that is not negative, in full, as text or as a number."""
        value = self._required(name)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            small = abs(Decimal(value).adjusted()) < 40  # noqa: PLR2004 (more than any amount has)
            value = plain(Decimal(value)) if small else ""
        if not isinstance(value, str) or _DECIMAL.fullmatch(value.strip()) is None:
            raise self._refusal(name, "must be a decimal number, not negative, with at most 18 decimal places")
        return Decimal(value.strip())

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._refusal(name, "must be an integer")
        if not least <= value <= most:
            raise self._refusal(name, f"must be between {least} and {most}")
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean, as JSON or as a query writes it; None if there is none."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, (bool, str)) or value not in _BOOLEANS:
            raise self._refusal(name, "must be a boolean")
        return _BOOLEANS[value]

    def choice(self, name: str, among: Collection[str], *, required: bool = False) -> str:
        """One of the values; empty if there is none."""
        value = self.text(name, required=required)
        if value and value not in among:
            raise self._refusal(name, f"must be one of [{', '.join(among)}]")
        return value

    def is_word(self, name: str, word: str) -> bool:
        """Whether a value of several kinds is this word."""
        return bool(self._values.get(name) == word)

    def choices(self, name: str, among: Collection[str]) -> list[str]:
        """Values between commas."""
        values = [value.strip() for value in self.text(name, blank=True).split(",") if value.strip()]
        if any(value not in among for value in values):
            raise self._refusal(name, f"must be of [{', '.join(among)}]")
        return values

    def items(self, name: str, *, most: int) -> list[str]:
        """A list of texts; empty if there is none."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most or not all(isinstance(text, str) for text in value):
            raise self._refusal(name, f"must be an array of at most {most} strings")
        return value

    def inners(self, name: str, *, most: int) -> "list[Fields]":
        """The fields of each object of a list; empty if there is none."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most or not all(isinstance(entry, dict) for entry in value):
            raise self._refusal(name, f"must be an array of at most {most} objects")
        return [Fields(entry, f"{self._path}{name}[{place}].") for place, entry in enumerate(value)]

    def below(self, prefix: str) -> dict[str, str]:
        """The texts whose names begin so, by what follows: ``metadata.plan`` is ``plan`` below ``metadata.``."""
        names = [name for name in self._values if name.startswith(prefix) and len(name) > len(prefix)]
        if any(not is_storable(name) for name in names):
            raise self._refusal(prefix[:-1], "must not contain NUL characters")
        return {name.removeprefix(prefix): self.text(name) for name in names}

    def refuse_given(self, names: Collection[str], why: str) -> None:
        """Refuse what says something that would not be done. What is empty or zero says nothing."""
        for name in names:
            if self._values.get(name) not in (None, "", "0", 0, [], {}):
                raise self._refusal(name, why)

    def instant(self, name: str) -> datetime | None:
        """Unix seconds; zero is none, as the vendor's clients have it."""
        value = self.whole(name, default=0, least=0, most=253_402_300_799)
        return _EPOCH + timedelta(seconds=value) if value else None

    def oldest_first(self, name: str) -> bool:
        """Whether an order asks for what was made first. Without a direction it does, as in SQL; without an order it does not."""
        said = self.text(name)
        if not said:
            return False
        order = _ORDER.fullmatch(said.strip())
        if order is None:
            raise self._refusal(name, "must be created_at, with ASC or DESC")
        return (order[1] or "asc").lower() == "asc"

    def object(self, name: str) -> dict[str, Any] | None:
        """A JSON object that is kept as it is."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._refusal(name, "must be of type object")
        kept: dict[str, Any] | None = self._kept(name, value)
        return kept

    def object_or_list(self, name: str) -> Any:
        """A JSON object, or a list of such, that is kept as it is; None if there is none."""
        value = self._values.get(name)
        is_list = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        if value is not None and not isinstance(value, dict) and not is_list:
            raise self._refusal(name, "must be of type object, or an array of objects")
        return self._kept(name, value)

    def _kept(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        text = _ENCODER.encode(value)
        if len(text) > _MOST_BYTES or rb"\u0000" in text:
            raise self._refusal(name, f"must have at most {_MOST_BYTES} bytes, without NUL characters")
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise self._refusal(name, "has a number that cannot be kept") from error

    def texts(self, name: str) -> MetadataChange | None:
        """A hash of texts that replaces what was there. What is no text is kept as its JSON."""
        found = self.object(name)
        if found is None:
            return None
        entries = {}
        for key, value in found.items():
            text = value if isinstance(value, str) else _ENCODER.encode(value).decode()
            if not 0 < len(key) <= 40 or len(text) > _TEXT_LENGTH:  # noqa: PLR2004 (what metadata has in all dialects)
                raise self._refusal(f"{name}.{key[:40]}", "must have a name of 1 to 40 and at most 500 characters")
            entries[key] = text
        return MetadataChange(entries, clear=True)

    def inner(self, name: str, *, required: bool = False) -> "Fields":
        """The fields of an object."""
        value = self._required(name) if required else self._values.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._refusal(name, "must be of type object")
        return Fields(value, f"{self._path}{name}.")

    def refuse(self, name: str, text: str) -> PaymentKitError:
        """The refusal of one of the values."""
        return self._refusal(name, text)

    def _required(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None:
            raise self._refusal(name, "is required")
        return value

    def _refusal(self, name: str, text: str) -> PaymentKitError:
        return PaymentKitError(f'"{self._path}{name}" {text}')


def read_body_of(request: HttpRequest) -> Fields:
    """The request's JSON object. One without a body is an empty one, whatever its type is said to be.

    :raises PaymentKitError: if it is no JSON object, or not said to be one
    :raises BodyRefused: if it is too large, or incomplete
    """
    text = read_body(request)
    if not text.strip():
        return Fields({})
    if (request.content_type or "").lower() != _JSON:
        raise PaymentKitError(f"The request's content type must be {_JSON}.")
    try:
        values = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidOperation, RecursionError) as error:
        raise PaymentKitError("The body must be valid JSON.") from error
    if not isinstance(values, dict):
        raise PaymentKitError("The body must be a JSON object.")
    return Fields(values)


def read_query_of(request: HttpRequest) -> Fields:
    """The values of the request's address. What is empty is not given.

    The client writes an array as ``status[0]=granted&status[1]=pending``, which means the same as ``status=granted,pending``,
    and one within another as ``order[0][0]=created_at&order[0][1]=ASC``.
    """
    values: dict[str, Any] = {}
    for spelled, value in request.GET.items():
        if not value:
            continue
        name = _ELEMENT.sub("", spelled)
        values[name] = f"{values[name]},{value}" if name != spelled and name in values else value
    return Fields(values)
