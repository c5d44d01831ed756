"""Starting, refusing to start, stopping and dying: on stacks of these tests' own."""

import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from billing_project.embedded import processes
from tests.database import seed_instance
from tests.stack import RunningStack, kill, new_folder, new_stack, remove, wait_for

pytestmark = pytest.mark.xdist_group("life")


@pytest.fixture(scope="module")
def life() -> Iterator[RunningStack]:
    """One folder and port, started and ended again by each test as it needs; the database is there already."""
    stack = new_stack(new_folder() / "data")
    seed_instance(stack.data_dir)
    yield stack
    remove(stack)
    stack.data_dir.parent.rmdir()


@pytest.fixture
def running(life: RunningStack) -> RunningStack:
    if life.process is None or life.process.poll() is not None:
        life.start()
    return life


def leftovers(stack: RunningStack) -> list[psutil.Process]:
    """Whatever still runs for this folder, found by what it has in its environment or where it works."""
    folder = str(stack.data_dir)
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(processes.INSTANCE_VARIABLE, "").endswith(f":{folder}")
            if marked or process.cwd().startswith(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def assert_it_stops(stack: RunningStack, number: int) -> None:
    """All of it, in time and in good order."""
    everybody = stack.processes()

    seconds = stack.stop(number)

    assert seconds < 30
    assert stack.process is not None
    assert stack.process.returncode == 0
    assert [process for process in everybody if process.is_running()] == []
    assert leftovers(stack) == []
    assert stack.health().status == 0
    assert "database system is shut down" in (stack.data_dir / "logs" / "postgres.log").read_text()


def others(path: Path) -> int:
    """What accounts but its owner may do with it."""
    return path.stat().st_mode & 0o077


def assert_private(stack: RunningStack) -> None:
    for name in ("instance.env", "logs", "broker"):
        assert others(stack.data_dir / name) == 0
    # As root, PostgreSQL's account passes through the folder, but lists nothing in it.
    assert others(stack.data_dir) == (0o011 if os.geteuid() == 0 else 0)


def test_given_a_taken_port_then_one_line_says_so_and_nothing_is_started(life: RunningStack) -> None:
    stack = new_stack(life.data_dir.parent / "other")
    with socket.create_server(("127.0.0.1", stack.port)):
        done = stack.manage("up", "--port", str(stack.port), check=False)

    assert done.returncode != 0
    assert done.stderr == f"up: Port {stack.port} on 127.0.0.1 is taken; choose another with --port.\n"
    assert leftovers(stack) == []
    assert not (stack.data_dir / "postgres").exists()
    remove(stack)


def test_given_a_running_instance_when_up_is_run_on_its_folder_then_it_refuses(running: RunningStack) -> None:
    other = new_stack(running.data_dir)

    done = other.manage("up", "--port", str(other.port), check=False)

    assert done.returncode != 0
    assert "already running" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert running.health().status == 200


def test_given_private_data_then_nobody_else_can_read_it(running: RunningStack) -> None:
    assert_private(running)
    assert others(running.data_dir / "postgres") == 0


def test_given_addresses_in_the_environment_then_the_embedded_servers_are_not_started(running: RunningStack) -> None:
    """Another instance's servers stand for any others."""
    values = dict(
        line.split("=", 1)
        for line in (running.data_dir / "instance.env").read_text().splitlines()
        if not line.startswith("#")
    )
    addresses = {name: values[name] for name in ("DATABASE_URL", "CELERY_BROKER_URL")}
    stack = new_stack(running.data_dir.parent / "guest", **addresses)
    try:
        stack.start()
        names = {process.name() for process in stack.processes()}
        assert not names & {"postgres", "valkey-server", "redis-server"}
        # Both beats are alive, and one of them sends.
        assert "standing by" in (stack.data_dir / "logs" / "beat.log").read_text()
        # A command that is given the folder finds the same servers without the variables.
        stack.environment = {}
        assert "[ ]" not in stack.manage("showmigrations").stdout
    finally:
        remove(stack)


def test_given_up_alone_is_killed_then_nothing_outlives_it_and_it_starts_again(running: RunningStack) -> None:
    assert running.process is not None
    everybody = running.processes()

    running.process.kill()
    running.process.wait()

    _, alive = psutil.wait_procs(everybody, timeout=10)
    assert alive == []
    assert leftovers(running) == []
    running.start()


def test_given_everything_is_killed_at_once_then_it_starts_at_once_on_the_same_folder_and_port(
    running: RunningStack,
) -> None:
    running.manage("shell", "--command", _make_table)
    assert running.process is not None

    for process in running.processes():
        kill(process)
    running.process.wait()
    running.start()

    assert running.manage("shell", "--verbosity=0", "--command", _read_table).stdout.strip() == "kept"


def test_given_a_signal_then_everything_stops_in_time_and_leaves_nothing(running: RunningStack) -> None:
    assert_it_stops(running, signal.SIGTERM)


def test_given_a_signal_amid_the_start_then_it_stops_and_leaves_nothing(life: RunningStack) -> None:
    life.stop()
    life.begin()
    wait_for(lambda: "Bringing the database up to date" in life.output(), timeout=30, what=life)

    assert life.stop() < 30
    assert leftovers(life) == []


def test_given_a_deep_folder_under_a_home_that_others_cannot_enter_then_it_runs_and_ctrl_c_stops_it(
    life: RunningStack,
) -> None:
    """The first start of an instance. As root, PostgreSQL's account cannot come here; and no unix socket has so long a
    path.
    """
    home = life.data_dir.parent / "home"
    home.mkdir(mode=0o700)
    stack = new_stack(home / ("a deep, 'quoted' folder " * 4) / ("and one more " * 4) / "data")
    stack.output_file.parent.mkdir(parents=True)
    try:
        stack.start()
        assert stack.health().status == 200
        assert "[ ]" not in stack.manage("showmigrations").stdout
        pattern = re.escape(tempfile.gettempdir()) + r"/tollbook-\w{16}"
        short = {Path(name) for name in re.findall(pattern, (stack.data_dir / "instance.env").read_text())}
        assert short
        assert_private(stack)
        assert_it_stops(stack, signal.SIGINT)
        assert not any(folder.exists() for folder in short)
        assert home.stat().st_mode & 0o777 == 0o700
        assert (stack.data_dir / "postgres" / "data").exists() == (os.geteuid() != 0)
    finally:
        remove(stack)
        shutil.rmtree(home)


_make_table = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE platform_test (word text)")
    cursor.execute("INSERT INTO platform_test VALUES ('kept')")
"""
_read_table = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT word FROM platform_test")
    print(cursor.fetchone()[0])
"""
