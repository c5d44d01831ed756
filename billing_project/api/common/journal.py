"""The record of programs' requests, written beside them: no request waits for it.

Answers are noted in memory, and a thread of the serving process writes them down every second. So the last second of a
process that is killed is missing, and of more than some thousands within a second the first are kept: it is a record for
people who look for what went wrong, and nothing is counted by it. Of the hottest addresses only what was refused is noted.
"""

import atexit
import json
import logging
import re
import threading
import time
from collections import deque
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.models import ApiRequest
from accounts.services import keep_requests
from billing_project.api.common.database import is_passing
from billing_project.api.common.requests import is_hot, noted_key, request_uuid
from core.ids import unspell

logger = logging.getLogger(__name__)

_MOST_WAITING = 2000
_EVERY_SECONDS = 1.0
_REFUSED = 400
# Whom an answer is about is said near its beginning.
_LOOKED_INTO = 4096
_CUSTOMER = re.compile(r"cus_[0-9a-z]{26}")
_SAYS_CUSTOMER = re.compile(rb'"(?:customer|id)": ?"(cus_[0-9a-z]{26})"')


class Journal:
    """What is to be written down of a process's requests."""

    def __init__(self) -> None:
        self._waiting: deque[ApiRequest] = deque()
        self._left_out = 0

    def note(self, request: HttpRequest, response: HttpResponseBase, *, began: float) -> None:
        """Remember how a request was answered, if it was let in.

        :param began: when it came, by the monotonic clock
        """
        key = noted_key(request)
        if key is None or (is_hot(request) and response.status_code < _REFUSED):
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._left_out += 1
            return
        content = response.content if isinstance(response, HttpResponse) else b""
        code, error = _error_of(content) if response.status_code >= _REFUSED else ("", "")
        self._waiting.append(
            ApiRequest(
                id=request_uuid(request),
                environment_id=key.environment_id,
                key_id=key.pk,
                at=timezone.now(),
                method=str(request.method)[:10],
                # Without the query: it may hold a key.
                path=_storable(request.path)[:300],
                status=response.status_code,
                duration_ms=int((time.monotonic() - began) * 1000),
                error_code=code,
                error=error,
                customer_id=_customer_of(request.path, content),
            )
        )

    def write(self) -> int:
        """Write down what waits.

        :returns: how many requests it was
        :raises DatabaseError: if that cannot be; where it can a moment later, they go on waiting
        """
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if not batch:
            return 0
        try:
            keep_requests(batch)
        except DatabaseError as error:
            if is_passing(error):
                self._waiting.extendleft(reversed(batch))
            raise
        if self._left_out:
            logger.warning("%d requests are not on record: too many came at once.", self._left_out)
            self._left_out = 0
        return len(batch)

    def start(self) -> None:
        """Write every second, until the process ends."""
        threading.Thread(target=self._go_on_writing, name="journal", daemon=True).start()
        atexit.register(self._try_to_write)

    def _go_on_writing(self) -> None:
        while True:
            time.sleep(_EVERY_SECONDS)
            self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            connection.close_if_unusable_or_obsolete()
            self.write()
        except DatabaseError as error:
            logger.warning("Requests could not be written down: %s", error)


journal = Journal()


def _error_of(content: bytes) -> tuple[str, str]:
    """Code and words of a refusal, in whichever dialect."""
    try:
        told: Any = json.loads(content)
    except ValueError:
        return "", ""
    told = told.get("error", told) if isinstance(told, dict) else told
    if not isinstance(told, dict):
        return "", _storable(str(told))[:300]
    code, words = told.get("code") or told.get("type") or "", told.get("message") or ""
    return _storable(str(code))[:100], _storable(str(words))[:300]


def _customer_of(path: str, content: bytes) -> UUID | None:
    named = _CUSTOMER.search(path)
    if named is not None:
        return unspell("cus", named.group())
    told = _SAYS_CUSTOMER.search(content, 0, _LOOKED_INTO)
    return unspell("cus", told.group(1).decode()) if told else None


def _storable(text: str) -> str:
    """Without what PostgreSQL holds in no text."""
    return text.replace("\0", "").encode(errors="replace").decode()
