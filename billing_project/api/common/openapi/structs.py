"""msgspec's structs as components of a document."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import Direction

Schema: TypeAlias = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Named:
    """A component of a document, made when it is referred to."""

    name: str
    make: Callable[[], Any] = field(compare=False)


def reference_to(struct: type[msgspec.Struct]) -> Schema:
    return {"$ref": _REFERENCE.format(name=struct.__name__)}


def components_of(struct: type[msgspec.Struct]) -> dict[str, Schema]:
    """A struct's schema and those of all that are in it, by their names."""
    _, components = msgspec.json.schema_components([struct], ref_template=_REFERENCE)
    for schema in components.values():
        # These are answers, in which a default is written like any other value; what is left out at times is UNSET.
        defaulted = {name for name, inner in schema["properties"].items() if "default" in inner}
        always = defaulted.union(schema["required"])
        schema["required"] = [name for name in schema["properties"] if name in always]
        schema.pop("title", None)
    found: dict[str, Schema] = _with_numbers(components)
    return found


def _with_numbers(tree: Any) -> Any:
    """Decimals as answers write them: as numbers, digit by digit. What msgspec says of them no annotation can change."""
    if isinstance(tree, dict):
        if tree.get("format") == "decimal":
            return {**{name: value for name, value in tree.items() if name != "format"}, "type": "number"}
        return {name: _with_numbers(inner) for name, inner in tree.items()}
    return [_with_numbers(inner) for inner in tree] if isinstance(tree, list) else tree


def request_of(struct: type[msgspec.Struct]) -> Schema:
    """A struct's schema as requests have it, where what has a default may be left out; with all that is in it."""
    [schema], components = msgspec.json.schema_components([struct], ref_template="{name}")

    def whole(tree: Any) -> Any:
        if isinstance(tree, dict):
            if "$ref" in tree:
                return whole(components[tree["$ref"]])
            return {name: whole(inner) for name, inner in tree.items()}
        return [whole(inner) for inner in tree] if isinstance(tree, list) else tree

    found: Schema = whole(schema)
    return found


def without_structs(tree: Any, components: dict[str, Schema]) -> Any:
    """A description with a reference in place of each struct and named component in it.

    :param components: what is referred to is added here
    """
    if isinstance(tree, type) and issubclass(tree, msgspec.Struct):
        components.update(components_of(tree))
        return reference_to(tree)
    if isinstance(tree, Named):
        if tree.name not in components:
            # There before it is made: it may refer to itself.
            components[tree.name] = {}
            components[tree.name] = without_structs(tree.make(), components)
        return {"$ref": _REFERENCE.format(name=tree.name)}
    if isinstance(tree, Mapping):
        return {name: without_structs(inner, components) for name, inner in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [without_structs(inner, components) for inner in tree]
    return tree


class StructExtension(OpenApiSerializerExtension):
    """Has drf-spectacular take a struct where it would take a serializer."""

    target_class = "msgspec.Struct"
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return str(self.target.__name__)

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        components = components_of(self.target)
        own = components.pop(self.target.__name__)
        for name, schema in components.items():
            part = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=schema)
            auto_schema.registry.register_on_missing(part)
        return own


class ViewSchema(AutoSchema):
    """How a viewset's actions are described: who may call is the same for a whole dialect and said with it."""

    def get_auth(self) -> list[Any]:
        return []
