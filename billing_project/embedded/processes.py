"""Starting children that die with us, and finding what an earlier life left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from billing_project.embedded.account import Account
from core.processes import SUPERVISOR_VARIABLE, die_with_parent

INSTANCE_VARIABLE = "TOLLBOOK_INSTANCE"


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: IO[bytes] | int,
    cwd: Path,
    account: Account | None = None,
    death_signal: int = signal.SIGKILL,
    executable: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a direct child in a session of its own, which gets ``death_signal`` when we die.

    Call it from the main thread only: the kernel watches the thread that forked, not the process.

    :param executable: the program, if ``argv[0]`` is only the name that ps is to show
    :param account: whom to run as; None for the account we run as ourselves
    """

    parent = os.getpid()

    def in_child() -> None:
        # Runs after Popen's setuid, which would have cleared it.
        die_with_parent(death_signal, parent=parent)

    return subprocess.Popen(
        argv,
        executable=executable,
        env={**env, SUPERVISOR_VARIABLE: str(parent)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        umask=0o077,
        preexec_fn=in_child,  # noqa: PLW1509 (the callers are single-threaded)
    )


def kill_group(group: int) -> None:
    """Kill what is left of a dead child's process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def end_all(processes: Iterable[psutil.Process], *, patience: float = 5.0) -> None:
    """Kill processes that are not our children and wait until they are gone.

    :param patience: seconds to wait for their end
    """
    doomed = list(processes)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, timeout=patience)


def with_marker(marker: str) -> list[psutil.Process]:
    """Every process but us and our ancestors that was started by an ``up`` of this instance."""
    return _others(lambda process: process.environ().get(INSTANCE_VARIABLE) == marker)


def working_in(folder: Path) -> list[psutil.Process]:
    """Every process but us and our ancestors whose working directory is ``folder``.

    PostgreSQL's processes all work in their cluster's folder, and overwrite their environment with their title.
    """
    return _others(lambda process: process.cwd() == str(folder))


def _others(matches: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    me = psutil.Process()
    spared = {me.pid, *(ancestor.pid for ancestor in me.parents())}
    found = []
    for process in psutil.process_iter():
        # Another account's processes cannot be read, and are not ours.
        with suppress(psutil.Error, OSError):
            if process.pid not in spared and matches(process):
                found.append(process)
    return found


def wait_until(condition: Callable[[], bool], *, timeout: float, interval: float = 0.05) -> bool:
    """Ask ``condition`` again and again; False if it did not hold within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True
