"""ASGI's messages, and its requests as WSGI describes them, which is what Django reads."""

import sys
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from billing_project.api.common.requests import MAX_BYTES

Environ: TypeAlias = dict[str, Any]
Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

_BARE = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


def environ_of(scope: Scope) -> Environ:
    """A request but for its body."""
    address, port = scope["client"]
    server, server_port = scope["server"]
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "REMOTE_ADDR": address,
        "REMOTE_PORT": str(port),
        "SERVER_NAME": server,
        "SERVER_PORT": str(server_port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, text in scope["headers"]:
        variable = _variable(name)
        if variable in environ:
            environ[variable] += ("; " if variable == "HTTP_COOKIE" else ",") + text.decode("latin-1")
        elif variable:
            environ[variable] = text.decode("latin-1")
    return environ


def has_small_body(environ: Environ) -> bool:
    """Whether a request says of its body that it is small enough to be taken in at once."""
    length = environ.get("CONTENT_LENGTH", "")
    return length.isdecimal() and int(length) <= MAX_BYTES


@lru_cache(maxsize=1024)
def _variable(header: bytes) -> str:
    """What a header is called in an environment; empty for one that would pass for another there, as ``x_a`` for ``x-a``."""
    if header in _BARE:
        return _BARE[header]
    return "" if b"_" in header else "HTTP_" + header.decode("latin-1").upper().replace("-", "_")


async def read_body(receive: Receive) -> bytes:
    """A body that is small, whole or as far as it came before its sender left."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


class Answer(NamedTuple):
    """What is sent to answer a request at once."""

    start: Message
    body: Message


def start_message(status: int, headers: Iterable[tuple[str, str]]) -> Message:
    encoded = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def body_message(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
