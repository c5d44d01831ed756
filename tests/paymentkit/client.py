"""Payment Kit's official npm client, unmodified, in a process of its own that is told by the environment where to go."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FOLDER = Path(__file__).resolve().parent

# What the client knows the server by: the DID of the vendor's component.
_COMPONENT = "z2qaCNvKMv5GjouKdcDWexv6WqtHbpNPQDnAk"
# Calls are signed with any key (this one is an example of RFC 8032): the server lets in by API key and looks at no
# signature.
_SIGNING_KEY = (
    "0x"
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)


class Refused(Exception):
    """The call was answered with an error.

    :ivar body: the answer's body
    """

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class PaymentKit:
    """The client with one key: ``client.call("meters.create", {...})``."""

    def __init__(self, base_url: str, key: str, *, livemode: bool = False) -> None:
        mount = {
            "did": _COMPONENT,
            "name": "payment-kit",
            "mountPoint": "/",
            "status": 6,
            "webEndpoint": base_url.replace("://", f"://{key}@"),
        }
        node = shutil.which("node")
        assert node is not None
        self._process = subprocess.Popen(
            [node, "drive.mjs"],
            cwd=FOLDER,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "BLOCKLET_MOUNT_POINTS": json.dumps([mount]),
                "BLOCKLET_APP_SK": _SIGNING_KEY,
                "BLOCKLET_MODE": "test",
                "BLOCKLET_COMPONENT_DID": "z8iZexampleComponent",
                "PAYMENT_LIVE_MODE" if livemode else "PAYMENT_TEST_MODE": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, name: str, *args: Any) -> Any:
        """:raises Refused: if the answer is an error"""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"call": name, "args": args}) + "\n")
        self._process.stdin.flush()
        while line := self._process.stdout.readline():
            # Its libraries print words of their own, too.
            if line.startswith("{"):
                answer = json.loads(line)
                if "result" in answer:
                    return answer["result"]
                raise Refused(answer.get("status", 0), answer.get("error"))
        raise AssertionError("the client ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
