"""The ASGI application: Django's, with a shorter way in front of it for what is reported thousands of times a second."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from io import BytesIO

from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, connection

from billing_project.serving.gathering import Gathering
from billing_project.serving.long_way import Django, LongWay
from billing_project.serving.messages import Answer, Receive, Scope, Send, environ_of, has_small_body, read_body
from billing_project.serving.short_way import HotViews, ShortWay
from core.db import spare_the_health_check
from usage.errors import TooManyEventsWaiting
from usage.services import side_by_side

# Of a process. Each keeps a connection to the database.
THREADS = 24
# Of a process, too, for batches of streamed events: 27,000 of them a second, where 24 threads that took turns at Python
# and at the database did 24,000.
LANES = 4

Task = Callable[[], Answer]


class Application:
    """Chooses the way of a request. It runs on the thread of an event loop, which nothing may hold up.

    :param django: the long way
    :param views: those that are reached on the short one
    :param threads: where the requests of the long way are answered, each in a thread
    :param lanes: where those of the short way are that do not gather, a batch of events each
    :param batch_thread: where those are answered that gather
    """

    def __init__(
        self,
        django: Django,
        views: HotViews,
        *,
        threads: Executor | None = None,
        lanes: Executor | None = None,
        batch_thread: Executor | None = None,
    ) -> None:
        # A thread that ends closes its connection to the database; these end with the process.
        self._long_way = LongWay(django, threads or ThreadPoolExecutor(THREADS, thread_name_prefix="request"))
        self._lanes = lanes or ThreadPoolExecutor(LANES, thread_name_prefix="lane")
        self._short_way = ShortWay()
        self._views = views
        # One batch at a time: two are smaller ones, and on two cores fewer events.
        self._gathering = Gathering(_run_together, batch_thread or ThreadPoolExecutor(1, thread_name_prefix="batch"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        environ = environ_of(scope)
        view = self._views.get((scope["method"], environ["PATH_INFO"]))
        if view is None or not has_small_body(environ):
            await self._long_way.answer(environ, receive, send)
            return
        environ["wsgi.input"] = BytesIO(await read_body(receive))
        request = WSGIRequest(environ)
        if not self._short_way.is_open_to(request):
            await self._long_way.answer(environ, receive, send)
            return
        task = partial(self._short_way.answer, view, request)
        try:
            answer = await (self._gathering.do(task) if view.gathers else self._in_a_lane(task))
        except (TooManyEventsWaiting, DatabaseError) as error:
            answer = self._short_way.refuse(view, request, error)
        await send(answer.start)
        await send(answer.body)

    def _in_a_lane(self, task: Task) -> "asyncio.Future[Answer]":
        return asyncio.get_running_loop().run_in_executor(self._lanes, _run, task)


def _run(task: Task) -> Answer:
    _look_after_connection()
    return task()


def _run_together(tasks: Sequence[Task]) -> list[Answer | Exception]:
    _look_after_connection()
    return side_by_side(tasks)


def _look_after_connection() -> None:
    """A broken or old connection is not to be found by the first statement of a request."""
    connection.close_if_unusable_or_obsolete()
    spare_the_health_check()
