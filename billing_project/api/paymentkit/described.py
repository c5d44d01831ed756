"""How calls of this dialect are described: what they take from where they read it, what they answer from their shapes.

Views take values out of bodies and queries one by one, by name and by rule (:class:`Fields`). Each such line is read here
for what it takes; a value that is read on some ways only is none that must be there.
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, cast

from rest_framework.viewsets import ViewSetMixin

from billing_project.api.common.openapi.promises import BOOLEAN, INTEGER, NULL, OBJECT, STRING, Found, either
from billing_project.api.common.openapi.reading import Reading, Words, answer_of, body_of, function_of
from billing_project.api.common.openapi.structs import Schema, ViewSchema
from billing_project.api.paymentkit.wire import json_response

_OURS = "billing_project."
_PLACES = re.compile(r"\{(\w+)\}")
_ACTS = {"list": "list", "create": "create", "retrieve": "retrieve", "update": "update", "destroy": "delete"}
_TEXT_LENGTH = 500


@dataclass
class Taken:
    """The values that are taken out of an object, by name."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)

    def schema(self) -> Schema:
        """What is not listed is let pass, and what is null is not given."""
        found = {name: one() if callable(one) else one for name, one in self.properties.items()}
        schema: Schema = {
            "type": "object",
            "properties": {name: one if name in self.required else either(one, NULL) for name, one in found.items()},
        }
        return schema | ({"required": sorted(self.required)} if self.required else {})


class _Call:
    """All that one call reads.

    :ivar query: of its address
    :ivar body: of its body
    """

    def __init__(self, owner: type) -> None:
        self.query, self.body = Taken(), Taken()
        self._owner = owner
        self._seen: set[tuple[FunctionType, tuple[int, ...]]] = set()

    def read(self, function: FunctionType, bound: dict[str, Taken], *, sure: bool) -> None:
        """Follow a function.

        :param bound: what its parameters stand for
        :param sure: whether it is called on every way
        """
        seen = (function, tuple(map(id, bound.values())))
        if seen in self._seen or not function.__module__.startswith(_OURS):
            return
        self._seen.add(seen)
        for node, certain in _in_order(body_of(function).body, sure=sure):
            if isinstance(node, ast.Assign):
                self._bind(node.targets[0], node.value, bound)
            elif isinstance(node, ast.For | ast.comprehension):
                self._bind(node.target, node.iter, bound)
            elif isinstance(node, ast.Call):
                self._note(node, function, bound, sure=certain)

    def _bind(self, target: ast.expr, value: ast.expr, bound: dict[str, Taken]) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, of in zip(target.elts, value.elts, strict=False):
                self._bind(one, of, bound)
        elif isinstance(target, ast.Name) and (source := self._source(value, bound)):
            bound[target.id] = source

    def _source(self, node: ast.expr, bound: dict[str, Taken]) -> Taken | None:
        if isinstance(node, ast.Name):
            return bound.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return {"query": self.query, "body": self.body}.get(node.attr)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"inner", "inners"}
        ):
            outer = self._source(node.func.value, bound)
            return self._within(outer, node) if outer else None
        return None

    @staticmethod
    def _within(outer: Taken, node: ast.Call) -> Taken | None:
        name = _text(node)
        if name is None:
            return None
        known = getattr(outer.properties.get(name), "__self__", None)
        if isinstance(known, Taken):
            return known
        found = Taken()
        is_list = cast("ast.Attribute", node.func).attr == "inners"
        outer.properties[name] = _ListOf(found) if is_list else found.schema
        return found

    def _note(self, node: ast.Call, function: FunctionType, bound: dict[str, Taken], *, sure: bool) -> None:
        if isinstance(node.func, ast.Attribute) and (source := self._source(node.func.value, bound)) is not None:
            self._take(source, node, function, sure=sure)
            return
        reading = Reading(function, WORDS, self._owner)
        method = (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "self"
        )
        called = function_of(
            getattr(self._owner, cast("ast.Attribute", node.func).attr, None) if method else reading.value(node.func)
        )
        if called is None:
            return
        names = list(inspect.signature(called).parameters)[1 if method else 0 :]
        given = [*zip(names, node.args, strict=False), *((word.arg or "", word.value) for word in node.keywords)]
        inner = {name: source for name, value in given if (source := self._source(value, bound)) is not None}
        if inner or method:
            self.read(called, inner, sure=sure)

    def _take(self, source: Taken, node: ast.Call, function: FunctionType, *, sure: bool) -> None:
        reader, name = cast("ast.Attribute", node.func).attr, _text(node)
        if name is None:
            return
        said = {word.arg: word.value for word in node.keywords}
        must = isinstance(said.get("required"), ast.Constant) and cast("ast.Constant", said["required"]).value is True
        if reader in {"inner", "inners"}:
            self._within(source, node)
        elif reader in _RULES:
            reading = Reading(function, WORDS, self._owner)
            schema = _RULES[reader](lambda key: _known(reading, said.get(key)), node, reading)
            there = source.properties.get(name)
            source.properties[name] = either(there, schema) if isinstance(there, dict) else schema
        else:
            return
        if sure and (must or reader == "decimal"):
            source.required.add(name)


class _ListOf:
    """Objects of one sort in a list."""

    def __init__(self, inner: Taken) -> None:
        self.__self__ = inner

    def __call__(self) -> Schema:
        return {"type": "array", "items": self.__self__.schema()}


