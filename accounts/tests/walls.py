"""Who is kept apart from whom."""

from collections.abc import Sequence
from typing import TypeVar

World = TypeVar("World")


def across_one_wall(worlds: Sequence[World]) -> list[tuple[World, World]]:
    """Whose ids are tried on whom, of two companies, each in test and then in live mode.

    Those of the same company's other mode, and of the other company's same mode: what would let the ids of another
    company in another mode through would let one of these through, too.
    """
    return [(worlds[place], worlds[place ^ wall]) for place in range(4) for wall in (1, 2)]
