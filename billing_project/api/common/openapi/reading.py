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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, SimpleNamespace
from typing import Any, TypeAlias

import msgspec
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from billing_project.api.common.openapi.promises import (
    ANY,
    ARRAY,
    BOOLEAN,
    INTEGER,
    NOTHING_LISTED,
    NULL,
    OBJECT,
    OF_TYPES,
    STRING,
    Found,
    Instance,
    Many,
    OneOf,
    either,
    element_of,
    has_attribute,
    has_fields,
    held_by,
    hints_of,
    options_of,
    schema_of_field,
    schema_of_value,
)
from billing_project.api.common.openapi.structs import Schema

Special: TypeAlias = Callable[["Reading", ast.Call], Found]

_OF_BUILTINS: dict[Any, Schema] = {
    str: STRING, int: INTEGER, len: INTEGER, bool: BOOLEAN, dict: OBJECT, list: ARRAY, sorted: ARRAY
}  # fmt: skip
_OF_METHODS = {**dict.fromkeys(["isoformat", "lower", "upper", "join", "strip", "hex"], STRING), "count": INTEGER}


@dataclass(frozen=True, slots=True)
class Omitted:
    """What an object holds only where a caller asks for it."""

    of: Found


@dataclass(frozen=True)
class Words:
    """What a dialect has of its own.

    :ivar functions: what calls of its functions come to
    :ivar methods: what calls of its views' methods come to
    :ivar attributes: what others' objects hold, as it is spelled: ``self.request.path``
    :ivar hashes: what objects of the caller's own making hold, by the names of their properties
    """

    functions: Mapping[Any, Special] = field(default_factory=dict)
    methods: Mapping[str, Special] = field(default_factory=dict)
    attributes: Mapping[str, Schema] = field(default_factory=dict)
    hashes: Mapping[str, Schema] = field(default_factory=dict)


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
        for name, kind in hints_of(self.function).items():
            if name != "return":
                self._names[name] = held_by(kind)
        if self.owner is not None and self.tree.args.args:
            self._names[self.tree.args.args[0].arg] = Instance(self.owner)

    def _read_assignments(self) -> None:
        seen: dict[str, list[Found]] = {}
        for node in _own(self.tree, ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.For):
            for name, found in self._given_by(node):
                seen.setdefault(name, []).append(found)
                # Of what is said later the next lines may know.
                self._names[name] = found
        for name, given in seen.items():
            self._names[name] = given[0] if len(given) == 1 else either(*map(_json, given))
        for node in _own(self.tree, ast.AugAssign):
            if isinstance(node.target, ast.Name):
                whole = _without_value(self._names.get(node.target.id, ANY))
                # What is added may make something else of it.
                self._names[node.target.id] = whole if whole == _without_value(self.look(node.value)) else ANY
        for node in _own(self.tree, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                    name = target.value.id
                    self._names[name] = _changed(self._names.get(name, ANY), target.slice, _json(self.look(node.value)))

    def _given_by(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.For) -> Iterator[tuple[str, Found]]:
        """The names that a statement gives something to, with what that is."""
        if isinstance(node, ast.For):
            if isinstance(node.target, ast.Name):
                yield node.target.id, element_of(self.look(node.iter))
            return
        for name, value in _pairs(node.targets if isinstance(node, ast.Assign) else [node.target], node.value):
            found = self.look(value)
            if found in (ANY, OBJECT, ARRAY) and isinstance(node, ast.AnnAssign):
                found = self._annotated(node)
            # What begins empty may be filled by the lines below.
            yield name, ARRAY if found == NOTHING_LISTED else found

    def _annotated(self, node: ast.AnnAssign) -> Found:
        """What the annotation of a name says."""
        holder = SimpleNamespace(__annotations__={"name": ast.unparse(node.annotation)})
        try:
            return held_by(typing.get_type_hints(holder, self.function.__globals__)["name"])
        except NameError:
            return ANY

    def _promised(self) -> Found | None:
        """What the annotation says, where it says more than "a dict"."""
        held = held_by(hints_of(self.function).get("return"))
        # It says what is embedded, and not in what.
        if element_of(held) in self._specials() or held in self._specials():
            return None
        # A list of dicts says no more than "a dict" does.
        if held == ANY or any(OBJECT in (option, element_of(option)) for option in options_of(held)):
            return None
        return held

    def _specials(self) -> list[Instance]:
        return [Instance(one) for one in self.words.functions if isinstance(one, type)]

    def _look_at_constant(self, node: ast.Constant) -> Found:
        if node.value is None:
            return NULL
        return {**OF_TYPES.get(type(node.value), ANY), "const": node.value}

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
        return schema_of_value(self.value(node))

    def _look_at_attribute(self, node: ast.Attribute) -> Found:
        known = self.words.attributes.get(ast.unparse(node))
        if known is not None:
            return known
        base = self.look(node.value)
        if isinstance(base, OneOf):
            there = [one for one in base.options if has_attribute(one.of, node.attr)]
            held = [self._attribute(one.of, node.attr) for one in there]
            # All of them lead to the same model.
            if held and isinstance(held[0], Instance) and all(one == held[0] for one in held):
                return held[0]
            return either(*map(_json, held))
        if isinstance(base, Instance | type):
            return self._attribute(base.of if isinstance(base, Instance) else base, node.attr)
        # A member of an enumeration is a text already.
        return base if node.attr == "value" and isinstance(base, dict) and "enum" in base else ANY

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
                found = self.words.hashes.get(key.value, found) if found == OBJECT else found
                properties[key.value] = found.of if isinstance(found, Omitted) else found
                if not isinstance(found, Omitted):
                    required.append(key.value)
        # A key that only the program knows may be any of them.
        if any(key is not None and not isinstance(key, ast.Constant) for key in node.keys):
            return OBJECT
        if not properties:
            return OBJECT
        return {"type": "object", "properties": properties, "required": list(dict.fromkeys(required))}

    def _look_at_binop(self, node: ast.BinOp) -> Found:
        left, right = self.look(node.left), self.look(node.right)
        if not isinstance(node.op, ast.BitOr | ast.Div) and _without_value(left) == _without_value(right) == INTEGER:
            return INTEGER
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
        if isinstance(base, Instance) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            return self._attribute(base.of, node.slice.value)
        if isinstance(base, dict) and base.get("properties") and not isinstance(node.slice, ast.Constant | ast.Slice):
            # A table, of which any entry may be meant.
            return either(*base["properties"].values())
        return base if isinstance(node.slice, ast.Slice) else element_of(base)

    def _look_at_list(self, node: ast.List) -> Found:
        if not node.elts:
            return NOTHING_LISTED
        return {"type": "array", "items": either(*[_json(self.look(item)) for item in node.elts])}

    def _look_at_listcomp(self, node: ast.ListComp) -> Found:
        with self._going_through(node.generators):
            found = self.look(node.elt)
        return Many(found) if isinstance(found, Instance) else {"type": "array", "items": _json(found)}

    def _gone_through(self, node: ast.expr) -> Found:
        """An element of what is gone through; of the items of a hash, both parts."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "items":
            base = self.look(node.func.value)
            return STRING, base.get("additionalProperties", ANY) if isinstance(base, dict) else ANY
        return element_of(self.look(node))

    def _look_at_dictcomp(self, node: ast.DictComp) -> Found:
        with self._going_through(node.generators):
            return {"type": "object", "additionalProperties": _json(self.look(node.value))}

    @contextmanager
    def _going_through(self, generators: Sequence[ast.comprehension]) -> Iterator[None]:
        """Know what stands for an element within."""
        before = dict(self._names)
        for generator in generators:
            held = self._gone_through(generator.iter)
            for name in ast.walk(generator.target):
                if isinstance(name, ast.Name):
                    self._names[name.id] = held if name is generator.target else ANY
            if isinstance(generator.target, ast.Tuple) and isinstance(held, tuple):
                for one, part in zip(generator.target.elts, held, strict=True):
                    if isinstance(one, ast.Name):
                        self._names[one.id] = part
        yield
        self._names = before

    def _has_inner(self, name: str) -> bool:
        return any(isinstance(node, ast.FunctionDef) and node.name == name for node in self.tree.body)

    def inner(self, name: str) -> Found:
        """What a function within the function returns."""
        within = [node for node in self.tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
        for function in within:
            for node in _own(function, ast.Assign):
                self._names.update(self._given_by(node))
        returned = [node.value for function in within for node in _own(function, ast.Return) if node.value is not None]
        # It may stand in a block of its own.
        return either(*[_json(self.look(value)) for value in returned])

    def _look_at_call(self, node: ast.Call) -> Found:
        if isinstance(node.func, ast.Attribute):
            base = self.look(node.func.value)
            if isinstance(base, Instance):
                return self._method(base.of, node)
            hashes = [option for option in options_of(base) if isinstance(option, dict)]
            values = [one["additionalProperties"] for one in hashes if "additionalProperties" in one]
            if node.func.attr == "get" and values:
                return either(*values, NULL)
        if isinstance(node.func, ast.Name) and self._has_inner(node.func.id):
            return self.inner(node.func.id)
        return self._called(node)

    def _called(self, node: ast.Call) -> Found:
        called = self.value(node.func)
        if isinstance(called, type) and called not in {*self.words.functions, *_OF_BUILTINS}:
            return called if issubclass(called, msgspec.Struct) else Instance(called)
        plain = getattr(called, "__func__", called)
        if plain is None or not callable(plain):
            return _OF_METHODS.get(node.func.attr, ANY) if isinstance(node.func, ast.Attribute) else ANY
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
                return schema_of_field(owner._meta.get_field(name))  # noqa: SLF001 (Django documents it)
            except FieldDoesNotExist:
                pass
        there = inspect.getattr_static(owner, name, None)
        if isinstance(there, property) and there.fget is not None:
            return held_by(hints_of(typing.cast("FunctionType", there.fget)).get("return"))
        return held_by(hints_of(owner).get(name)) if has_fields(owner) else ANY


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


def _pairs(targets: Iterable[ast.expr], value: ast.expr | None) -> Iterator[tuple[str, ast.expr]]:
    """The names that an assignment gives something to, with what that is."""
    for target in targets:
        if isinstance(target, ast.Name) and value is not None:
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, part in zip(target.elts, value.elts, strict=True):
                yield from _pairs([one], part)


def _changed(found: Found, key: ast.expr, value: Found) -> Found:
    """A dict of which a key is set later, maybe."""
    if not isinstance(found, dict) or "properties" not in found:
        return found
    if not isinstance(key, ast.Constant):
        return OBJECT
    before = [found["properties"][key.value]] if key.value in found["properties"] else []
    return {**found, "properties": {**found["properties"], key.value: either(value, *before)}}


def _json(found: Found) -> Found:
    """As a part of an answer: what is an object of ours there is any value."""
    return ANY if isinstance(found, Instance | Many | OneOf) else found


def _without_value(schema: Found) -> Found:
    return {name: value for name, value in schema.items() if name != "const"} if isinstance(schema, dict) else schema
