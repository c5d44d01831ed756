"""Commands in processes of their own, on the database of the tests: to be killed, or to run beside one another."""

import os
import subprocess
import sys
from pathlib import Path

from django.db import connection

PROJECT = Path(__file__).resolve().parent.parent.parent


def manage(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Begin ``manage.py`` with arguments; what it says is on its standard output."""
    connection.ensure_connection()
    info = connection.connection.info
    url = f"postgres://{info.user}:{info.password}@/{info.dbname}?host={info.host}&port={info.port}"
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
