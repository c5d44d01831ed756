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
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from operations_of(pattern.url_patterns, path)
        elif operations := getattr(pattern.callback, _OPERATIONS, None):
            yield _CONVERTER.sub(r"{\1}", path), operations
