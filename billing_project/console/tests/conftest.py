import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.db import transaction

from billing_project.console.tests.world import World, make_world, member


class Worlds(NamedTuple):
    """Two companies. Each has a member of its own, an administrator."""

    ours: World
    theirs: World


@pytest.fixture(scope="module")
def _made_worlds(django_db_setup: None, django_db_blocker: Any) -> Iterator[Worlds]:
    """Made once for a file's tests, since that takes seconds: each of them lies within this transaction with its own."""
    with django_db_blocker.unblock(), transaction.atomic():
        both = Worlds(make_world("Ours"), make_world("Theirs"))
        member(both.theirs.company, username="theirs")
        yield both
        transaction.set_rollback(True)


@pytest.fixture
def worlds(_made_worlds: Worlds, db: None) -> Worlds:
    # What a test does to the objects must not reach the next one any more than what it does to the rows.
    return copy.deepcopy(_made_worlds)
