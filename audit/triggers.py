"""Put a table into the audit trail. Migrations call this; the functions behind it are made by the trail's first one."""

from collections.abc import Sequence
from enum import StrEnum

from django.db.migrations.operations import RunSQL

_OPERATIONS = {
    "insert": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows",
    "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS old_rows",
    "truncate": "AFTER TRUNCATE ON {table}",
}


class LeftToJobs(StrEnum):
    """What our own jobs may change without being told of it one by one: what they make tells of itself."""

    NOTHING = ""
    # Until an invoice is final nobody owes it; how it became so stands on it.
    DRAFTS = "drafts"
    # All but the column `status`.
    ALL_BUT_STATUS = "all but status"
    EVERYTHING = "everything"


def audited(
    table: str,
    *,
    key: str = "id",
    left_to_jobs: LeftToJobs = LeftToJobs.NOTHING,
    secret: Sequence[str] = (),
    unheeded: Sequence[str] = (),
) -> RunSQL:
    """Have every change of a table's rows written into the trail, in the transaction that makes it.

    Once per statement, however many rows it changes, so that the billing run hardly notices.

    :param key: the column that tells rows apart
    :param secret: columns of which the trail says that they changed, and nothing more
    :param unheeded: columns whose changes are nobody's business, such as when a key was last used
    """
    arguments = ", ".join(f"'{text}'" for text in (key, left_to_jobs, _array(secret), _array(unheeded)))
    made = "; ".join(
        f"CREATE TRIGGER audit_{name} {when.format(table=table)} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION audit_note({arguments})"
        for name, when in _OPERATIONS.items()
    )
    return RunSQL(made, "; ".join(f"DROP TRIGGER audit_{name} ON {table}" for name in _OPERATIONS))


def _array(columns: Sequence[str]) -> str:
    return "{" + ",".join(columns) + "}"
