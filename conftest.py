"""What every test stands on: Django on an embedded PostgreSQL of the run's own.

The server starts while this file is imported, since Django's settings need its address and conftests further down
import models. Under xdist the controller starts it; the workers inherit the address and make a database each.
"""

import atexit
import os

import django
import pytest

from tests.database import begin_test_run

if "PYTEST_XDIST_WORKER" not in os.environ:
    _run = begin_test_run()
    atexit.register(_run.end)

os.environ["DJANGO_SETTINGS_MODULE"] = "billing_project.settings"
django.setup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one xdist worker run all tests that need the running stack, so that only one stack is started."""
    for item in items:
        if "running_stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("running_stack"))
