"""Write many rows in one statement, and in one parameter: a JSON document, which is made faster than anything else.

``bulk_create`` and ``bulk_update`` write each value into the text of their statement, by itself, for the server to parse.
``bulk_update`` builds a ``CASE`` with a branch for each row and field beside.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from django.db import connection, models

from core.db import Statement, binding_cursor, naming_actor

# Decimals and instants become texts, which the columns' types read with all their digits.
_encode = msgspec.json.Encoder().encode


def insert_rows(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model, as ``bulk_create`` does: all of them or none.

    For models without binary columns.
    """
    if rows:
        run(insertion(rows))


def update_rows(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Store some fields of rows of one model, as ``bulk_update`` does.

    For fields without binary columns.

    :raises KeyError: for a name that is no field of the model with a column
    """
    if rows:
        run(change(rows, fields))


def insertion(rows: Sequence[models.Model]) -> Statement:
    """The statement of :func:`insert_rows`, for rows that are about to be stored with it: at least one."""
    columns = rows[0]._meta.concrete_fields  # noqa: SLF001 - Django documents it
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001
    return Statement(_insertion_into(type(rows[0])), [_document(rows, columns)])


def change(rows: Sequence[models.Model], fields: Sequence[str]) -> Statement:
    """The statement of :func:`update_rows`, for at least one row."""
    model = type(rows[0])
    return Statement(_change_of(model, tuple(fields)), [_document(rows, _key_and(model, fields))])


def run(statement: Statement) -> None:
    """Run a statement that may be large."""
    with naming_actor(), binding_cursor() as cursor:
        cursor.execute(statement.sql, statement.params)


@cache
def _insertion_into(model: type[models.Model]) -> str:
    columns = model._meta.concrete_fields  # noqa: SLF001
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(column.column)) for column in columns)
    # Names of tables and columns are the models' own.
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) SELECT {names} FROM {_rows_of(columns)}"  # noqa: S608, SLF001


@cache
def _change_of(model: type[models.Model], fields: tuple[str, ...]) -> str:
    key, *changed = _key_and(model, fields)
    quote = connection.ops.quote_name
    names = [quote(str(column.column)) for column in changed]
    changes = ", ".join(f"{name} = new.{name}" for name in names)
    pk = quote(str(key.column))
    table = quote(model._meta.db_table)  # noqa: SLF001
    return f"UPDATE {table} AS old SET {changes} FROM {_rows_of([key, *changed])} WHERE old.{pk} = new.{pk}"  # noqa: S608


def _key_and(model: type[models.Model], fields: Sequence[str]) -> "list[models.Field[Any, Any]]":
    meta = model._meta  # noqa: SLF001
    by_name = {field.name: field for field in meta.concrete_fields}
    return [meta.pk, *(by_name[name] for name in fields)]


def _rows_of(columns: "Sequence[models.Field[Any, Any]]") -> str:
    """What a document is read as, under the name of ``new``."""
    quote = connection.ops.quote_name
    typed = ", ".join(f"{quote(str(column.column))} {column.db_type(connection)}" for column in columns)
    return f"json_to_recordset(%s) AS new ({typed})"


def _document(rows: Sequence[models.Model], columns: "Sequence[models.Field[Any, Any]]") -> str:
    names = [column.attname for column in columns]
    return _encode([{name: row.__dict__[name] for name in names} for row in rows]).decode()
