"""What annotations and fields of models promise, as JSON schemas; and what an expression can be beside a schema."""

import dataclasses
import typing
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import FunctionType, NoneType, UnionType
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from django.contrib.postgres.fields import ArrayField
from django.db import models

from billing_project.api.common.openapi.structs import Schema
from core.fields import ExactDecimalField, WholeNumberField

ANY: Schema = {}
NULL: Schema = {"type": "null"}
STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
BOOLEAN: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
ARRAY: Schema = {"type": "array"}
NOTHING_LISTED: Schema = {"type": "array", "maxItems": 0}

# What an expression is: a JSON value by its schema (also a struct, or what stands for a component), or an object of ours.
Found: TypeAlias = Any

OF_TYPES: dict[Any, Schema] = {
    str: STRING,
    int: INTEGER,
    bool: BOOLEAN,
    Decimal: {"type": "number"},
    UUID: STRING,
    NoneType: NULL,
}


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class of ours, which no answer holds as it is."""

    of: type


@dataclass(frozen=True, slots=True)
class OneOf:
    """An object of one of some classes."""

    options: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Many:
    """A collection of such objects, to be gone through."""

    of: Found


def either(*schemas: Found) -> Found:
    """One of them."""
    found: list[Found] = []
    for schema in schemas:
        options = schema["anyOf"] if isinstance(schema, dict) and set(schema) == {"anyOf"} else [schema]
        found += [option for option in options if option not in found]
    if any(option == ANY for option in found) or not found:
        return ANY
    return found[0] if len(found) == 1 else {"anyOf": found}


def hints_of(function: FunctionType | type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        # Imported for type checkers alone.
        return {}


def has_fields(kind: type) -> bool:
    """Whether objects of a class hold what it says, and no more: rows, dataclasses, named tuples, structs."""
    return (
        issubclass(kind, models.Model | msgspec.Struct)
        or dataclasses.is_dataclass(kind)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
        or typing.is_typeddict(kind)
    )


def held_by(kind: Any) -> Found:
    """What a name or a field of an annotation holds, objects of ours among it."""
    if isinstance(kind, type) and has_fields(kind) and not issubclass(kind, msgspec.Struct):
        return Instance(kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in _COLLECTIONS and inner:
        found = held_by(inner[0])
        return Many(found) if isinstance(found, Instance) else schema_of_type(kind)
    if origin in {typing.Union, UnionType}:
        # What may be absent is there where something of it is read.
        present = [one for one in inner if one is not NoneType]
        held = [held_by(one) for one in present]
        if len(held) == 1 and isinstance(held[0], Instance | Many):
            return held[0]
        if held and all(isinstance(one, Instance) for one in held):
            return OneOf(tuple(held))
    return schema_of_type(kind)


def has_attribute(kind: type, name: str) -> bool:
    return hasattr(kind, name) or name in hints_of(kind)


def element_of(found: Found) -> Found:
    """What a collection consists of."""
    if isinstance(found, Many):
        return found.of
    return found.get("items", ANY) if isinstance(found, dict) else ANY


_COLLECTIONS = {list, tuple, set, frozenset, Sequence, Iterable, Iterator, Collection}


def schema_of_type(kind: Any) -> Found:  # noqa: PLR0911 (one for each sort of annotation)
    """What an annotation promises."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    if isinstance(kind, type) and issubclass(kind, models.TextChoices):
        return {"type": "string", "enum": list(kind.values)}
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, UnionType}:
        return either(*map(schema_of_type, inner))
    if origin in _COLLECTIONS and origin is not tuple:
        return {"type": "array", "items": schema_of_type(inner[0])}
    if origin in {dict, Mapping} and schema_of_type(inner[1]) != ANY:
        return {"type": "object", "additionalProperties": schema_of_type(inner[1])}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin is typing.Annotated:
        return schema_of_type(inner[0])
    return OBJECT if {origin, kind} & {dict, Mapping} else OF_TYPES.get(kind, ANY)


def schema_of_field(one: Any) -> Found:
    """What a model's field holds, as an answer would say it."""
    if isinstance(one, models.ForeignKey | models.OneToOneField):
        return Instance(typing.cast("type", one.related_model))
    schema: Found = ANY
    if isinstance(one, WholeNumberField | models.IntegerField):
        schema = INTEGER
    elif isinstance(one, ExactDecimalField):
        schema = {"type": "number"}
    elif isinstance(one, models.BooleanField):
        schema = BOOLEAN
    elif isinstance(one, models.CharField | models.TextField):
        values = [value for value, _ in one.flatchoices]
        schema = {"type": "string", "enum": [*values, ""] if one.blank else values} if values else STRING
    elif isinstance(one, ArrayField):
        schema = {"type": "array", "items": schema_of_field(one.base_field)}
    elif isinstance(one, models.JSONField) and one.default in {dict, list}:
        schema = OBJECT if one.default is dict else ARRAY
    return either(schema, NULL) if one.null and schema != ANY else schema


def schema_of_value(value: Any) -> Schema:
    """What a constant of a module is."""
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {
            "type": "object",
            "properties": {name: schema_of_value(one) if one is not None else NULL for name, one in value.items()},
            "required": list(value),
        }
    return OF_TYPES.get(type(value), ANY) if value is not None else ANY


def options_of(schema: Found) -> list[Found]:
    return schema.get("anyOf", [schema]) if isinstance(schema, dict) else [schema]
