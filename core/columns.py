"""Some columns of a model, for statements that are written by hand where composing them takes longer than running them."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection, models

M = TypeVar("M", bound=models.Model)


class Columns(Generic[M]):
    """
    :param names: the fields' names; of none, all of them
    """

    def __init__(self, model: type[M], *names: str) -> None:
        meta = model._meta  # noqa: SLF001 (Django documents it)
        by_name = {field.name: field for field in meta.concrete_fields}
        fields = [by_name[name] for name in names or by_name]
        self._model = model
        self._names = [field.attname for field in fields]
        self._convert = [getattr(field, "from_db_value", None) for field in fields]
        self._columns = [str(field.column) for field in fields]

    def __len__(self) -> int:
        return len(self._names)

    def of(self, table: str) -> str:
        """The columns as a statement names them.

        :param table: what the statement calls the model's table
        """
        return ", ".join(f"{table}.{column}" for column in self._columns)

    def read(self, values: Sequence[Any]) -> M:
        """The row of which a statement found these values, in the columns' order. Its other columns are read when asked for."""
        found = [
            value if convert is None else convert(value, None, connection)
            for convert, value in zip(self._convert, values, strict=True)
        ]
        return self._model.from_db(connection.alias, self._names, found)


class Lookup(Generic[M]):
    """Rows of a model by their ids, each within its environment.

    :param names: the fields that are read at once
    :param only: what must hold of a row, as SQL
    """

    def __init__(self, model: type[M], *names: str, only: str = "TRUE") -> None:
        self._columns = Columns(model, *names)
        table = model._meta.db_table  # noqa: SLF001
        self._statement = f"""
            SELECT {self._columns.of("found")} FROM {table} AS found
             WHERE environment_id = %s AND id = %s AND {only}
        """  # noqa: S608 (names and conditions of ours)

    def __deepcopy__(self, _: Any) -> "Lookup[M]":
        # It is never changed, so one is as good as two.
        return self

    def find(self, environment_id: UUID, pk: UUID) -> M | None:
        with connection.cursor() as cursor:
            cursor.execute(self._statement, [environment_id, pk])
            values = cursor.fetchone()
        return None if values is None else self._columns.read(values)
