"""Run the whole of Tollbook as one foreground process: PostgreSQL, broker, web, worker and beat."""

import argparse
import errno
import functools
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, TextIO

import psutil
import psycopg

from billing_project.embedded import broker, postgres, processes
from billing_project.embedded.account import service_account
from billing_project.embedded.errors import StartError
from billing_project.embedded.greeting import greeting
from billing_project.embedded.instance import Instance, open_instance, write_private
from billing_project.embedded.logs import LogFile
from billing_project.embedded.supervisor import Service, Stopped, Supervisor
from core.instance import DATA_DIR_OPTION, DATA_DIR_VARIABLE, data_dir

PROJECT = Path(__file__).resolve().parent.parent.parent
WEB_WORKERS = 2
# Each may hold a database connection; with the Celery processes they stay below PostgreSQL's max_connections.
# One of them may be busy with webhooks all the time.
CELERY_WORKERS = 3

# Seconds. A crash recovery may have much to replay, so a database of ours gets its time.
DATABASE_TIMEOUT = 600.0
EXTERNAL_DATABASE_TIMEOUT = 30.0
BROKER_TIMEOUT = 30.0
HEALTH_TIMEOUT = 60.0

# Stages: what works with the servers ends before them.
BROKER_STAGE, DATABASE_STAGE, WORK_STAGE = 1, 0, 2


class Options(NamedTuple):
    """The command line."""

    bind: str
    port: int
    demo: bool

    @property
    def url(self) -> str:
        """Where a browser on this machine finds us."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (only if asked for)
        host = everywhere.get(self.bind) or (f"[{self.bind}]" if ":" in self.bind else self.bind)
        return f"http://{host}:{self.port}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``up``, for its own parser and for Django's."""
    parser.add_argument("--port", type=_port, default=8000, help="port of the web server (default: 8000)")
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="do not load the demo company")


def main(argv: Sequence[str]) -> int:
    """Run ``manage.py up`` with the arguments behind it until told to stop; the exit status."""
    parser = argparse.ArgumentParser(prog="manage.py up", description=__doc__)
    add_arguments(parser)
    # Taken off the command line already, as for every command; named here for the help.
    parser.add_argument(DATA_DIR_OPTION, metavar="DIR", help="the instance's folder (default: .data)")
    arguments = parser.parse_args(argv)
    return run(Options(bind=arguments.bind, port=arguments.port, demo=arguments.demo))


def run(options: Options) -> int:
    """Start everything, look after it, stop everything; the exit status."""
    try:
        instance = open_instance(data_dir())
        # The lock is ours, so what carries the instance's mark was left by a killed `up`, and may hold the port.
        processes.end_all(processes.with_marker(instance.marker))
        _refuse_taken_port(options)
    except StartError as error:
        sys.stderr.write(f"up: {error}\n")
        return 1
    return Stack(instance, options).run()


@dataclass(frozen=True, slots=True)
class Errand:
    """A management command that runs once."""

    command: str
    child: subprocess.Popen[bytes]
    log: LogFile


