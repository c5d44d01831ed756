"""What differs between two snapshots of an object."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.snapshots import previous

KEYS = st.sampled_from("abc")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"name": "Ada", "email": None}, {"name": "Eve", "email": None}, {"name": "Ada"}),
        ({"email": None}, {"email": "e@x.org"}, {"email": None}),
        ({"metadata": {"a": "1", "b": "2"}}, {"metadata": {"a": "1", "c": "3"}}, {"metadata": {"b": "2", "c": None}}),
        ({"items": {"data": [{"id": 1}, {"id": 2}]}}, {"items": {"data": [{"id": 1}]}}, {"items": {"data": [{"id": 1}, {"id": 2}]}}),
        ({"pause": {"behavior": "void"}}, {"pause": None}, {"pause": {"behavior": "void"}}),
        ({"pause": None}, {"pause": {"behavior": "void"}}, {"pause": None}),
        ({"a": 1}, {"a": 1}, {}),
    ],
)  # fmt: skip
def test_a_change_is_told_by_what_stood_there(before: Any, after: Any, told: Any) -> None:
    assert previous(before, after) == told


@given(OBJECTS, OBJECTS)
def test_put_onto_the_object_what_stood_there_gives_the_object_before(before: Any, after: Any) -> None:
    """A hash that was not there, and one key of it that was null, read alike; callers see null in both cases."""

    def restored(now: Any, was: Any) -> Any:
        merged = dict(now)
        for key, value in was.items():
            both = isinstance(value, dict) and isinstance(now.get(key), dict)
            merged[key] = restored(now[key], value) if both else value
        return merged

    def present(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: present(inner) for key, inner in value.items() if present(inner) not in (None, {})}

    assert present(restored(after, previous(before, after))) == present(before)


@given(OBJECTS)
def test_nothing_differs_from_itself(snapshot: Any) -> None:
    assert previous(snapshot, snapshot) == {}
