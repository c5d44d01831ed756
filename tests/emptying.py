"""What stands in for Django's flush after tests that commit."""

from functools import cache

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.test import TransactionTestCase

# What `migrate` itself writes there, and no test changes.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}

_flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]


def replace_flush() -> None:
    """Let :func:`empty_tables` run where Django would flush."""
    TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[attr-defined]


def empty_tables(case: TransactionTestCase) -> None:
    """Take out what a test has committed, in milliseconds instead of seconds.

    Django truncates all tables with all their partitions and indexes, each of them some new files, and has permissions
    written anew. Most tables are empty, and to find nothing in them costs next to nothing. Rows are taken out as a
    replica does it, past the triggers that refuse that and in any order; where we may not, Django does it its way.
    """
    with transaction.atomic(), connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT has_parameter_privilege('session_replication_role', 'SET')")
        if cursor.fetchone() == (True,):
            cursor.execute(_statements())
            return
    _flush(case)


@cache
def _statements() -> str:
    connection = connections[DEFAULT_DB_ALIAS]
    tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT
    deletions = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables)]  # noqa: S608 (our own)
    return "; ".join(["SET LOCAL session_replication_role = replica", *deletions])
