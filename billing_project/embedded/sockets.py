"""Folders for unix sockets, whose whole path may be 107 bytes long and no longer."""

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from billing_project.embedded.account import Account
from billing_project.embedded.errors import StartError

LONGEST_SOCKET_PATH = 107


def private_folder(folder: Path, account: Account | None = None) -> Path:
    """Make ``folder`` (and its parents) for its owner alone, and give it to ``account`` if there is one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)
    return folder


def socket_folder(preferred: Path, *, socket_name: str, account: Account | None = None) -> Path:
    """A private folder whose sockets have short enough paths: ``preferred``, or one in the temporary folder.

    The short one is named after ``preferred``, so that every start comes to the same address.

    :param socket_name: the longest name of a socket in it
    :raises StartError: if somebody else holds the short folder
    """
    if _fits(preferred, socket_name):
        return private_folder(preferred, account)
    name = "tollbook-" + hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]
    bases = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 (checked below)
    folder = next((base / name for base in bases if base.is_dir() and _fits(base / name, socket_name)), None)
    if folder is None:
        raise StartError(
            f"No folder with a path short enough for a unix socket; choose a shorter one than {preferred}."
        )
    wanted_owner = account.uid if account else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        # The temporary folder is everybody's: only a real folder of the right owner is taken over.
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {wanted_owner, os.geteuid()}:
            raise StartError(f"{folder} is needed for sockets but belongs to somebody else; remove it.") from None
    return private_folder(folder, account)


def _fits(folder: Path, socket_name: str) -> bool:
    return len(os.fsencode(folder / socket_name)) <= LONGEST_SOCKET_PATH
