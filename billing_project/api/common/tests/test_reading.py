"""What is read out of code that answers: as much as it says, and never what is not so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict

import pytest

from billing_project.api.common.openapi.promises import ANY, INTEGER, NOTHING_LISTED, NULL, STRING, either
from billing_project.api.common.openapi.reading import Words, answer_of

TEXT_OR_NULL = either(STRING, NULL)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    amount: int
    note: str | None
    labels: Mapping[str, str]


class Part(TypedDict):
    amount: int


def sums(rows: Sequence[Row], extra: Decimal) -> dict[str, Any]:
    count, whole, part = 0, 0, 0
    for row in rows:
        count += 1
        whole += row.amount
        part += extra  # type: ignore[assignment]
    return {"count": count, "whole": whole, "part": part}


def collections(rows: Sequence[Row], parts: list[Part], some: Any) -> dict[str, Any]:
    filled: list[Any] = []
    filled.append(1)
    return {
        "rows": [{"name": row.name, "note": row.note} for row in rows],
        "parts": [-part["amount"] for part in parts],
        "labels": {key: text for row in rows for key, text in row.labels.items()},
        "unknown": [one.name for one in some],
        "filled": filled,
        "nothing": [],
    }


def annotated(row: Row, some: Any) -> dict[str, Any]:
    left: int = some.left
    labels: Mapping[str, str] = some.labels
    shape: dict[str, Any] = {"left": left - row.amount, "label": labels.get("a"), "maybe": None}
    if row.note:
        shape["maybe"] = row.note
    return shape


def properties(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = answer_of(function, Words())["properties"]
    return found


def test_what_is_added_to_is_no_constant() -> None:
    assert properties(sums) == {"count": INTEGER, "whole": INTEGER, "part": ANY}


def test_elements_are_what_their_collection_holds() -> None:
    found = properties(collections)
    assert found["rows"]["items"]["properties"] == {"name": STRING, "note": TEXT_OR_NULL}
    assert found["parts"] == {"type": "array", "items": INTEGER}
    assert found["unknown"] == {"type": "array", "items": ANY}
    assert found["filled"] == {"type": "array"}
    assert found["nothing"] == NOTHING_LISTED


def test_annotations_say_what_values_do_not() -> None:
    assert properties(annotated) == {"left": INTEGER, "label": TEXT_OR_NULL, "maybe": either(TEXT_OR_NULL, NULL)}


@pytest.mark.parametrize("function", [sums, collections, annotated])
def test_all_of_it_is_always_there_but_what_is_set_later(function: Any) -> None:
    shape = answer_of(function, Words())
    assert set(shape["required"]) == set(shape["properties"])
