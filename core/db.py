"""Small helpers around PostgreSQL that any app may use."""

from django.db import IntegrityError
from django.db.migrations.operations import RunSQL


def violates(error: IntegrityError, constraint: str) -> bool:
    """Whether a statement failed on the constraint of that name."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) == constraint


def wall_parent(table: str) -> RunSQL:
    """Let rows of other tables refer to ``(environment_id, id)`` of this one."""
    name = f"{table}_wall"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE (environment_id, id)",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )


def wall(table: str, column: str, parent: str) -> RunSQL:
    """Refuse, in the database, a reference from one environment to a row of another.

    Django's foreign key compares ids alone; this one compares the environment with them.
    """
    name = f"{table}_{column}_wall"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (environment_id, {column}) "
        f"REFERENCES {parent} (environment_id, id) DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )
