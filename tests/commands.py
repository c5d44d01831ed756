"""Management commands of one instance, each in a process of its own that finds Django loaded.

To load Django and all of ours takes longer than almost any command, and tests of the running stack give many.
``RunningStack.manage`` is what an operator does; here the same program runs in a fork of a process that has loaded it.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import django
from django.core.management.base import BaseCommand
from django.urls import get_resolver

import manage
from core.instance import DATA_DIR_OPTION, adopt_data_dir
from core.processes import die_with_parent, settle_memory

PROJECT = Path(__file__).resolve().parent.parent


class Commands:
    """Runs commands for the instance in ``data_dir``, which has been started once."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.commands", DATA_DIR_OPTION, str(data_dir)],
            cwd=PROJECT,
            env={**environment, "DJANGO_SETTINGS_MODULE": "billing_project.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=functools.partial(die_with_parent, signal.SIGKILL, parent=os.getpid()),  # noqa: PLW1509
        )

    def run(self, *arguments: str) -> str:
        """Run ``manage.py <arguments>``; returns what it printed.

        :raises CalledProcessError: if it fails
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        assert answer, "the commands' server is gone; its words are on stderr"
        status, output, complaints = json.loads(answer)
        if status != 0:
            raise subprocess.CalledProcessError(status, arguments, output, complaints)
        return str(output)

    def close(self) -> None:
        """End the process that holds Django."""
        self._server.kill()
        self._server.communicate()


def serve() -> None:
    """Answer each line of arguments by a line of status, output and complaints."""
    adopt_data_dir(sys.argv)
    django.setup()
    # What commands import, too.
    assert get_resolver().url_patterns
    # To check all models and addresses again would take most of a command's time.
    BaseCommand.requires_system_checks = ()
    settle_memory()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_in_a_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


def _in_a_fork(arguments: Sequence[str]) -> tuple[int, str, str]:
    # Nothing is connected to anything yet, so there is nothing that both would hold.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        child = os.fork()
        if child == 0:
            _be_the_command(arguments, output, complaints)
        _, status = os.waitpid(child, 0)
        for said in (output, complaints):
            said.seek(0)
        return os.waitstatus_to_exitcode(status), output.read(), complaints.read()


def _be_the_command(arguments: Sequence[str], output: IO[str], complaints: IO[str]) -> None:
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output.fileno(), 1), (complaints.fileno(), 2)):
        os.dup2(source, target)
    sys.argv = ["manage.py", *arguments]
    manage.main()
    sys.exit()


if __name__ == "__main__":
    serve()
