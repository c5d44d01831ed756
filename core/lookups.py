"""``__in`` of ids as one array parameter: ``id = ANY('{…}')``.

Django writes each id into the text by itself, with a cast: of the thousands in a statement of a billing run it takes the
driver longer to write them, and the server longer to read them, than to find the rows. The server makes an array of such a
list anyway, so it plans both in the same way.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import UUIDField
from django.db.models.fields.related import ForeignObject
from django.db.models.fields.related_lookups import RelatedIn
from django.db.models.lookups import In
from django.db.models.sql.compiler import SQLCompiler

from core.db import array


class _InArray(In):
    """For direct values that are ids; subqueries, expressions and texts are left to Django."""

    def get_prep_lookup(self) -> Any:
        if self.rhs_is_direct_value():
            self.rhs = list(self.rhs)
            if _are_ids(self.rhs):
                return self.rhs
        return super().get_prep_lookup()

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        # One id is an equation, which the planner knows more about.
        if not isinstance(self.rhs, list) or len(self.rhs) == 1 or not _are_ids(self.rhs):
            return super().as_sql(compiler, connection)
        if not self.rhs:
            raise EmptyResultSet
        column, parameters = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s::uuid[])", [*parameters, array(self.rhs)]


class UuidIn(_InArray):
    """Among ids."""


class RelatedUuidIn(_InArray, RelatedIn):
    """Among the ids of related rows."""


def _are_ids(values: Iterable[object]) -> bool:
    # Looking at each in Python would take longer than writing them.
    return set(map(type, values)) <= {UUID}


def install() -> None:
    """Called once, when a process starts."""
    UUIDField.register_lookup(UuidIn)
    ForeignObject.register_lookup(RelatedUuidIn)
