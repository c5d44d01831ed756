"""Why ``manage.py up`` cannot start."""


class StartError(Exception):
    """A start that cannot go on. The message is one line for the terminal and says what to do."""
