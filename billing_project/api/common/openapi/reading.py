"""What our own functions answer, as JSON schemas: read from the code that answers, so that nothing is said twice.

Shapes are written as plain dicts, field by field: ``{"created": timestamp(row.created_at), "name": row.name or None}``. The
keys are there to be read, and most values say what they are: constants, fields of models, calls of functions that say what
they return. What cannot be told is any value: a document may say too little, never what is not so.
"""

import ast
import builtins
import inspect
import textwrap
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import FunctionType, NoneType, UnionType
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from django.core.exceptions import FieldDoesNotExist
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

# What an object holds only where a caller asks for it.
OMITTED = object()

# What an expression is: a JSON value by its schema (also a struct, or what stands for a component), or an object of ours.
Found: TypeAlias = Any
Special: TypeAlias = Callable[["Reading", ast.Call], Found]

_OF_TYPES: dict[Any, Schema] = {
    str: STRING,
    int: INTEGER,
    bool: BOOLEAN,
    Decimal: {"type": "number"},
    UUID: STRING,
    NoneType: NULL,
}
_OF_BUILTINS: dict[Any, Schema] = {
    str: STRING, int: INTEGER, len: INTEGER, bool: BOOLEAN, dict: OBJECT, list: ARRAY, sorted: ARRAY
}  # fmt: skip
_TEXT_METHODS = {"isoformat", "lower", "upper", "join", "strip", "hex"}


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class of ours, which no answer holds as it is."""

    of: type


@dataclass(frozen=True)
class Words:
    """What a dialect has of its own: what calls of its functions, and of its views' methods, come to."""

    functions: Mapping[Any, Special] = field(default_factory=dict)
    methods: Mapping[str, Special] = field(default_factory=dict)
    package: str = "billing_project"


def either(*schemas: Found) -> Found:
    """One of them."""
    found: list[Found] = []
    for schema in schemas:
        options = schema["anyOf"] if isinstance(schema, dict) and set(schema) == {"anyOf"} else [schema]
        found += [option for option in options if option not in found]
    if any(option == ANY for option in found) or not found:
        return ANY
    return found[0] if len(found) == 1 else {"anyOf": found}


def function_of(callable_: Any) -> FunctionType | None:
    """The function behind a method or decorated function."""
    plain = inspect.unwrap(getattr(callable_, "__func__", callable_))
    return plain if isinstance(plain, FunctionType) else None


def body_of(function: FunctionType) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise TypeError(f"{function.__qualname__} is no plain function")
    return tree


