"""What every test stands on: Django on an embedded PostgreSQL of its own, and the real stack for those who ask.

The address is chosen while this file is imported, since Django's settings need it and conftests further down import
models; the server starts for the first test that asks for a database. Under xdist each worker has its own.
"""

import atexit
import gc
import os
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import transaction
from hypothesis import HealthCheck, settings

from billing_project.embedded.postgres import DATABASE
from core.processes import settle_memory
from core.tests.examples import THOROUGH
from tests.database import await_template, begin_test_run, choose_address, own_server, seed_instance
from tests.emptying import replace_flush
from tests.stack import RunningStack, new_folder, new_stack, remove

if "PYTEST_XDIST_WORKER" not in os.environ:
    _run = begin_test_run()
    atexit.register(_run.end)
choose_address()

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("tollbook", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(THOROUGH, settings.get_profile("tollbook"))
settings.load_profile("tollbook")

os.environ["DJANGO_SETTINGS_MODULE"] = "billing_project.settings"
django.setup()

# Nobody attacks the passwords of tests, and many are made.
PBKDF2PasswordHasher.iterations = 1
replace_flush()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,  # noqa: ARG001 (pytest-django's own part of it)
) -> Iterator[None]:
    """Let pytest-django make its database as a copy of one that is migrated, on this process's own server."""
    with own_server() as server:
        if server is not None:
            database = django_settings.DATABASES["default"]
            # A worker's settings are read before this file, by the address that it inherited.
            database["OPTIONS"]["host"] = str(server.sockets)
            database.setdefault("TEST", {})["TEMPLATE"] = DATABASE
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage once, when all modules and tests are loaded, and leave them alone from then on."""
    gc.disable()
    try:
        return (yield)
    finally:
        settle_memory()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one xdist worker run all tests that need the running stack, so that only one stack is started.

    Likewise all tests of a file that stand on the same rows. Groups come first, the larger before the smaller, so that
    no worker is left with one at the end.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "running_stack" in fixtures:
            item.add_marker(pytest.mark.xdist_group("running_stack"))
        elif "lasting_db" in fixtures:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Wait for the database before the first test, whose time runs, if one of them needs it."""
    if any(_needs_database(item) for item in session.items):
        await_template()


def _needs_database(item: pytest.Item) -> bool:
    needing = {"db", "transactional_db", "live_server", "running_stack", "life"}
    return bool(needing & set(getattr(item, "fixturenames", ()))) or item.get_closest_marker("django_db") is not None


@pytest.fixture(scope="module")
def lasting_db(
    django_db_setup: None,  # noqa: ARG001 (there has to be one)
    django_db_blocker: Any,
) -> Iterator[None]:
    """A transaction around all tests of a file, in which their fixtures make what takes seconds to make, once.

    Each test that asks for ``db`` lies within it with a savepoint of its own, and leaves its rows as they were. Objects
    of those rows are shared all the same: a test that changes them needs copies.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(scope="session")
def running_stack() -> Iterator[RunningStack]:
    """The real ``manage.py up`` on a free port with a database of its own, shared by all tests of the session.

    For tests that speak HTTP, or drive a vendor's SDK, against the whole system::

        def test_something(running_stack):
            running_stack.command("create_company", "Acme", "--license", "metered_products")
            key = running_stack.command("create_api_key", "Acme", "--mode", "test", "--all-scopes").strip()
            client = stripe.StripeClient(key, base_addresses={"api": running_stack.base_url})

    - ``base_url``: ``http://127.0.0.1:<port>``; ``data_dir``: its folder, with ``logs`` in it
    - ``command(*arguments)``: runs a management command on it and returns what it prints, raises if that fails;
      ``manage`` does the same as an operator does it, which takes seconds
    - ``health()``, ``wait_until_healthy()``: what ``/healthz`` says

    It starts on a copy of the migrated database, as an instance does for a second time (tests/platform/test_life.py has
    the first), without the demo, empty but for what earlier tests left: nothing is rolled back, so make a company of
    your own, with a name of your own. It has its own database: do not ask for ``db`` to look into it.
    A test that kills a part waits until the stack is healthy again before it ends.
    """
    stack = new_stack(new_folder() / "data")
    seed_instance(stack.data_dir)
    stack.start()
    yield stack
    remove(stack)
    stack.data_dir.parent.rmdir()
