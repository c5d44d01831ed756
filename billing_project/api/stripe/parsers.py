"""How parameters are written: pairs with bracketed names, in the query string and in a form-encoded body.

``a[b]=c`` is a hash, ``a[0]=x`` and ``a[]=x`` are arrays. Whether ``a[0]`` is an element of an array or the key "0" of a
hash only the receiving field can tell, so indexes stay names here (see :class:`fields.Array`).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest

from billing_project.api.common import requests
from billing_project.api.common.requests import MAX_BYTES
from billing_project.api.stripe.wire import StripeError, clipped

Value: TypeAlias = "str | list[Value] | dict[str, Value]"
Tree: TypeAlias = dict[str, Value]

MAX_PAIRS = 1000
MAX_DEPTH = 8

_FORM = "application/x-www-form-urlencoded"
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def read_params(request: HttpRequest) -> Tree:
    """The parameters of a request: those of the query string and of the body together.

    :raises StripeError: if the body is no form, is too large, or cannot be decoded
    """
    query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
    body = read_body(request)
    if body and (request.content_type or "").lower() != _FORM:
        raise StripeError(f"Invalid request (check that your POST content type is {_FORM}).")
    return decode(query + b"&" + body)


def read_body(request: HttpRequest, most: int = MAX_BYTES) -> bytes:
    """A request's body, whatever it is.

    :raises StripeError: if it has more than ``most`` bytes, or ended before it was complete
    """
    try:
        return requests.read_body(request, most)
    except requests.BodyRefused as refusal:
        raise StripeError(str(refusal)) from refusal


def decode(encoded: bytes) -> Tree:
    """Decode form-encoded pairs into nested hashes and arrays of texts.

    :raises StripeError: if a name is malformed, given twice or in two shapes, if a text is not UTF-8 or contains NUL,
        or beyond the limits on size, number and depth
    """
    if len(encoded) > MAX_BYTES:
        raise StripeError(f"The parameters are too large: at most {MAX_BYTES} bytes are accepted.")
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > MAX_PAIRS:
        raise StripeError(f"Too many parameters: at most {MAX_PAIRS} are accepted.")
    tree: Tree = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        path = _known_path(name) if len(name) <= _KNOWN_LENGTH else _path(name)
        _put(tree, path, _text(value), path)
    return tree


def spell_path(path: Sequence[str]) -> str:
    """Write a path as the wire does: ``items[0][price]``."""
    return path[0] + "".join(f"[{name}]" for name in path[1:]) if path else ""


def _text(encoded: bytes) -> str:
    if b"%" in encoded or b"+" in encoded:
        encoded = unquote_to_bytes(encoded.replace(b"+", b" "))
    try:
        text = encoded.decode()
    except UnicodeDecodeError as error:
        raise StripeError("Invalid UTF-8 in the request's parameters.") from error
    if "\0" in text:
        raise StripeError("The request's parameters contain a NUL character.")
    return text


def _path(encoded: bytes) -> tuple[str, ...]:
    name = _text(encoded)
    match = _NAME.fullmatch(name)
    if match is None:
        raise StripeError(f"Invalid parameter name: {clipped(name)}", param=clipped(name.partition("[")[0]))
    path = (match[1], *match[2][1:-1].split("][")) if match[2] else (match[1],)
    # An array may hold hashes, and nothing else that is nested: a[][b], but not a[][].
    if len(path) > MAX_DEPTH or any(not here and not after for here, after in pairwise(path)):
        raise StripeError(f"Invalid parameter name: {clipped(name)}", param=clipped(path[0]))
    return path


# Names come again and again. Only short ones are kept, so that callers cannot fill the memory with long ones.
_known_path = lru_cache(maxsize=4096)(_path)
_KNOWN_LENGTH = 100


def _put(hash_: Tree, path: Sequence[str], value: str, whole: Sequence[str]) -> None:
    name, rest = path[0], path[1:]
    if not rest:
        if name in hash_:
            raise _conflict(whole)
        hash_[name] = value
    elif rest[0]:
        child = hash_.setdefault(name, {})
        if not isinstance(child, dict):
            raise _conflict(whole)
        _put(child, rest, value, whole)
    else:
        array = hash_.setdefault(name, [])
        if not isinstance(array, list):
            raise _conflict(whole)
        _append(array, rest[1:], value, whole)


def _append(array: list[Value], path: Sequence[str], value: str, whole: Sequence[str]) -> None:
    last = array[-1] if array else None
    if not path:
        if isinstance(last, dict):
            raise _conflict(whole)
        array.append(value)
        return
    if isinstance(last, str):
        raise _conflict(whole)
    # a[][b]=1&a[][c]=2&a[][b]=3: the next element begins where a name comes again.
    if not isinstance(last, dict) or _holds(last, path):
        last = {}
        array.append(last)
    _put(last, path, value, whole)


def _holds(value: Value, path: Sequence[str]) -> bool:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return True


def _conflict(path: Sequence[str]) -> StripeError:
    name = clipped(spell_path(path))
    return StripeError(f"Received the parameter {name} twice, or in two shapes.", param=name)
