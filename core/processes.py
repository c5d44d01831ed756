"""Processes that do not outlive the one that started them (Linux), and how they keep what they have loaded."""

import ctypes
import gc
import os
import signal
import sys
from functools import cache

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# New objects until the collector looks at them; how often until it looks at older ones, and at all of them.
_COLLECTIONS = (50_000, 5, 10)

# The process id of the `manage.py up` above us, which adopts what its children leave behind.
SUPERVISOR_VARIABLE = "TOLLBOOK_SUPERVISOR"


def die_with_parent(with_signal: int = signal.SIGKILL, *, parent: int) -> None:
    """Have the kernel send this process ``with_signal`` when the process ``parent``, which started it, dies.

    If that has happened already, the signal comes at once. A change of credentials clears the wish, so call it after
    ``setuid``.

    :raises OSError: if the kernel refuses
    """
    _prctl(PR_SET_PDEATHSIG, with_signal)
    if os.getppid() != parent:
        os.kill(os.getpid(), with_signal)


def die_with_server() -> None:
    """For processes that granian's or celery's main process forks: below an ``up``, do not outlive that one.

    Without it a killed main process leaves workers that go on serving. Started in any other way it does nothing.
    """
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None:
        return
    parent = os.getppid()
    if parent in {int(supervisor), 1}:
        # Adopted already: the main process died between its fork and this line.
        os.kill(os.getpid(), signal.SIGKILL)
    die_with_parent(parent=parent)


def settle_memory() -> None:
    """Let the garbage collector leave alone what is there by now. Call it before long work, when all modules are loaded.

    They are some hundred thousand objects that stay for as long as the process does, and looking through them again and
    again was a fifth of a billing run. Looking at what is new after each 700 objects, as Python does by itself, was another
    fifth: the rows of a chunk stay until it is done. Looking less often lets a process grow by some 40 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none escapes.

    :raises OSError: if the kernel refuses
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, argument: int) -> None:
    if sys.platform != "linux":
        return
    if _libc().prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
