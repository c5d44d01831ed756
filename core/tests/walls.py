"""Bend a row in the database itself, past every rule above it, to see whether the database refuses."""

from typing import Any

from django.db import connection, models, transaction


@transaction.atomic
def bend(row: models.Model, **columns: Any) -> None:
    """Change columns of a row, and check what is otherwise checked at the commit."""
    type(row)._default_manager.filter(pk=row.pk).update(**columns)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
