"""The raw limits of the same PostgreSQL: what it does without us, with the same durability, at the same hour.

The table is as wide as an event needs and has one index, on a counter: less than the product keeps. So the limits are
generous, and the ratios are not flattered.
"""

import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks.instance import Instance
from billing_project.embedded import postgres

COMMIT_CLIENTS = 16
INSERT_CLIENTS = 4
INSERT_ROWS = 100
COPY_ROWS = 20_000

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.raw (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    identifier uuid NOT NULL,
    customer integer NOT NULL,
    value numeric,
    payload jsonb NOT NULL
)
"""
_PAYLOAD = json.dumps({"stripe_customer_id": "cus_06g3ha5zq7v1wcrs4f0t2mxkbe", "value": "25"})
_ROW = f"(now(), gen_random_uuid(), :customer, :amount, '{_PAYLOAD}')"
_DRAW = "\\set customer random(1, 1000)\n\\set amount random(1, 1000)\n"
_INSERT = "INSERT INTO bench.raw (at, identifier, customer, value, payload) VALUES "


def prepare(instance: Instance) -> None:
    """Make the table that the raw loads write to."""
    with instance.connect() as connection:
        connection.execute(_SCHEMA)


def commits(instance: Instance, seconds: int) -> float:
    """Durable one-row commits a second, by 16 clients."""
    return _pgbench(instance, f"{_DRAW}{_INSERT}{_ROW};\n", COMMIT_CLIENTS, seconds)


def inserted_rows(instance: Instance, seconds: int) -> float:
    """Rows a second in durable inserts of 100 rows each, by 4 clients."""
    script = f"{_DRAW}{_INSERT}{', '.join([_ROW] * INSERT_ROWS)};\n"
    return _pgbench(instance, script, INSERT_CLIENTS, seconds) * INSERT_ROWS


def copied_rows(instance: Instance, seconds: int) -> float:
    """Rows a second by COPY on one connection, a commit for each 20,000."""
    lines = "".join(
        f"2026-01-01 00:00:00+00\t00000000-0000-4000-8000-{number:012x}\t{number % 1000}\t{number}\t{_PAYLOAD}\n"
        for number in range(COPY_ROWS)
    ).encode()
    rows = 0
    with instance.connect() as connection:
        _empty(instance)
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            with (
                connection.cursor() as cursor,
                cursor.copy("COPY bench.raw (at, identifier, customer, value, payload) FROM STDIN") as copy,
            ):
                copy.write(lines)
            rows += COPY_ROWS
    return rows / elapsed


def _pgbench(instance: Instance, script: str, clients: int, seconds: int) -> float:
    """Transactions a second."""
    _empty(instance)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(_program()), "--no-vacuum", "--protocol=prepared", f"--file={file.name}"]
        command += [f"--client={clients}", "--jobs=2", f"--time={seconds}"]
        environment = os.environ | _connection_variables(instance.database_url)
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    found = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if found is None or "number of failed transactions: 0 " not in done.stdout:
        raise RuntimeError(f"pgbench failed:\n{done.stdout}{done.stderr}")
    return float(found[1])


def _empty(instance: Instance) -> None:
    with instance.connect() as connection:
        connection.execute("TRUNCATE bench.raw")


def _program() -> Path:
    return postgres.site_packages() / postgres.WHEEL / postgres.INSTALLATION / "bin" / "pgbench"


def _connection_variables(url: str) -> dict[str, str]:
    """An address as libpq's variables: a password on a command line could be read by everybody."""
    split = urlsplit(url)
    return {
        "PGHOST": parse_qs(split.query)["host"][0],
        "PGUSER": split.username or "",
        "PGPASSWORD": unquote(split.password or ""),
        "PGDATABASE": split.path.lstrip("/"),
    }
