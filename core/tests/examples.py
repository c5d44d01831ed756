"""How many examples a property is tried on where each of them takes long."""

from hypothesis import settings

THOROUGH = "thorough"


def costly(examples: int, *, part: int = 3) -> int:
    """So many with ``--hypothesis-profile=thorough``, and a third of them, or another part, in every other run.

    Each run tries others, so that many runs see what one thorough run does.
    """
    return examples if settings.get_current_profile_name() == THOROUGH else -(-examples // part)
