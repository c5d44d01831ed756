"""A document as a page shows it: its operations in order, every schema written out as rows."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from billing_project.api.common.openapi.structs import Schema

_DEEPEST = 4
_CODE = re.compile(r"`([^`]+)`")


def prose(markdown: str) -> SafeString:
    """The little of Markdown that descriptions have: paragraphs, and code between backticks."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in markdown.split("\n\n"))
    written = (_CODE.sub(r"<code>\1</code>", escape(paragraph)) for paragraph in paragraphs)
    return mark_safe("<p>".join(written))  # noqa: S308 (escaped)


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter or property.

    :param depth: how many objects it lies in
    """

    name: str
    kind: str
    description: SafeString
    required: bool
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    description: SafeString
    shape: str
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Call:
    """An operation.

    :ivar tag: of what it is a call
    """

    tag: str
    anchor: str
    method: str
    path: str
    summary: str
    description: SafeString
    parameters: list[Row]
    body: list[Row]
    example: str
    answers: list[Answer]


def calls(document: Schema) -> list[Call]:
    """All operations of a document, path by path."""
    found = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody", {}).get("content", {})
            found.append(
                Call(
                    tag=next(iter(operation.get("tags", ())), ""),
                    anchor=operation["operationId"],
                    method=method.upper(),
                    path=path,
                    summary=operation.get("summary", ""),
                    description=prose(operation.get("description", "")),
                    parameters=[_parameter(parameter, document) for parameter in operation.get("parameters", [])],
                    body=[*chain.from_iterable(_rows(media["schema"], document) for media in body.values())],
                    example=_example(body),
                    answers=[
                        _answer(status, response, document) for status, response in operation["responses"].items()
                    ],
                )
            )
    return found


def grouped(found: Sequence[Call]) -> dict[str, list[Call]]:
    """Calls by what they are of, in the order in which these first come."""
    groups: dict[str, list[Call]] = {}
    for call in found:
        groups.setdefault(call.tag, []).append(call)
    return groups


def _example(content: Mapping[str, Schema]) -> str:
    examples = [media["example"] for media in content.values() if "example" in media]
    return json.dumps(examples[0], indent=2) if examples else ""


def _parameter(parameter: Schema, document: Schema) -> Row:
    kind = f"{_kind(parameter['schema'], document)}, {parameter['in']}"
    return Row(parameter["name"], kind, prose(parameter.get("description", "")), parameter.get("required", False))


def _answer(status: str, response: Schema, document: Schema) -> Answer:
    schema: Schema = next((media["schema"] for media in response.get("content", {}).values()), {})
    shape = schema.get("$ref", "").rpartition("/")[2]
    # What went wrong looks the same everywhere, and is written out once.
    rows = [] if status >= "400" else list(_rows(schema, document))
    return Answer(status, prose(response.get("description", "")), shape, rows)


def _rows(schema: Schema, document: Schema, depth: int = 0) -> Iterator[Row]:
    whole = _resolved(schema, document)
    for option in whole.get("anyOf", ()):
        # Of what may be another object, that one's reference says more.
        if "$ref" not in option:
            yield from _rows(option, document, depth)
    required = whole.get("required", [])
    for name, inner in whole.get("properties", {}).items():
        described = inner.get("description") or _resolved(inner, document).get("description", "")
        yield Row(name, _kind(inner, document), prose(described), name in required, depth)
        nested = _resolved(inner, document)
        nested = _resolved(nested.get("items", nested), document)
        if depth < _DEEPEST:
            yield from _rows(nested, document, depth + 1)


def schema_rows(name: str, document: Schema) -> list[Row]:
    """The properties of one of the document's schemas."""
    return list(_rows(document["components"]["schemas"][name], document))


def _kind(schema: Schema, document: Schema) -> str:
    whole = _resolved(schema, document)
    if "anyOf" in whole:
        return " or ".join(dict.fromkeys(_named_kind(option, document) for option in whole["anyOf"]))
    if "enum" in whole:
        return " or ".join(f'"{value}"' for value in whole["enum"])
    kind = whole.get("type", "any value")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    if kind == "array":
        return f"array of {_kind(whole.get('items', {}), document)}"
    return f"{kind} ({whole['format']})" if "format" in whole else str(kind)


def _named_kind(option: Schema, document: Schema) -> str:
    """Of the several that it may be: objects that have a name are called by it."""
    name: str = option.get("$ref", "").rpartition("/")[2]
    return name or _kind(option, document)


def _resolved(schema: Schema, document: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    components: Mapping[str, Any] = document["components"]["schemas"]
    return components[name] if name else schema
