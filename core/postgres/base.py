"""See the package."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import transaction
from django.db.backends.postgresql import base

from core.actors import present_text

_TELL = "SELECT set_config('tollbook.actor', %s, true)"
_WRITES = ("insert", "update", "delete", "merge", "with", "truncate")
# What is always sent as it is. What begins with "with" may only read, and through a cursor that the server keeps.
_SENT_ALONE = ("insert", "update", "delete")


class DatabaseWrapper(base.DatabaseWrapper):
    """Tells the database who acts (:mod:`core.actors`), for the triggers that write the audit trail.

    It is a setting of the transaction, never of the session: a pooler may give the next transaction to somebody else.
    It is said in one message with the transaction's first statement that writes, and only where somebody acts: those that
    take in events and those that read cost nothing.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the transaction under way knows; None where a rollback to a savepoint has made it forget.
        self._told: str | None = ""
        self.execute_wrappers.append(self._execute_for_actor)

    @contextmanager
    def naming_actor(self) -> Iterator[None]:
        """Statements that write go within. Those that pass through Django's cursors do so by themselves."""
        text = present_text()
        if text == self._told or self.needs_rollback:
            yield
            return
        # A statement by itself gets a transaction.
        with nullcontext() if self.in_atomic_block else transaction.atomic(self.alias):
            with self.wrap_database_errors:
                self.connection.execute(_TELL, [text])
            self._told = text
            yield

    def _execute_for_actor(
        self,
        execute: Callable[..., Any],
        sql: Any,
        params: Any,
        many: bool,  # noqa: FBT001 (Django's signature)
        context: dict[str, Any],
    ) -> Any:
        text = present_text()
        if text == self._told or not _begins(sql, _WRITES):
            return execute(sql, params, many, context)
        if many or not isinstance(params, (list, tuple)) or not _begins(sql, _SENT_ALONE):
            with self.naming_actor():
                return execute(sql, params, many, context)
        # One message is one transaction, where there is none around it. It has one answer more.
        done = execute(f"{_TELL}; {sql}", [text, *params], many, context)
        context["cursor"].nextset()
        if self.in_atomic_block:
            self._told = text
        return done

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001
        self._told = ""
        super()._set_autocommit(autocommit)  # type: ignore[misc]  # the stubs miss it

    def _commit(self) -> None:
        self._told = ""
        super()._commit()  # type: ignore[misc]

    def _rollback(self) -> None:
        self._told = ""
        super()._rollback()  # type: ignore[misc]

    def _savepoint_rollback(self, sid: str) -> None:
        super()._savepoint_rollback(sid)  # type: ignore[misc]
        if self._told:
            self._told = None

    def connect(self) -> None:
        self._told = ""
        super().connect()


def _begins(sql: Any, words: tuple[str, ...]) -> bool:
    return isinstance(sql, str) and sql.lstrip()[:8].lower().startswith(words)
