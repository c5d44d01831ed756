"""Describing plain views by hand."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec
from django.urls import URLPattern, URLResolver

# An Operation Object of OpenAPI, with structs in the place of schemas.
Operation: TypeAlias = Mapping[str, Any]
View = TypeVar("View", bound=Callable[..., Any])

_OPERATIONS = "openapi_operations"
# <str:meter_id> in an address of Django's.
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


def described(**operations: Operation) -> Callable[[View], View]:
    """Say what a plain view takes and answers, by method."""

    return described_by(operations)


def described_by(
    operations: Mapping[str, Operation] | Callable[[str], Mapping[str, Operation]],
) -> Callable[[View], View]:
    """The same with operations by method, or with what makes them of a path."""

    def describe(view: View) -> View:
        setattr(view, _OPERATIONS, operations)
        return view

    return describe


def answer(description: str, shape: type[msgspec.Struct], *, example: Any = None) -> Mapping[str, Any]:
    """A Response Object with a JSON body."""
    media: dict[str, Any] = {"schema": shape}
    if example is not None:
        media["example"] = example
    return {"description": description, "content": {"application/json": media}}


def operations_of(
    patterns: Sequence[URLPattern | URLResolver], prefix: str = "/"
) -> Iterator[tuple[str, Mapping[str, Operation]]]:
    """Path and operations of every plain view that is described."""
    for pattern in patterns:
        # Some are regular expressions, of which these are plain enough.
        path = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from operations_of(pattern.url_patterns, path)
        elif operations := getattr(pattern.callback, _OPERATIONS, None):
            spelled = _CONVERTER.sub(r"{\1}", path)
            yield spelled, operations(spelled) if callable(operations) else operations
