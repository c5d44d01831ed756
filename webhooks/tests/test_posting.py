"""One POST: bounded in time and size, wherever it goes."""

import socket
import time
from datetime import timedelta

import pytest

from webhooks import posting
from webhooks.addresses import read_url
from webhooks.posting import Answer, post
from webhooks.tests.receiver import raw_server, receiving


def posted(url: str) -> Answer:
    target = read_url(url, must_be_secure=False, allow_private=True)
    return post(target, ["127.0.0.1"], body=b"{}", headers={"X-Ours": "1"})


def test_a_message_arrives_as_it_was_sent() -> None:
    with receiving() as receiver:
        answer = posted(receiver.url.replace("127.0.0.1", "hooks.example.com"))

    (message,) = receiver.messages
    assert (message.path, message.body) == ("/hooks?from=us", b"{}")
    # By the name in the URL, to the address that was looked at.
    assert message.headers["Host"] == f"hooks.example.com:{receiver.port}"
    assert message.headers["X-Ours"] == "1"
    assert (answer.status, answer.body, answer.error, answer.is_good) == (200, "thanks", "", True)
    assert answer.duration > timedelta(0)


def test_a_redirect_is_not_followed() -> None:
    with receiving() as elsewhere, receiving() as receiver:
        receiver.answer = lambda _: (302, {"Location": elsewhere.url})
        answer = posted(receiver.url)

    assert (answer.status, answer.is_good) == (302, False)
    assert elsewhere.messages == []


def test_of_a_long_answer_the_beginning_is_kept() -> None:
    with receiving() as receiver:
        receiver.body = b"\xff\0" + b"x" * 1_000_000
        answer = posted(receiver.url)

    assert answer.is_good
    assert len(answer.body) <= posting.LONGEST_ANSWER
    assert answer.body.startswith("\N{REPLACEMENT CHARACTER}x")


def test_a_server_that_is_not_there_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    answer = posted(f"http://127.0.0.1:{port}/")

    assert (answer.status, answer.is_good) == (None, False)
    assert "refused" in answer.error


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 1_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def silence(connection: socket.socket) -> None:
    time.sleep(5)


@pytest.mark.parametrize("talk", [drip, silence])
def test_a_server_that_keeps_us_waiting_is_left(talk: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WHOLE_TIMEOUT", 0.5)
    began = time.monotonic()
    with raw_server(talk) as url:  # type: ignore[arg-type]
        answer = posted(url)

    assert answer.status is None
    assert answer.error.startswith("No answer within")
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    "words", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 2OO OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500]
)
def test_nonsense_is_no_answer(words: bytes) -> None:
    with raw_server(lambda connection: connection.sendall(words)) as url:
        answer = posted(url)

    assert answer.status is None
    assert answer.error


def test_an_answer_that_breaks_off_in_its_body_was_given() -> None:
    with raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")) as url:
        assert posted(url).is_good


def test_a_server_that_speaks_in_clear_gets_nothing_that_was_to_be_secret() -> None:
    with receiving() as receiver:
        answer = posted(receiver.url.replace("http://", "https://"))

    assert answer.status is None
    assert "SSL" in answer.error
    assert receiver.messages == []
