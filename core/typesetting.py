"""Documents for print: a template and data become a PDF.

Each is set in a process of its own, which knows neither settings nor database, may take so much memory and time and no
more, and leaves nothing behind. It starts in a tenth of a second. The same data makes the same bytes.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "documents"
SECONDS = 20.0
# As many at once per process as may set documents; more wait.
AT_ONCE = 2

_PROGRAM = Path(__file__).with_name("typesetter.py")
# Chinese, Japanese and Korean: 19 MB, so that it is a package of its own and no part of this repository.
_FONT_PACKAGES = ("noto_cjk_sans_otc",)
_places = threading.BoundedSemaphore(AT_ONCE)


class TypesettingFailed(RuntimeError):
    """A document could not be made. It is nobody's fault who asked for it."""


class TypesettingTimedOut(TypesettingFailed):
    """It took too long, or too many others were being made."""


def typeset(
    template: str,
    data: Mapping[str, Any],
    *,
    created_at: datetime,
    output: Literal["pdf", "png"] = "pdf",
    seconds: float = SECONDS,
) -> bytes:
    """Set a document.

    :param template: a file among the templates of documents
    :param data: whatever JSON can say; the template reads it as data and can do nothing else with it
    :param created_at: what the document says of its own making; nothing else in it depends on the time
    :param output: a picture is of the first page
    :raises TypesettingFailed: if the template does not take the data
    :raises TypesettingTimedOut: if it took longer than ``seconds``, waiting for others included
    """
    request = {
        "template": str(TEMPLATES / template),
        "root": str(TEMPLATES),
        "fonts": [str(path) for path in _font_folders()],
        "data": json.dumps(data, ensure_ascii=False),
        "created": int(created_at.timestamp()),
        "format": output,
        "ppi": 110,
    }
    if not _places.acquire(timeout=seconds):
        raise TypesettingTimedOut("too many documents are being made at the same time")
    try:
        done = subprocess.run(  # nothing of it comes from outside
            # Isolated: neither this folder nor the environment decides what it imports.
            [sys.executable, "-I", str(_PROGRAM)],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
            env={},
        )
    except subprocess.TimeoutExpired as error:
        raise TypesettingTimedOut(f"a document was not made within {seconds:.0f} seconds") from error
    finally:
        _places.release()
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise TypesettingFailed(said or f"the typesetter ended with {done.returncode}")
    return done.stdout


@cache
def _font_folders() -> list[Path]:
    found = [find_spec(package) for package in _FONT_PACKAGES]
    places = [place for spec in found if spec is not None for place in spec.submodule_search_locations or ()]
    return [TEMPLATES / "fonts", *map(Path, places)]
