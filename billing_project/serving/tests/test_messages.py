"""Bodies as they come in, whole or not."""

import asyncio
from typing import Any

import pytest

from billing_project.serving.messages import read_body

GONE = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("messages", "body"),
    [
        ([piece(b"whole", more=False)], b"whole"),
        ([piece(b"in ", more=True), piece(b"two", more=False)], b"in two"),
        ([piece(b"cut", more=True), GONE], b"cut"),
        ([GONE], b""),
    ],
)
def test_a_body_is_what_came_of_it(messages: list[dict[str, Any]], body: bytes) -> None:
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(coming)

    assert asyncio.run(read_body(receive)) == body
