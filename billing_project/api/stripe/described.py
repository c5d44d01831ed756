"""How calls of this dialect are described: parameters from the fields that check them, answers from the shapes.

Parameters are spelled as on the wire, ``amount[monetary][value]``. Of an array the first element stands for all of them.
"""

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, cast

import msgspec
from msgspec import Raw
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from billing_project.api.common.openapi.operations import answer
from billing_project.api.common.openapi.promises import (
    ANY,
    BOOLEAN,
    INTEGER,
    NULL,
    OBJECT,
    STRING,
    Found,
    Instance,
    either,
)
from billing_project.api.common.openapi.reading import Omitted, Reading, Words, answer_of, function_of
from billing_project.api.common.openapi.structs import Named, Schema, ViewSchema, request_of
from billing_project.api.stripe import fields
from billing_project.api.stripe.kinds import Kind
from billing_project.api.stripe.objects import Embedded, Hidden, Reference, References, Sublist, write, write_all
from billing_project.api.stripe.v2.errors import ErrorEnvelopeByV2
from billing_project.api.stripe.v2.wire import answer_once, read_json
from billing_project.api.stripe.wire import encode, json_response, number, timestamp

FORM = "application/x-www-form-urlencoded"

REFUSALS = {
    400: "A parameter is missing, unknown or wrong, or the state of things does not allow it: `param` names the first.",
    401: "No key, or one that opens nothing or has expired.",
    403: "The key lacks the scope, or the company the license, or the address is not among the key's.",
    404: "No such object within the key's company and mode (`resource_missing`).",
    409: "The same `Idempotency-Key` is at work at this moment. Send the same again.",
    429: "More comes in than can be stored. Send the same again.",
    500: "Something went wrong on our side.",
    503: "The database cannot be reached. Send the same again.",
}