class Stack:
    """What ``up`` runs for one instance."""

    def __init__(self, instance: Instance, options: Options) -> None:
        self.instance = instance
        self.options = options
        self._log = LogFile(instance.logs / "up.log")
        self._supervisor = Supervisor(self._say)
        self._environment: Mapping[str, str] = {}
        self._socket_folders: list[Path] = []

    def run(self) -> int:
        """The exit status: 0 if somebody stopped us, 1 if the start failed."""
        self._supervisor.take_over()
        status = 0
        try:
            self._start()
            self._supervisor.look_after_all()
        except Stopped:
            self._say("Stopping ...")
        except StartError as error:
            self._say(f"up: {error}", to=sys.stderr)
            status = 1
        finally:
            self._supervisor.stop_all()
            # Whatever our children's children left was adopted by us.
            processes.end_all(psutil.Process().children(recursive=True))
            for folder in self._socket_folders:
                # Made anew at every start; a short one in the temporary folder is not left lying there.
                with suppress(OSError):
                    folder.rmdir()
        if status == 0:
            self._say("Stopped.")
        return status

    def _start(self) -> None:
        began = time.monotonic()
        database_url = os.environ.get("DATABASE_URL")
        broker_url = os.environ.get("CELERY_BROKER_URL")
        server = None if database_url else self._prepare_postgres()
        message_broker = None if broker_url else broker.prepare(self.instance.folder / "broker")
        addresses = {
            "DATABASE_URL": server.url if server else database_url or "",
            "CELERY_BROKER_URL": message_broker.url if message_broker else broker_url or "",
        }
        self.instance.publish(addresses)
        self._environment = self._children_environment(addresses)

        # It needs no database, so it goes on while that one starts.
        static_files = self._begin("collectstatic", "--noinput", "--verbosity=0")
        if message_broker:
            self._run_broker(message_broker)
        if server:
            self._run_postgres(server)
        else:
            self._await_database(addresses["DATABASE_URL"])
        if message_broker and not self._supervisor.until(message_broker.is_ready, timeout=BROKER_TIMEOUT):
            raise StartError(f"The broker does not answer; its words are in {self.instance.logs / 'broker.log'}.")
        self._say("Bringing the database up to date ...")
        self._finish(self._begin("migrate", "--noinput"))
        self._finish(static_files)
        self._run_work()
        self._await_health()
        if self.options.demo:
            self._load_demo(addresses["DATABASE_URL"])
        self._say(
            greeting(
                url=self.options.url,
                demo_file=self.instance.demo_file,
                data_dir=self.instance.folder,
                seconds=time.monotonic() - began,
            )
        )

    # The servers

    def _prepare_postgres(self) -> postgres.Postgres:
        return postgres.prepare(
            folder=self.instance.folder / "postgres",
            instance=self.instance.identity,
            password=self.instance.postgres_password,
            account=service_account(),
        )

    def _run_postgres(self, server: postgres.Postgres) -> None:
        self._socket_folders.append(server.sockets)
        log = self._log_file("postgres")
        if not server.exists:
            self._say(f"Making a database in {server.home} ...")
        server.initialize(output=log.file)
        service = Service(
            "postgres",
            stage=DATABASE_STAGE,
            start=lambda output: server.start(output=output),
            # Fast; then without tidying up, and the next start recovers.
            farewell=[(signal.SIGINT, 9.0), (signal.SIGQUIT, 2.0)],
            log=log,
        )
        self._supervisor.run(service)
        if not self._supervisor.until(server.is_ready, timeout=DATABASE_TIMEOUT):
            raise StartError(f"PostgreSQL takes no connections:\n{log.last_lines(5)}")
        server.create_database()

    def _run_broker(self, message_broker: broker.Broker) -> None:
        self._socket_folders.append(message_broker.socket.parent)
        service = Service(
            message_broker.name,
            stage=BROKER_STAGE,
            start=lambda output: message_broker.start(output=output),
            farewell=[(signal.SIGTERM, 3.0)],
            log=self._log_file("broker"),
        )
        self._supervisor.run(service)

    def _await_database(self, url: str) -> None:
        """Give a server that starts at the same moment as we do some time."""
        words: list[str] = []

        def answers() -> bool:
            try:
                psycopg.connect(url, connect_timeout=3).close()
            except psycopg.Error as error:
                words[:] = str(error).strip().splitlines()[-1:]
                return False
            return True

        if not self._supervisor.until(answers, timeout=EXTERNAL_DATABASE_TIMEOUT):
            raise StartError(f"The database that DATABASE_URL names does not answer: {' '.join(words)}")

    # What works with them

    def _run_work(self) -> None:
        options, identity = self.options, self.instance.identity
        commands = {
            "web": [
                *("granian", "--interface", "asginl", "--host", options.bind, "--port", str(options.port)),
                *("--workers", str(WEB_WORKERS), "--loop", "uvloop"),
                *(
                    "--backlog",
                    "2048",
                ),
                *("--respawn-failed-workers", "--workers-kill-timeout", "8"),
                *("--no-ws", "billing_project.asgi:application"),
            ],
            "worker": [
                *("celery", "--app", "billing_project", "worker", "--hostname", f"worker-{identity}@%h"),
                *("--concurrency", str(CELERY_WORKERS), "--pool", "prefork", "--loglevel", "INFO"),
                # Talk among workers, of which there is one.
                *("--without-gossip", "--without-mingle"),
            ],
            "beat": [
                *("celery", "--app", "billing_project", "beat", "--loglevel", "INFO", "--pidfile", ""),
                *("--schedule", str(self.instance.folder / "beat-schedule")),
            ],
        }
        for name, command in commands.items():
            service = Service(
                name,
                stage=WORK_STAGE,
                start=functools.partial(self._spawn, command),
                farewell=[(signal.SIGTERM, 11.0)],
                log=self._log_file(name),
            )
            self._supervisor.run(service)

    def _spawn(self, command: Sequence[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return processes.spawn([sys.executable, "-m", *command], env=self._environment, output=output, cwd=PROJECT)

    def _children_environment(self, addresses: Mapping[str, str]) -> dict[str, str]:
        environment = {
            **os.environ,
            **addresses,
            DATA_DIR_VARIABLE: str(self.instance.folder),
            processes.INSTANCE_VARIABLE: self.instance.marker,
            "DJANGO_SETTINGS_MODULE": "billing_project.settings",
            "TOLLBOOK_URL": os.environ.get("TOLLBOOK_URL") or self.options.url,
            # Titles must not overwrite the environment, by which leftovers are found.
            "SPT_NOENV": "1",
            "PYTHONUNBUFFERED": "1",
        }
        # Beside those that the operator names, for we ask for our own health there.
        own = ",".join(_hosts(self.options.bind))
        environment["ALLOWED_HOSTS"] = ",".join(filter(None, (os.environ.get("ALLOWED_HOSTS"), own)))
        return environment

    def _await_health(self) -> None:
        if not self._supervisor.until(self._is_healthy, timeout=HEALTH_TIMEOUT, interval=0.3):
            self._say(f"Not everything is up yet: see {self.options.url}/healthz and {self.instance.logs}")

    def _is_healthy(self) -> bool:
        request = urllib.request.Request(f"{self.options.url}/healthz")  # noqa: S310 (http, and ours)
        # A proxy that the environment names is not asked for our own address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=5) as response:
                return bool(response.status == 200)  # noqa: PLR2004
        except OSError:
            return False

    # Errands

    def _begin(self, command: str, *arguments: str) -> Errand:
        log = self._log_file(command)
        argv = [sys.executable, str(PROJECT / "manage.py"), command, *arguments]
        return Errand(command, self._supervisor.begin(argv, env=self._environment, cwd=PROJECT, output=log.file), log)

    def _finish(self, errand: Errand) -> None:
        """Wait for its end.

        :raises StartError: if it fails
        """
        if self._supervisor.finish(errand.child) != 0:
            raise StartError(f"manage.py {errand.command} failed:\n{errand.log.last_lines(8)}")

    def _load_demo(self, database_url: str) -> None:
        """Load it, once for each database that this instance is run on."""
        loaded = self.instance.folder / "demo.loaded"
        fingerprint = hashlib.sha256(database_url.encode()).hexdigest()
        if loaded.exists() and loaded.read_text() == fingerprint and self.instance.demo_file.exists():
            return
        self._say("Loading the demo ...")
        try:
            self._finish(self._begin("load_demo"))
        except StartError as error:
            # Everything else runs; whoever came for the demo reads why it is missing.
            self._say(f"The demo could not be loaded, and is tried again at the next start. {error}")
            return
        write_private(loaded, fingerprint)

    # The terminal

    def _log_file(self, name: str) -> LogFile:
        log = LogFile(self.instance.logs / f"{name}.log")
        log.rotate()
        return log

    def _say(self, words: str, *, to: TextIO | None = None) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # Neither a full disk nor a terminal that was closed is a reason to stop billing.
        with suppress(OSError):
            self._log.file.write(f"{stamp} {words}\n".encode())
            self._log.file.flush()
        with suppress(OSError):
            print(words, file=to or sys.stdout, flush=True)


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return number


def _refuse_taken_port(options: Options) -> None:
    """Find out before anything is started.

    :raises StartError: if the web server could not listen there
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(options.bind, options.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As a server would: connections of an earlier one that are still closing do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = "is taken; choose another with --port"
        else:
            reason = f"cannot be used ({error.strerror})"
        raise StartError(f"Port {options.port} on {options.bind} {reason}.") from error


def _hosts(bind: str) -> list[str]:
    """The names under which requests may reach the address that we listen on."""
    hosts = ["localhost", "127.0.0.1", "[::1]"]
    if bind not in {"0.0.0.0", "::"}:  # noqa: S104 (only if asked for)
        own = [bind]
    else:
        own = [socket.gethostname(), socket.getfqdn()]
        own += [
            address.address.partition("%")[0]
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in {socket.AF_INET, socket.AF_INET6}
        ]
    return list(dict.fromkeys([*hosts, *(f"[{host}]" if ":" in host else host for host in own)]))
