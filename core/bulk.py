"""Write many rows in one statement."""

from collections.abc import Sequence

from django.db import connection, models


def update_rows(rows: Sequence[models.Model], fields: Sequence[str]) -> None:
    """Store some fields of rows of one model, as ``bulk_update`` does.

    One ``UPDATE ... FROM unnest(...)``: ``bulk_update`` builds a ``CASE`` with a branch for each row and field, which
    takes Django several times as long as all the rest of a billing run.

    :raises KeyError: for a name that is no field of the model with a column
    """
    if not rows:
        return
    meta = type(rows[0])._meta  # noqa: SLF001 - Django documents it
    by_name = {field.name: field for field in meta.concrete_fields}
    columns = [meta.pk, *(by_name[name] for name in fields)]
    quote = connection.ops.quote_name
    names = [quote(str(column.column)) for column in columns]
    arrays = ", ".join(f"%s::{column.db_type(connection)}[]" for column in columns)
    changes = ", ".join(f"{name} = new.{name}" for name in names[1:])
    values = [[column.get_db_prep_save(getattr(row, column.attname), connection) for row in rows] for column in columns]
    # Names of tables and columns are the models' own.
    statement = (
        f"UPDATE {quote(meta.db_table)} AS old SET {changes} "  # noqa: S608
        f"FROM unnest({arrays}) AS new ({', '.join(names)}) WHERE old.{names[0]} = new.{names[0]}"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
