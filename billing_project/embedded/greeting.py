"""What ``up`` says when everything runs."""

import json
import re
from pathlib import Path

_LOCAL_URL = re.compile(r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?")


def greeting(*, url: str, demo_file: Path, data_dir: Path, seconds: float) -> str:
    """The console's address and how to get in: by the demo's login, or by the commands that make one.

    :param demo_file: JSON with ``email``, ``password``, ``api_key`` and ``curl``, as ``load_demo`` leaves it
    """
    lines = ["", f"Tollbook is running (started in {seconds:.0f} s). Ctrl-C stops it.", "", f"  Console   {url}/admin/"]
    if demo_file.exists():
        demo = json.loads(demo_file.read_text())
        lines += [
            f"  Login     {demo['email']}  {demo['password']}",
            f"  API key   {demo['api_key']}",
            "",
            # It was written when the demo was loaded, perhaps on another port.
            _LOCAL_URL.sub(lambda _: url, demo["curl"]),
        ]
    else:
        manage, option = "python manage.py", f"--data-dir {data_dir}"
        lines += [
            "",
            "  There is no demo. To begin:",
            f"    {manage} createsuperuser {option}",
            f"    {manage} create_company 'My company' --license metered_products --license subscription {option}",
            f"    {manage} create_api_key 'My company' --mode test --all-scopes {option}",
        ]
    return "\n".join([*lines, ""])
