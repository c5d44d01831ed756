"""The long way: Django, in a thread per request.

A body is taken in whole before a thread is engaged, so that nobody holds one by sending slowly.
"""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from typing import IO, Any, TypeAlias

from django.http.response import HttpResponseBase

from billing_project.serving.messages import Answer, Environ, Message, Receive, Send, body_message, start_message

Django: TypeAlias = Callable[[Environ, Callable[..., Any]], HttpResponseBase]

# A larger body is read no further: there is no address that takes one in.
MOST_BYTES = 64 * 1024 * 1024
_IN_MEMORY = 1024 * 1024


class LongWay:
    """
    :param django: a WSGI application that returns Django's response
    """

    def __init__(self, django: Django, threads: Executor) -> None:
        self._django = django
        self._threads = threads

    async def answer(self, environ: Environ, receive: Receive, send: Send) -> None:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:
            if "wsgi.input" not in environ:
                environ["wsgi.input_terminated"] = await _read(environ, receive, body)
                environ["wsgi.input"] = body
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._respond, environ, send, loop)
        if answer is not None:
            await send(answer.start)
            await send(answer.body)

    def _respond(self, environ: Environ, send: Send, loop: asyncio.AbstractEventLoop) -> Answer | None:
        """What is to be sent; None if it was sent piece by piece."""
        started: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.update(start_message(int(status[:3]), headers))

        async def pass_on(message: Message) -> None:
            # What a server's own function returns can be awaited on the loop, and need not be a coroutine.
            await send(message)

        def send_and_wait(message: Message) -> None:
            asyncio.run_coroutine_threadsafe(pass_on(message), loop).result()

        with closing(self._django(environ, start_response)) as response:
            if not response.streaming:
                return Answer(started, body_message(b"".join(response)))
            send_and_wait(started)
            for chunk in response:
                send_and_wait(body_message(chunk, more=True))
            send_and_wait(body_message(b""))
            return None


async def _read(environ: Environ, receive: Receive, body: IO[bytes]) -> bool:
    """Whether the body was read to its end."""
    length = environ.get("CONTENT_LENGTH", "")
    if length.isdecimal() and int(length) > MOST_BYTES:
        return False
    more = True
    while more and body.tell() <= MOST_BYTES:
        message = await receive()
        if message["type"] != "http.request":
            # The sender left in the middle.
            return False
        body.write(message["body"])
        more = message["more_body"]
    body.seek(0)
    return not more