def _known(reading: Reading, node: ast.expr | None) -> Any:
    """The value of an argument that is a constant, be it one with a name."""
    if isinstance(node, ast.Constant):
        return node.value
    return None if node is None else reading.value(node)


def _text(node: ast.Call) -> str | None:
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _text_schema(said: Callable[[str], Any], *_: Any) -> Schema:
    most = said("most")
    return {"type": "string", "maxLength": most if isinstance(most, int) else _TEXT_LENGTH}


def _whole_schema(said: Callable[[str], Any], *_: Any) -> Schema:
    bounds = {"minimum": said("least"), "maximum": said("most"), "default": said("default")}
    return {"type": "integer", **{name: value for name, value in bounds.items() if isinstance(value, int)}}


def _choice_schema(_: Callable[[str], Any], node: ast.Call, reading: Reading) -> Schema:
    among = node.args[1] if node.args[1:] else None
    if isinstance(among, ast.List | ast.Tuple | ast.Set):
        values: Any = [one.value for one in among.elts if isinstance(one, ast.Constant)]
    else:
        values = reading.value(among) if among is not None else None
    return {"type": "string", "enum": [*values]} if values else STRING


_RULES: dict[str, Callable[[Callable[[str], Any], ast.Call, Reading], Schema]] = {
    "text": _text_schema,
    "decimal": lambda *_: either(
        {"type": "string", "pattern": r"^\s*\d{1,30}(\.\d{1,18})?\s*$"}, {"type": "number", "minimum": 0}
    ),
    "whole": _whole_schema,
    "flag": lambda *_: BOOLEAN,
    "is_word": lambda *_: STRING,
    "choice": _choice_schema,
    "choices": lambda *_: {"type": "string", "description": "Several, with commas between them."},
    "items": lambda *_: {"type": "array", "items": STRING},
    "instant": lambda *_: {**INTEGER, "minimum": 0, "description": "Unix time in seconds."},
    "oldest_first": lambda *_: {"type": "string", "description": "`created_at:ASC` or `created_at:DESC`."},
    "object": lambda *_: OBJECT,
    "object_or_list": lambda *_: either(OBJECT, {"type": "array", "items": OBJECT}),
    "texts": lambda *_: OBJECT,
}


def _in_order(nodes: list[Any], *, sure: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All that is within, what is on every way apart from what is on some only."""
    for node in nodes:
        yield node, sure
        for name, inner in ast.iter_fields(node):
            children = [
                child for child in (inner if isinstance(inner, list) else [inner]) if isinstance(child, ast.AST)
            ]
            always = name in {"test", "iter"} or not isinstance(node, _FORKS)
            yield from _in_order(children, sure=sure and always)


_FORKS = (
    ast.If, ast.IfExp, ast.For, ast.While, ast.BoolOp, ast.Try, ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.Lambda,
)  # fmt: skip


def _listed(reading: Reading, node: ast.Call) -> Found:
    shapes = node.args[1]
    written = (
        reading.look(shapes.body) if isinstance(shapes, ast.Lambda) else reading.returned_by(reading.value(shapes))
    )
    return {
        "type": "object",
        "properties": {
            "count": INTEGER,
            "list": written,
            "paging": {
                "type": "object",
                "properties": {"page": INTEGER, "pageSize": INTEGER},
                "required": ["page", "pageSize"],
            },
        },
        "required": ["count", "list", "paging"],
    }


WORDS = Words(
    functions={json_response: lambda reading, node: reading.look(node.args[0])},
    methods={"listed": _listed},
)


class PaymentKitSchema(ViewSchema):
    """Describes the actions of viewsets."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> Schema | None:  # fmt: skip
        owner, action = type(self.view), cast("ViewSetMixin", self.view).action
        handler = function_of(getattr(owner, action))
        if handler is None:
            return None
        call = _Call(owner)
        # Every call says a mode.
        call.query.properties["livemode"] = BOOLEAN
        call.read(handler, {}, sure=True)
        resource = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", owner.__name__.removesuffix("ViewSet")).lower()
        plural = f"{resource.removesuffix('y')}ies" if resource.endswith("y") else f"{resource}s"
        act = _ACTS.get(action, action.replace("_", " "))
        of = plural if action == "list" else resource if action in _ACTS or method != "GET" else f"of {plural}"
        operation: Schema = {
            "operationId": re.sub(r" (\w)", lambda found: found[1].upper(), f"{act} {of}"),
            "tags": [plural.capitalize()],
            "summary": f"{act} {of}".capitalize(),
            "description": inspect.getdoc(handler) or "",
            "parameters": [*_in_path(path), *_in_query(call.query)],
            "responses": {
                "200": {
                    "description": "Found." if method == "GET" else "Done.",
                    "content": {"application/json": {"schema": answer_of(handler, WORDS, owner) or OBJECT}},
                }
            },
        }
        if method != "GET":
            schema = call.body.schema()
            operation["requestBody"] = {
                "required": "required" in schema,
                "content": {"application/json": {"schema": schema}},
            }
        return operation


def _in_path(path: str) -> list[Schema]:
    text = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": text} for name in _PLACES.findall(path)]


def _in_query(taken: Taken) -> list[Schema]:
    return [
        {"name": name, "in": "query", "required": name in taken.required, "schema": one() if callable(one) else one}
        for name, one in taken.properties.items()
    ]
