"""A small HTTP client on one kept connection: it costs the machine as little as Python can."""

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode
from uuid import uuid4


class Answer(NamedTuple):
    """:param body: what the JSON said, or the text where there was none"""

    status: int
    body: Any


class Client:
    """One connection to the stack, for one thread."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._key = key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def reconnect(self) -> None:
        """Begin anew after a fault; the next request opens the connection."""
        self._connection.close()

    def post(self, path: str, form: Mapping[str, str]) -> Answer:
        """Post a form, under an Idempotency-Key as the SDKs send one with every post."""
        return self.send("POST", path, urlencode(form).encode(), "application/x-www-form-urlencoded")

    def get(self, path: str, query: Mapping[str, str]) -> Answer:
        return self.send("GET", f"{path}?{urlencode(query)}", b"", "application/x-www-form-urlencoded")

    def send(self, method: str, path: str, body: bytes, content_type: str, *, key: str | None = None) -> Answer:
        """:param key: instead of the client's own, as a session token is"""
        headers = {"Authorization": f"Bearer {key or self._key}", "Content-Type": content_type}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        self._connection.request(method, path, body=body, headers=headers)
        response = self._connection.getresponse()
        content = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        return Answer(response.status, json.loads(content) if is_json else content.decode(errors="replace"))


def succeed(answer: Answer) -> Any:
    """The body of an answer that has to be a success.

    :raises RuntimeError: if it is none
    """
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"answered {answer.status}: {answer.body}")
    return answer.body
