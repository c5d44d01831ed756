"""One instance is one folder: its lock, its secrets and what they say to the settings."""

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from billing_project.embedded.errors import StartError
from core.instance import instance_env_file

_SECRETS: Mapping[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "TOLLBOOK_ID": lambda: secrets.token_hex(8),
    "TOLLBOOK_POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(32),
}


@dataclass(frozen=True, slots=True)
class Instance:
    """A locked data folder.

    :param folder: absolute, without symbolic links
    :param identity: names the instance where its folder's path would be too long
    :param lock: held open, for the kernel lets go of it when this process ends, however it ends
    """

    folder: Path
    identity: str
    secret_key: str
    postgres_password: str
    lock: IO[str]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def demo_file(self) -> Path:
        return self.folder / "demo.json"

    @property
    def marker(self) -> str:
        """What the environment of all its processes carries: a copied folder is another instance."""
        return f"{self.identity}:{self.folder}"

    def publish(self, addresses: Mapping[str, str]) -> None:
        """Write ``instance.env``, which settings and commands read: our secrets, and this run's addresses."""
        values = {
            "SECRET_KEY": self.secret_key,
            "TOLLBOOK_ID": self.identity,
            "TOLLBOOK_POSTGRES_PASSWORD": self.postgres_password,
            # The loopback address is served without TLS.
            "TOLLBOOK_HTTPS": "false",
            **addresses,
        }
        lines = ["# Written by `manage.py up`. These are secrets; variables that are set in the environment win."]
        lines += [f"{name}={value}" for name, value in values.items()]
        write_private(instance_env_file(self.folder), "\n".join(lines) + "\n")


def open_instance(folder: Path) -> Instance:
    """Make or find the instance in ``folder`` and lock it.

    A folder that is made here is private; one that exists keeps its permissions, and what is put into it is private.

    :raises StartError: if it is in use, or not ours to use
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            # As root, PostgreSQL's own account must pass through to its cluster; it can list or read nothing.
            folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        folder = folder.resolve(strict=True)
        lock = _lock(folder)
        for private in (folder / "logs",):
            private.mkdir(mode=0o700, exist_ok=True)
        values = _read(instance_env_file(folder))
    except OSError as error:
        raise StartError(f"The data folder {folder} cannot be used: {error.strerror}.") from error
    missing = {name: make() for name, make in _SECRETS.items() if not values.get(name)}
    values |= missing
    instance = Instance(
        folder=folder,
        identity=values["TOLLBOOK_ID"],
        secret_key=values["SECRET_KEY"],
        postgres_password=values["TOLLBOOK_POSTGRES_PASSWORD"],
        lock=lock,
    )
    if missing:
        # Before anything is built on them: a cluster whose password is lost is lost.
        instance.publish({name: values[name] for name in ("DATABASE_URL", "CELERY_BROKER_URL") if name in values})
    return instance


def write_private(path: Path, text: str) -> None:
    """Put ``text`` into ``path`` for its owner alone, whole or not at all, and on disk when this returns."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _lock(folder: Path) -> IO[str]:
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise StartError(
            f"Tollbook is already running on {folder}{f' (process {holder})' if holder else ''}. "
            "Stop it first, or choose another folder with --data-dir."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines}
