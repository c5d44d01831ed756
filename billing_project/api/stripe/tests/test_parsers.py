"""How parameters are decoded, and what is refused."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from billing_project.api.common.requests import MAX_BYTES
from billing_project.api.stripe.parsers import MAX_DEPTH, MAX_PAIRS, Tree, decode
from billing_project.api.stripe.wire import StripeError


@pytest.mark.parametrize(
    ("encoded", "tree"),
    [
        ("", {}),
        ("&&", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=x+y%20z%2B", {"a": "x y z+"}),
        ("a=%C3%A9%E2%82%AC", {"a": "é€"}),
        ("a=é", {"a": "é"}),
        ("a=50%", {"a": "50%"}),
        ("a=%zz", {"a": "%zz"}),
        ("a[b]=1", {"a": {"b": "1"}}),
        ("a%5Bb%5D=1", {"a": {"b": "1"}}),
        ("a[b][c]=1&a[b][d]=2&a[e]=3", {"a": {"b": {"c": "1", "d": "2"}, "e": "3"}}),
        ("a[0]=x&a[1]=y", {"a": {"0": "x", "1": "y"}}),
        ("a[0][b]=x&a[0][c]=y&a[1][b]=z", {"a": {"0": {"b": "x", "c": "y"}, "1": {"b": "z"}}}),
        ("a[]=x&a[]=y", {"a": ["x", "y"]}),
        ("a[]=", {"a": [""]}),
        ("a[][b]=1&a[][c]=2&a[][b]=3", {"a": [{"b": "1", "c": "2"}, {"b": "3"}]}),
        ("a[][b][c]=1&a[][b][d]=2&a[][b][c]=3", {"a": [{"b": {"c": "1", "d": "2"}}, {"b": {"c": "3"}}]}),
        ("a[][b][]=1&a[][b][]=2", {"a": [{"b": ["1", "2"]}]}),
        ("metadata[a.b-c d]=1", {"metadata": {"a.b-c d": "1"}}),
    ],
)
def test_what_is_written_is_read(encoded: str, tree: Tree) -> None:
    assert decode(encoded.encode()) == tree


@pytest.mark.parametrize(
    "encoded",
    [
        "=1",
        "[a]=1",
        "a[b=1",
        "a]b=1",
        "a[b]c=1",
        "a[b]]=1",
        "a[[b]]=1",
        "metadata[x[y]]=1",
        "a[][]=1",
        "a[][][b]=1",
        "a=1&a=1",
        "a=1&a[b]=2",
        "a[b]=1&a=2",
        "a[b]=1&a[b][c]=2",
        "a[b][c]=1&a[b]=2",
        "a=1&a[]=2",
        "a[]=1&a=2",
        "a[]=1&a[0]=2",
        "a[0]=1&a[]=2",
        "a[]=1&a[][b]=2",
        "a[][b]=1&a[]=2",
        "a[b]=1&a[b]=1",
        "a=%00",
        "a%00=1",
        "a=x%00y",
        "a=%ff",
        "a%C3=1",
        "a=%ED%A0%80",
        "a" + "[x]" * MAX_DEPTH + "=1",
        "&".join(f"a{number}=1" for number in range(MAX_PAIRS + 1)),
        "a=" + "x" * MAX_BYTES,
    ],
)
def test_what_makes_no_sense_is_refused(encoded: str) -> None:
    with pytest.raises(StripeError) as caught:
        decode(encoded.encode())
    assert caught.value.status == 400
    assert len(caught.value.message) < 400


def test_raw_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(StripeError, match="UTF-8"):
        decode(b"a=\xff\xfe")


def test_the_deepest_and_the_longest_are_taken() -> None:
    assert decode(("a" + "[x]" * (MAX_DEPTH - 1) + "=1").encode())
    assert len(decode("&".join(f"a{number}=1" for number in range(MAX_PAIRS)).encode())) == MAX_PAIRS


# Names that the SDK can spell: a bracket within a name is refused above, an all-digit one would read as an index.
names = st.text(st.characters(codec="utf-8", exclude_characters="[]\0"), min_size=1, max_size=8).filter(
    lambda name: not name.isdecimal()
)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
values = st.recursive(
    texts,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=8,
)


def indexed(value: Any) -> Any:
    """What the SDK sends for a value: arrays as hashes by index."""
    if isinstance(value, list):
        return {str(index): indexed(element) for index, element in enumerate(value)}
    if isinstance(value, dict):
        return {name: indexed(element) for name, element in value.items()}
    return value


def depth(value: Any) -> int:
    inner = value if isinstance(value, list) else value.values() if isinstance(value, dict) else []
    return 1 + max(map(depth, inner), default=-1) if isinstance(value, (list, dict)) else 0


@given(st.dictionaries(names, values.filter(lambda value: depth(value) < MAX_DEPTH), max_size=4))
def test_what_the_sdk_encodes_comes_back(params: dict[str, Any]) -> None:
    body = urlencode(list(_api_encode(params)))
    assert decode(body.encode()) == indexed(params)
    # Some clients leave the brackets as they are.
    assert decode(body.replace("%5B", "[").replace("%5D", "]").encode()) == indexed(params)


@given(st.binary(max_size=60))
def test_no_bytes_break_the_decoder(encoded: bytes) -> None:
    # Anything but a refusal would fail the test.
    with suppress(StripeError):
        assert isinstance(decode(encoded), dict)


@given(st.lists(st.sampled_from(["a", "b", "[]", "[0]", "[b]", "[a]", "=", "&", "1", "%5B", "%5D"]), max_size=14))
def test_no_brackets_break_the_decoder(words: list[str]) -> None:
    with suppress(StripeError):
        assert isinstance(decode("".join(words).encode()), dict)
