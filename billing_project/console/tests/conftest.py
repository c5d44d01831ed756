from typing import NamedTuple

import pytest

from billing_project.console.tests.world import World, make_world, member


class Worlds(NamedTuple):
    """Two companies. Each has a member of its own, an administrator."""

    ours: World
    theirs: World


@pytest.fixture
def worlds(db: None) -> Worlds:
    both = Worlds(make_world("Ours"), make_world("Theirs"))
    member(both.theirs.company, username="theirs")
    return both
