"""What a browser asks the running server for besides pages: files that are sent piece by piece."""

import re
import urllib.request

from tests.stack import RunningStack


def test_every_file_that_the_sign_in_page_names_is_served_whole(running_stack: RunningStack) -> None:
    with urllib.request.urlopen(f"{running_stack.base_url}/admin/login/", timeout=30) as page:
        named = re.findall(r'"(/static/[^"]+\.(?:css|js))"', page.read().decode())

    assert len(named) > 3
    for path in named:
        with urllib.request.urlopen(f"{running_stack.base_url}{path}", timeout=30) as file:
            assert file.status == 200
            assert len(file.read()) == int(file.headers["Content-Length"]) > 0
