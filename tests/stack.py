"""The real thing for whole-system tests: ``manage.py up`` as a child, on a port and in a folder of its own."""

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from billing_project.embedded.account import SYSTEM_HOME
from core.processes import die_with_parent
from tests.commands import Commands

PROJECT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 90.0
# What the issue promises for SIGINT and SIGTERM.
STOP_TIMEOUT = 30.0
# What would make the stack use the tests' database, or another instance's folder.
FOREIGN_VARIABLES = (
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "TOLLBOOK_DATA_DIR",
    "SECRET_KEY",
    "TOLLBOOK_HTTPS",
    "DJANGO_SETTINGS_MODULE",
)


class Health(NamedTuple):
    """An answer of ``/healthz``; status 0 if there was none."""

    status: int
    missing: list[str]


@dataclass
class RunningStack:
    """A Tollbook of its own: see the fixture ``running_stack``.

    :param base_url: ``http://127.0.0.1:<port>``, without a slash at the end
    :param data_dir: its folder; the children's words are in ``logs`` below it
    """

    port: int
    data_dir: Path
    options: tuple[str, ...] = ("--no-demo",)
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    _commands: Commands | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output_file(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.out"

    def begin(self) -> None:
        """Run ``manage.py up`` and wait for nothing."""
        with self.output_file.open("w") as output:
            place = ("--port", str(self.port), "--data-dir", str(self.data_dir))
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", *place, *self.options],
                cwd=PROJECT,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                # A test run that is killed leaves no stack behind.
                preexec_fn=functools.partial(die_with_parent, signal.SIGTERM, parent=os.getpid()),  # noqa: PLW1509
            )

    def start(self) -> None:
        """Run ``manage.py up`` and wait until all of it is up.

        :raises AssertionError: if it ends, or is not healthy in time
        """
        self.begin()
        wait_for(
            lambda: self.health().status == 200 or self._has_ended(),
            timeout=START_TIMEOUT,
            what=self,
        )
        assert not self._has_ended(), f"manage.py up ended:\n{self.output()}"

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Ask it to stop and wait for its end; the seconds that took."""
        if self._commands is not None:
            self._commands.close()
            self._commands = None
        if self.process is None or self._has_ended():
            return 0.0
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        return time.monotonic() - began

    def output(self) -> str:
        """What ``up`` said on its terminal."""
        return self.output_file.read_text()

    def health(self) -> Health:
        """Ask ``/healthz``."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/healthz", timeout=10) as response:
                return Health(response.status, json.load(response)["missing"])
        except urllib.error.HTTPError as error:
            with error:
                return Health(error.code, json.load(error)["missing"])
        except OSError:
            return Health(0, [])

    def wait_until_healthy(self, *, timeout: float = 30.0) -> None:
        """Wait for a 200 of ``/healthz``."""
        wait_for(lambda: self.health().status == 200, timeout=timeout, what=self)

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py <arguments> --data-dir <data_dir>`` as an operator would.

        :param check: raise ``CalledProcessError`` if it fails
        """
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments, "--data-dir", str(self.data_dir)],
            cwd=PROJECT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if check and done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, arguments, done.stdout, done.stderr)
        return done

    def command(self, *arguments: str) -> str:
        """What ``manage.py <arguments>`` prints on it, without the seconds in which Python and Django load.

        :raises CalledProcessError: if it fails
        """
        if self._commands is None:
            self._commands = Commands(self.data_dir, self._environment())
        return self._commands.run(*arguments)

    def processes(self) -> list[psutil.Process]:
        """``up`` and all its descendants."""
        assert self.process is not None
        try:
            up = psutil.Process(self.process.pid)
            return [up, *up.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
        return inherited | self.environment

    def __str__(self) -> str:
        return f"{self.base_url} ({self.data_dir}): {self.health()}\n{self.output()}"


def new_stack(folder: Path, *options: str, **environment: str) -> RunningStack:
    """A stack that has not been started, in ``folder`` and on a free port."""
    return RunningStack(port=free_port(), data_dir=folder, options=options or ("--no-demo",), environment=environment)


def new_folder() -> Path:
    """A folder that every account may pass through, as a data folder's parent usually is."""
    folder = Path(tempfile.mkdtemp(prefix="tollbook-stack-"))
    folder.chmod(0o711)
    return folder


def remove(stack: RunningStack) -> None:
    """Stop it and remove its data, wherever that lies."""
    stack.stop()
    secrets = stack.data_dir / "instance.env"
    if secrets.exists():
        values = dict(line.split("=", 1) for line in secrets.read_text().splitlines() if "=" in line)
        shutil.rmtree(SYSTEM_HOME / values["TOLLBOOK_ID"], ignore_errors=True)
    shutil.rmtree(stack.data_dir, ignore_errors=True)
    stack.output_file.unlink(missing_ok=True)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], *, timeout: float, what: object = "", interval: float = 0.1) -> None:
    """Wait until ``condition`` is true.

    :raises AssertionError: with ``what`` as its words, if it was not within ``timeout`` seconds
    """
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(interval)


def kill(process: psutil.Process) -> None:
    """Kill it, if it is still there."""
    with suppress(psutil.NoSuchProcess):
        process.kill()
