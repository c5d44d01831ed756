"""The document of a dialect: what drf-spectacular finds, what plain views say, and what holds for every call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
from django.urls import URLPattern, URLResolver
from drf_spectacular.generators import SchemaGenerator

from billing_project.api.common.openapi.operations import answer, operations_of
from billing_project.api.common.openapi.structs import Schema, without_structs

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, eq=False)
class Dialect:
    """What is to be known of a dialect beyond its addresses.

    :param name: what its document's address is made of
    :param version: of the vendor's API
    :param patterns: its addresses, from the root
    :param security: Security Scheme Objects by name; any one of them lets a call in
    :param error: the shape of every refusal
    :param refusals: what any call may be refused with: description by status
    :param tags: groups of operations, with a description each
    """

    name: str
    title: str
    description: str
    version: str
    patterns: Sequence[URLPattern | URLResolver]
    security: Mapping[str, Schema]
    error: type[msgspec.Struct]
    refusals: Mapping[int, str]
    tags: Mapping[str, str] = field(default_factory=dict)


@cache
def document(dialect: Dialect) -> Schema:
    """The dialect's OpenAPI document. It is made once and never changed by whoever reads it."""
    found = SchemaGenerator(patterns=dialect.patterns).get_schema(request=None, public=True)
    paths: dict[str, Any] = found["paths"]
    for path, operations in operations_of(dialect.patterns):
        paths.setdefault(path, {}).update(operations)
    security: list[Schema] = [{name: []} for name in dialect.security]
    refusals = {str(status): answer(words, dialect.error) for status, words in dialect.refusals.items()}
    for item in paths.values():
        for method in _METHODS:
            if method in item:
                responses = {**refusals, **item[method]["responses"]}
                item[method] = {**item[method], "security": security, "responses": dict(sorted(responses.items()))}
    components = found.get("components", {})
    schemas: dict[str, Schema] = components.get("schemas", {})
    paths = without_structs(paths, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": dialect.title, "description": dialect.description, "version": dialect.version},
        "tags": [{"name": name, "description": words} for name, words in dialect.tags.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(schemas.items())), "securitySchemes": dict(dialect.security)},
    }
