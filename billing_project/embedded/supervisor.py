"""Keeping children running: started in order, restarted when they die, stopped in order.

One process, one thread: the kernel ties a child's life to the thread that forked it.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

from billing_project.embedded import processes
from billing_project.embedded.errors import StartError
from billing_project.embedded.logs import LogFile
from core.processes import adopt_orphans

# Seconds before the first and the longest wait for a restart; a child that ran this long begins anew.
SHORTEST_PAUSE, LONGEST_PAUSE, STEADY_AFTER = 0.2, 10.0, 30.0
# How often the terminal hears of a child that dies again and again.
REPORTED_DEATHS, REPORT_EVERY = 3, 20
TURN_SECONDS = 0.5
LOG_CHECK_SECONDS = 30.0

Say = Callable[[str], None]
Start = Callable[[IO[bytes]], subprocess.Popen[bytes]]


class Stopped(Exception):
    """Somebody asked us to stop."""


class Service:
    """A child that is meant to run as long as we do.

    :param stage: those of a higher stage work with those of a lower one, and are ended first
    :param farewell: the signals that end it, one after the other, each with the seconds it has; SIGKILL comes last
    """

    def __init__(
        self, name: str, *, stage: int, start: Start, farewell: Sequence[tuple[int, float]], log: LogFile
    ) -> None:
        self.name = name
        self.stage = stage
        self.log = log
        self.child: subprocess.Popen[bytes] | None = None
        self._start = start
        self._farewell = list(farewell)
        self._farewell_deadline = 0.0
        self._started_at = 0.0
        self._deaths = 0
        self._next_start = 0.0

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        self._started_at = time.monotonic()
        self.child = self._start(self.log.file)

    def look_after(self, say: Say) -> None:
        """Start it again if it died and its pause is over."""
        if self.is_running:
            return
        if self.child is not None:
            ended, self.child = self.child, None
            # What it forked must not hold its port or its work when it comes again.
            processes.kill_group(ended.pid)
            if time.monotonic() - self._started_at > STEADY_AFTER:
                self._deaths = 0
            self._pause(_how_it_ended(ended.returncode), say)
        if time.monotonic() >= self._next_start:
            try:
                self.start()
            except (StartError, OSError) as error:
                self._pause(f"cannot be started ({error})", say)

    def end(self, *, hurry: bool) -> None:
        """Send the next signal of the farewell if the last one's time is over, or in a ``hurry``."""
        if self.child is None or not self.is_running:
            return
        if hurry or time.monotonic() >= self._farewell_deadline:
            number, seconds = self._farewell.pop(0) if self._farewell else (signal.SIGKILL, 5.0)
            self._farewell_deadline = time.monotonic() + seconds
            self.child.send_signal(number)

    def _pause(self, why: str, say: Say) -> None:
        pause = min(SHORTEST_PAUSE * 2**self._deaths, LONGEST_PAUSE)
        self._deaths += 1
        self._next_start = time.monotonic() + pause
        if self._deaths <= REPORTED_DEATHS:
            say(f"{self.name} {why}; starting it again. Its words are in {self.log.path}")
        elif self._deaths == REPORTED_DEATHS + 1 or self._deaths % REPORT_EVERY == 0:
            say(
                f"{self.name} {why}, {self._deaths} times now. It is tried again every {pause:.0f} s, "
                f"but needs help: see {self.log.path}"
            )


class Supervisor:
    """All children of an ``up``."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._services: list[Service] = []
        self._errands: list[subprocess.Popen[bytes]] = []
        self._stop_requests = 0
        self._wake_reader, self._wake_writer = os.pipe()
        self._logs_checked_at = time.monotonic()

    def take_over(self) -> None:
        """Catch the signals that stop us and those that tell of children, and adopt orphans."""
        adopt_orphans()
        for end in (self._wake_reader, self._wake_writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.signal(signal.SIGTERM, self._request_stop)
        # Also where a shell started us in the background, with SIGINT ignored.
        signal.signal(signal.SIGINT, self._request_stop)
        # Under nohup it is ignored, and stays so.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._request_stop)

    def run(self, service: Service) -> None:
        """Start a service and look after it from now on."""
        self._services.append(service)
        service.start()

    def begin(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a child that is meant to end by itself."""
        child = processes.spawn(argv, env=env, cwd=cwd, output=output)
        self._errands.append(child)
        return child

    def finish(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for such a child, looking after the services meanwhile; its exit status.

        :raises Stopped: if we are asked to stop before
        """
        self.until(lambda: child.poll() is not None)
        self._errands.remove(child)
        return child.returncode

    def until(self, condition: Callable[[], bool], *, timeout: float = float("inf"), interval: float = 0.1) -> bool:
        """Look after everything until ``condition`` holds; False if ``timeout`` seconds went by before.

        :raises Stopped: if we are asked to stop before
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() >= deadline:
                return False
            self._turn(interval)
        return True

    def look_after_all(self) -> None:
        """Look after everything for good.

        :raises Stopped: when we are asked to stop
        """
        while True:
            self._turn(TURN_SECONDS)

    def stop_all(self) -> None:
        """End all children, stage by stage. Each further request to stop sends everybody's next signal at once."""
        for errand in self._errands:
            processes.kill_group(errand.pid)
        for stage in sorted({service.stage for service in self._services}, reverse=True):
            self._end([service for service in self._services if service.stage == stage])

    def _end(self, services: Sequence[Service]) -> None:
        requests = self._stop_requests
        while any(service.is_running for service in services):
            hurry, requests = self._stop_requests > requests, self._stop_requests
            for service in services:
                service.end(hurry=hurry)
            self._wait(0.1)
        for service in services:
            if service.child is not None:
                processes.kill_group(service.child.pid)

    def _turn(self, seconds: float) -> None:
        self._reap()
        if not self._stop_requests:
            for service in self._services:
                service.look_after(self._say)
            self._rotate_logs()
            self._wait(seconds)
        if self._stop_requests:
            raise Stopped

    def _rotate_logs(self) -> None:
        if time.monotonic() - self._logs_checked_at > LOG_CHECK_SECONDS:
            self._logs_checked_at = time.monotonic()
            for service in self._services:
                try:
                    service.log.rotate()
                except OSError as error:
                    # As on a full disk, which is no reason to stop.
                    self._say(f"{service.log.path} cannot be put aside: {error.strerror}")

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal comes or the time is over."""
        ready, _, _ = select.select([self._wake_reader], [], [], seconds)
        if ready:
            with suppress(BlockingIOError):
                os.read(self._wake_reader, 4096)

    def _reap(self) -> None:
        """Bury dead orphans, whom nobody else waits for. Our own children's exit status goes to their Popen."""
        ours = {service.child.pid: service.child for service in self._services if service.child is not None}
        ours |= {errand.pid: errand for errand in self._errands}
        with suppress(ChildProcessError):
            while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if dead.si_pid in ours:
                    ours[dead.si_pid].poll()
                else:
                    os.waitpid(dead.si_pid, 0)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Only wake the main loop: a signal without a handler would not."""


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"
