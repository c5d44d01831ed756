"""Whom PostgreSQL runs as, and what that account can reach.

PostgreSQL refuses to run as root. Started by root, it runs as a system account that is made when there is none, and
its program and data must lie where that account can go. No permission of a folder that is not ours is ever loosened:
what cannot be reached is kept under ``/var/lib/tollbook`` instead.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded.errors import StartError

ACCOUNT_NAME = "tollbook"
SYSTEM_HOME = Path("/var/lib/tollbook")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the machine that is not root."""

    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """The account for PostgreSQL when we are root, made if it does not exist; None when we are not.

    :raises StartError: if it cannot be made
    """
    if os.geteuid() != 0:
        return None
    return _find(ACCOUNT_NAME) or _create(ACCOUNT_NAME)


def owner_of(path: Path) -> Account | None:
    """The account that owns ``path``; None if that is root."""
    status = path.stat()
    if status.st_uid == 0:
        return None
    return Account(name=str(status.st_uid), uid=status.st_uid, gid=status.st_gid)


def system_home() -> Path:
    """The folder for what the account must reach; readable by all, written by root alone."""
    SYSTEM_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
    if SYSTEM_HOME.stat().st_uid == 0:
        # Ours, so a strict umask at its making may be put right.
        SYSTEM_HOME.chmod(0o755)
    return SYSTEM_HOME


def can(account: Account, check: Callable[[], bool]) -> bool:
    """Whether ``check`` is true for ``account``: it is asked in a child process that has become that account."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            code = 0 if check() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _find(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    if entry.pw_uid == 0:
        raise StartError(f"The account {name!r} is root under another name; PostgreSQL needs one that is not.")
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def _create(name: str) -> Account:
    command = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if command is None:
        raise StartError(f"PostgreSQL cannot run as root, and there is no useradd: create a system account {name!r}.")
    options = ["--system", "--user-group", "--no-create-home", f"--home-dir={SYSTEM_HOME}", "--shell=/usr/sbin/nologin"]
    made = subprocess.run(
        [command, *options, name],
        capture_output=True,
        text=True,
        check=False,
    )
    # Another `up` may have been quicker, so the account's being there is what counts.
    account = _find(name)
    if account is None:
        raise StartError(f"PostgreSQL cannot run as root, and useradd {name} failed: {made.stderr.strip()}")
    return account
