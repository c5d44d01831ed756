"""Put a table into the audit trail. Migrations call this; the functions behind it are made by the trail's own ones."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from django.db.migrations.operations import RunSQL

_ROW_OPERATIONS = ("insert", "update", "delete")
# As the trail's first migrations know them. The statements' rows are copied for them, whether anything is told or not.
_STATEMENT_TRIGGERS = {
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


_NO_JOB_ACTS = "(NULLIF(current_setting('tollbook.actor', true), '')::json ->> 'kind') IS DISTINCT FROM 'job'"
# What jobs' changes are told of all the same.
_TOLD_OF_JOBS: Mapping[LeftToJobs, Mapping[str, str]] = {
    LeftToJobs.DRAFTS: {
        "insert": "NEW.status <> 'draft'",
        "update": "OLD.status <> 'draft'",
        "delete": "OLD.status <> 'draft'",
    },
    LeftToJobs.ALL_BUT_STATUS: {"update": "OLD.status IS DISTINCT FROM NEW.status"},
    LeftToJobs.EVERYTHING: {},
}


def audited(
    table: str,
    *,
    key: str = "id",
    left_to_jobs: LeftToJobs = LeftToJobs.NOTHING,
    secret: Sequence[str] = (),
    unheeded: Sequence[str] = (),
) -> RunSQL:
    """Have every change of a table's rows written into the trail, in the transaction that makes it.

    :param key: the column that tells rows apart
    :param secret: columns of which the trail says that they changed, and nothing more
    :param unheeded: columns whose changes are nobody's business, such as when a key was last used
    """
    arguments = (key, left_to_jobs, _array(secret), _array(unheeded))
    # On a new database this may come before the migration that has rows tell of themselves, and that goes over all tables.
    made = (
        f"DO $do$ BEGIN IF to_regproc('audit_note_row') IS NULL THEN {triggers_of_statements(table, *arguments)}; "
        f"ELSE {triggers_of_rows(table, *arguments)}; END IF; END $do$"
    )
    return RunSQL(made, "; ".join(f"DROP TRIGGER audit_{name} ON {table}" for name in _STATEMENT_TRIGGERS))


def triggers_of_statements(table: str, *arguments: str) -> str:
    """A trigger for each statement, as they were before; the arguments are those of :func:`triggers_of_rows`."""
    return "; ".join(_trigger_of_statements(table, operation, arguments) for operation in _STATEMENT_TRIGGERS)


def triggers_of_rows(table: str, key: str, left_to_jobs: str, secret: str, unheeded: str) -> str:
    """A trigger for each row, in place of any that was there for statements.

    What is left to jobs is said by the trigger's condition: where it does not hold, nothing is called and nothing is
    copied, so that the billing run does not notice the trail.

    :param secret: :param unheeded: as PostgreSQL writes arrays
    """
    arguments = ", ".join(f"'{text}'" for text in (key, secret, unheeded))
    made = []
    for operation in _ROW_OPERATIONS:
        condition = _condition(LeftToJobs(left_to_jobs), operation)
        made.append(
            f"CREATE OR REPLACE TRIGGER audit_{operation} AFTER {operation.upper()} ON {table} "
            f"FOR EACH ROW {condition} EXECUTE FUNCTION audit_note_row({arguments})"
        )
    # Rows do not hear of it when a table is emptied.
    made.append(_trigger_of_statements(table, "truncate", (key, left_to_jobs, secret, unheeded)))
    return "; ".join(made)


def _trigger_of_statements(table: str, operation: str, arguments: Sequence[str]) -> str:
    said = ", ".join(f"'{text}'" for text in arguments)
    when = _STATEMENT_TRIGGERS[operation].format(table=table)
    return f"CREATE OR REPLACE TRIGGER audit_{operation} {when} FOR EACH STATEMENT EXECUTE FUNCTION audit_note({said})"


def _condition(left_to_jobs: LeftToJobs, operation: str) -> str:
    if left_to_jobs == LeftToJobs.NOTHING:
        return ""
    told = _TOLD_OF_JOBS[left_to_jobs].get(operation)
    return f"WHEN ({told} OR {_NO_JOB_ACTS})" if told else f"WHEN ({_NO_JOB_ACTS})"


def _array(columns: Sequence[str]) -> str:
    return "{" + ",".join(columns) + "}"
