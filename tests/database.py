"""Embedded PostgreSQL for a test run, one for each process that runs tests, and the environment that the settings read.

Transaction ids are a server's, so a roll-up waits for transactions in all of its databases: on one server, a worker
would wait for the tests of the others. Each has a copy of a cluster that is made and migrated once, by a child of the
process that began the run, while that and its workers collect the tests.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connections

from billing_project.embedded import postgres
from billing_project.embedded.account import SYSTEM_HOME, service_account
from billing_project.embedded.errors import StartError
from billing_project.embedded.instance import write_private
from billing_project.embedded.postgres import Postgres
from billing_project.embedded.processes import wait_until
from core.instance import instance_env_file

PROJECT = Path(__file__).resolve().parent.parent
# A server that has to start on a busy machine; it takes about two seconds on an idle one.
START_TIMEOUT = 60.0
# Every test run starts from nothing, so nothing has to survive a power cut.
OVERRIDES = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
# The password of the run's clusters; not set where DATABASE_URL named a server.
PASSWORD = "TOLLBOOK_TESTS_PASSWORD"
TEMPLATE = "template"


@dataclass
class TestRun:
    """What the process that began the run has to put away: its workers share it through their environment."""

    __test__ = False

    folder: Path
    home: Path | None = None
    server: subprocess.Popen[bytes] | None = None
    # Makes the template.
    maker: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        if self.maker is not None:
            # Tests that need no database did not wait for it. Its server dies with it.
            self.maker.kill()
            self.maker.wait()
        if self.server is not None:
            throw_away(self.server)
        # Clusters lie there if PostgreSQL's account cannot reach our folder.
        for folder in filter(None, (self.home, self.folder, *SYSTEM_HOME.glob(f"{self.folder.name}-*"))):
            shutil.rmtree(folder, ignore_errors=True)


def begin_test_run() -> TestRun:
    """Give Django's settings all they need but an address, and begin to make the template unless ``DATABASE_URL`` is set."""
    folder = Path(tempfile.mkdtemp(prefix="tollbook-tests-"))
    # As root, PostgreSQL runs as another account, which must pass through.
    folder.chmod(0o711)
    run = TestRun(folder)
    # The run is some dozens of processes that load the same files: the first one keeps what it has compiled.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A developer's own instance is neither read nor written.
    os.environ["TOLLBOOK_DATA_DIR"] = str(folder)
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    os.environ.setdefault("CELERY_BROKER_URL", "memory://")
    os.environ.setdefault("TOLLBOOK_HTTPS", "false")
    (folder / "static").mkdir()
    if not os.environ.get("DATABASE_URL"):
        os.environ[PASSWORD] = secrets.token_urlsafe(24)
        # What all of them need is made here once, before there are several who would.
        _cluster(TEMPLATE)
        run.maker = _begin_template()
    return run


def choose_address() -> None:
    """Name the database server of this process to the settings; :func:`own_server` starts it."""
    if PASSWORD in os.environ:
        os.environ["DATABASE_URL"] = _own_cluster().url


@contextmanager
def own_server() -> Iterator[Postgres | None]:
    """Run this process's server on a copy of the template; None where the run's server is not its own.

    :raises StartError: if the template could not be made or the server does not come up
    """
    if PASSWORD not in os.environ:
        yield None
        return
    cluster = _own_cluster()
    _copy_template(cluster)
    server = launch(cluster, _log(cluster.home.name))
    try:
        yield cluster
    finally:
        throw_away(server)
        shutil.rmtree(cluster.home, ignore_errors=True)


def seed_instance(folder: Path) -> None:
    """Lay the migrated cluster into the new data folder of a ``manage.py up``, which then starts as if for a second time.

    Where the run has no template, it starts from nothing.

    :raises StartError: if the template could not be made
    """
    if PASSWORD not in os.environ:
        return
    folder.mkdir()
    # As `up` makes it.
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    identity, password = secrets.token_hex(8), os.environ[PASSWORD]
    home = folder / "postgres"
    cluster = postgres.prepare(folder=home, instance=identity, password=password, account=service_account())
    _copy_template(cluster)
    lines = f"TOLLBOOK_ID={identity}\nTOLLBOOK_POSTGRES_PASSWORD={password}\n"
    write_private(instance_env_file(folder), lines)


def start_server(run: TestRun) -> str:
    """Start a server on a cluster of its own, with an empty database.

    :returns: its address
    :raises StartError: if it does not come up
    """
    server = postgres.prepare(
        folder=run.folder / "postgres",
        instance=run.folder.name,
        password=secrets.token_urlsafe(24),
        account=service_account(),
        overrides=OVERRIDES,
    )
    run.home = server.home
    run.server = launch(server, run.folder / "postgres.log")
    server.create_database()
    return server.url


def launch(server: Postgres, log_file: Path) -> "subprocess.Popen[bytes]":
    """Start a server and wait until it takes connections.

    :raises StartError: if it does not come up
    """
    with log_file.open("ab") as log:
        server.initialize(output=log, durable=False)
        child = server.start(output=log)
    if not wait_until(lambda: server.is_ready() or child.poll() is not None, timeout=START_TIMEOUT) or child.returncode:
        raise StartError(f"The tests' PostgreSQL did not start:\n{log_file.read_text()}")
    return child


def throw_away(server: "subprocess.Popen[bytes]") -> None:
    """Stop a server whose databases are thrown away, so that nothing needs to be written down."""
    server.send_signal(signal.SIGQUIT)
    server.wait(timeout=20)


def make_template() -> None:
    """Make the cluster that others are copied from: migrated, and shut down in good order."""
    cluster = _cluster(TEMPLATE)
    server = launch(cluster, _log(TEMPLATE))
    cluster.create_database()
    os.environ["DATABASE_URL"] = cluster.url
    os.environ["DJANGO_SETTINGS_MODULE"] = "billing_project.settings"
    django.setup()
    call_command("migrate", verbosity=0)
    connections.close_all()
    server.send_signal(signal.SIGINT)
    server.wait(timeout=START_TIMEOUT)
    _ready().touch()


def _begin_template() -> "subprocess.Popen[bytes]":
    with _lock().open("wb") as lock, _log(TEMPLATE).open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.database"],
            cwd=PROJECT,
            stdout=log,
            stderr=subprocess.STDOUT,
            # It inherits the lock, which is gone when it ends.
            pass_fds=[lock.fileno()],
        )


def await_template() -> None:
    """Wait for the template's maker, however it ends, if there is one."""
    if PASSWORD in os.environ:
        with _lock().open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)


def _copy_template(cluster: Postgres) -> None:
    await_template()
    if not _ready().exists():
        raise StartError(f"The tests' database could not be made:\n{_log(TEMPLATE).read_text()}")
    subprocess.run(["cp", "--archive", str(_cluster(TEMPLATE).cluster), str(cluster.cluster)], check=True)


def _own_cluster() -> Postgres:
    return _cluster(os.environ.get("PYTEST_XDIST_WORKER", "main"))


def _cluster(name: str) -> Postgres:
    folder = _folder()
    return postgres.prepare(
        folder=folder / name,
        instance=f"{folder.name}-{name}",
        password=os.environ[PASSWORD],
        account=service_account(),
        overrides=OVERRIDES,
    )


def _folder() -> Path:
    return Path(os.environ["TOLLBOOK_DATA_DIR"])


def _lock() -> Path:
    return _folder() / "template.lock"


def _ready() -> Path:
    return _folder() / "template.ready"


def _log(name: str) -> Path:
    return _folder() / f"{name}.log"


if __name__ == "__main__":
    make_template()
