"""One POST to a stranger's server: to a fixed address, within a fixed time, for an answer of a bounded size."""

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from threading import Timer

import certifi

from webhooks.addresses import Target

# Seconds.
CONNECT_TIMEOUT = 5.0
WHOLE_TIMEOUT = 15.0
LONGEST_ANSWER = 4_096
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it.

    :ivar status: None if there was no answer, and ``error`` says why
    :ivar body: the beginning of it
    """

    status: int | None
    body: str
    error: str
    duration: timedelta

    @property
    def is_good(self) -> bool:
        # A redirect is no receipt, and is not followed: it could lead anywhere.
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004


def post(target: Target, addresses: Sequence[str], *, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send a body to a target by one of its addresses, and wait for the answer. It does not raise."""
    began = time.monotonic()
    status, text, error = None, "", ""
    try:
        with _connection(target, addresses) as connection:
            connection.request("POST", target.path, body=body, headers={**headers, "Host": target.host_header})
            response = connection.getresponse()
            status = response.status
            text = response.read(LONGEST_ANSWER).decode(errors="replace").replace("\0", "")
    except (OSError, http.client.HTTPException, ValueError) as failure:
        # An answer that breaks off in its body has been given: its status counts.
        error = "" if status is not None else _told(failure, time.monotonic() - began)
    return Answer(status, text, error[:_LONGEST_ERROR], timedelta(seconds=time.monotonic() - began))


@contextmanager
def _connection(target: Target, addresses: Sequence[str]) -> Iterator[http.client.HTTPConnection]:
    raw = _connect(addresses, target.port)
    # Each read has its own time-out, and a server that sends a byte now and then would have us wait for ever. A second
    # handle on the socket, since encryption takes the first one over.
    handle = socket.socket(fileno=os.dup(raw.fileno()))
    watchdog = Timer(WHOLE_TIMEOUT, _break_off, [handle])
    watchdog.daemon = True
    watchdog.start()
    connection = http.client.HTTPConnection(target.host, target.port)
    try:
        connection.sock = _tls().wrap_socket(raw, server_hostname=target.host) if target.is_secure else raw
        yield connection
    finally:
        watchdog.cancel()
        connection.close()
        raw.close()
        handle.close()


def _connect(addresses: Sequence[str], port: int) -> socket.socket:
    """A connection to the first of the addresses that takes one."""
    deadline = time.monotonic() + CONNECT_TIMEOUT
    failure: OSError = TimeoutError("no address")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            connected = socket.create_connection((address, port), timeout=left)
        except OSError as error:
            failure = error
            continue
        connected.settimeout(WHOLE_TIMEOUT)
        return connected
    raise failure


def _break_off(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


@cache
def _tls() -> ssl.SSLContext:
    # The machine's authorities, an operator's own among them, and the public ones where the machine has none.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _told(failure: Exception, seconds: float) -> str:
    if isinstance(failure, TimeoutError) or seconds >= WHOLE_TIMEOUT:
        return f"No answer within {WHOLE_TIMEOUT:.0f} seconds."
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"The server's certificate cannot be trusted: {failure.verify_message}"
    return f"{type(failure).__name__}: {failure}"