class Reading:
    """The reading of one function.

    :ivar owner: the class whose method it is read as
    """

    def __init__(
        self, function: FunctionType, words: Words, owner: type | None = None, above: tuple[FunctionType, ...] = ()
    ) -> None:
        self.function = function
        self.words = words
        self.owner = owner
        self._above = (*above, function)
        self.tree = body_of(function)
        self._names: dict[str, Found] = {}
        self._read_parameters()

    def answer(self) -> Found:
        """What the function returns."""
        promised = self._promised()
        if promised is not None:
            return promised
        self._read_assignments()
        returned = [self.look(node.value) for node in _own(self.tree, ast.Return) if node.value is not None]
        return either(*map(_json, returned)) if returned else ANY

    def look(self, node: ast.expr) -> Found:
        """What an expression of the function is."""
        reader = getattr(self, f"_look_at_{type(node).__name__.lower()}", None)
        return ANY if reader is None else reader(node)

    def value(self, node: ast.expr) -> Any:
        """The object that a name, or a name's attribute, stands for in the function's module; None for all else."""
        if isinstance(node, ast.Name):
            if self.owner is not None and self.tree.args.args and node.id == self.tree.args.args[0].arg:
                return self.owner
            return self.function.__globals__.get(node.id, getattr(builtins, node.id, None))
        if isinstance(node, ast.Attribute):
            return getattr(self.value(node.value), node.attr, None)
        return None

    def returned_by(self, callable_: Any, owner: type | None = None) -> Found:
        """What a function of ours returns."""
        function = function_of(callable_)
        if function is None or function in self._above:
            return ANY
        reading = _reading(function, self.words, owner, self._above)
        return reading.answer() if reading else ANY

    def _read_parameters(self) -> None:
        for name, kind in _hints(self.function).items():
            if isinstance(kind, type) and issubclass(kind, models.Model):
                self._names[name] = Instance(kind)
            elif name != "return":
                self._names[name] = _of_type(kind)
        if self.owner is not None and self.tree.args.args:
            self._names[self.tree.args.args[0].arg] = Instance(self.owner)

    def _read_assignments(self) -> None:
        seen: dict[str, list[Found]] = {}
        for node in _own(self.tree, ast.Assign, ast.AnnAssign, ast.NamedExpr):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name) and node.value is not None:
                    found = self.look(node.value)
                    seen.setdefault(target.id, []).append(found)
                    # Of what is said later the next lines may know.
                    self._names[target.id] = found
        for name, found in seen.items():
            self._names[name] = found[0] if len(found) == 1 else either(*map(_json, found))
        for node in _own(self.tree, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    self._names[target.value.id] = _changed(self._names.get(target.value.id, ANY), target.slice)

    def _promised(self) -> Found | None:
        """What the annotation says, where it says more than "a dict"."""
        kind = _hints(self.function).get("return")
        if isinstance(kind, type) and issubclass(kind, models.Model):
            return Instance(kind)
        schema = _of_type(kind)
        if schema == ANY or OBJECT in _options(schema):
            return None
        return schema

    def _look_at_constant(self, node: ast.Constant) -> Found:
        if node.value is None:
            return NULL
        return {**_OF_TYPES.get(type(node.value), ANY), "const": node.value}

    def _look_at_joinedstr(self, _: ast.JoinedStr) -> Found:
        return STRING

    def _look_at_compare(self, _: ast.Compare) -> Found:
        return BOOLEAN

    def _look_at_unaryop(self, node: ast.UnaryOp) -> Found:
        return BOOLEAN if isinstance(node.op, ast.Not) else _without_value(self.look(node.operand))

    def _look_at_boolop(self, node: ast.BoolOp) -> Found:
        return either(*[_json(self.look(value)) for value in node.values])

    def _look_at_ifexp(self, node: ast.IfExp) -> Found:
        return either(_json(self.look(node.body)), _json(self.look(node.orelse)))

    def _look_at_name(self, node: ast.Name) -> Found:
        if node.id in self._names:
            return self._names[node.id]
        value = self.value(node)
        return _OF_TYPES.get(type(value), ANY) if value is not None else ANY

    def _look_at_attribute(self, node: ast.Attribute) -> Found:
        base = self.look(node.value)
        return self._attribute(base.of, node.attr) if isinstance(base, Instance) else ANY

    def _look_at_dict(self, node: ast.Dict) -> Found:
        properties: dict[str, Found] = {}
        required: list[str] = []
        for key, value in zip(node.keys, node.values, strict=True):
            found = _json(self.look(value))
            if key is None:
                part = found if isinstance(found, dict) else OBJECT
                properties.update(part.get("properties", {}))
                required += part.get("required", [])
            elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                properties[key.value] = ANY if found is OMITTED else found
                if found is not OMITTED:
                    required.append(key.value)
        # A key that only the program knows may be any of them.
        if any(key is not None and not isinstance(key, ast.Constant) for key in node.keys):
            return OBJECT
        if not properties:
            return OBJECT
        return {"type": "object", "properties": properties, "required": list(dict.fromkeys(required))}

    def _look_at_binop(self, node: ast.BinOp) -> Found:
        left, right = self.look(node.left), self.look(node.right)
        if not isinstance(node.op, ast.BitOr) or not isinstance(left, dict) or not isinstance(right, dict):
            return ANY
        if "properties" not in left or "properties" not in right:
            return OBJECT
        return {
            "type": "object",
            "properties": {**left["properties"], **right["properties"]},
            "required": list(dict.fromkeys([*left["required"], *right["required"]])),
        }

    def _look_at_subscript(self, node: ast.Subscript) -> Found:
        base = self.look(node.value)
        return base.get("items", ANY) if isinstance(base, dict) else ANY

    def _look_at_list(self, node: ast.List) -> Found:
        return (
            {"type": "array", "items": either(*[_json(self.look(item)) for item in node.elts])} if node.elts else ARRAY
        )

    def _look_at_listcomp(self, node: ast.ListComp) -> Found:
        return {"type": "array", "items": _json(self.look(node.elt))}

    def _look_at_dictcomp(self, node: ast.DictComp) -> Found:
        return {"type": "object", "additionalProperties": _json(self.look(node.value))}

    def inner(self, name: str) -> Found:
        """What a function within the function returns."""
        within = (node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        returned = [node.value for function in within for node in _own(function, ast.Return) if node.value is not None]
        # It may stand in a block of its own.
        return either(*[_json(self.look(value)) for value in returned])

    def _look_at_call(self, node: ast.Call) -> Found:
        if isinstance(node.func, ast.Attribute):
            base = self.look(node.func.value)
            if isinstance(base, Instance):
                return self._method(base.of, node)
        called = self.value(node.func)
        if isinstance(called, type) and issubclass(called, msgspec.Struct):
            return called
        plain = getattr(called, "__func__", called)
        if plain is None or not callable(plain):
            is_text = isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT_METHODS
            return STRING if is_text else ANY
        if plain in self.words.functions:
            return self.words.functions[plain](self, node)
        owner = getattr(called, "__self__", None)
        return _OF_BUILTINS.get(plain) or self.returned_by(plain, type(owner) if owner is not None else None)

    def _method(self, owner: type, node: ast.Call) -> Found:
        name = typing.cast("ast.Attribute", node.func).attr
        if owner is self.owner and name in self.words.methods:
            return self.words.methods[name](self, node)
        return self.returned_by(getattr(owner, name, None), owner)

    def _attribute(self, owner: type, name: str) -> Found:
        if issubclass(owner, models.Model):
            try:
                return _of_field(owner._meta.get_field(name))  # noqa: SLF001 (Django documents it)
            except FieldDoesNotExist:
                pass
        there = inspect.getattr_static(owner, name, None)
        if isinstance(there, property) and there.fget is not None:
            kind = _hints(typing.cast("FunctionType", there.fget)).get("return")
            return Instance(kind) if isinstance(kind, type) and issubclass(kind, models.Model) else _of_type(kind)
        return ANY


def answer_of(callable_: Any, words: Words, owner: type | None = None) -> Found:
    """What a function of ours returns.

    :param owner: the class whose method it is read as
    """
    function = function_of(callable_)
    reading = _reading(function, words, owner) if function else None
    return reading.answer() if reading else ANY


def _reading(
    function: FunctionType, words: Words, owner: type | None, above: tuple[FunctionType, ...] = ()
) -> Reading | None:
    """The reading of a function whose source is ours."""
    source = inspect.getsourcefile(function) or ""
    if "site-packages" in source:
        return None
    try:
        return Reading(function, words, owner, above)
    except (OSError, TypeError, SyntaxError):
        # Made by a program: a dataclass's method, a lambda.
        return None


def _own(tree: ast.FunctionDef, *kinds: type[ast.AST]) -> typing.Iterator[Any]:
    """Nodes of a function, without those of functions within it, in the order of the text."""
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, kinds):
            yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _hints(function: FunctionType) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        # Imported for type checkers alone.
        return {}


def _of_type(kind: Any) -> Found:
    """What an annotation promises."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, UnionType}:
        return either(*map(_of_type, inner))
    if origin is list:
        return {"type": "array", "items": _of_type(inner[0])}
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin is typing.Annotated:
        return _of_type(inner[0])
    return OBJECT if dict in {origin, kind} else _OF_TYPES.get(kind, ANY)


def _of_field(one: Any) -> Found:
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
    elif isinstance(one, models.JSONField) and one.default is dict:
        schema = OBJECT
    return either(schema, NULL) if one.null and schema != ANY else schema


def _changed(found: Found, key: ast.expr) -> Found:
    """A dict of which a key is set later."""
    if not isinstance(found, dict) or "properties" not in found:
        return found
    if not isinstance(key, ast.Constant):
        return OBJECT
    return {**found, "properties": {**found["properties"], key.value: ANY}}


def _json(found: Found) -> Found:
    """As a part of an answer: what is an object of ours there is any value."""
    return ANY if isinstance(found, Instance) else found


def _options(schema: Found) -> list[Found]:
    return schema.get("anyOf", [schema]) if isinstance(schema, dict) else [schema]


def _without_value(schema: Found) -> Found:
    return {name: value for name, value in schema.items() if name != "const"} if isinstance(schema, dict) else schema
