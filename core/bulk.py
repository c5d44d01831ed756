"""Write many rows in one statement.

``bulk_create`` and ``bulk_update`` write each value into the text of their statement, by itself, for the server to parse.
``bulk_update`` builds a ``CASE`` with a branch for each row and field beside.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from django.db import connection, models
from psycopg.types.json import set_json_dumps

from core.db import Statement, binding_cursor, naming_actor

# Decimals and instants become texts, which the columns' types read with all their digits.
_encode = msgspec.json.Encoder().encode


def insert_rows(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model, as ``bulk_create`` does: all of them or none, by COPY, in the database's own format.

    It takes the server half of what reading them as JSON takes.
    """
    if not rows:
        return
    columns = rows[0]._meta.concrete_fields  # noqa: SLF001 - Django documents it
    names = [column.attname for column in columns]
    with naming_actor(), binding_cursor() as cursor:
        set_json_dumps(_encode, cursor)
        with cursor.copy(_copy_into(type(rows[0]))) as copy:
            # Without what limits a type, such as a text's length: of that the table makes sure.
            copy.set_types([str(column.db_type(connection)).partition("(")[0] for column in columns])
            for row in rows:
                values = row.__dict__
                copy.write_row([values[name] for name in names])
    _have_stored(rows)


def update_rows(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Store some fields of rows of one model, as ``bulk_update`` does, by one parameter: a JSON document.

    For fields without binary columns.

    :raises KeyError: for a name that is no field of the model with a column
    """
    if rows:
        run(change(rows, fields))


def insertion(rows: Sequence[models.Model]) -> Statement:
    """A statement that does what :func:`insert_rows` does, for a few rows that are about to be stored with it: at least one.

    For models without binary columns.
    """
    columns = rows[0]._meta.concrete_fields  # noqa: SLF001 - Django documents it
    _have_stored(rows)
    return Statement(_insertion_into(type(rows[0])), [_document(rows, columns)])


def change(rows: Sequence[models.Model], fields: Sequence[str]) -> Statement:
    """The statement of :func:`update_rows`, for at least one row."""
    model = type(rows[0])
    return Statement(_change_of(model, tuple(fields)), [_document(rows, _key_and(model, fields))])


def run(statement: Statement) -> None:
    """Run a statement that may be large."""
    with naming_actor(), binding_cursor() as cursor:
        cursor.execute(statement.sql, statement.params)


def _have_stored(rows: Sequence[models.Model]) -> None:
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001


@cache
def _copy_into(model: type[models.Model]) -> str:
    table, names = _table_and_columns(model)
    return f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)"


@cache
def _insertion_into(model: type[models.Model]) -> str:
    table, names = _table_and_columns(model)
    # Names of tables and columns are the models' own.
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {_rows_of(model._meta.concrete_fields)}"  # noqa: S608, SLF001


def _table_and_columns(model: type[models.Model]) -> tuple[str, str]:
    meta = model._meta  # noqa: SLF001
    quote = connection.ops.quote_name
    return quote(meta.db_table), ", ".join(quote(str(column.column)) for column in meta.concrete_fields)


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
