import copy
from typing import NamedTuple

import pytest

from billing_project.console.tests.visits import member
from billing_project.console.tests.world import World, make_world


class Worlds(NamedTuple):
    """Two companies. Each has a member of its own, an administrator."""

    ours: World
    theirs: World


@pytest.fixture(scope="module")
def _made_worlds(lasting_db: None) -> Worlds:
    both = Worlds(make_world("Ours"), make_world("Theirs"))
    member(both.theirs.company, username="theirs")
    return both


@pytest.fixture
def worlds(_made_worlds: Worlds, db: None) -> Worlds:
    # What a test does to the objects must not reach the next one any more than what it does to the rows.
    return copy.deepcopy(_made_worlds)
