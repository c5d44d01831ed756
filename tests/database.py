"""One embedded PostgreSQL for a whole test run, and the environment that the settings read."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from billing_project.embedded import postgres
from billing_project.embedded.account import service_account
from billing_project.embedded.errors import StartError
from billing_project.embedded.processes import wait_until

# A server that has to start on a busy machine; it takes about two seconds on an idle one.
START_TIMEOUT = 60.0


@dataclass
class TestRun:
    """What the process that began the run has to put away: its workers share it through their environment."""

    __test__ = False

    folder: Path
    home: Path | None = None
    server: subprocess.Popen[bytes] | None = None

    def end(self) -> None:
        if self.server is not None:
            # The databases are thrown away, so nothing needs to be written down.
            self.server.send_signal(signal.SIGQUIT)
            self.server.wait(timeout=20)
        for folder in filter(None, (self.home, self.folder)):
            shutil.rmtree(folder, ignore_errors=True)


def begin_test_run() -> TestRun:
    """Give Django's settings all they need, and a database server unless ``DATABASE_URL`` names one.

    :raises StartError: if the embedded server does not come up
    """
    folder = Path(tempfile.mkdtemp(prefix="tollbook-tests-"))
    # As root, PostgreSQL runs as another account, which must pass through.
    folder.chmod(0o711)
    run = TestRun(folder)
    # A developer's own instance is neither read nor written.
    os.environ["TOLLBOOK_DATA_DIR"] = str(folder)
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
    os.environ.setdefault("CELERY_BROKER_URL", "memory://")
    os.environ.setdefault("TOLLBOOK_HTTPS", "false")
    (folder / "static").mkdir()
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = start_server(run)
    return run


def start_server(run: TestRun) -> str:
    """Start a server of the run's own, on a new cluster.

    :returns: its address
    :raises StartError: if it does not come up
    """
    server = postgres.prepare(
        folder=run.folder / "postgres",
        instance=run.folder.name,
        password=secrets.token_urlsafe(24),
        account=service_account(),
        # Every test run starts from nothing, so nothing has to survive a power cut.
        overrides={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"},
    )
    run.home = server.home
    with (run.folder / "postgres.log").open("ab") as log:
        server.initialize(output=log, durable=False)
        run.server = child = server.start(output=log)
    if not wait_until(lambda: server.is_ready() or child.poll() is not None, timeout=START_TIMEOUT) or child.returncode:
        words = (run.folder / "postgres.log").read_text()
        raise StartError(f"The tests' PostgreSQL did not start:\n{words}")
    server.create_database()
    return server.url
