"""Write many rows in one statement, and in one parameter: a JSON document, which is made faster than anything else.

``bulk_create`` and ``bulk_update`` write each value into the text of their statement, by itself, for the server to parse.
``bulk_update`` builds a ``CASE`` with a branch for each row and field beside.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from django.db import connection, models

from core.db import binding_cursor, naming_actor

# Decimals and instants become texts, which the columns' types read with all their digits.
_encode = msgspec.json.Encoder().encode


def insert_rows(rows: Sequence[models.Model]) -> None:
    """Store new rows of one model, as ``bulk_create`` does: all of them or none.

    For models without binary columns.
    """
    if not rows:
        return
    columns = rows[0]._meta.concrete_fields  # noqa: SLF001 - Django documents it
    quote = connection.ops.quote_name
    names = ", ".join(quote(str(column.column)) for column in columns)
    # Names of tables and columns are the models' own.
    insert = f"INSERT INTO {quote(rows[0]._meta.db_table)} ({names}) SELECT {names} FROM {{rows}}"  # noqa: S608, SLF001
    _execute(insert, rows, columns)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001


def update_rows(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Store some fields of rows of one model, as ``bulk_update`` does.

    For fields without binary columns.

    :raises KeyError: for a name that is no field of the model with a column
    """
    if not rows:
        return
    meta = rows[0]._meta  # noqa: SLF001 - Django documents it
    by_name = {field.name: field for field in meta.concrete_fields}
    changed = [by_name[name] for name in fields]
    quote = connection.ops.quote_name
    names = [quote(str(column.column)) for column in changed]
    changes = ", ".join(f"{name} = new.{name}" for name in names)
    key = quote(str(meta.pk.column))
    _execute(
        f"UPDATE {quote(meta.db_table)} AS old SET {changes} FROM {{rows}} WHERE old.{key} = new.{key}",  # noqa: S608
        rows,
        [meta.pk, *changed],
    )


def _execute(statement: str, rows: Iterable[models.Model], columns: Sequence["models.Field[Any, Any]"]) -> None:
    """Run a statement that reads the columns of the rows from ``{rows}``, where they are called ``new``."""
    names = [column.attname for column in columns]
    typed = ", ".join(
        f"{connection.ops.quote_name(str(column.column))} {column.db_type(connection)}" for column in columns
    )
    document = _encode([{name: row.__dict__[name] for name in names} for row in rows])
    with naming_actor(), binding_cursor() as cursor:
        cursor.execute(statement.format(rows=f"json_to_recordset(%s) AS new ({typed})"), [document.decode()])
