"""HTTP load by wrk: one thread in C and LuaJIT, so that the generator costs little of the cores that it shares."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from benchmarks.instance import Instance

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of wrk saw.

    :param requests: those answered with success; what was in flight at the end is not among them
    :param refused: those answered with an error, and connections that failed
    :param p50_ms: latency percentiles, from sending the request to having its whole answer
    :param generator_cores: the part of a core that wrk itself used
    """

    requests: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    generator_cores: float

    @property
    def rate(self) -> float:
        """Successful requests a second."""
        return self.requests / self.seconds


def require_wrk() -> None:
    """:raises SystemExit: if wrk is not installed"""
    if shutil.which("wrk") is None:
        raise SystemExit("The load comes from wrk, which is not installed: apt-get install wrk")


def run(
    script: str,
    instance: Instance,
    *,
    seconds: int,
    connections: int,
    rate: int = 0,
    parameters: Mapping[str, str] | None = None,
) -> Load:
    """Run one of ``benchmarks/scripts`` against the stack.

    :param rate: requests a second to keep to; 0 for as many as there are answers for
    :param parameters: what the script reads from its environment
    """
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "30s", "--script", str(SCRIPTS / f"{script}.lua"), instance.stack.base_url]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as customers:
        customers.write("\n".join(instance.customers))
        customers.flush()
        environment = {
            "BENCH_SCRIPTS": str(SCRIPTS),
            "BENCH_KEY": instance.key,
            "BENCH_CUSTOMERS": customers.name,
            "BENCH_SEED": str(uuid4().int % (1 << 31)),
            "BENCH_RATE": str(rate),
            **(parameters or {}),
        }
        with subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
            output = process.stdout.read() if process.stdout else ""
            # For the processor time of this child alone.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"wrk ended with {process.returncode}:\n{output}")
    seen = json.loads(output.strip().splitlines()[-1])
    return Load(
        requests=seen["requests"] - seen["status_errors"],
        refused=seen["status_errors"] + seen["socket_errors"],
        seconds=seen["microseconds"] / 1e6,
        p50_ms=seen["p50"] / 1e3,
        p99_ms=seen["p99"] / 1e3,
        max_ms=seen["max"] / 1e3,
        generator_cores=(usage.ru_utime + usage.ru_stime) / seconds,
    )
