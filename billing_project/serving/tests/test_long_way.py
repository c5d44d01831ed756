"""What Django sees of a request on the long way, and what its answer becomes."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from billing_project.serving import long_way
from billing_project.serving.long_way import LongWay
from billing_project.serving.messages import environ_of

GONE = {"type": "http.disconnect"}


class Django:
    """A WSGI application that notes what it is asked."""

    def __init__(self, response: HttpResponseBase | None = None) -> None:
        self.response = response or HttpResponse(b"done", status=202, headers={"X-Name": "a"})
        self.environ: dict[str, Any] = {}
        self.body = b""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> HttpResponseBase:
        self.environ = environ
        self.body = environ["wsgi.input"].read()
        start_response(f"{self.response.status_code} Said", list(self.response.items()))
        return self.response


@pytest.fixture
def thread() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": "/ä b",
        "query_string": b"a=%20b",
        "http_version": "1.1",
        "scheme": "http",
        "client": ("10.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "headers": headers,
    }


def ask(django: Django, thread: Executor, *pieces: bytes | dict[str, str], headers: Any = ()) -> list[dict[str, Any]]:
    """Send a body in pieces; the messages that are answered."""
    last = len(pieces) - 1
    messages = iter(
        {"type": "http.request", "body": piece, "more_body": number < last} if isinstance(piece, bytes) else piece
        for number, piece in enumerate(pieces)
    )
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    def send(message: dict[str, Any]) -> "asyncio.Future[None]":
        said.append(message)
        # As granian's: something to be awaited, and no coroutine.
        sent = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent

    asyncio.run(LongWay(django, thread).answer(environ_of(scope(*headers)), receive, send))
    return said


def test_given_a_request_then_django_sees_all_of_it(thread: Executor) -> None:
    django = Django()
    headers = [(b"content-length", b"5"), (b"content-type", b"text/plain"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]

    start, body = ask(django, thread, b"abc", b"de", headers=[*headers, (b"x-name", b"\xe4"), (b"x-name", b"2")])

    assert (start["status"], body["body"], body["more_body"]) == (202, b"done", False)
    assert (b"x-name", b"a") in start["headers"]
    assert django.body == b"abcde"
    seen = django.environ
    assert (seen["PATH_INFO"].encode("latin-1").decode(), seen["QUERY_STRING"]) == ("/ä b", "a=%20b")
    assert (seen["CONTENT_LENGTH"], seen["CONTENT_TYPE"]) == ("5", "text/plain")
    assert (seen["HTTP_COOKIE"], seen["HTTP_X_NAME"]) == ("a=1; b=2", "ä,2")
    assert (seen["REMOTE_ADDR"], seen["SERVER_PORT"]) == ("10.0.0.1", "8000")
    assert seen["wsgi.input_terminated"]


def test_given_a_header_that_would_pass_for_a_proxys_then_it_is_not_heard(thread: Executor) -> None:
    django = Django()

    ask(django, thread, b"", headers=[(b"x_forwarded_proto", b"https")])

    assert "HTTP_X_FORWARDED_PROTO" not in django.environ


def test_given_a_sender_who_leaves_in_the_middle_then_the_body_does_not_pass_for_whole(thread: Executor) -> None:
    django = Django()

    ask(django, thread, b"abc", GONE, headers=[(b"transfer-encoding", b"chunked")])

    assert not django.environ["wsgi.input_terminated"]


def test_given_more_than_anybody_takes_in_then_it_is_read_no_further(
    thread: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_way, "MOST_BYTES", 8)
    django = Django()

    ask(django, thread, b"12345", b"6789a", b"not asked for", headers=[(b"transfer-encoding", b"chunked")])
    assert django.body == b"123456789a"
    assert not django.environ["wsgi.input_terminated"]

    ask(django, thread, b"not asked for", headers=[(b"content-length", b"9")])
    assert django.body == b""


def test_given_a_long_answer_then_it_is_sent_piece_by_piece(thread: Executor) -> None:
    start, *pieces = ask(Django(StreamingHttpResponse(str(number) for number in range(3))), thread, b"")

    assert start["status"] == 200
    assert [(piece["body"], piece["more_body"]) for piece in pieces] == [
        (b"0", True),
        (b"1", True),
        (b"2", True),
        (b"", False),
    ]
