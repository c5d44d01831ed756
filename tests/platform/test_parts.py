"""Each part of the running stack is killed in turn; the rest says so, and the part comes back."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
from kombu import Connection
from kombu.pidbox import Mailbox

from tests.stack import RunningStack, kill, wait_for

TITLES = {
    "web": r"^granian [^ ]* ?[^ ]* billing_project\.asgi:application *$",
    "web worker": r"^granian .* worker-1",
    "worker": r"^\[celeryd: .*:MainProcess\].* worker ",
    "pool process": r"^\[celeryd: .*ForkPoolWorker-\d+\]",
    "beat": r"^\[celery beat\]",
    "broker": r"^valkey-server",
    "postgres": r"^postgres -D ",
}


def part(stack: RunningStack, name: str) -> psutil.Process | None:
    for process in stack.processes():
        try:
            if re.search(TITLES[name], " ".join(process.cmdline())):
                return process
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return None


def the(stack: RunningStack, name: str) -> psutil.Process:
    found = part(stack, name)
    assert found is not None, [" ".join(process.cmdline()) for process in stack.processes()]
    return found


def is_dead(process: psutil.Process) -> bool:
    """Gone, or a zombie that its parent, held still, does not bury."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@contextmanager
def nobody_restarts(stack: RunningStack) -> Iterator[None]:
    """Hold ``up`` still, so that what is killed stays dead for as long as the test looks."""
    assert stack.process is not None
    os.kill(stack.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(stack.process.pid, signal.SIGCONT)


@pytest.fixture
def stack(running_stack: RunningStack) -> Iterator[RunningStack]:
    running_stack.wait_until_healthy()
    yield running_stack
    running_stack.wait_until_healthy()


@pytest.mark.parametrize("name", TITLES)
def test_every_part_shows_what_it_is(stack: RunningStack, name: str) -> None:
    the(stack, name)


@pytest.mark.parametrize(
    ("name", "missing"),
    [("worker", ["worker"]), ("beat", ["beat"]), ("broker", ["broker"]), ("postgres", ["database"])],
)
def test_given_a_part_is_killed_then_healthz_names_it_until_it_is_back(
    stack: RunningStack, name: str, missing: list[str]
) -> None:
    with nobody_restarts(stack):
        victim = the(stack, name)
        victim.kill()
        wait_for(lambda: stack.health().status == 503, timeout=10, what=stack)
        answer = stack.health()

    assert (answer.status, answer.missing) == (503, missing)
    stack.wait_until_healthy()
    assert the(stack, name).pid != victim.pid
    assert_messages_flow(stack)


def test_given_the_web_server_is_killed_then_its_workers_go_and_it_comes_back(stack: RunningStack) -> None:
    with nobody_restarts(stack):
        web = the(stack, "web")
        workers = web.children()
        web.kill()
        wait_for(lambda: all(map(is_dead, workers)), timeout=5, what=workers)
        answer = stack.health()

    assert len(workers) == 2
    assert answer.status == 0
    stack.wait_until_healthy()
    assert the(stack, "web").pid != web.pid


@pytest.mark.parametrize("name", ["web worker", "pool process"])
def test_given_a_forked_process_is_killed_then_its_server_replaces_it(stack: RunningStack, name: str) -> None:
    server = the(stack, name).parent()
    victim = the(stack, name)
    assert server is not None
    siblings = len(server.children())

    victim.kill()

    wait_for(
        lambda: victim.pid not in {child.pid for child in server.children()} and len(server.children()) == siblings,
        timeout=20,
        what=stack,
    )
    assert server.is_running()
    stack.wait_until_healthy()


def test_given_everything_but_up_is_killed_then_all_of_it_comes_back(stack: RunningStack) -> None:
    for process in stack.processes()[1:]:
        kill(process)

    wait_for(lambda: stack.health().status == 200, timeout=60, what=stack)
    assert_messages_flow(stack)


def test_given_a_running_instance_when_a_command_is_given_its_folder_then_it_works_there(stack: RunningStack) -> None:
    found = stack.manage(
        "shell", "--verbosity=0", "--command", "from django.db import connection as c; print(c.settings_dict)"
    )

    assert str(stack.data_dir.name) in found.stdout or "/var/lib/tollbook" in found.stdout
    migrations = stack.manage("showmigrations", "--list").stdout
    assert "[X]" in migrations
    assert "[ ]" not in migrations


def test_given_a_folder_without_an_instance_when_a_command_is_run_then_it_says_how_to_get_one(
    stack: RunningStack,
) -> None:
    nowhere = RunningStack(port=stack.port, data_dir=stack.data_dir / "nowhere")

    done = nowhere.manage("showmigrations", check=False)

    assert done.returncode == 1
    assert "manage.py up" in done.stderr
    assert "Traceback" not in done.stderr


def assert_messages_flow(stack: RunningStack) -> None:
    """Beat sends a roll-up each second; the worker counts those that it takes."""
    address = next(
        line.partition("=")[2]
        for line in (stack.data_dir / "instance.env").read_text().splitlines()
        if line.startswith("CELERY_BROKER_URL=")
    )
    with Connection(address) as broker:
        taken = rollups_taken(broker)
        wait_for(lambda: rollups_taken(broker) > taken, timeout=20, what=f"no roll-up after {taken}: {stack}")


def rollups_taken(broker: Connection) -> int:
    mailbox = Mailbox("celery", type="fanout", connection=broker, accept=["json"], serializer="json")
    replies = mailbox.multi_call("stats", timeout=1, limit=1) or []
    return sum(answer["total"].get("usage.tasks.roll_up", 0) for reply in replies for answer in reply.values())