_OURS = "billing_project."
_PLACES = re.compile(r"\{(\w+)\}")
_ACTS = {
    "list": "list",
    "create": "create",
    "retrieve": "retrieve",
    "update": "update",
    "destroy": "delete",
    "show": "show",
}
_IDEMPOTENCY_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 255, "pattern": "^[\\x20-\\x7e]*$"},
    "description": "Under one key the same call is done once, and its answer given again for a day.",
}
_CLEARED: Schema = {"type": "string", "const": ""}
_TEXTS: Schema = {"type": "object", "additionalProperties": STRING}
_INDEX = r"\[\d{0,4}\]"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as it is spelled.

    :ivar pattern: what all spellings of it match, where there are many
    """

    name: str
    schema: Schema
    required: bool
    pattern: str = ""


def parameters_of(params: fields.Params) -> list[Parameter]:
    """All parameters of a hash of them, with those within hashes and arrays."""
    found: dict[str, Parameter] = {}
    for one in _parameters(params, "", "", required=True):
        first = found.get(one.name)
        found[one.name] = replace(first, schema=either(first.schema, one.schema)) if first else one
    return list(found.values())


def _parameters(params: fields.Params, prefix: str, pattern: str, *, required: bool) -> Iterator[Parameter]:
    for name, one in params.get_fields().items():
        spelled = f"{prefix}[{name}]" if prefix else name
        matches = f"{pattern}{re.escape(f'[{name}]')}" if pattern else ""
        yield from _spelled(one, spelled, matches, required=required and bool(one.required))


def _spelled(one: Any, name: str, pattern: str, *, required: bool) -> Iterator[Parameter]:
    """A field under the names that it goes by."""
    if isinstance(one, fields.Params):
        yield from _parameters(one, name, pattern, required=required)
    elif isinstance(one, fields.Array) and isinstance(one.child, fields.Params):
        yield from _parameters(one.child, f"{name}[0]", f"{pattern or re.escape(name)}{_INDEX}", required=required)
    elif isinstance(one, fields.Array):
        schema = {"type": "array", "items": schema_of_field(one.child), "maxItems": one.most}
        yield Parameter(f"{name}[]", schema, required, f"^{pattern or re.escape(name)}{_INDEX}$")
    elif isinstance(one, fields.TextHash):
        keys = rf"\[[^\[\]]{{1,{one.key_length}}}\]"
        yield Parameter(f"{name}[key]", STRING, required=False, pattern=f"^{pattern or re.escape(name)}{keys}$")
    elif isinstance(one, fields.TimeRange):
        for place in (name, *(f"{name}[{bound}]" for bound in ("gt", "gte", "lt", "lte"))):
            yield Parameter(place, schema_of_field(fields.Timestamp()), required=False)
    else:
        schema = schema_of_field(one)
        if isinstance(one.default, str | int | bool):
            schema = {**schema, "default": one.default}
        yield Parameter(name, schema, required, f"^{pattern}$" if pattern else "")
    # The empty text unsets it.
    if getattr(one, "cleared", fields.REFUSED) is not fields.REFUSED:
        yield Parameter(name, _CLEARED, required=False, pattern=f"^{pattern}$" if pattern else "")


def schema_of_field(one: Any) -> Schema:
    """What a field takes."""
    schema: Schema = dict(STRING)
    if isinstance(one, fields.Text):
        schema = {"type": "string", "minLength": 1, "maxLength": one.max_length}
        if one.pattern:
            schema["pattern"] = f"^(?:{one.pattern.pattern})$"
    elif isinstance(one, fields.Integer):
        bounds = {"minimum": one.least, "maximum": one.most}
        schema = {"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}}
    elif isinstance(one, fields.Flag):
        schema = dict(BOOLEAN)
    elif isinstance(one, fields.Choice):
        schema = {"type": "string", "enum": list(one.choices)}
    elif isinstance(one, fields.Timestamp):
        schema = {"type": "integer", "minimum": 0, "description": "Unix time in seconds."}
    elif isinstance(one, fields.DecimalText):
        schema = {"type": "string", "description": f"A decimal number with at most {one.places} places."}
    elif isinstance(one, fields.Ref):
        schema = {"type": "string", "minLength": 1, "description": f"The id of a {one.kind.noun}."}
    return schema


def component_of(kind: Kind[Any]) -> Named:
    """An object of a kind."""
    name = kind.noun.title().replace(" ", "")
    return Named(name, lambda: _object_of(kind))


@cache
def _object_of(kind: Kind[Any]) -> Schema:
    shape: Schema = _marked(answer_of(kind._shape, WORDS))  # noqa: SLF001 (the one who describes it)
    return shape


def _marked(shape: Found) -> Found:
    """With what writing an object adds to it."""
    if not isinstance(shape, dict):
        return shape
    if "anyOf" in shape:
        return {"anyOf": [_marked(option) for option in shape["anyOf"]]}
    if "properties" not in shape or "deleted" in shape["properties"]:
        return shape
    return {
        **shape,
        "properties": {**shape["properties"], "livemode": BOOLEAN},
        "required": [*shape["required"], "livemode"],
    }


def page_of(item: Found) -> Schema:
    """A list of objects."""
    return {
        "type": "object",
        "properties": {
            "object": {"type": "string", "const": "list"},
            "data": {"type": "array", "items": item},
            "has_more": BOOLEAN,
            "url": STRING,
        },
        "required": ["object", "data", "has_more", "url"],
    }


def _kind_at(reading: Reading, node: ast.expr) -> Found:
    kind = reading.value(node)
    return component_of(kind) if isinstance(kind, Kind) else OBJECT


def _reference(reading: Reading, node: ast.Call) -> Found:
    return either(STRING, _kind_at(reading, node.args[0]), NULL)


def _shape_at(reading: Reading, node: ast.expr) -> Found:
    """What a function that is handed over writes."""
    function = reading.value(node)
    if function_of(function) is function_of(Kind.shape):
        kind = getattr(function, "__self__", None)
        return component_of(kind) if isinstance(kind, Kind) else OBJECT
    if function_of(function) is None:
        return OBJECT
    return _marked(answer_of(function, WORDS))


def _loaded(reading: Reading, node: ast.expr) -> Found:
    """What a function without parameters writes, be it a lambda, a partial or a name."""
    if isinstance(node, ast.Lambda):
        return reading.look(node.body)
    if isinstance(node, ast.Call) and reading.value(node.func) is partial:
        node = node.args[0]
    return reading.returned_by(reading.value(node))


def _mapped(reading: Reading, node: ast.expr) -> Found:
    """What ``map(shape, rows)`` makes of each row."""
    if isinstance(node, ast.Call) and reading.value(node.func) is map:
        return _shape_at(reading, node.args[0])
    return OBJECT


def _own_kind(reading: Reading, _: ast.Call) -> Found:
    kind = getattr(reading.owner, "kind", None)
    return component_of(kind) if isinstance(kind, Kind) else OBJECT


def _written(reading: Reading, node: ast.Call) -> Found:
    return _marked(reading.look(node.args[0]))


def _read_body(reading: Reading, node: ast.Call) -> Found:
    """What the decoder that is handed over makes of a body."""
    decoder = reading.value(node.args[1])
    return Instance(decoder.type) if isinstance(decoder, msgspec.json.Decoder) else ANY


WORDS = Words(
    functions={
        # What a view hands on is what it answers.
        json_response: lambda reading, node: (
            OBJECT if isinstance(node.args[0], ast.Constant) else reading.look(node.args[0])
        ),
        encode: lambda reading, node: reading.look(node.args[0]),
        read_json: _read_body,
        # Its work is a function within the view.
        answer_once: lambda reading, node: reading.inner(ast.unparse(node.args[3])),
        Kind.shape: lambda reading, node: _kind_at(reading, cast("ast.Attribute", node.func).value),
        Response: lambda reading, node: reading.look(node.args[0]),
        Reference: _reference,
        function_of(Reference.to): _reference,
        function_of(Reference.among): _reference,
        References: lambda *_: {"type": "array", "items": either(STRING, OBJECT)},
        Embedded: lambda reading, node: _shape_at(reading, node.args[0]),
        Sublist: lambda reading, node: page_of(_kind_at(reading, node.args[0])),
        Hidden: lambda reading, node: Omitted(_loaded(reading, node.args[0])),
        write: _written,
        write_all: lambda reading, node: {"type": "array", "items": _mapped(reading, node.args[0])},
        # Of whichever kind it was when it was recorded.
        Raw: lambda *_: OBJECT,
        timestamp: lambda *_: INTEGER,
        number: lambda *_: {"type": "number"},
    },
    attributes={"self.request.path": STRING},
    # Of metadata and payloads every value is a text.
    hashes={"metadata": _TEXTS, "payload": _TEXTS},
    methods={
        "respond": _own_kind,
        "written": _own_kind,
        "respond_with": _written,
        "listed": lambda reading, node: page_of(_own_kind(reading, node)),
        "respond_page": lambda reading, node: page_of(_shape_at(reading, node.args[1])),
    },
)


def named_by(function: Any, wanted: Callable[[Any], bool], owner: type | None = None) -> Any:
    """The first object of a sort that a view names, or what that calls of its own class and of ours; else None."""
    return _named_by(function, wanted, owner, set())


def _named_by(function: Any, wanted: Callable[[Any], bool], owner: type | None, seen: set[Any]) -> Any:
    plain = function_of(function)
    if plain is None or plain in seen or not plain.__module__.startswith(_OURS):
        return None
    seen.add(plain)
    names = plain.__code__.co_names
    there = [plain.__globals__[name] for name in names if name in plain.__globals__]
    direct = next((one for one in there if wanted(one)), None)
    if direct is not None:
        return direct
    called = [*(getattr(owner, name, None) for name in names if owner), *there]
    found = (_named_by(one, wanted, owner, seen) for one in called)
    return next((one for one in found if one is not None), None)


def is_params(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, fields.Params) and one is not fields.Params


def is_decoder(one: Any) -> bool:
    return isinstance(one, msgspec.json.Decoder)


def operation(
    function: Callable[..., Any], *, path: str, method: str, summary: str, tag: str, owner: type | None = None
) -> Schema:
    """The Operation Object of a call with parameters.

    :param function: what answers it
    :param owner: the viewset that it is an action of
    """
    first, *others = summary.split()
    decoder = named_by(function, is_decoder, owner) if path.startswith("/v2") or "bulk" in path else None
    params = None if decoder else named_by(function, is_params, owner)
    taken = parameters_of(params()) if params else []
    in_path = [
        {"name": place, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for place in _PLACES.findall(path)
    ]
    in_query = [] if method == "POST" else [_in_query(one) for one in taken]
    described: Schema = {
        "operationId": first.lower() + "".join(word.capitalize() for word in others),
        "tags": [tag],
        "summary": summary,
        # Inherited ones speak of no resource.
        "description": inspect.cleandoc(function.__doc__ or "").partition("\n\n:")[0],
        "parameters": [*in_path, *in_query, *([_IDEMPOTENCY_KEY] if method == "POST" else [])],
        "responses": {
            "200": {
                "description": "Found." if method == "GET" else "Done.",
                "content": {"application/json": {"schema": answer_of(function, WORDS, owner) or OBJECT}},
            }
        },
    }
    if method == "POST":
        described["requestBody"] = _json_body(decoder, path) if decoder else _form(taken)
    return described


def operations_of_views(views: Mapping[str, Callable[..., Any]], path: str) -> dict[str, Schema]:
    """The operations of an address whose views are functions, or made of viewsets."""
    found: dict[str, Schema] = {}
    for method, view in views.items():
        if owner := getattr(view, "cls", None):
            action = view.actions[method]  # type: ignore[attr-defined]
            of_action = _operation_of_action(owner, action, path, method.upper())
            found |= {method: of_action} if of_action else {}
        else:
            named = view.__name__.replace("_", " ")
            act = named if named.split()[0] in {"create", "list", "retrieve"} else f"create {named.removesuffix('s')}"
            version = " by v2" if path.startswith("/v2") else ""
            found[method] = operation(
                view, path=path, method=method.upper(), summary=f"{act}{version}".capitalize(), tag="Usage"
            )
            if version:
                refusals = {str(status): answer(words, ErrorEnvelopeByV2) for status, words in REFUSALS.items()}
                found[method]["responses"] |= refusals
    return found


def _json_body(decoder: "msgspec.json.Decoder[Any]", path: str) -> Schema:
    schema = request_of(decoder.type)
    if path.endswith("/bulk"):
        # Lines of JSON, each of them like this.
        return {"required": True, "content": {"application/x-ndjson": {"schema": schema}}}
    return {"required": bool(schema.get("required")), "content": {"application/json": {"schema": schema}}}


def _form(taken: Sequence[Parameter]) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {one.name: one.schema for one in taken},
        "additionalProperties": False,
    }
    if required := [one.name for one in taken if one.required]:
        schema["required"] = required
    if patterns := {one.pattern: one.schema for one in taken if one.pattern}:
        schema["patternProperties"] = patterns
    return {"required": bool(required), "content": {FORM: {"schema": schema}}}


def _in_query(one: Parameter) -> Schema:
    return {"name": one.name, "in": "query", "required": one.required, "schema": one.schema}


class StripeSchema(ViewSchema):
    """Describes the actions of viewsets."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> Schema | None:  # fmt: skip
        return _operation_of_action(type(self.view), cast("ViewSetMixin", self.view).action, path, method)


def _operation_of_action(owner: type, action: str, path: str, method: str) -> Schema | None:
    handler = getattr(owner, action, None)
    # Routers offer addresses of every method, also for what a resource does not have.
    if handler is None:
        return None
    resource = _words(owner.__name__.removesuffix("ViewSet"))
    plural = f"{resource[:-1]}ies" if resource.endswith("y") else f"{resource}s"
    act, of = _ACTS.get(action, action.replace("_", " ")), resource
    if action == "list":
        of = plural
    elif action not in _ACTS and method == "GET":
        of = f"of {resource}"
    return operation(
        handler, path=path, method=method, summary=f"{act} {of}".capitalize(), tag=plural.capitalize(), owner=owner
    )


def _words(name: str) -> str:
    """``CreditGrant`` in words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
