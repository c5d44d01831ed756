"""Telling a database that cannot do its work now from one that never will."""

from django.db import DatabaseError, InterfaceError, OperationalError

# Classes of PostgreSQL's conditions that pass: no connection, resources, operator intervention, system, and the
# transactions that lost a race. 25006: a server that is only a standby yet.
_PASSING_STATES = ("08", "53", "57", "58", "40", "55", "25006")


def is_passing(error: Exception) -> bool:
    """Whether the database could not do the work now, and may a moment later."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DatabaseError) and state.startswith(_PASSING_STATES)
