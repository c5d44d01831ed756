"""What every test stands on: Django on an embedded PostgreSQL of the run's own, and the real stack for those who ask.

The server starts while this file is imported, since Django's settings need its address and conftests further down
import models. Under xdist the controller starts it; the workers inherit the address and make a database each.
"""

import atexit
import os
from collections.abc import Iterator

import django
import pytest
from hypothesis import HealthCheck, settings

from tests.database import begin_test_run
from tests.stack import RunningStack, new_folder, new_stack, remove

if "PYTEST_XDIST_WORKER" not in os.environ:
    _run = begin_test_run()
    atexit.register(_run.end)

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("tollbook", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tollbook")

os.environ["DJANGO_SETTINGS_MODULE"] = "billing_project.settings"
django.setup()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one xdist worker run all tests that need the running stack, so that only one stack is started."""
    for item in items:
        if "running_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("running_stack"))


@pytest.fixture(scope="session")
def running_stack() -> Iterator[RunningStack]:
    """The real ``manage.py up`` on a free port with a database of its own, shared by all tests of the session.

    For tests that speak HTTP, or drive a vendor's SDK, against the whole system::

        def test_something(running_stack):
            running_stack.manage("create_company", "Acme", "--license", "metered_products")
            key = running_stack.manage("create_api_key", "Acme", "--mode", "test", "--all-scopes").stdout.strip()
            client = stripe.StripeClient(key, base_addresses={"api": running_stack.base_url})

    - ``base_url``: ``http://127.0.0.1:<port>``; ``data_dir``: its folder, with ``logs`` in it
    - ``manage(*arguments)``: runs a management command on it, raises if that fails, returns the completed process
    - ``health()``, ``wait_until_healthy()``: what ``/healthz`` says

    It starts without the demo, empty but for what earlier tests left: nothing is rolled back, so make a company of
    your own, with a name of your own. It has its own database: do not ask for ``db`` to look into it.
    A test that kills a part waits until the stack is healthy again before it ends.
    """
    stack = new_stack(new_folder() / "data")
    stack.start()
    yield stack
    remove(stack)
    stack.data_dir.parent.rmdir()
